#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Load for hours, to be run by hand: `make stress`.

The engine's properties, stress (tests/guest/stress) on one or several kernels, then fuzz, faults, the guest tests with a search for
leaks, unloading, and a day at the default intervals. Stress, fuzz and faults print their seed first. All print last what they did, and
one that failed all that it found. The same seed of the stress gives the same load, not the same timing.
"""

import argparse
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "scripts"))

import kernel  # noqa: E402
import toolchain  # noqa: E402
from cache import LOGS, OWN, REPO  # noqa: E402
from progress import Failure, Step, run_main, step  # noqa: E402

import in_guest  # noqa: E402

# How long the long form takes on each kernel, in guest time.
SECONDS = int(os.environ.get("DAMON_RS_STRESS_SECONDS") or 1800)
KINDS = ("test", "kasan", "kcsan")


class Properties:
    """The properties of the engine, on the host, with cases that were never tried."""

    title = "properties on the host"

    def run(self, current: Step) -> in_guest.Result:
        env = {"CARGO_TARGET_DIR": str(OWN / "host"), "PROPTEST_CASES": "3000"}
        problem = ""
        try:
            toolchain.run(current, ["cargo", "test", "--locked", "-p", "damon", "properties"], cwd=REPO / "tests/host", env=env)
        except Failure as failure:
            problem = str(failure)
        output = current.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return in_guest.Result(not problem, next((line for line in reversed(output) if "test result" in line), problem), output)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kinds", nargs="*", default=KINDS, metavar="KERNEL", help="default: test kasan kcsan")
    parser.add_argument("--seconds", type=int, default=SECONDS, help="on each kernel (default: DAMON_RS_STRESS_SECONDS or %(default)s)")
    parser.add_argument("--seed", type=int, help="of the stress, for the same load again")
    parser.add_argument("--short", action="store_true", help="only what is cheap enough for `make test`")
    parser.add_argument("--only", default="", metavar="TEXT", help="those with this in their name, for example `fuzz on stock`")
    arguments = parser.parse_args()
    if unknown := set(arguments.kinds) - set(kernel.KINDS):
        raise Failure(f"no such kernel: {', '.join(sorted(unknown))}")
    plan: list[Properties | in_guest.Program]
    if arguments.short:
        seed = in_guest.SEED if arguments.seed is None else arguments.seed
        plan = [*in_guest.lane(seed), *in_guest.kasan_lane(seed)]
    else:
        plan = [Properties(), *in_guest.long_lane(arguments.kinds, arguments.seconds, arguments.seed)]
    plan = [program for program in plan if arguments.only in program.title]
    failed = 0
    for program in plan:
        with step(program.title, LOGS / f"long-{program.title.replace(' ', '-')}.log") as current:
            result = program.run(current)
            current.note = result.note if result.passed else "broken"
        if not result.passed:
            print("\n".join(result.output), flush=True)
            failed += 1
    print(f"stress: {len(plan)} runs, {failed} broken", flush=True)
    return 1 if failed or not plan else 0


if __name__ == "__main__":
    run_main(main)

#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Load for hours, to be run by hand: `make stress`.

Stress (tests/guest/stress) on one or several kernels, then fuzz, faults and a day at the default intervals. Each prints its seed
first and what it did last; a failed one prints all that it found. The same seed of the stress gives the same load, not the same timing.
"""

import argparse
import os
import random
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "scripts"))

import build  # noqa: E402
import kernel  # noqa: E402
from cache import LOGS, REPO  # noqa: E402
from progress import Failure, Step, run_main, step  # noqa: E402

import in_guest  # noqa: E402
from in_guest import POLITE, Program, Result  # noqa: E402

# How long the long form takes on each kernel, in guest time.
SECONDS = int(os.environ.get("DAMON_RS_STRESS_SECONDS") or 1800)
KINDS = ("test", "kasan")

# Unit tests at each load would be most of the time. What the kernel says in passing goes to its log only: kobjects that are released
# late, thousands a minute. A zone for memory that can move is what memory blocks can be taken off line from.
COMMAND_LINE = "kunit.enable=0 loglevel=5 movablecore=1G"

# A boot, the unpacking of the guest and the search for leaks, on a busy machine.
AROUND_SECONDS = 300

# An operation may take this long. An instrumented kernel on an emulated machine is slow.
PATIENCE_SECONDS = 30


def run(current: Step, kind: str, seconds: int, seed: int | None = None) -> Result:
    """Builds the module for a kernel and stresses it there."""
    seed = random.randrange(10**6) if seed is None else seed
    modules = build.build(current, kernel.ensure(kind))
    log = LOGS / f"stress-{kind}-kernel.log"
    begin = current.log.stat().st_size
    arguments = [f"--module={path}" for path in modules]
    vm: list[str | Path] = [
        "nice", "-n", POLITE,
        sys.executable, REPO / "scripts/vm.py", "run", "--kernel", kind, f"--timeout={seconds * 3 + AROUND_SECONDS}", f"--log={log}",
        f"--append={COMMAND_LINE}", *arguments, "--",
        "/damon-rs/tests/guest/stress/stress", "--module", f"/damon-rs/modules/{modules[0].name}",
        "--seconds", str(seconds), "--seed", str(seed), "--patience", str(PATIENCE_SECONDS),
    ]  # fmt: skip
    passed = True
    try:
        current.run(vm)
    except Failure:
        passed = False
    output = current.log.read_bytes()[begin:].decode(errors="replace").splitlines()
    said = [line.removeprefix("stress: ") for line in output if line.startswith("stress: ")]
    done = bool(said) and said[-1].endswith("nothing broke")
    return Result(passed and done, said[-1] if said else "it said nothing", output)


def programs(seconds: int) -> list[Program]:
    """What else is run."""
    # By far more steps than there is time for.
    return [
        in_guest.fuzz(10**9, seconds),
        in_guest.faults(seconds, 1800),
        in_guest.day(6 * 3600, "--sample-us", "5000", "--aggr-us", "100000"),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kinds", nargs="*", default=KINDS, metavar="KERNEL", help=f"of {', '.join(KINDS)} (default: all)")
    parser.add_argument("--seconds", type=int, default=SECONDS, help="on each kernel (default: DAMON_RS_STRESS_SECONDS or %(default)s)")
    parser.add_argument("--only-stress", action="store_true", help="without fuzz, faults and the day")
    parser.add_argument("--seed", type=int, help="the same load again")
    arguments = parser.parse_args()
    if unknown := set(arguments.kinds) - set(kernel.KINDS):
        raise Failure(f"no such kernel: {', '.join(sorted(unknown))}")
    seconds, seed = arguments.seconds, arguments.seed
    plan = [(f"stress on {kind}", lambda step, kind=kind: run(step, kind, seconds, seed)) for kind in arguments.kinds]
    if not arguments.only_stress:
        plan += [(f"{program.name} on {program.kind}", program.run) for program in programs(seconds)]
    failed = 0
    for name, its in plan:
        with step(name, LOGS / f"long-{name.replace(' ', '-')}.log") as current:
            result = its(current)
            current.note = result.note if result.passed else "broken"
        if not result.passed:
            print("\n".join(result.output), flush=True)
            failed += 1
    print(f"stress: {len(plan)} runs, {failed} broken", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    run_main(main)

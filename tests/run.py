#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Runs the tests: `make test`, and with --set those of `make test-all` or `make stress`.

Steps that do not need each other run at the same time. Each ends with one line; a failed one is followed by its output. What failed
is not tried again. The end of the report names the slowest steps and tests, then what failed; its last line is `N passed, N failed`.
"""

import argparse
import contextlib
import re
import sys
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "scripts"))

import toolchain  # noqa: E402
from cache import CACHE, LOGS  # noqa: E402
from progress import Failure, Step, run_main, say  # noqa: E402

import plan  # noqa: E402
import steps  # noqa: E402
from results import Counts  # noqa: E402
from steps import Test  # noqa: E402

SLOWEST = 10

# What the end of the report repeats of a failed step: it may be all that is kept of a run elsewhere.
REPEATED = 6
NAMES_A_FAILURE = re.compile(r"\b(FAILED|ERROR|not ok|error)\b")


@dataclass(frozen=True)
class Done:
    """A step that has ended."""

    name: str
    seconds: float
    counts: Counts


def run_test(test: Test) -> Done:
    step = Step(test.name, LOGS / "test" / f"{test.name.replace(' ', '-')}.log")
    step.log.parent.mkdir(parents=True, exist_ok=True)
    step.log.write_text("", encoding="utf-8")
    try:
        with contextlib.nullcontext() if test.prepares else step.beating():
            counts = test.run(step)
    except Failure as failure:
        counts = Counts(0, 1, "broken", str(failure).splitlines())
    except Exception as error:  # The other steps go on.
        counts = Counts(0, 1, "broken", [f"{type(error).__name__}: {error}"])
    if not (test.prepares or counts.passed or counts.failed):
        counts.failed, counts.note = 1, "no test was run"
    line = f"{step.seconds():7.1f} s  {test.name}: {counts.passed} passed, {counts.failed} failed"
    line += f" ({counts.note})" if counts.note else ""
    if counts.failed:
        line += "".join(f"\n    {detail}" for detail in "\n".join(counts.details).splitlines())
        line += f"\n    the whole log: {step.log.relative_to(CACHE)} in the cache"
    say(line, sys.stdout)
    return Done(test.name, step.seconds(), counts)


def run_phase(tests: list[Test]) -> list[Done]:
    """Runs the tests in this order, as many at a time as there are processors."""
    left = deque(tests)

    def lane(_: int) -> list[Done]:
        done = []
        with contextlib.suppress(IndexError):
            while True:
                done.append(run_test(left.popleft()))
        return done

    lanes = steps.most_at_once()
    with ThreadPoolExecutor(lanes) as pool:
        return [its for results in pool.map(lane, range(lanes)) for its in results]


def report(done: list[Done], seconds: float) -> None:
    """The slowest steps and tests, in seconds of the host."""

    def table(title: str, times: dict[str, float]) -> None:
        slowest = sorted(times.items(), key=lambda its: -its[1])[:SLOWEST]
        if slowest:
            print(title, *(f"  {its:7.1f} s  {name}" for name, its in slowest), sep="\n")

    table("slowest steps:", {its.name: its.seconds for its in done})
    table("slowest tests in a guest:", {f"{test} ({its.name})": time for its in done for test, time in its.counts.times.items()})
    print(f"{seconds / 60:.1f} minutes, {sum(its.seconds for its in done) / 60:.1f} of them in steps one after the other")
    for its in done:
        if its.counts.failed:
            details = "\n".join(its.counts.details).splitlines()
            shown = [line for line in details if NAMES_A_FAILURE.search(line)] or details
            print(f"failed: {its.name}", *(f"  {line.strip()[:160]}" for line in shown[-REPEATED:]), sep="\n")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="run only the steps whose name begins with one of these")
    parser.add_argument("--set", choices=plan.SETS, default="test", help="default: %(default)s")
    parser.add_argument("--list", action="store_true", help="print the names of the steps, and run nothing")
    parser.add_argument("--fix", action="store_true", help="let rustfmt change the files")
    arguments = parser.parse_args()
    if arguments.fix:
        toolchain.ensure()
        return run_test(Test("rustfmt", steps.rustfmt(fix=True))).counts.failed
    names = tuple(arguments.names)
    phases = [[test for test in phase if not names or test.name.startswith(names)] for phase in plan.SETS[arguments.set]()]
    if arguments.list:
        print(*(test.name for phase in phases for test in phase), sep="\n")
        return 0
    if not any(phases):
        raise Failure(f"no step begins with {', '.join(names)}: --list shows their names")
    begin = time.monotonic()
    done = [its for phase in phases for its in run_phase(phase)]
    report(done, time.monotonic() - begin)
    if names:
        print(f"only the steps that begin with {', '.join(names)}")
    passed, failed = (sum(getattr(its.counts, what) for its in done) for what in ("passed", "failed"))
    failed = failed or int(not passed)
    print(f"{passed} passed, {failed} failed", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    run_main(main)

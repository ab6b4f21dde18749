#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Runs every test of the project, and says what passed: `make test`.

Steps that do not need each other run at the same time. Each ends with one line; what a failed one printed is
shown behind it. The last line of all is `N passed, N failed`.
"""

import argparse
import contextlib
import os
import re
import shlex
import sys
import threading
import xml.etree.ElementTree
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "scripts"))

import build  # noqa: E402
import image  # noqa: E402
import kernel  # noqa: E402
import panics  # noqa: E402
import toolchain  # noqa: E402
import unsafe  # noqa: E402
from cache import CACHE, LOGS, OWN, REPO, tree_files  # noqa: E402
from progress import Failure, Step, run_main, say  # noqa: E402

import in_guest  # noqa: E402
from in_guest import KUNIT_END, guest_log  # noqa: E402

HOST = REPO / "tests/host"
GUEST = REPO / "tests/guest"


@dataclass
class Counts:
    """What a step found."""

    passed: int = 0
    failed: int = 0
    note: str = ""
    details: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Test:
    """A step: what it is called, and what it does."""

    name: str
    run: Callable[[Step], Counts]
    # What it makes ready says itself how far it is.
    slow: bool = True


def passed_if_quiet(name: str, complaints: list[str]) -> Counts:
    """One test that passes without complaints."""
    return Counts(int(not complaints), int(bool(complaints)), name, complaints)


def tail(log: Path, lines: int = 30) -> list[str]:
    return log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:]


def rustfmt(fix: bool) -> Callable[[Step], Counts]:
    def run(step: Step) -> Counts:
        files = tree_files("*.rs")
        toolchain.run(step, ["rustfmt", *([] if fix else ["--check", "--color=never"]), *files], cwd=REPO, what="formatting")
        return Counts(1, 0, f"{len(files)} files")

    return run


def shellcheck(step: Step) -> Counts:
    files = [path for path in tree_files() if re.match(rb"#!\s*/(usr/)?bin/(env )?(ba)?sh\b", path.read_bytes()[:40])]
    toolchain.run(step, ["shellcheck", *files], cwd=REPO, what="shell scripts")
    return Counts(1, 0, f"{len(files)} files")


def unsafe_audit(step: Step) -> Counts:
    results = [unsafe.audit(path) for path in unsafe.sources()]
    complaints = [line for lines, _ in results for line in lines]
    return passed_if_quiet(f"{sum(count for _, count in results)} unsafe blocks", complaints)


def host_tests(step: Step) -> Counts:
    # Other cases than these are for `make stress`.
    env = {"CARGO_TARGET_DIR": str(OWN / "host"), "PROPTEST_RNG_SEED": str(in_guest.SEED), "PROPTEST_CASES": "1000"}
    failure: Failure | None = None
    try:
        toolchain.run(step, [*in_guest.POLITELY, "cargo", "test", "--locked", "--workspace", "--no-fail-fast"], cwd=HOST, env=env)
    except Failure as problem:
        failure = problem
    text = step.log.read_text(encoding="utf-8", errors="replace")
    results = re.findall(r"^test result: \w+\. (\d+) passed; (\d+) failed", text, re.MULTILINE)
    counts = Counts(sum(int(passed) for passed, _ in results), sum(int(failed) for _, failed in results))
    if failure or not results:
        counts.failed = max(counts.failed, 1)
        counts.details = tail(step.log)
    return counts


def rustdoc(step: Step) -> Counts:
    step.run([sys.executable, REPO / "scripts/rustdoc.py"])
    return Counts(1, 0)


def cost(step: Step) -> Counts:
    """The bench's quick form: what it costs, in instructions, which what else the machine does has no part in."""
    step.run([*in_guest.POLITELY, sys.executable, REPO / "scripts/bench.py", "--quick"])
    found = re.findall(r"(\d+) goals met, (\d+) missed", step.log.read_text(encoding="utf-8"))
    return Counts(*map(int, found[-1])) if found else Counts(0, 1, "nothing was measured")


def module(kind: str) -> Test:
    def run(step: Step) -> Counts:
        its = kernel.ensure(kind)
        paths = build.build(step, its)
        # modpost and objtool complain without failing.
        log = step.log.read_text(encoding="utf-8", errors="replace")
        warnings = re.findall(r"^.*\bwarning: .*$", log, re.MULTILINE | re.IGNORECASE)
        return passed_if_quiet(", ".join(path.name for path in paths), warnings)

    return Test(f"module for {kind}", run)


def clippy(step: Step) -> Counts:
    build.build(step, kernel.ensure("test"), clippy=True)
    return Counts(1, 0)


def panic_entries(step: Step) -> Counts:
    """None is allowed. Each is named with the functions that refer to it."""
    counts = Counts()
    notes = []
    for path in build.build(step, kernel.ensure("stock")):
        found = panics.references(path)
        counts.details += [f"{path.name}: {entry}: {', '.join(sorted(who))}" for entry, who in sorted(found.items())]
        counts.passed += int(not found)
        counts.failed += int(bool(found))
        notes.append(f"{path.name} refers to {len(found)} panic entry points")
    counts.note = ", ".join(notes)
    return counts


def guest_tests(kind: str, without: tuple[str, ...] = (), options: tuple[str, ...] = ()) -> Test:
    """pytest in the guest, and the kernel's verdict on it.

    What fails is tried once more: many tests look at what a process does within some milliseconds, for which an emulated machine can
    be too slow once. What then passes is named.
    """

    def run(step: Step) -> Counts:
        out = step.log.with_suffix(".out")
        results = [out / name for name in ("junit.xml", "again.xml")]
        for path in results:
            path.unlink(missing_ok=True)
        command = in_guest.pytest(*(f"--deselect={shlex.quote(name)}" for name in without), first="--junitxml=/out/junit.xml", again="--junitxml=/out/again.xml")
        problem, complaints = in_guest.in_guest(step, kind, command, "--timeout=4500", *options, out=out)
        counts = read_junit(results[0])
        if counts.failed and results[1].exists():
            first, again = counts.failed, read_junit(results[1]).failed
            counts.failed, counts.passed = again, counts.passed + max(0, first - again)
            counts.details.append(f"passed at the second attempt, or not at all: {', '.join(failed_tests(results[0]))}")
        if complaints:
            counts.failed += 1
            counts.note = f"the kernel complained {len(complaints)} times"
        elif problem and not counts.failed:
            counts.failed = 1
        if counts.failed:
            counts.details += [*complaints[:3], *tail(step.log, 60)]
        return counts

    return Test(f"guest tests on {kind}", run)


def failed_tests(path: Path) -> list[str]:
    cases = xml.etree.ElementTree.parse(path).iter("testcase")
    return [str(case.get("name")) for case in cases if case.find("failure") is not None or case.find("error") is not None]


def python_tests(folder: str) -> Callable[[Step], Counts]:
    """Python tests that need neither a toolchain nor a guest."""

    def run(step: Step) -> Counts:
        # Without what is installed beside Python: a bare machine has none of it.
        step.run([sys.executable, "-S", "-m", "unittest", "discover", "-s", REPO / folder])
        found = re.findall(r"^Ran (\d+) tests", step.log.read_text(encoding="utf-8"), re.MULTILINE)
        return Counts(int(found[-1]), 0) if found else Counts(0, 1, "no test was run")

    return run


def read_junit(path: Path) -> Counts:
    counts = Counts()
    if not path.exists():
        return counts
    for suite in xml.etree.ElementTree.parse(path).iter("testsuite"):
        total, skipped = int(suite.get("tests", 0)), int(suite.get("skipped", 0))
        failed = int(suite.get("failures", 0)) + int(suite.get("errors", 0))
        counts.failed += failed
        counts.passed += total - failed - skipped
        counts.note = f"{skipped} skipped" if skipped else ""
    return counts


def kunit(kind: str) -> Test:
    """The unit tests that ran at insmod, read from that kernel's log by the kernel's own parser."""

    def run(step: Step) -> Counts:
        # At boot the kernel reports that it has no tests of its own, and tests that load the module again repeat its report.
        source = guest_log(new_step(f"guest tests on {kind}"))
        text = source.read_text(encoding="utf-8", errors="replace").partition(KUNIT_END)[0]
        log = step.log.with_suffix(".ktap")
        begin = re.search(r"^\[[ \d.]+\] KTAP version 1\n\[[ \d.]+\] 1\.\.[1-9]", text, re.MULTILINE)
        log.write_text(text[begin.start() :] if begin else "", encoding="utf-8")
        parser = Path(kernel.ensure(kind).source) / "tools/testing/kunit/kunit.py"
        problem = ""
        try:
            toolchain.run(step, ["python3", parser, "parse", log])
        except Failure as failure:
            problem = str(failure)
        text = step.log.read_text(encoding="utf-8", errors="replace")
        summary = re.findall(r"Testing complete\. Ran \d+ tests: (.*)", text)
        numbers = dict((name, int(number)) for name, number in re.findall(r"(\w+): (\d+)", summary[-1])) if summary else {}
        passed, skipped = numbers.pop("passed", 0), numbers.pop("skipped", 0)
        counts = Counts(passed, sum(numbers.values()), f"{skipped} skipped" if skipped else "")
        if problem or not passed:
            counts.failed = max(1, counts.failed)
            counts.details = tail(step.log)
        return counts

    return Test(f"KUnit on {kind}", run)


def alone(program: in_guest.Program) -> Test:
    """A program that checks by itself is one test."""

    def run(step: Step) -> Counts:
        result = program.run(step)
        return Counts(int(result.passed), int(not result.passed), result.note, [] if result.passed else result.output[-60:])

    return Test(program.title, run)


def package(step: Step) -> Counts:
    """The package of `make deb`, installed, loaded and removed again."""
    step.run([*in_guest.POLITELY, sys.executable, REPO / "tests/package.py"])
    found = re.findall(r"^(\d+) passed", step.log.read_text(encoding="utf-8"), re.MULTILINE)
    return Counts(int(found[-1]), 0) if found else Counts(0, 1, "no test was run")


def machine(step: Step) -> Counts:
    """What a program in the guest prints at once comes back whole: more than a virtio port takes of a write."""
    length = 100_000
    step.run([sys.executable, REPO / "scripts/vm.py", "run", "--kernel", "stock", "--", "python3", "-c", f"print('x' * {length})"])
    longest = max(map(len, step.log.read_text(encoding="utf-8", errors="replace").splitlines()), default=0)
    return passed_if_quiet("what is printed", [] if longest == length else [f"{longest} of {length} characters came back"])


def prepared(name: str, ensure: Callable[[], object]) -> Test:
    def run(_: Step) -> Counts:
        ensure()
        return Counts()

    return Test(name, run, slow=False)


def give_way() -> None:
    """Has the lane that this is called in, and all that it starts from now on, give way to the others."""
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), in_guest.POLITE)


def kasan_kernel() -> None:
    give_way()
    kernel.ensure("kasan")


# Of the test kernel's time half would be the search for leaks, which what gives way has as well: fuzz, faults, stress, and bad input.
NO_SEARCH_FOR_LEAKS = ("--append=kmemleak=off",)


@dataclass(frozen=True)
class Phase:
    """Lanes run at the same time, the tests of a lane one after the other. What is shared is done by whichever lane has nothing left of
    its own, in this order; the tests of one entry one after the other."""

    lanes: list[list[Test]]
    shared: list[list[Test]] = field(default_factory=list)

    def only(self, names: tuple[str, ...]) -> "Phase":
        """What of it has a name that begins with one of these."""

        def chosen(all_of_it: list[list[Test]]) -> list[list[Test]]:
            return [[test for test in tests if test.name.startswith(names)] for tests in all_of_it]

        return Phase(chosen(self.lanes), chosen(self.shared))

    def run(self) -> list[Counts]:
        left = deque(self.shared)

        def lane(tests: list[Test]) -> list[Counts]:
            counts = [run_test(test) for test in tests]
            with contextlib.suppress(IndexError):
                while True:
                    counts += [run_test(test) for test in left.popleft()]
            return counts

        with ThreadPoolExecutor(len(self.lanes)) as pool:
            return [its for results in pool.map(lane, self.lanes) for its in results]


def plan(kasan: bool) -> list[Phase]:
    """Phases, one after the other."""
    own = "kasan" if kasan else "test"
    prepare = Phase(
        [
            [
                prepared("toolchain root", toolchain.ensure),
                prepared("stock kernel", lambda: kernel.ensure("stock")),
                prepared(f"{own} kernel", lambda: kernel.ensure(own)),
            ],
            [prepared("guest image", image.ensure)],
        ]
    )
    checks = [
        Test("rustfmt", rustfmt(fix=False)),
        Test("shellcheck", shellcheck),
        Test("unsafe code", unsafe_audit),
        Test("bench evaluation", python_tests("tests/bench")),
        Test("documents", python_tests("tests/documents")),
    ]
    builds = [module("stock"), module(own), Test("panics", panic_entries), Test("clippy", clippy), Test("rustdoc", rustdoc)]
    hurried = [
        guest_tests("stock", (in_guest.SELFTESTS,)),
        guest_tests(own, *([] if kasan else [(*in_guest.UNHURRIED, in_guest.SELFTESTS), NO_SEARCH_FOR_LEAKS])),
        kunit(own),
    ]
    on_kasan = [*([] if kasan else [prepared("KASAN kernel", kasan_kernel), module("kasan")]), *map(alone, in_guest.kasan_lane())]
    polite = [Test("host tests", host_tests), Test("machine", machine), Test("cost", cost), Test("package", package), *map(alone, in_guest.lane())]
    # One machine at a time for what looks at times. What does not gives way to it; first what takes longest where nothing is cached.
    tests = Phase([[*builds, *hurried], checks], [on_kasan, *([test] for test in polite)])
    return [prepare, tests]


def new_step(name: str) -> Step:
    return Step(name, LOGS / "test" / f"{name.replace(' ', '-')}.log")


def run_test(test: Test) -> Counts:
    step = new_step(test.name)
    log = step.log
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text("", encoding="utf-8")
    try:
        with step.beating() if test.slow else contextlib.nullcontext():
            counts = test.run(step)
    except Failure as failure:
        counts = Counts(0, 1, "broken", str(failure).splitlines())
    except Exception as error:  # A step that breaks is a failed step, and the others go on.
        counts = Counts(0, 1, "broken", [f"{type(error).__name__}: {error}"])
    line = f"{step.seconds():7.1f} s  {test.name}: {counts.passed} passed, {counts.failed} failed"
    line += f" ({counts.note})" if counts.note else ""
    if counts.failed or counts.details:
        line += "".join(f"\n    {detail}" for detail in "\n".join(counts.details).splitlines())
    if counts.failed:
        line += f"\n    the whole log: {log.relative_to(CACHE)} in the cache"
    say(line, sys.stdout)
    return counts


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="run only the steps whose name begins with one of these")
    parser.add_argument("--kasan", action="store_true", help="use the KASAN kernel in place of the test kernel")
    parser.add_argument("--fix", action="store_true", help="let rustfmt change the files")
    arguments = parser.parse_args()
    if arguments.fix:
        toolchain.ensure()
        return run_test(Test("rustfmt", rustfmt(fix=True))).failed
    names = tuple(arguments.names)
    counts: list[Counts] = []
    for phase in plan(arguments.kasan):
        counts += (phase.only(names) if names else phase).run()
    if names:
        say(f"only the steps that begin with {', '.join(names)}", sys.stdout)
    passed, failed = sum(its.passed for its in counts), sum(its.failed for its in counts)
    # Nothing passed is no success.
    failed = failed or not passed
    print(f"{passed} passed, {int(failed)} failed", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    run_main(main)

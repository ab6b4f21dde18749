# SPDX-License-Identifier: GPL-2.0
"""Runs commands in the guest with the module loaded, the guest tests among them."""

import re
import shlex
import sys
import threading
import xml.etree.ElementTree
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "scripts"))

import build  # noqa: E402
import kernel  # noqa: E402
import klog  # noqa: E402
import toolchain  # noqa: E402
from cache import REPO  # noqa: E402
from progress import Failure, Step  # noqa: E402

from results import Counts, Result  # noqa: E402

GUEST = REPO / "tests/guest"

# Written to the kernel's log after the messages of insmod.
KUNIT_END = "damon-rs: loaded"

# A guest that hangs is ended after this much time of the host. It is no limit of any test: those are in guest time.
HANGS_AFTER_SECONDS = 4 * 3600


@dataclass(frozen=True)
class Target:
    """The kernel that a guest boots."""

    kind: str
    series: str = kernel.SERIES

    def __str__(self) -> str:
        return self.kind if self.series == kernel.SERIES else f"{self.kind} {self.series}"

    def kernel(self) -> kernel.Kernel:
        return kernel.ensure(self.kind, self.series)


STOCK, TEST, KASAN, KCSAN = map(Target, ("stock", "test", "kasan", "kcsan"))


_built: dict[Target, list[Path]] = {}
_building = threading.Lock()


def modules_for(step: Step, target: Target) -> list[Path]:
    """Every module for a kernel, built once in a run of the tests. The first one is that of DAMON; those only for tests come last."""
    with _building:
        if target not in _built:
            its = target.kernel()
            _built[target] = build.build(step, its) + build.test_modules(step, its)
        return _built[target]


def in_guest(step: Step, target: Target, command: str, *options: str, out: Path | None = None, load: bool = True) -> Result:
    """Runs a shell command in tests/guest of a guest; its output is in the step's log.

    With `load` the module is loaded before and unloaded after it. `options` are options of vm.py. A command that fails and a kernel that
    complains are both failures.
    """
    modules = modules_for(step, target)
    name = modules[0].stem
    log = guest_log(step)
    log.unlink(missing_ok=True)
    script = f"cd /damon-rs/tests/guest; {command}"
    loaded = (
        # From here on only warnings go to the console, which is slow: the test kernels print a line for each kobject.
        f'insmod "$DAMON_RS_MODULE" || exit; echo "{KUNIT_END}" >/dev/kmsg; dmesg -n 5; {script}; '
        f"status=$?; [ ! -d /sys/module/{name} ] || rmmod {name} || status=98; exit $status"
    )
    vm: list[str | Path] = [
        sys.executable, REPO / "scripts/vm.py", "run", "--kernel", target.kind, "--series", target.series, f"--log={log}",
        f"--timeout={HANGS_AFTER_SECONDS}", *([f"--out={out}"] if out else []), *options, *(f"--module={path}" for path in modules),
        "--", "sh", "-c", loaded if load else script,
    ]  # fmt: skip
    problem = ""
    try:
        step.run(vm)
    except Failure as failure:
        problem = str(failure)
    complaints = klog.complaints(log.read_text(encoding="utf-8", errors="replace")) if log.exists() else []
    return Result(problem, complaints, step.log.read_text(encoding="utf-8", errors="replace").splitlines())


def guest_log(step: Step) -> Path:
    """The kernel's log of a step that runs in a guest."""
    return step.log.with_suffix(".kernel.log")


# One processor, on which an instruction takes a nanosecond of guest time and idle time passes at once: what a test finds
# depends neither on the host's speed nor on its load, and no watchdog of the guest sees a slow host.
COUNTED = "--icount"

# The options of vm.py for a guest in which tests run.
OF_TESTS = (COUNTED, f"--timeout={HANGS_AFTER_SECONDS}")

PYTEST = ("python3", "-m", "pytest", "-o", "cache_dir=/tmp/pytest", "-v", "-ra", "--junitxml=/out/junit.xml")


def pytest(*arguments: str) -> str:
    """The shell command that runs guest tests, once."""
    return shlex.join((*PYTEST, *arguments))


@dataclass(frozen=True)
class Suite:
    """Guest tests that run in one guest, one after the other."""

    name: str
    target: Target
    # What pytest runs: files, node names, options.
    tests: tuple[str, ...]
    append: str = ""
    options: tuple[str, ...] = ()
    # The unit tests that run at insmod count as well. Elsewhere they are switched off: they are the same each time.
    kunit: bool = False

    @property
    def title(self) -> str:
        return f"{self.name} on {self.target}"

    def run(self, step: Step) -> Counts:
        out = step.log.with_suffix(".out")
        junit = out / "junit.xml"
        junit.unlink(missing_ok=True)
        append = f"{'' if self.kunit else 'kunit.enable=0 '}{self.append}".strip()
        options = (COUNTED, "--stamp", *self.options, *([f"--append={append}"] if append else []))
        result = in_guest(step, self.target, pytest(*self.tests), *options, out=out)
        counts = read_junit(junit)
        counts.times = test_times(result.output)
        if self.kunit:
            counts += kunit_results(step, self.target)
        return counts.judged(result)


def read_junit(path: Path) -> Counts:
    """The results of pytest. A file that is not there counts no test."""
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


LINE = re.compile(r"^ *(\d+\.\d) (.*)$")


def test_times(lines: list[str]) -> dict[str, float]:
    """The host's seconds that each test took, from the output of pytest -v with the times at which its lines began."""
    stamped = [(float(match[1]), match[2]) for line in lines if (match := LINE.match(line))]
    times = {}
    for (begin, line), (end, _) in zip(stamped, stamped[1:]):
        if match := re.match(r"(test_\w+\.py::.*?) (?:PASSED|FAILED|ERROR|SKIPPED)\b", line):
            times[match[1]] = end - begin
    return times


def kunit_results(step: Step, target: Target) -> Counts:
    """The unit tests that ran at insmod, read from the kernel's log by the kernel's own parser."""
    # At boot the kernel reports that it has no tests of its own, and tests that load the module again repeat its report.
    text = guest_log(step).read_text(encoding="utf-8", errors="replace").partition(KUNIT_END)[0]
    log = step.log.with_suffix(".ktap")
    begin = re.search(r"^\[[ \d.]+\] KTAP version 1\n\[[ \d.]+\] 1\.\.[1-9]", text, re.MULTILINE)
    log.write_text(text[begin.start() :] if begin else "", encoding="utf-8")
    parser = Path(target.kernel().source) / "tools/testing/kunit/kunit.py"
    parsing = Step("KUnit", step.log.with_suffix(".kunit"))
    problem = ""
    try:
        toolchain.run(parsing, ["python3", parser, "parse", log])
    except Failure as failure:
        problem = str(failure)
    summary = re.findall(r"Testing complete\. Ran \d+ tests: (.*)", parsing.log.read_text(encoding="utf-8", errors="replace"))
    numbers = {name: int(number) for name, number in re.findall(r"(\w+): (\d+)", summary[-1])} if summary else {}
    passed, skipped = numbers.pop("passed", 0), numbers.pop("skipped", 0)
    counts = Counts(passed, sum(numbers.values()), f"{passed} of them KUnit" + (f", {skipped} skipped" if skipped else ""))
    if problem or not passed:
        counts.failed = max(1, counts.failed)
        counts.details = [problem or "no unit test ran at insmod"]
    return counts

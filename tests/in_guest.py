# SPDX-License-Identifier: GPL-2.0
"""Runs a command of the tests in the guest, with the module at hand."""

import random
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "scripts"))

import build  # noqa: E402
import kernel  # noqa: E402
import klog  # noqa: E402
from cache import REPO  # noqa: E402
from progress import Failure, Step  # noqa: E402

# What needs no quiet machine gives way to what does.
POLITE = 10
POLITELY = ("nice", "-n", str(POLITE))
# Written into the kernel's log behind what the module reported as it was loaded.
KUNIT_END = "damon-rs: loaded"


def in_guest(
    step: Step, kind: str, command: str, *options: str, out: Path | None = None, load: bool = True, polite: bool = False
) -> tuple[str, list[str]]:
    """Runs a command, with the module loaded or there to be: what went wrong, if anything, and what the kernel complained about."""
    its = kernel.ensure(kind)
    modules = build.build(step, its)
    name = modules[0].stem
    modules += build.test_modules(step, its)
    log = guest_log(step)
    log.unlink(missing_ok=True)
    script = f"cd /damon-rs/tests/guest; {command}"
    loaded = (
        # From here on only warnings go to the console, which is slow: a kernel that checks itself says a line for each kobject.
        f'insmod "$DAMON_RS_MODULE" || exit; echo "{KUNIT_END}" >/dev/kmsg; dmesg -n 5; cd /damon-rs/tests/guest; {command}; '
        f"status=$?; [ ! -d /sys/module/{name} ] || rmmod {name} || status=98; exit $status"
    )
    vm: list[str | Path] = [
        *(POLITELY if polite else ()),
        sys.executable, REPO / "scripts/vm.py", "run", "--kernel", kind, f"--log={log}", *([f"--out={out}"] if out else []),
        *options, *(f"--module={path}" for path in modules), "--", "sh", "-c", loaded if load else script,
    ]  # fmt: skip
    problem = ""
    try:
        step.run(vm)
    except Failure as failure:
        problem = str(failure)
    return problem, klog.complaints(log.read_text(encoding="utf-8", errors="replace")) if log.exists() else []


def guest_log(step: Step) -> Path:
    """The kernel's log of a step that runs in a guest."""
    return step.log.with_suffix(".kernel.log")


@dataclass(frozen=True)
class Result:
    """What a run said."""

    passed: bool
    note: str
    output: list[str]


@dataclass(frozen=True)
class Program:
    """A program in the guest that checks by itself, and says in its last line what it did."""

    name: str
    kind: str
    command: str
    options: tuple[str, ...] = ()
    load: bool = True

    @property
    def title(self) -> str:
        return f"{self.name} on {self.kind}"

    def run(self, step: Step) -> Result:
        problem, complaints = in_guest(step, self.kind, self.command, *self.options, load=self.load, polite=True)
        output = [line for line in step.log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
        if complaints:
            return Result(False, f"the kernel complained {len(complaints)} times", [*complaints[:3], *output])
        return Result(not problem, output[-1] if output else "", output)


def fuzz(kind: str, steps: int, seconds: int, *options: str) -> Program:
    """Random changes of the tree, `steps` or for `seconds` at most."""
    command = " ".join(("fuzz/fuzz", f"--steps {steps} --seconds {seconds}", *options))
    return Program("fuzz", kind, command, (f"--timeout={seconds + 600}",))


def faults(most: int, storm: int, timeout: int) -> Program:
    """Every allocation fails in turn, or `most` of an operation's; then a share of all for `storm` seconds."""
    options = (f"--timeout={timeout + storm}", "--append=kunit.enable=0")
    return Program("faults", "test", f"faults/run.py --most {most} --storm {storm}", options, load=False)


def day(timeout: int, *options: str) -> Program:
    """24 hours of guest time."""
    return Program("a day", "stock", " ".join(("long/run.py", *options)), (f"--timeout={timeout}", "--icount"))


# Unit tests at each load would be most of the time. What the kernel says in passing goes to its log only: kobjects that are released
# late, thousands a minute. A zone for memory that can move is what memory blocks can be taken off line from.
STRESS_KERNEL = "kunit.enable=0 loglevel=5 movablecore=1G"

# An operation may take this long, and one of the machine's, as taking memory offline, four times as long. An instrumented kernel on an
# emulated machine that is busy is slow; who is stuck is so for ever.
STRESS_PATIENCE_SECONDS = 90


def stress(kind: str, seconds: int, seed: int | None = None, *options: str) -> Program:
    """Everything at once for `seconds` of guest time, or ten minutes more until all has been tried."""
    seed = random.randrange(10**6) if seed is None else seed
    command = f'stress/stress --module "$DAMON_RS_MODULE" --seconds {seconds} --seed {seed} --patience {STRESS_PATIENCE_SECONDS}'
    command = " ".join((command, *options))
    # A boot, the unpacking of the guest and the search for leaks come on top, on a busy machine.
    return Program("stress", kind, command, (f"--timeout={seconds + 1200}", f"--append={STRESS_KERNEL}"), load=False)


def pytest(*arguments: str, first: str = "", again: str = "") -> str:
    """A command that runs guest tests. What fails is tried once more, with options of each attempt's own: many tests look at what a process
    does within some milliseconds, for which an emulated machine can be too slow once."""
    once = " ".join(("python3 -m pytest -o cache_dir=/tmp/pytest -q -ra", *arguments))
    return f"{{ {once} {first} || {{ [ $? = 1 ] && {once} --lf {again}; }}; }}"


def some_tests(name: str, kind: str, *arguments: str, timeout: int = 2400, append: str = "", options: tuple[str, ...] = ()) -> Program:
    """Some of the guest tests, for a kernel on which all of them would take too long."""
    return Program(name, kind, pytest(*arguments), (f"--timeout={timeout}", f"--append=kunit.enable=0 {append}", *options))


# Guest tests that look at no time, and take long on the test kernel. There they are a run of their own, beside the others.
UNHURRIED = (
    "test_bad_input.py",
    "test_commit_parameters.py",
    "test_limits.py",
    "test_unload.py",
)


def unhurried(kind: str) -> Program:
    return some_tests("unhurried guest tests", kind, *map(shlex.quote, UNHURRIED))


# The kernel's own tests.
SELFTESTS = "test_clients.py"


def selftests(kind: str) -> Program:
    """They compare estimates with limits that are for real machines. An instruction takes a nanosecond here, whatever else the host does,
    so they find a machine that is fast enough, and idle time costs nothing."""
    return some_tests("selftests", kind, SELFTESTS, append="kmemleak=off", options=("--icount",))


def nodes(kind: str) -> Program:
    """The guest tests of what takes several nodes, and of pressure, which a kernel may be built to measure only if it is told to."""
    command = pytest("test_actions_nodes.py", "test_goals.py::test_pressure")
    return Program("nodes and pressure", kind, command, ("--timeout=2400", "--nodes=2", "--append=psi=1"))


# Of `make test`, in which nothing is left to chance that need not be. `make stress` takes another one each time.
SEED = 1


def lane(seed: int = SEED) -> list[Program]:
    """Those that are cheap enough for `make test`: of each what it is for, none for as long as it could go on."""
    return [
        day(1200),
        unhurried("test"),
        selftests("test"),
        selftests("stock"),
        nodes("stock"),
        nodes("test"),
        fuzz("stock", 100_000, 1800, "--self-test", f"--seed {seed}"),
        fuzz("test", 1_000, 600, f"--seed {seed}"),
        faults(12, 5, 1800),
        # In what time the rest leaves. What was not come to is told.
        stress("test", 60, seed, "--in-time"),
    ]


# What says that there is no idle flag is among the first. Tests of the flag itself are left out there by themselves.
# Without those that do the same time and again, which takes minutes there.
KASAN_CHOICE = "not over_and_over and not at_once and not moves and not two_processes"
KASAN_TESTS = ("test_unload.py", "test_page_flags.py", "test_reclaim.py", "test_monitoring.py")


def kasan_lane(seed: int = SEED) -> list[Program]:
    """What the KASAN kernel is for: use after free, releases that come late, and pages without an idle flag."""
    return [
        stress("kasan", 60, seed, "--in-time"),
        some_tests("unloading and monitoring", "kasan", f"-k '{KASAN_CHOICE}'", *KASAN_TESTS),
    ]


def long_lane(kinds: Sequence[str], seconds: int, seed: int | None) -> list[Program]:
    """What `make stress` runs: `seconds` of each, or all there is to do."""
    # By far more steps than there is time for.
    return [
        *(stress(kind, seconds, seed) for kind in kinds),
        fuzz("stock", 10**9, seconds, "--self-test"),
        fuzz("test", 10**9, seconds),
        faults(0, seconds, 3600),
        # With the search for leaks, for which `make test` has no time.
        some_tests("guest tests", "test", timeout=7200),
        some_tests("unloading and monitoring", "kasan", *KASAN_TESTS, "test_paddr.py"),
        day(6 * 3600, "--sample-us", "5000", "--aggr-us", "100000"),
    ]

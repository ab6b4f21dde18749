# SPDX-License-Identifier: GPL-2.0
"""Which DAMON is tested, what each test starts from and leaves, and the results as KTAP.

    pytest [--oracle] [--ktap FILE]

The tests run against the DAMON that was loaded as a module. With --oracle they run against the in-tree DAMON of the
same kernel instead, which shows that the tests demand nothing that it does not do; tests of what only ours has are
left out then (marker `ours`).
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import Generator, Iterator

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import damon_tree
from damon_tree import Damon, Kdamond
from kernel_log import INFO, WARNING, KernelLog
from workload import Workload

MARKERS = {
    "ours": "what the in-tree DAMON does not have or does not do",
    "stock": "needs a kernel that has the in-tree DAMON too",
    "idle_flag": "needs pages with the flags young and idle",
    "chatty": "the kernel may print warnings while it runs",
    "slow": "a time limit in seconds of guest time, for a test to which the usual one is too short",
}

# Its assertions are to show what they compare, as those of the tests do.
pytest.register_assert_rewrite("regions")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--oracle", action="store_true", help="test the in-tree DAMON instead of ours")
    parser.addoption("--ktap", metavar="FILE", help="write the results as KTAP")
    parser.addoption("--test-timeout", metavar="SECONDS", type=int, default=300, help="time limit of one test, default 300")


def pytest_configure(config: pytest.Config) -> None:
    for name, text in MARKERS.items():
        config.addinivalue_line("markers", f"{name}: {text}")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    oracle = config.getoption("--oracle")
    has_in_tree = damon_tree.in_tree() is not None
    for item in items:
        if oracle and item.get_closest_marker("ours"):
            item.add_marker(pytest.mark.skip(reason="the in-tree DAMON does not do this"))
        if not has_in_tree and item.get_closest_marker("stock"):
            item.add_marker(pytest.mark.skip(reason="this kernel has no DAMON of its own"))
        if not damon_tree.has_idle_flag() and item.get_closest_marker("idle_flag"):
            item.add_marker(pytest.mark.skip(reason="this kernel's pages have no idle flag"))


@pytest.fixture(scope="session")
def damon(request: pytest.FixtureRequest) -> Damon:
    """The DAMON under test."""
    damon_tree.free_in_tree()
    found = damon_tree.in_tree() if request.config.getoption("--oracle") else damon_tree.ours()
    if found is None:
        pytest.exit("no DAMON to test: load the module, or use --oracle on a kernel that has the in-tree DAMON", 2)
    return found


class TimeLimit(BaseException):
    """Raised in a test that hangs. No test handles it as an error that is expected of the kernel, as it might a TimeoutError, which is an
    OSError.
    """


@pytest.fixture(autouse=True)
def time_limit(request: pytest.FixtureRequest) -> Iterator[None]:
    """A test that hangs fails, and the next one is run."""

    def expired(*_: object) -> None:
        raise TimeLimit

    signal.signal(signal.SIGALRM, expired)
    slow = request.node.get_closest_marker("slow")
    signal.alarm(max(request.config.getoption("--test-timeout"), slow.args[0] if slow else 0))
    yield
    signal.alarm(0)


@pytest.fixture(autouse=True)
def clean(request: pytest.FixtureRequest, damon: Damon, time_limit: None) -> Iterator[None]:
    """Every test starts and ends with an empty tree, and none makes the kernel warn."""
    damon.reset()
    log = KernelLog()
    yield
    damon.reset()
    messages = log.messages(WARNING)
    log.close()
    if not request.node.get_closest_marker("chatty"):
        assert not messages, f"the kernel said: {messages}"


@pytest.fixture
def quiet(clean: None) -> Iterator[None]:
    """Nothing above debug level is printed at all, by anything."""
    log = KernelLog()
    yield
    messages = log.messages(INFO)
    log.close()
    assert not messages, f"the kernel said: {messages}"


SHARED = pytest.StashKey[Workload]()


@pytest.fixture(scope="session")
def shared_workload(request: pytest.FixtureRequest) -> Iterator[Workload]:
    """A workload that many tests look at; none changes it. It stands still during the others, which have the machine for themselves then."""
    with Workload("--size", "64M", "--hot", "8M") as workload:
        request.config.stash[SHARED] = workload
        yield workload


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, bool | None, bool | None]:
    # Before the fixtures of the test's module too, which may look at it.
    if shared := item.config.stash.get(SHARED, None):
        shared.halt("shared_workload" not in getattr(item, "fixturenames", ()))
    return (yield)


@pytest.fixture
def workload() -> Iterator[Workload]:
    """A workload of the test's own, which obeys commands."""
    with Workload("--size", "128M", "--hot", "8M") as workload:
        yield workload


@pytest.fixture
def kdamond(damon: Damon, clean: None) -> Kdamond:
    """A new kdamond with an empty context."""
    return damon.kdamond()


@pytest.fixture
def monitoring(kdamond: Kdamond, shared_workload: Workload) -> Kdamond:
    """A kdamond that monitors the shared workload with the default attributes and one stat scheme."""
    kdamond.add_targets(shared_workload.pid)
    kdamond.add_stat_schemes()
    kdamond.on()
    return kdamond


# ---- KTAP ----


class Ktap:
    """Collects results and writes them, a suite for each file."""

    def __init__(self) -> None:
        self.suites: dict[str, dict[str, tuple[bool, str, str]]] = {}

    def add(self, report: pytest.TestReport) -> None:
        file, _, test = report.nodeid.partition("::")
        suite = self.suites.setdefault(Path(file).stem.removeprefix("test_"), {})
        test = test.removeprefix("test_").replace("::", ".").replace("#", "%")
        passed, _, text = suite.get(test, (True, "", ""))
        skip = ""
        if report.skipped:
            reason = getattr(report, "wasxfail", "") or (report.longrepr[2] if isinstance(report.longrepr, tuple) else "")
            skip = f" # SKIP {reason.removeprefix('Skipped: ')}"
        elif report.failed:
            passed, text = False, report.longreprtext
        if report.when == "call" or skip or report.failed:
            suite[test] = (passed, skip, text)

    def text(self) -> str:
        lines = ["KTAP version 1", f"1..{len(self.suites)}"]
        for number, (name, tests) in enumerate(sorted(self.suites.items()), 1):
            lines += ["    KTAP version 1", f"    # Subtest: {name}", f"    1..{len(tests)}"]
            for index, (test, (passed, skip, text)) in enumerate(tests.items(), 1):
                lines += [f"    # {line}" for line in text.splitlines()]
                lines.append(f"    {'ok' if passed else 'not ok'} {index} {test}{skip}")
            lines.append(f"{'ok' if all(test[0] for test in tests.values()) else 'not ok'} {number} {name}")
        return "\n".join(lines) + "\n"


KTAP = Ktap()


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    KTAP.add(report)


def pytest_sessionfinish(session: pytest.Session) -> None:
    path = session.config.getoption("--ktap")
    if path:
        Path(path).write_text(KTAP.text())

# SPDX-License-Identifier: GPL-2.0
"""Signals to a process that waits for a kdamond: only one that kills it ends the wait."""

from __future__ import annotations

import os
import signal
from contextlib import ExitStack
from pathlib import Path
from typing import Callable, Iterator

import pytest

from caller import Caller, waiting, write_once
from damon_tree import Kdamond
from guest_time import advance, wait_until
from workload import Workload

CGROUP = Path("/sys/fs/cgroup/damon-frozen")
WALK = "update_schemes_tried_regions"


@pytest.fixture
def callers() -> Iterator[ExitStack]:
    """Callers are killed at the end of a test."""
    with ExitStack() as stack:
        yield stack


def make_wait(kdamond: Kdamond, pid: int, seconds: float) -> None:
    """A scheme whose regions are known once in so many seconds only, because of its quota."""
    kdamond.add_targets(pid)
    kdamond.add_stat_schemes()
    (scheme,) = kdamond.schemes
    scheme.write("quotas/bytes", 1 << 40)
    scheme.write("apply_interval_us", int(seconds * 1e6))
    kdamond.on()


def handle(number: signal.Signals, restart: bool) -> Callable[[], None]:
    def prepare() -> None:
        signal.signal(number, lambda *_: None)
        signal.siginterrupt(number, not restart)

    return prepare


SIGNALS = {
    "handled": (handle(signal.SIGUSR1, False), [signal.SIGUSR1]),
    "handled, SA_RESTART": (handle(signal.SIGUSR1, True), [signal.SIGUSR1]),
    "child ended": (handle(signal.SIGCHLD, True), [signal.SIGCHLD]),
    "stopped": (lambda: None, [signal.SIGSTOP, signal.SIGCONT]),
}


@pytest.mark.parametrize("kind", SIGNALS)
def test_wait_goes_on(kdamond: Kdamond, shared_workload: Workload, callers: ExitStack, kind: str) -> None:
    prepare, signals = SIGNALS[kind]
    make_wait(kdamond, shared_workload.pid, 1)
    caller = waiting(kdamond, WALK, prepare)
    callers.callback(caller.kill)
    for _ in range(5):
        for its in signals:
            caller.send(its)
            advance(0.03)
    assert caller.errno() == 0
    assert kdamond.tried_regions(0)


def test_commits_of_a_stopped_process(kdamond: Kdamond, shared_workload: Workload, callers: ExitStack, tmp_path: Path) -> None:
    """Each commit succeeds, and is in effect."""
    kdamond.set(sample_us=1000, aggr_us=20_000, min_regions=500)
    kdamond.add_targets(shared_workload.pid)
    kdamond.add_stat_schemes()
    kdamond.on()
    intervals, state = kdamond.attrs.path / "intervals", f"{kdamond.path}/state"
    enough = tmp_path / "enough"

    def commits() -> int:
        number = 0
        while number < 20 or not enough.exists():
            number += 1
            wanted = 1000 + number
            for path, text in ((f"{intervals}/sample_us", wanted), (state, "commit"), (state, "update_tuned_intervals")):
                if errno := write_once(str(path), str(text)):
                    return errno
            if int((intervals / "sample_us").read_text()) != wanted:
                return 254
        return 0

    caller = Caller(commits)
    callers.callback(caller.kill)
    wait_until(lambda: int((intervals / "sample_us").read_text()) > 1000, "commits begin")
    for pause in 10 * (0.0011, 0.0007, 0.0019):
        caller.send(signal.SIGSTOP)
        advance(pause)
        caller.send(signal.SIGCONT)
        advance(pause)
    assert not caller.has_ended()
    enough.touch()
    assert caller.errno() == 0


def test_killed(kdamond: Kdamond, shared_workload: Workload, callers: ExitStack) -> None:
    """A process that waits for an hour can be killed, and its walk is not in the way of the next one."""
    make_wait(kdamond, shared_workload.pid, 3600)
    for _ in range(2):
        caller = waiting(kdamond, WALK)
        callers.callback(caller.kill)
        caller.send(signal.SIGKILL)
        wait_until(caller.has_ended, "the caller is killed", timeout=1)


@pytest.fixture
def group() -> Iterator[Path]:
    CGROUP.mkdir()
    yield CGROUP
    wait_until(lambda: "populated 0" in (CGROUP / "cgroup.events").read_text(), "the group is empty")
    CGROUP.rmdir()


# In the in-tree DAMON the group is not frozen before the wait is over.
@pytest.mark.ours
def test_frozen_group(kdamond: Kdamond, shared_workload: Workload, group: Path, callers: ExitStack) -> None:
    """A process that waits can be frozen by its control group, and goes on to wait when it is thawed."""
    make_wait(kdamond, shared_workload.pid, 2)
    caller = waiting(kdamond, WALK, lambda: (group / "cgroup.procs").write_text(f"{os.getpid()}\n") and None)
    callers.callback(caller.kill)
    (group / "cgroup.freeze").write_text("1\n")
    wait_until(lambda: "frozen 1" in (group / "cgroup.events").read_text(), "the group is frozen", timeout=0.5)
    advance(5)
    assert not caller.has_ended()
    (group / "cgroup.freeze").write_text("0\n")
    assert caller.errno() == 0
    assert kdamond.tried_regions(0)

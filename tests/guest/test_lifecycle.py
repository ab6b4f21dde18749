# SPDX-License-Identifier: GPL-2.0
"""Kdamonds come and go: on and off, their threads, the ends of their targets."""

import errno
import re
import subprocess
import threading
import time
from pathlib import Path
from typing import Callable

import pytest

from cases import Cases
from command_writer import Writer
from damon_tree import AGGREGATION, SAMPLE, UPDATE, Damon, Kdamond
from guest_time import advance, wait_until
from workload import Workload


def thread_name(pid: int) -> str:
    return Path(f"/proc/{pid}/comm").read_text().strip()


def alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def with_target(kdamond: Kdamond, *pids: int) -> Kdamond:
    kdamond.add_targets(*pids)
    kdamond.add_stat_schemes()
    return kdamond


def several(damon: Damon, count: int, pid: int) -> list[Kdamond]:
    kdamonds = damon.kdamonds(count)
    for kdamond in kdamonds:
        kdamond.write("contexts/nr_contexts", 1)
        with_target(kdamond, pid)
    return kdamonds


@pytest.fixture
def sleepers():
    """Processes to monitor, killed in the end."""
    processes = [subprocess.Popen(["sleep", "1000"]) for _ in range(3)]
    yield processes
    for process in processes:
        process.kill()
        process.wait()


def test_thread(kdamond: Kdamond, shared_workload: Workload) -> None:
    with_target(kdamond, shared_workload.pid)
    assert (kdamond.read("state"), kdamond.pid) == ("off", -1)
    kdamond.on()
    assert kdamond.read("state") == "on"
    assert thread_name(kdamond.pid) == "kdamond.0"
    pid = kdamond.pid
    kdamond.off()
    assert (kdamond.read("state"), kdamond.pid) == ("off", -1)
    wait_until(lambda: not alive(pid), "the thread is gone")


def test_on_and_off_again(kdamond: Kdamond, shared_workload: Workload) -> None:
    """Each start is a new thread that monitors from scratch."""
    with_target(kdamond, shared_workload.pid)
    for _ in range(10):
        kdamond.on()
        assert kdamond.running
        assert kdamond.snapshot()
        kdamond.off()
        assert not kdamond.running


def test_on_and_off_at_once(kdamond: Kdamond, shared_workload: Workload) -> None:
    with_target(kdamond, shared_workload.pid)
    for _ in range(50):
        kdamond.on()
        kdamond.off()
    assert (kdamond.read("state"), kdamond.pid) == ("off", -1)


def test_many_kdamonds(damon: Damon, shared_workload: Workload) -> None:
    kdamonds = several(damon, 16, shared_workload.pid)
    for kdamond in kdamonds:
        kdamond.on()
    pids = [kdamond.pid for kdamond in kdamonds]
    assert len(set(pids)) == 16
    names = [thread_name(pid) for pid in pids]
    assert all(re.fullmatch(r"kdamond\.\d+", name) for name in names)
    assert len(set(names)) == 16
    for kdamond in kdamonds[::2]:
        kdamond.off()
    assert [kdamond.running for kdamond in kdamonds] == [False, True] * 8
    for kdamond in kdamonds[1::2]:
        assert kdamond.snapshot()
        kdamond.off()


@pytest.mark.ours
def test_off_is_not_delayed_by_long_intervals(kdamond: Kdamond, shared_workload: Workload) -> None:
    """The in-tree DAMON can miss the wake-up when it is about to sleep, and then stops after the interval."""
    with_target(kdamond, shared_workload.pid)
    kdamond.set(sample_us=2000 * 10**6, aggr_us=4000 * 10**6)
    kdamond.on()
    kdamond.off()
    assert not kdamond.running


@pytest.mark.parametrize("how", ["exits", "is killed"])
def test_target_end(kdamond: Kdamond, sleepers: list[subprocess.Popen[bytes]], how: str) -> None:
    process = sleepers[0]
    with_target(kdamond, process.pid).on()
    pid = kdamond.pid
    process.kill() if how == "is killed" else process.terminate()
    process.wait()
    wait_until(lambda: kdamond.read("state") == "off", "the kdamond ends with its target")
    assert kdamond.pid == -1
    wait_until(lambda: not alive(pid), "the thread is gone")
    kdamond.targets[0].write("pid_target", sleepers[1].pid)
    kdamond.on()
    assert kdamond.running


def test_several_targets(kdamond: Kdamond, sleepers: list[subprocess.Popen[bytes]]) -> None:
    """It goes on until the last target is gone."""
    with_target(kdamond, *(process.pid for process in sleepers)).on()
    for process in sleepers[:-1]:
        process.kill()
        process.wait()
        advance(2 * UPDATE)
        assert kdamond.running
    sleepers[-1].kill()
    sleepers[-1].wait()
    wait_until(lambda: kdamond.read("state") == "off", "the kdamond ends with its last target")


def test_busy_target_killed(kdamond: Kdamond) -> None:
    """Killed in the middle of mapping, unmapping, moving and forking."""
    kdamond.set(sample_us=1000, aggr_us=20000, update_us=20000)
    for _ in range(5):
        with Workload("--size", "32M", "--churn", "256K", "--mremap-ms", "5", "--fork-ms", "10") as workload:
            with_target(kdamond, workload.pid).on()
            wait_until(lambda: kdamond.nr_snapshots() >= 10, "it is monitored for a while")
            assert kdamond.running
            workload.kill()
            wait_until(lambda: kdamond.read("state") == "off", "the kdamond ends with its target")


def test_refresh_ms(kdamond: Kdamond, shared_workload: Workload) -> None:
    """Statistics are brought up to date without being asked for."""
    with_target(kdamond, shared_workload.pid)
    kdamond.write("refresh_ms", 50)
    kdamond.on()
    stats = kdamond.schemes[0] / "stats"
    seen = set()

    def changes() -> bool:
        seen.add(stats.number("nr_tried"))
        return len(seen) > 3

    wait_until(changes, "the statistics change by themselves")


def test_no_refresh_by_default(monitoring: Kdamond) -> None:
    stats = monitoring.schemes[0] / "stats"
    advance(5 * AGGREGATION)
    assert stats.number("nr_tried") == 0
    assert monitoring.stats()["nr_tried"] > 0


def test_refresh_ms_of_a_running_kdamond(monitoring: Kdamond) -> None:
    monitoring.write("refresh_ms", 50)
    stats = monitoring.schemes[0] / "stats"
    wait_until(lambda: stats.number("nr_tried") > 0, "the statistics change")


def waiting_walk(kdamond: Kdamond, pid: int) -> Writer:
    """A request for regions that is not served for a long time."""
    with_target(kdamond, pid)
    # nothing is aggregated either, so there are no results to show at once
    kdamond.set(aggr_us=3600 * 10**6)
    kdamond.schemes[0].write("apply_interval_us", 3600 * 10**6)
    kdamond.on()
    writer = Writer(kdamond, "update_schemes_tried_regions")
    advance(100 * SAMPLE)
    assert writer.is_alive()
    return writer


@pytest.mark.ours
def test_command_while_a_walk_waits(kdamond: Kdamond, shared_workload: Workload) -> None:
    """The in-tree DAMON answers EBUSY to all of them until the walk is over."""
    walk = waiting_walk(kdamond, shared_workload.pid)
    with Cases() as cases:
        for command in ("commit", "update_schemes_stats", "clear_schemes_tried_regions"):
            with cases.case(command):
                kdamond.state(command)
                assert kdamond.read("state") == "on" and walk.is_alive()
        with cases.case("off"):
            kdamond.off()
            assert kdamond.read("state") == "off" and walk.result() == "ECANCELED"


@pytest.mark.ours
def test_second_walk_while_one_waits(kdamond: Kdamond, shared_workload: Workload) -> None:
    walk = waiting_walk(kdamond, shared_workload.pid)
    assert Writer(kdamond, "update_schemes_tried_regions").result() == "EBUSY"
    kdamond.off()
    assert walk.result() == "ECANCELED"


@pytest.mark.ours
def test_target_end_while_a_walk_waits(kdamond: Kdamond, sleepers: list[subprocess.Popen[bytes]]) -> None:
    walk = waiting_walk(kdamond, sleepers[0].pid)
    sleepers[0].kill()
    sleepers[0].wait()
    assert walk.result() == "ECANCELED"
    wait_until(lambda: kdamond.read("state") == "off", "the kdamond ends")


def test_everything_at_once(kdamond: Kdamond, shared_workload: Workload) -> None:
    """Start, stop, commit, walk, read and rebuild from many threads: all of them go on, and no wait lasts for ever."""
    with_target(kdamond, shared_workload.pid)
    kdamond.set(sample_us=1000, aggr_us=5000, update_us=10000)

    def pause() -> None:
        kdamond.set(pause="Y")
        kdamond.commit()
        kdamond.set(pause="N")
        kdamond.commit()

    actions: list[Callable[[], object]] = [
        kdamond.on, kdamond.off, kdamond.commit, pause, kdamond.update_regions, kdamond.update_regions,
        lambda: kdamond.state("update_schemes_stats"), lambda: kdamond.state("clear_schemes_tried_regions"),
        lambda: kdamond.read("state"), lambda: kdamond.read("pid"), kdamond.tried_regions,
        lambda: kdamond.add_stat_schemes(2), lambda: kdamond.add_targets(shared_workload.pid),
        lambda: kdamond.write("contexts/nr_contexts", "2"), lambda: kdamond.write("refresh_ms", 1),
    ]  # fmt: skip
    answers: list[list[str]] = [[] for _ in actions]
    until = time.monotonic() + 60

    def enough() -> bool:
        return min(map(len, answers)) >= 20

    def repeat(index: int) -> None:
        while not enough() and time.monotonic() < until:
            try:
                actions[index]()
                answers[index].append("ok")
            except OSError as error:
                answers[index].append(errno.errorcode[error.errno or 0])

    threads = [threading.Thread(target=repeat, args=(index,), daemon=True) for index in range(len(actions))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert enough(), list(map(len, answers))
    # directories go away under the readers: ENOENT, ENODEV; everything else is a refusal for a reason
    assert {answer for its in answers for answer in its} <= {"ok", "EBUSY", "ECANCELED", "EINVAL", "EPERM", "ENOENT", "ENODEV"}
    kdamond.stop()
    kdamond.set(pause="N")
    kdamond.write("refresh_ms", 0)
    with_target(kdamond, shared_workload.pid).on()
    assert kdamond.snapshot()


def slept(pid: int) -> int:
    """How often a process has gone to sleep."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("voluntary_ctxt_switches"))


def test_writer_killed(kdamond: Kdamond, shared_workload: Workload) -> None:
    """A process that is killed while it writes commands leaves a kdamond that works."""
    with_target(kdamond, shared_workload.pid).on()
    loop = f"while :; do echo commit; echo update_schemes_tried_regions; done >{kdamond.path}/state"
    writers = [subprocess.Popen(["sh", "-c", loop], stderr=subprocess.DEVNULL) for _ in range(2)]
    wait_until(lambda: all(slept(writer.pid) >= 50 for writer in writers), "both have waited for answers")
    for writer in writers:
        writer.kill()
        writer.wait()
    for command in ("commit", "update_schemes_tried_regions", "off", "on", "update_schemes_tried_regions"):
        wait_until(lambda: Writer(kdamond, command).result() == "ok", "the kdamond obeys")
    assert kdamond.tried_regions()


def test_a_refused_number_of_kdamonds_changes_nothing(damon: Damon, shared_workload: Workload) -> None:
    """Directories can still be made below those that would have been removed."""
    stopped, running, last = damon.kdamonds(3)
    running.write("contexts/nr_contexts", 1)
    with_target(running, shared_workload.pid).on()
    with pytest.raises(OSError) as refused:
        damon.admin.write("kdamonds/nr_kdamonds", 1)
    assert refused.value.errno == errno.EBUSY
    for kdamond in (stopped, last):
        kdamond.write("contexts/nr_contexts", 1)
        kdamond.write("contexts/nr_contexts", 0)
    running.off()


def pid_structures() -> int:
    """How many `struct pid` there are."""
    for line in Path("/proc/slabinfo").read_text().splitlines():
        if line.split()[0] == "pid":
            return int(line.split()[1])
    pytest.skip("they share a cache with something else")


def test_processes_that_have_ended_are_dropped(kdamond: Kdamond) -> None:
    """Neither on, commit nor the end of the targets leaves a reference behind."""

    def monitor_processes_until_they_end(number: int) -> None:
        processes = [subprocess.Popen(["sleep", "infinity"]) for _ in range(number)]
        with_target(kdamond, *(process.pid for process in processes))
        kdamond.on()
        kdamond.commit()
        for process in processes:
            process.kill()
            process.wait()
        wait_until(lambda: kdamond.read("state") == "off", "the kdamond ends with its targets")
        kdamond.context.write("targets/nr_targets", 0)

    monitor_processes_until_they_end(100)
    before = pid_structures()
    monitor_processes_until_they_end(100)
    wait_until(lambda: pid_structures() < before + 50, lambda: f"what is kept of them is freed: {pid_structures()} from {before}", 10)

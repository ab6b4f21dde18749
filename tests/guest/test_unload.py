# SPDX-License-Identifier: GPL-2.0
"""The module can be unloaded at any moment: everything ends, nothing is left, and it can be loaded again."""

import contextlib
import errno
import os
import subprocess
import threading
from pathlib import Path
from typing import Iterator

import pytest

import damon_tree
from command_writer import Writer
from damon_tree import SAMPLE, Damon, Kdamond
from guest_time import advance, wait_until
from kernel_log import INFO, KernelLog
from kernel_module import module_file
from trace_events import Trace
from workload import Workload

pytestmark = pytest.mark.ours

KMEMLEAK = Path("/sys/kernel/debug/kmemleak")
# So many seconds old an object is, at least, that kmemleak reports.
LEAK_AGE = 5


def load() -> None:
    subprocess.run(["insmod", module_file()], check=True, timeout=60)


def unload(damon: Damon) -> None:
    """Unloads, and looks whether all of it is gone."""
    assert damon.module
    pids = [kdamond.pid for kdamond in damon.kdamonds() if kdamond.running]
    subprocess.run(["rmmod", damon.module], check=True, timeout=60)
    assert damon.module not in damon_tree.loaded_modules()
    assert not damon.root.exists()
    assert not damon.events.exists()
    assert not damon.status.exists()
    # Of a thread that has returned /proc tells for a moment longer.
    wait_until(lambda: not [pid for pid in pids if Path(f"/proc/{pid}").exists()], "the threads are gone")


@pytest.fixture(autouse=True)
def loaded(damon: Damon, clean: None) -> Iterator[None]:
    """The module is loaded again when a test is over."""
    yield
    if damon.module not in damon_tree.loaded_modules():
        load()


def started(damon: Damon, workload: Workload, count: int = 1, **values: object) -> list[Kdamond]:
    kdamonds = damon.kdamonds(count)
    for kdamond in kdamonds:
        kdamond.write("contexts/nr_contexts", 1)
        kdamond.add_targets(workload.pid)
        kdamond.add_stat_schemes()
        kdamond.set(**values)
        kdamond.on()
    return kdamonds


def test_unused(damon: Damon) -> None:
    unload(damon)
    load()
    assert damon.kdamonds() == []


def test_running(damon: Damon, shared_workload: Workload) -> None:
    started(damon, shared_workload, 4)
    unload(damon)


def test_at_once(damon: Damon, shared_workload: Workload) -> None:
    for _ in range(5):
        started(damon, shared_workload)
        unload(damon)
        load()


def test_paused(damon: Damon, shared_workload: Workload) -> None:
    started(damon, shared_workload, 2, pause="Y")
    unload(damon)


def test_long_sampling_interval(damon: Damon, shared_workload: Workload) -> None:
    started(damon, shared_workload, sample_us=3600 * 10**6, aggr_us=7200 * 10**6)
    unload(damon)


def test_stopped_with_results(damon: Damon, shared_workload: Workload) -> None:
    (kdamond,) = started(damon, shared_workload)
    assert kdamond.snapshot()
    kdamond.off()
    unload(damon)


def test_target_gone(damon: Damon) -> None:
    with Workload("--size", "16M", "--hot", "4M") as workload:
        started(damon, workload)
        workload.kill()
        unload(damon)


def test_open_files(damon: Damon, shared_workload: Workload) -> None:
    """Files that are open say that there is nothing behind them any more."""
    (kdamond,) = started(damon, shared_workload)
    kdamond.update_regions()
    names = ("state", "pid", "refresh_ms", "contexts/0/pause", "contexts/0/schemes/0/tried_regions/0/start", "contexts/0/targets/0/pid_target")
    files = [os.open(kdamond.path / name, os.O_RDONLY) for name in names]
    writable = os.open(kdamond.path / "state", os.O_WRONLY)
    folder = os.open(kdamond.path, os.O_RDONLY)
    home = os.getcwd()
    os.chdir(kdamond.context.path)
    try:
        unload(damon)
        for fd in files:
            with pytest.raises(OSError) as error:
                os.read(fd, 100)
            assert error.value.errno == errno.ENODEV
        with pytest.raises(OSError):
            os.write(writable, b"off\n")
        try:
            os.listdir(folder)
        except OSError:
            pass
    finally:
        os.chdir(home)
        for fd in [*files, writable, folder]:
            os.close(fd)


def test_open_status_file(damon: Damon, shared_workload: Workload) -> None:
    """debugfs may keep the module until its file is closed. It must not go with the file still open and leave a trap."""
    started(damon, shared_workload)
    fd = os.open(damon.status, os.O_RDONLY)
    os.read(fd, 10)
    gone = subprocess.run(["rmmod", str(damon.module)], stderr=subprocess.DEVNULL, timeout=60).returncode == 0
    try:
        os.read(fd, 10**6)
    except OSError:
        pass
    os.close(fd)
    if not gone:
        unload(damon)


def test_waiting_request(damon: Damon, shared_workload: Workload) -> None:
    """A request that waits in another thread comes back as cancelled."""
    (kdamond,) = damon.kdamonds(1)
    kdamond.write("contexts/nr_contexts", 1)
    kdamond.add_targets(shared_workload.pid)
    kdamond.add_stat_schemes()
    # nothing is aggregated either, so there are no results to show at once
    kdamond.set(aggr_us=3600 * 10**6)
    kdamond.schemes[0].write("apply_interval_us", 3600 * 10**6)
    kdamond.on()
    walk = Writer(kdamond, "update_schemes_tried_regions")
    advance(100 * SAMPLE)
    assert walk.is_alive()
    unload(damon)
    assert walk.result() == "ECANCELED"


def test_traced(damon: Damon, shared_workload: Workload) -> None:
    """With its trace events enabled."""
    started(damon, shared_workload)
    with Trace(damon, "damon_aggregated") as trace:
        trace.wait()
        unload(damon)


def test_in_use(damon: Damon, shared_workload: Workload) -> None:
    """While others read and write all its files and start and stop it."""
    started(damon, shared_workload, 3)
    over = threading.Event()

    (first, second, third) = damon.kdamonds()
    actions = [
        first.on, first.off, second.commit, second.update_regions, third.tried_regions, lambda: third.stats(),
        lambda: damon.status.read_text(), lambda: [Path(damon.root, name).read_text() for name in damon.admin.files()],
        lambda: (damon.admin / "kdamonds").read("nr_kdamonds"), lambda: second.set(pause="Y"),
    ]  # fmt: skip
    done = [0] * len(actions)

    def disturb(index: int) -> None:
        while not over.is_set():
            with contextlib.suppress(OSError, ValueError, IndexError):
                actions[index]()
            done[index] += 1
            # An open status file keeps the module; without a break it would be open nearly always.
            advance(0.02)

    threads = [threading.Thread(target=disturb, args=(index,), daemon=True) for index in range(len(actions))]
    for thread in threads:
        thread.start()

    def gone() -> bool:
        """Refused while the status file is open, which it is time and again."""
        return subprocess.run(["rmmod", str(damon.module)], stderr=subprocess.DEVNULL, timeout=60).returncode == 0

    try:
        wait_until(lambda: min(done) >= 5, "each has been done a few times")
        wait_until(gone, "the module is unloaded")
    finally:
        over.set()
        for thread in threads:
            thread.join(60)
    assert not [thread for thread in threads if thread.is_alive()]
    assert not damon.root.exists()


def searches_for_leaks() -> bool:
    """Whether the kernel has kmemleak, and it is on."""
    return KMEMLEAK.exists() and "kmemleak=off" not in Path("/proc/cmdline").read_text().split()


def leaks() -> str:
    """What kmemleak finds; an object must be found twice."""
    KMEMLEAK.write_text("scan\n")
    advance(LEAK_AGE + 1)
    KMEMLEAK.write_text("scan\n")
    return KMEMLEAK.read_text()


@pytest.mark.slow(400)
def test_over_and_over(damon: Damon, shared_workload: Workload) -> None:
    """Loaded, used and unloaded. Nothing leaks."""
    searched = searches_for_leaks()
    if searched:
        KMEMLEAK.write_text("clear\n")
    for _ in range(5):
        started(damon, shared_workload, 2)
        for kdamond in damon.kdamonds():
            assert kdamond.snapshot()
        unload(damon)
        load()
    if searched:
        assert leaks() == ""


def test_load_says_what_there_is(damon: Damon) -> None:
    """Which operations there are, and whether pages have an idle flag."""
    flag = "with" if damon_tree.has_idle_flag() else "without"
    unload(damon)
    log = KernelLog()
    load()
    said = [message.text for message in log.messages(INFO)]
    log.close()
    assert f"{damon.module}: operations sets: vaddr fvaddr paddr; {flag} page idle flag" in said

# SPDX-License-Identifier: GPL-2.0
"""The rules of a paused context, as in the section "Pause" of the design document, one test or more for each."""

import contextlib
import subprocess
import threading
import time
from pathlib import Path

import pytest

import status
from command_writer import Writer
from damon_tree import AGGREGATION, SAMPLE, Damon, Kdamond
from guest_time import advance, wait_until
from hot_area import good
from page_flags import idle_pages
from pause import pause, resume
from regions import mean_age
from status import passed
from trace_events import Event, Trace, reported
from workload import Workload

# A paused kdamond looks once a second, in seconds, whether its targets are still there.
LOOK = 1.0


def settle(damon: Damon, sample: float = SAMPLE) -> None:
    """The in-tree DAMON finishes the sample that a pause finds it in."""
    if not damon.is_ours:
        advance(2 * sample)


def wakeups(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if "ctxt_switches" in line)


def run_time(pid: int) -> int:
    """Nanoseconds that the thread was on a CPU."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0])


@pytest.fixture
def aged(monitoring: Kdamond, shared_workload: Workload) -> Kdamond:
    """A kdamond that has learned something: regions are old, and the hot area is found."""
    wait_until(lambda: monitoring.oldest() >= 10, "regions get old", every=AGGREGATION)
    wait_until(lambda: good(monitoring, shared_workload.hot), "the hot area is found", every=AGGREGATION)
    return monitoring


# ---- nothing is done ----


def test_no_trace_event(damon: Damon, aged: Kdamond) -> None:
    with Trace(damon, "damon_aggregated", "damon_region_aggregated") as trace:
        trace.wait()
        pause(aged)
        settle(damon)
        trace.clear()
        advance(20 * AGGREGATION)
        assert trace.events() == []
        resume(aged)
        trace.wait()


@pytest.mark.idle_flag
def test_no_access_check(damon: Damon, kdamond: Kdamond) -> None:
    """No page is marked idle."""
    sample, aggregation = 0.01, 0.2
    with Workload("--size", "128M", "--hot", "4M") as workload:
        workload.idle()
        kdamond.add_targets(workload.pid)
        kdamond.set(sample_us=int(sample * 1e6), aggr_us=int(aggregation * 1e6), min_regions=100, max_regions=200)
        kdamond.on()
        wait_until(lambda: idle_pages(workload) > 5, "pages are looked at", every=aggregation)
        pause(kdamond)
        settle(damon, sample)
        before = idle_pages(workload)
        advance(100 * sample)
        assert idle_pages(workload) == before
        resume(kdamond)
        wait_until(lambda: idle_pages(workload) > before, "pages are looked at again", every=aggregation)


def test_no_scheme(damon: Damon, aged: Kdamond) -> None:
    pause(aged)
    settle(damon)
    before = aged.stats()
    advance(10 * AGGREGATION)
    assert aged.stats() == before
    resume(aged)
    wait_until(lambda: aged.stats()["nr_tried"] > before["nr_tried"], "the scheme is applied again")


@pytest.mark.ours
def test_no_region_update(damon: Damon, kdamond: Kdamond, workload: Workload) -> None:
    update = 0.1
    kdamond.add_targets(workload.pid)
    kdamond.add_stat_schemes()
    kdamond.set(update_us=int(update * 1e6))
    kdamond.on()
    wait_until(lambda: passed(damon) > update / SAMPLE, "regions were updated")
    pause(kdamond)
    before = status.regions(damon)
    workload.command(f"map {64 << 20}", "map")
    advance(5 * update)
    assert status.regions(damon) == before
    resume(kdamond)
    size = sum(end - start for start, end in workload.three_regions())
    wait_until(lambda: sum(region.size for region in kdamond.snapshot()) == size, "the new mapping is found", every=update)


@pytest.mark.ours
def test_asleep(aged: Kdamond) -> None:
    """At most one wake-up a second, whatever the sampling interval."""
    looks = 10
    pid = aged.pid
    pause(aged)
    wakes, ran = wakeups(pid), run_time(pid)
    advance(looks * LOOK)
    assert wakeups(pid) - wakes <= looks + 1
    assert run_time(pid) - ran < looks * 1_000_000


# ---- everything stays ----


@pytest.mark.ours
def test_regions_stay(damon: Damon, aged: Kdamond) -> None:
    """Byte for byte, with every count in them."""
    pause(aged)
    before = status.kdamond(damon)
    advance(30 * AGGREGATION)
    assert status.kdamond(damon) == before


def last_window(trace: Trace) -> list[Event]:
    """The events of the last aggregation of one target, or nothing as long as they are not all there."""
    events = trace.events()
    count = events[-1].fields()["nr_regions"] if events else 1
    return events[-count:] if len(events) >= count else []


def test_ages_go_on(damon: Damon, aged: Kdamond) -> None:
    """From where they were: neither from zero nor as if time had passed."""
    with Trace(damon, "damon_aggregated") as trace:
        wait_until(lambda: last_window(trace), "an aggregation is traced")
        pause(aged)
        settle(damon)
        last = mean_age(reported(last_window(trace)))
        trace.clear()
        advance(30 * AGGREGATION)
        resume(aged)
        seen: list[Event] = []
        # Kept by the look that finds it: the next aggregation may come before another look.
        wait_until(lambda: seen.extend(last_window(trace)) or seen, "aggregations go on")
        first = mean_age(reported(seen))
        # All are one aggregation older, but for those whose accesses have changed.
        assert last / 2 <= first <= last + 1


# The window that is paused in: so many samples, of so many seconds.
WINDOW, WINDOW_SAMPLE = 50, 0.1


def count_samples_of_a_window(damon: Damon, kdamond: Kdamond) -> None:
    """The pause is somewhere in the middle of a window."""
    window = WINDOW
    with Trace(damon, "damon_aggregated") as trace:
        kdamond.on()
        wait_until(lambda: window / 4 < passed(damon) % window < window / 2, "a window is about half over")
        pause(kdamond)
        before = passed(damon)
        trace.clear()
        advance(20 * WINDOW_SAMPLE)
        assert passed(damon) == before and not trace.events()
        resume(kdamond)
        wait_until(trace.events, "the window ends")
        pause(kdamond)
        taken = passed(damon) - before
    rest = window - before % window
    assert rest <= taken < window, f"{taken} samples were taken until the window ended, of which {rest} were left"


def test_position_in_the_aggregation_window_stays(damon: Damon, kdamond: Kdamond, shared_workload: Workload) -> None:
    """Paused in the middle of a window, the rest of it is what remains to be done: not all of it, and not nothing."""
    kdamond.add_targets(shared_workload.pid)
    kdamond.set(sample_us=int(WINDOW_SAMPLE * 1e6), aggr_us=int(WINDOW * WINDOW_SAMPLE * 1e6))
    if damon.is_ours:
        count_samples_of_a_window(damon, kdamond)
        return
    # The in-tree DAMON does not tell how many samples it has taken.
    with Trace(damon, "damon_aggregated") as trace:
        kdamond.on()
        begin = trace.wait()[-1].time
        advance(WINDOW * WINDOW_SAMPLE * 0.6)
        paused = time.monotonic()
        pause(kdamond)
        settle(damon, WINDOW_SAMPLE)
        trace.clear()
        advance(WINDOW * WINDOW_SAMPLE * 0.8)
        resumed = time.monotonic()
        resume(kdamond)
        wait_until(trace.events, "the window ends")
        end = trace.events()[0].time
    sampled = (paused - begin + end - resumed) / WINDOW_SAMPLE
    # The samples that the pause and its end came into, and a little more than an interval from each to the next.
    assert WINDOW - 2 <= sampled <= WINDOW + 3


def test_nothing_is_caught_up(damon: Damon, aged: Kdamond) -> None:
    """A scheme that is due every second was not due six times in a pause of six seconds."""
    aged.schemes[0].write("apply_interval_us", 1000000)
    aged.commit()
    wait_until(lambda before=aged.nr_snapshots(): aged.nr_snapshots() > before, "the scheme is applied")
    pause(aged)
    settle(damon)
    before = aged.nr_snapshots()
    advance(6)
    resume(aged)
    advance(0.2)
    assert aged.nr_snapshots() - before <= 1


def test_hot_area_is_still_known(aged: Kdamond, shared_workload: Workload) -> None:
    pause(aged)
    advance(10 * AGGREGATION)
    resume(aged)
    assert good(aged, shared_workload.hot) or good(aged, shared_workload.hot)


# ---- calls ----


@pytest.mark.ours
def test_commit_is_served_at_once(kdamond: Kdamond, shared_workload: Workload) -> None:
    """Within 10 ms, at a sampling interval of a second."""
    kdamond.add_targets(shared_workload.pid)
    kdamond.add_stat_schemes()
    kdamond.set(sample_us=1000000, aggr_us=20000000)
    kdamond.on()
    for state in ("Y", "N"):
        kdamond.set(pause=state)
        times = []
        for _ in range(10):
            start = time.monotonic()
            kdamond.commit()
            times.append(time.monotonic() - start)
        assert max(times) < 0.01, times


def test_calls_work(aged: Kdamond) -> None:
    pause(aged)
    for command in ("commit", "update_schemes_stats", "update_tuned_intervals", "clear_schemes_tried_regions"):
        aged.state(command)
    assert aged.running


def test_parameters_change(damon: Damon, aged: Kdamond) -> None:
    """What is committed in a pause holds when monitoring goes on."""
    # Regions do not merge to more than a third of all; of neighbours that do not, there are at most five in the area, and two outside.
    limit = 8
    wait_until(lambda: aged.count_regions() > limit, "there are more regions", every=AGGREGATION)
    pause(aged)
    aged.set(min_regions=3, max_regions=limit)
    aged.commit()
    resume(aged)
    wait_until(lambda: aged.count_regions() <= limit, "the new limit holds", every=AGGREGATION)


def test_refused_commit(aged: Kdamond) -> None:
    """A bad commit is refused in a pause too, and does not end it."""
    pause(aged)
    aged.set(pause="N", min_regions=2)
    with pytest.raises(OSError, match="Invalid argument"):
        aged.commit()
    with pytest.raises(OSError, match="canceled"):
        aged.update_regions()
    assert aged.running


# ---- walks ----


def test_walk_is_refused(aged: Kdamond) -> None:
    pause(aged)
    for command in ("update_schemes_tried_regions", "update_schemes_tried_bytes"):
        with pytest.raises(OSError, match="canceled"):
            aged.state(command)
    resume(aged)
    assert aged.snapshot()


@pytest.mark.ours
def test_waiting_walk_is_cancelled(kdamond: Kdamond, shared_workload: Workload) -> None:
    kdamond.add_targets(shared_workload.pid)
    kdamond.add_stat_schemes()
    # nothing is aggregated either, so there are no results to show at once
    kdamond.set(aggr_us=3600 * 10**6)
    kdamond.schemes[0].write("apply_interval_us", 3600 * 10**6)
    kdamond.on()
    walk = Writer(kdamond, "update_schemes_tried_regions")
    advance(100 * SAMPLE)
    assert walk.is_alive()
    pause(kdamond)
    assert walk.result() == "ECANCELED"


# ---- ends ----


def test_stop(aged: Kdamond) -> None:
    pause(aged)
    aged.off()
    assert not aged.running
    aged.set(pause="N")
    aged.on()
    assert aged.snapshot()


@pytest.mark.ours
def test_stop_with_a_long_sampling_interval(kdamond: Kdamond, shared_workload: Workload) -> None:
    """The in-tree DAMON can miss the wake-up when it is about to sleep, and then stops after the interval."""
    kdamond.add_targets(shared_workload.pid)
    kdamond.set(sample_us=3600 * 10**6, aggr_us=7200 * 10**6, pause="Y")
    kdamond.on()
    kdamond.off()
    assert not kdamond.running


def test_end_of_the_target(kdamond: Kdamond) -> None:
    target = subprocess.Popen(["sleep", "1000"])
    kdamond.add_targets(target.pid)
    kdamond.set(pause="Y")
    kdamond.on()
    advance(2 * LOOK)
    assert kdamond.running
    target.kill()
    target.wait()
    wait_until(lambda: not kdamond.running, "the kdamond ends with its target")


@pytest.mark.ours
def test_end_of_the_target_is_noticed_within_a_second(kdamond: Kdamond) -> None:
    """Whatever the sampling interval."""
    kdamond.set(sample_us=600 * 10**6, aggr_us=6000 * 10**6, pause="Y")
    target = subprocess.Popen(["sleep", "1000"])
    kdamond.add_targets(target.pid)
    kdamond.on()
    advance(1.5 * LOOK)
    target.kill()
    target.wait()
    end = time.monotonic()
    wait_until(lambda: not kdamond.running, "the kdamond ends with its target")
    assert time.monotonic() - end < LOOK


# ---- on and off ----


def test_start_paused(damon: Damon, kdamond: Kdamond, shared_workload: Workload) -> None:
    kdamond.add_targets(shared_workload.pid)
    kdamond.add_stat_schemes()
    kdamond.set(pause="Y")
    with Trace(damon, "damon_aggregated") as trace:
        kdamond.on()
        assert kdamond.running
        settle(damon)
        trace.clear()
        advance(10 * AGGREGATION)
        assert trace.events() == []
        with pytest.raises(OSError, match="canceled"):
            kdamond.update_regions()
        resume(kdamond)
        trace.wait()
        assert kdamond.snapshot()


def test_file_does_nothing_before_a_commit(damon: Damon, aged: Kdamond) -> None:
    with Trace(damon, "damon_aggregated") as trace:
        aged.set(pause="Y")
        trace.wait()
        aged.set(pause="N")
        pause(aged)
        aged.set(pause="N")
        settle(damon)
        trace.clear()
        advance(5 * AGGREGATION)
        assert trace.events() == []
        aged.commit()
        trace.wait()


def test_many_times(aged: Kdamond, shared_workload: Workload) -> None:
    for _ in range(100):
        pause(aged)
        pause(aged)
        resume(aged)
        resume(aged)
    assert aged.oldest() >= 5
    wait_until(lambda: good(aged, shared_workload.hot), "the hot area is found", every=AGGREGATION)


def test_others_go_on(damon: Damon, shared_workload: Workload) -> None:
    """Pausing one of two kdamonds is not noticed by the other."""
    first, second = damon.kdamonds(2)
    for kdamond in (first, second):
        kdamond.write("contexts/nr_contexts", 1)
        kdamond.add_targets(shared_workload.pid)
        kdamond.add_stat_schemes()
        kdamond.on()
    with Trace(damon, "damon_aggregated") as trace:
        wait_until(lambda: {event.pid for event in trace.events()} == {first.pid, second.pid}, "both are traced")
        pause(first)
        settle(damon)
        trace.wait()
        advance(5 * AGGREGATION)
        assert {event.pid for event in trace.events()} == {second.pid}
        assert second.snapshot()
        resume(first)
        wait_until(lambda: first.pid in {event.pid for event in trace.events()}, "the first one goes on")


def test_from_many_threads(aged: Kdamond) -> None:
    """Pauses, resumes and walks in each other's way: every one of them returns."""
    actions = [lambda: pause(aged), lambda: resume(aged), aged.update_regions, aged.update_regions, lambda: aged.stats()]
    done = [0] * len(actions)
    until = time.monotonic() + 60

    def loop(index: int) -> None:
        while min(done) < 20 and time.monotonic() < until:
            with contextlib.suppress(OSError):
                actions[index]()
            done[index] += 1

    threads = [threading.Thread(target=loop, args=(index,), daemon=True) for index in range(len(actions))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert min(done) >= 20, done
    wait_until(lambda: Writer(aged, "commit").result() == "ok", "commits work")
    resume(aged)
    assert aged.snapshot()

# SPDX-License-Identifier: GPL-2.0
"""Intervals that tune themselves towards a share of accesses."""

import re

import pytest

import behaviour
import damon_tree
from cases import Cases
from damon_tree import Damon, Kdamond
from guest_time import advance, wait_until
from trace_events import Event, Trace
from tuning import intervals, running_sample_us, set_goal
from workload import Workload

EVENT = "damon_monitor_intervals_tune"
SAMPLE_US = 5000
SAMPLES = 20

# So often intervals of this length are tuned here, in seconds.
TUNING = 2 * SAMPLES * SAMPLE_US / 1e6


@pytest.fixture
def idle(kdamond: Kdamond, workload: Workload) -> Kdamond:
    """A kdamond that is not on yet, for a process that does nothing: tuning makes intervals longer."""
    workload.idle()
    kdamond.add_targets(workload.pid)
    set_goal(kdamond, 400, 2, SAMPLE_US, 4 * SAMPLE_US)
    return kdamond


def test_longer_for_an_idle_process(idle: Kdamond) -> None:
    """Up to the limit, with as many samples in an aggregation interval as before."""
    idle.on()
    seen = set()

    def at_the_limit() -> bool:
        seen.add(intervals(idle))
        return intervals(idle)[0] == 4 * SAMPLE_US

    wait_until(at_the_limit, "the sampling interval is at its upper limit", every=TUNING / 4)
    assert all(aggr == SAMPLES * sample for sample, aggr in seen)
    assert all(SAMPLE_US <= sample <= 4 * SAMPLE_US for sample, _ in seen)
    advance(2 * 4 * TUNING)
    assert intervals(idle) == (4 * SAMPLE_US, 4 * SAMPLE_US * SAMPLES)


def test_shorter_for_a_busy_process(kdamond: Kdamond) -> None:
    with Workload("--size", "16M", "--hot", "16M") as busy:
        kdamond.add_targets(busy.pid)
        set_goal(kdamond, 10, 2, SAMPLE_US, 8 * SAMPLE_US)
        kdamond.set(sample_us=8 * SAMPLE_US, aggr_us=8 * SAMPLE_US * SAMPLES)
        kdamond.on()
        wait_until(lambda: intervals(kdamond)[0] == SAMPLE_US, "the sampling interval is at its lower limit", every=TUNING / 4)
        assert intervals(kdamond) == (SAMPLE_US, SAMPLE_US * SAMPLES)


def test_event(damon: Damon, idle: Kdamond) -> None:
    """Tells the new sampling interval; the first nearly doubles it, as hardly anything was accessed."""
    with Trace(damon, EVENT) as trace:
        idle.on()
        wait_until(lambda: len(trace.events()) >= 3, "intervals are tuned a few times", every=TUNING / 4)
        events = trace.events()
    assert all(re.fullmatch(r"sample_us=\d+", event.text) for event in events)
    sampled = [int(event.text.removeprefix("sample_us=")) for event in events]
    assert 1.8 * SAMPLE_US <= sampled[0] <= 2 * SAMPLE_US
    assert sampled == sorted(sampled) and sampled[-1] == 4 * SAMPLE_US
    # two aggregations between them, the second time of twice the length
    times = [event.time for event in events]
    assert times[1] - times[0] > 0.95 * 2 * 1.8 * SAMPLES * SAMPLE_US / 1e6


def events_after_tuning(trace: Trace) -> list[Event]:
    """What was aggregated from the first tuning on."""
    events = trace.events()
    tuned = next((index for index, event in enumerate(events) if event.name == EVENT), len(events))
    return [event for event in events[tuned:] if event.name == "damon_aggregated"]


@pytest.mark.stock
def test_event_has_the_in_tree_format(damon: Damon) -> None:
    in_tree = damon_tree.in_tree()
    assert in_tree
    assert behaviour.event_format(damon, EVENT) == behaviour.event_format(in_tree, EVENT)


@pytest.mark.ours
def test_files_say_what_the_user_wrote_until_asked(damon: Damon, idle: Kdamond) -> None:
    idle.on()
    wait_until(lambda: running_sample_us(damon) == 4 * SAMPLE_US, "intervals are tuned", every=TUNING / 4)
    assert intervals(idle, update=False) == (SAMPLE_US, SAMPLE_US * SAMPLES)
    assert intervals(idle) == (4 * SAMPLE_US, 4 * SAMPLE_US * SAMPLES)


def test_refresh(idle: Kdamond) -> None:
    """The files are kept up to date for who wants that."""
    idle.write("refresh_ms", 20)
    idle.on()
    wait_until(lambda: intervals(idle, update=False)[0] == 4 * SAMPLE_US, "the files follow")


@pytest.mark.ours
def test_commit_begins_with_the_files(damon: Damon, idle: Kdamond) -> None:
    """Tuned intervals are replaced by what the files say, and stay if they say the same."""
    idle.on()
    wait_until(lambda: running_sample_us(damon) == 4 * SAMPLE_US, "intervals are tuned", every=TUNING / 4)
    set_goal(idle, 400, 1000000, SAMPLE_US, 4 * SAMPLE_US)
    idle.commit()
    assert running_sample_us(damon) == SAMPLE_US
    set_goal(idle, 400, 2, SAMPLE_US, 4 * SAMPLE_US)
    idle.commit()
    wait_until(lambda: running_sample_us(damon) == 4 * SAMPLE_US, "intervals are tuned again", every=TUNING / 4)
    idle.state("update_tuned_intervals")
    idle.commit()
    assert running_sample_us(damon) == 4 * SAMPLE_US


@pytest.mark.ours
def test_nothing_is_tuned_while_paused(damon: Damon, idle: Kdamond) -> None:
    idle.set(pause="Y")
    idle.on()
    advance(5 * TUNING)
    assert running_sample_us(damon) == SAMPLE_US
    idle.set(pause="N")
    idle.commit()
    wait_until(lambda: running_sample_us(damon) > SAMPLE_US, "intervals are tuned", every=TUNING / 4)
    tuned = running_sample_us(damon)
    idle.state("update_tuned_intervals")
    idle.set(pause="Y")
    idle.commit()
    tuned = running_sample_us(damon)
    advance(2 * 4 * TUNING)
    assert running_sample_us(damon) == tuned


@pytest.mark.ours
def test_schemes_keep_their_time(idle: Kdamond) -> None:
    """A scheme whose interval is longer than that of the tuning is applied all the same."""
    idle.add_stat_schemes()
    idle.schemes[0].write("apply_interval_us", 1000000)
    set_goal(idle, 400, 1, SAMPLE_US, 2 * SAMPLE_US)
    idle.on()
    wait_until(lambda: idle.nr_snapshots() >= 2, "the scheme is applied", every=TUNING)


def test_results_are_rescaled(damon: Damon, idle: Kdamond) -> None:
    """Ages are counted in aggregation intervals, of which there are less in the same time when they get longer."""
    longer = SAMPLE_US * 3 // 2
    set_goal(idle, 400, 30, SAMPLE_US, longer)
    with Trace(damon, EVENT, "damon_aggregated") as trace:
        idle.on()
        wait_until(lambda: events_after_tuning(trace), "intervals are tuned", every=TUNING)
        # What the aggregation reports at which intervals are tuned.
        first = events_after_tuning(trace)[0]
        ages = [event.fields()["age"] for event in events_after_tuning(trace)[: first.fields()["nr_regions"]]]
        before = [event.fields()["age"] for event in trace.events() if event.name == "damon_aggregated" and event.time < first.time]
    assert intervals(idle)[0] == longer
    # 30 at most, which are 20 of the longer ones
    assert max(before) >= 26
    assert 16 <= max(ages) <= 20


BAD = {
    "limits the wrong way round": (10000, 1000),
    "sampling interval below the limits": (6000, 10000),
    "sampling interval above the limits": (1000, 4000),
}


def test_refused(idle: Kdamond) -> None:
    with Cases() as cases:
        for name, limits in BAD.items():
            with cases.case(name):
                set_goal(idle, 400, 2, *limits)
                with pytest.raises(OSError, match="Invalid argument"):
                    idle.on()
                # without a number of aggregations there is no goal, and nothing to be wrong about
                set_goal(idle, 400, 0, *limits)
                idle.on()
                set_goal(idle, 400, 2, *limits)
                with pytest.raises(OSError, match="Invalid argument"):
                    idle.commit()
                assert idle.running
                assert intervals(idle) == (SAMPLE_US, SAMPLE_US * SAMPLES)
            idle.stop()

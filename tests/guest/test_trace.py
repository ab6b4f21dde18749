# SPDX-License-Identifier: GPL-2.0
"""The trace events: the in-tree DAMON's fields, and what they say."""

import re
from collections import defaultdict

import pytest

import answers
import behaviour
import damon_tree
from cases import Cases
from damon_tree import AGGREGATION, Damon, Kdamond
from guest_time import advance, wait_until
from trace_events import Event, Trace, windows
from workload import Workload

IN_TREE = answers.load()["formats"]
EVENTS = ("damon_aggregated", "damon_region_aggregated")


def traced(damon: Damon, count: int = 5) -> list[list[Event]]:
    with Trace(damon, "damon_aggregated") as trace:
        wait_until(lambda: len(windows(trace.events())) > count, "regions are aggregated a few times", every=AGGREGATION)
        return windows(trace.events())[1:]


def test_format(damon: Damon) -> None:
    """Names, types, order, offsets and the printed text; tools read them from here."""
    with Cases() as cases:
        for name in EVENTS:
            with cases.case(name):
                assert behaviour.event_format(damon, name) == IN_TREE[name]


@pytest.mark.stock
def test_recorded_format_is_this_kernels() -> None:
    in_tree = damon_tree.in_tree()
    assert in_tree
    with Cases() as cases:
        for name in EVENTS:
            with cases.case(name):
                assert behaviour.event_format(in_tree, name) == IN_TREE[name]


@pytest.mark.stock
def test_format_of_schemes(damon: Damon) -> None:
    """Those of schemes, compared with the in-tree DAMON's in the same kernel."""
    in_tree = damon_tree.in_tree()
    assert in_tree
    with Cases() as cases:
        for name in ("damos_before_apply", "damos_esz", "damos_stat_after_apply_interval"):
            with cases.case(name):
                assert behaviour.event_format(damon, name) == behaviour.event_format(in_tree, name)


def test_text(damon: Damon, monitoring: Kdamond) -> None:
    with Trace(damon, "damon_aggregated") as trace:
        first = trace.wait()[0]
    assert re.fullmatch(r"target_id=0 nr_regions=\d+ \d+-\d+: \d+ \d+", first.text)
    assert (first.task, first.pid) == ("kdamond.0", monitoring.pid)


def test_one_event_for_each_region(damon: Damon, monitoring: Kdamond, shared_workload: Workload) -> None:
    """In ascending order, without gaps but those of the target, the same number in each event."""
    size = sum(end - start for start, end in shared_workload.three_regions())
    for window in traced(damon):
        fields = [event.fields() for event in window]
        assert {field["nr_regions"] for field in fields} == {len(window)}
        assert {field["target"] for field in fields} == {0}
        assert all(a["end"] <= b["start"] for a, b in zip(fields, fields[1:]))
        assert sum(field["end"] - field["start"] for field in fields) == size


def test_values(damon: Damon, monitoring: Kdamond, shared_workload: Workload) -> None:
    """Whole counts of an aggregation: at most its samples; and in the hot area most of them, in each window."""
    wait_until(lambda: max(region.nr_accesses for region in monitoring.snapshot()) == 20, "something hot is found", every=AGGREGATION)
    hot = shared_workload.hot
    for window in traced(damon, 5):
        fields = [event.fields() for event in window]
        assert all(0 <= field["nr_accesses"] <= 20 for field in fields)
        # What is put together with colder memory has the mean.
        assert max(field["nr_accesses"] for field in fields if field["start"] < hot[1] and field["end"] > hot[0]) >= 15


def test_ages(damon: Damon, monitoring: Kdamond) -> None:
    """They go up by one."""
    wait_until(lambda: monitoring.oldest() >= 10, "regions get old", every=AGGREGATION)
    oldest = [max(event.fields()["age"] for event in window) for window in traced(damon, 8)]
    # One that is put together with a younger one becomes younger.
    assert all(b - a in (-1, 0, 1) for a, b in zip(oldest, oldest[1:])), oldest
    assert oldest[-1] > oldest[0]


def test_interval(damon: Damon, monitoring: Kdamond) -> None:
    """An aggregation takes its interval and, for what is done in it, a little longer; never less."""
    times = [window[0].time for window in traced(damon, 6)]
    assert all(AGGREGATION <= b - a < 1.2 * AGGREGATION for a, b in zip(times, times[1:])), times


def test_targets(damon: Damon, kdamond: Kdamond, shared_workload: Workload) -> None:
    """Targets are told apart by their position."""
    with Workload("--size", "16M", "--hot", "4M") as other:
        kdamond.add_targets(shared_workload.pid, other.pid)
        kdamond.on()
        sizes = defaultdict(set)
        for window in traced(damon, 8):
            sizes[window[0].fields()["target"]].add(sum(e.fields()["end"] - e.fields()["start"] for e in window))
        assert sizes == {
            index: {sum(end - start for start, end in workload.three_regions())} for index, workload in enumerate((shared_workload, other))
        }


def test_region_event_needs_probes(damon: Damon, monitoring: Kdamond) -> None:
    """damon_region_aggregated says how often each probe hit; a context without probes has none to tell of."""
    with Trace(damon, *EVENTS) as trace:
        trace.wait()
        advance(5 * AGGREGATION)
        assert {event.name for event in trace.events()} == {"damon_aggregated"}


def test_no_schemes_needed(damon: Damon, kdamond: Kdamond, shared_workload: Workload) -> None:
    kdamond.add_targets(shared_workload.pid)
    kdamond.on()
    assert traced(damon, 2)


def test_silent_when_off(damon: Damon, monitoring: Kdamond) -> None:
    monitoring.off()
    with Trace(damon, *EVENTS) as trace:
        advance(5 * AGGREGATION)
        assert trace.events() == []


def test_filter(damon: Damon, monitoring: Kdamond) -> None:
    """The tracing core's own filters work on the fields."""
    with Trace(damon, "damon_aggregated") as trace:
        (trace.folder / "events" / damon.name / "damon_aggregated/filter").write_text("nr_accesses > 3\n")
        rates = [event.fields()["nr_accesses"] for event in trace.wait()]
        assert min(rates) > 3

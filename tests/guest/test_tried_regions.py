# SPDX-License-Identifier: GPL-2.0
"""Results without waiting: what the last aggregation has found, for schemes that do nothing but show it."""

import time

import pytest

from damon_tree import AGGREGATION, Damon, Kdamond, Region
from guest_time import wait_until
from hot_area import THRESHOLD
from status import passed
from trace_events import Event, Trace, windows
from workload import Workload

pytestmark = pytest.mark.ours

LONG = 10 * 10**6


def size(workload: Workload) -> int:
    return sum(end - start for start, end in workload.three_regions())


def quick(kdamond: Kdamond) -> list[Region]:
    """The regions, which must come at once."""
    start = time.monotonic()
    kdamond.update_regions()
    assert time.monotonic() - start < 0.1
    return kdamond.tried_regions()


def test_long_sampling_interval(monitoring: Kdamond, shared_workload: Workload) -> None:
    """The in-tree DAMON needs a whole apply interval: 200 s here."""
    hot = shared_workload.hot

    def rate() -> int:
        return max(region.nr_accesses for region in monitoring.snapshot() if region.start < hot[1] and region.end > hot[0])

    wait_until(lambda: rate() >= THRESHOLD, "the hot area is found", every=AGGREGATION)
    monitoring.set(sample_us=LONG, aggr_us=20 * LONG)
    monitoring.commit()
    for _ in range(3):
        regions = quick(monitoring)
        assert sum(region.size for region in regions) == size(shared_workload)
        assert max(region.nr_accesses for region in regions if region.start < hot[1] and region.end > hot[0]) >= 2
        monitoring.update_regions("update_schemes_tried_bytes")
        assert (monitoring.schemes[0] / "tried_regions").number("total_bytes") == size(shared_workload)


def test_long_apply_interval(damon: Damon, monitoring: Kdamond, shared_workload: Workload) -> None:
    monitoring.snapshot()
    monitoring.schemes[0].write("apply_interval_us", 20 * LONG)
    monitoring.commit()
    # a commit leaves the next application where it was planned, which is within an aggregation interval
    committed = passed(damon)
    wait_until(lambda: passed(damon) > committed + 25, "the scheme is not applied any more")
    before = monitoring.stats()
    ages = []

    def gets_older() -> bool:
        regions = quick(monitoring)
        assert sum(region.size for region in regions) == size(shared_workload)
        ages.append(max(region.age for region in regions))
        return ages[-1] > ages[0]

    # not an old picture: monitoring goes on, and each aggregation shows
    wait_until(gets_older, "regions get older")
    # and only a picture: the scheme was not applied for it
    assert monitoring.stats() == before


def test_is_what_the_aggregation_has_found(damon: Damon, kdamond: Kdamond, shared_workload: Workload) -> None:
    """The values of the last aggregation, for all of the memory, in regions that may be put together if they have the same."""
    kdamond.add_targets(shared_workload.pid)
    kdamond.add_stat_schemes()
    kdamond.set(sample_us=50000, aggr_us=1000000)
    with Trace(damon, "damon_aggregated") as trace:
        kdamond.on()

        def last_but_one() -> list[list[Event]]:
            # `windows` leaves the last one out, of which more may come: none will for most of a second
            return windows([*trace.events(), *trace.events()[-1:]])

        wait_until(lambda: len(last_but_one()) >= 4, "a few aggregations are there", every=0.5)
        while True:
            before = last_but_one()
            shown = kdamond.snapshot()
            if len(last_but_one()) == len(before):
                break
    found = [Region(*(event.fields()[name] for name in Region._fields)) for event in before[-1]]
    assert sum(region.size for region in shown) == sum(region.size for region in found) == size(shared_workload)
    for region in found:
        over = [other for other in shown if other.start < region.end and region.start < other.end]
        assert {(other.nr_accesses, other.age) for other in over} == {(region.nr_accesses, region.age)}, (region, over)


def test_first_results_are_waited_for(kdamond: Kdamond, shared_workload: Workload) -> None:
    """Before an aggregation there is nothing to show, and a target that has none yet is not shown as cold."""
    kdamond.add_targets(shared_workload.pid)
    kdamond.add_stat_schemes()
    kdamond.set(sample_us=25000, aggr_us=500000)
    start = time.monotonic()
    kdamond.on()
    assert max(region.nr_accesses for region in kdamond.snapshot()) > 0
    assert time.monotonic() - start >= 0.5


def test_short_apply_interval_is_waited_for(kdamond: Kdamond, shared_workload: Workload) -> None:
    """What is due before the next aggregation shows the time since the last one."""
    kdamond.add_targets(shared_workload.pid)
    kdamond.add_stat_schemes()
    kdamond.set(sample_us=20000, aggr_us=200000)
    kdamond.on()
    kdamond.snapshot()
    kdamond.schemes[0].write("apply_interval_us", 100000)
    kdamond.commit()
    tried = kdamond.stats()["nr_tried"]
    kdamond.snapshot()
    assert kdamond.stats()["nr_tried"] > tried


def test_refused_leaves_results(monitoring: Kdamond) -> None:
    """Who asks when there is nothing to be had loses nothing that he has."""
    before = monitoring.snapshot()
    assert before
    monitoring.set(pause="Y")
    monitoring.commit()
    with pytest.raises(OSError):
        monitoring.update_regions()
    assert monitoring.tried_regions() == before
    monitoring.off()
    with pytest.raises(OSError):
        monitoring.update_regions()
    assert monitoring.tried_regions() == before

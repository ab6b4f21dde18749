# SPDX-License-Identifier: GPL-2.0
"""Schemes with the `stat` action: which regions they take, when, and what they say about it."""

from statistics import median

import pytest

from damon_tree import AGGREGATION, SAMPLE, UINT_MAX, ULONG_MAX, Damon, Kdamond, set_pattern
from guest_time import advance, wait_until
from workload import MIB, Workload

# In a default aggregation interval; and of these, so many make a region hot.
SAMPLES = 20
THRESHOLD = 5


@pytest.fixture
def schemes(kdamond: Kdamond, shared_workload: Workload) -> Kdamond:
    """A context with two stat schemes, not yet on."""
    kdamond.add_targets(shared_workload.pid)
    kdamond.add_stat_schemes(2)
    return kdamond


def total(kdamond: Kdamond, scheme: int = 0) -> int:
    return (kdamond.schemes[scheme] / "tried_regions").number("total_bytes")


def test_statistics(monitoring: Kdamond) -> None:
    """Everything is tried, ever again. Looking is no action, so nothing is applied."""
    last = {"nr_snapshots": 0, "nr_tried": 0}
    for _ in range(3):
        wait_until(lambda: monitoring.nr_snapshots() > last["nr_snapshots"], "the scheme is applied again")
        stats = monitoring.stats()
        assert stats["nr_tried"] > last["nr_tried"]
        assert stats["nr_tried"] >= stats["nr_snapshots"]
        assert (stats["nr_applied"], stats["sz_applied"], stats["qt_exceeds"]) == (0, 0, 0)
        last = stats


def test_size_of_a_snapshot(monitoring: Kdamond, shared_workload: Workload) -> None:
    """A scheme without limits tries all of the target each time."""
    wait_until(lambda: monitoring.nr_snapshots() >= 5, "the scheme was applied a few times", every=AGGREGATION)
    stats = monitoring.stats()
    size = sum(end - start for start, end in shared_workload.three_regions())
    assert stats["sz_tried"] == stats["nr_snapshots"] * size


def test_statistics_are_not_updated_by_themselves(monitoring: Kdamond) -> None:
    wait_until(lambda: monitoring.stats()["nr_tried"] > 0, "the scheme is applied", every=AGGREGATION)
    before = monitoring.stats(update=False)
    advance(5 * AGGREGATION)
    assert monitoring.stats(update=False) == before
    assert monitoring.nr_snapshots() > before["nr_snapshots"]


def test_tried_regions(monitoring: Kdamond) -> None:
    regions = monitoring.snapshot()
    assert total(monitoring) == sum(region.size for region in regions) > 0
    monitoring.update_regions()
    assert len(monitoring.tried_regions()) > 0


def test_tried_bytes(monitoring: Kdamond, shared_workload: Workload) -> None:
    monitoring.update_regions("update_schemes_tried_bytes")
    assert total(monitoring) == sum(end - start for start, end in shared_workload.three_regions())
    assert monitoring.tried_regions() == []


def test_tried_bytes_forget_regions(monitoring: Kdamond) -> None:
    assert monitoring.snapshot()
    monitoring.update_regions("update_schemes_tried_bytes")
    assert monitoring.tried_regions() == []
    assert total(monitoring) > 0


def test_clear(monitoring: Kdamond) -> None:
    assert monitoring.snapshot()
    monitoring.state("clear_schemes_tried_regions")
    assert monitoring.tried_regions() == []
    assert total(monitoring) == 0
    assert monitoring.snapshot()


def test_regions_stay_after_off(monitoring: Kdamond) -> None:
    """What was read last can be looked at when monitoring is over, until it is cleared."""
    regions = monitoring.snapshot()
    monitoring.off()
    assert monitoring.tried_regions() == regions
    monitoring.state("clear_schemes_tried_regions")
    assert monitoring.tried_regions() == []


def test_new_pattern_matches_nothing(kdamond: Kdamond, shared_workload: Workload) -> None:
    """A new scheme's access pattern is zero size, so it takes no region."""
    kdamond.add_targets(shared_workload.pid)
    kdamond.context.write("schemes/nr_schemes", 1)
    kdamond.on()
    assert kdamond.snapshot() == []
    assert total(kdamond) == 0
    assert kdamond.stats()["nr_tried"] == 0


def test_hot_and_cold(schemes: Kdamond, shared_workload: Workload) -> None:
    """Two patterns that share the accesses between them share the memory between them."""
    hot, cold = schemes.schemes
    set_pattern(hot, nr_accesses=(THRESHOLD, UINT_MAX))
    set_pattern(cold, nr_accesses=(0, THRESHOLD - 1))
    schemes.on()
    size = shared_workload.hot[1] - shared_workload.hot[0]
    wait_until(lambda: schemes.snapshot(0) and 0.8 * size < total(schemes) < 1.3 * size, "the hot area is found", every=AGGREGATION)
    regions = [schemes.tried_regions(index) for index in range(2)]
    assert all(region.nr_accesses >= THRESHOLD for region in regions[0])
    assert all(region.nr_accesses < THRESHOLD for region in regions[1])
    everything = sum(end - start for start, end in shared_workload.three_regions())
    assert total(schemes, 0) + total(schemes, 1) == everything


def test_size_limits(schemes: Kdamond) -> None:
    small, large = schemes.schemes
    set_pattern(small, size=(0, MIB))
    set_pattern(large, size=(MIB + 1, ULONG_MAX))
    schemes.on()
    for _ in range(5):
        schemes.update_regions()
        assert all(region.size <= MIB for region in schemes.tried_regions(0))
        assert all(region.size > MIB for region in schemes.tried_regions(1))
        assert schemes.tried_regions(1)


def test_age_limits(schemes: Kdamond) -> None:
    young, old = schemes.schemes
    set_pattern(young, age=(0, 9))
    set_pattern(old, age=(10, UINT_MAX))
    schemes.on()
    wait_until(lambda: schemes.count_regions(1), "regions get old enough")
    assert all(region.age >= 10 for region in schemes.tried_regions(1))
    assert all(region.age < 10 for region in schemes.tried_regions(0))


def test_limits_include_their_ends(schemes: Kdamond) -> None:
    only, _ = schemes.schemes
    set_pattern(only, nr_accesses=(0, 0), age=(3, 3))
    schemes.on()
    wait_until(lambda: schemes.count_regions(0), "a region has the very age")
    assert {(region.nr_accesses, region.age) for region in schemes.tried_regions(0)} == {(0, 3)}


def test_apply_interval(schemes: Kdamond) -> None:
    """Five times the interval, a fifth of the snapshots; up to four more come before the next one."""
    schemes.schemes[0].write("apply_interval_us", 100_000)
    schemes.schemes[1].write("apply_interval_us", 500_000)
    schemes.on()
    wait_until(lambda: schemes.nr_snapshots(1) >= 6, "the slow scheme was applied six times", every=AGGREGATION)
    fast, slow = (schemes.stats(index, update=False)["nr_snapshots"] for index in range(2))
    assert 5 * slow <= fast < 5 * (slow + 1)


def test_apply_interval_of_zero_is_the_aggregation_interval(schemes: Kdamond) -> None:
    schemes.schemes[0].write("apply_interval_us", 100_000)
    schemes.on()
    wait_until(lambda: schemes.nr_snapshots(1) >= 10, "both schemes were applied", every=AGGREGATION)
    given, default = (schemes.stats(index, update=False)["nr_snapshots"] for index in range(2))
    assert given == default


def test_apply_interval_below_the_sampling_interval(schemes: Kdamond) -> None:
    schemes.schemes[0].write("apply_interval_us", 1)
    schemes.on()
    wait_until(lambda: schemes.nr_snapshots(1) >= 3, "the other scheme is applied as always", every=AGGREGATION)
    assert schemes.stats(0)["nr_snapshots"] >= schemes.stats(1)["nr_snapshots"]


def test_rates_between_aggregations(kdamond: Kdamond, shared_workload: Workload) -> None:
    """A scheme that is applied in the middle of an aggregation sees a rate for a whole one."""
    kdamond.add_targets(shared_workload.pid)
    kdamond.add_stat_schemes()
    kdamond.schemes[0].write("apply_interval_us", 5000)
    kdamond.on()
    hot = shared_workload.hot

    def rate() -> int:
        return max((region.nr_accesses for region in kdamond.snapshot() if hot[0] <= region.start < hot[1]), default=0)

    wait_until(lambda: rate() >= THRESHOLD, "the hot area is found", every=AGGREGATION)
    rates = []
    # In two aggregations.
    for _ in range(2 * SAMPLES):
        rates.append(rate())
        advance(SAMPLE)
    # What begins with nothing at each of them is below half of its median time and again.
    assert min(rates) >= median(rates) / 2 >= 1, rates


def test_snapshot_limit(schemes: Kdamond) -> None:
    """max_nr_snapshots ends a scheme's work, and no other's."""
    schemes.schemes[0].write("stats/max_nr_snapshots", 3)
    schemes.on()
    wait_until(lambda: schemes.nr_snapshots(1) >= 8, "the other scheme goes on", every=AGGREGATION)
    assert schemes.stats(0)["nr_snapshots"] == 3


def test_statistics_start_again(monitoring: Kdamond) -> None:
    wait_until(lambda: monitoring.nr_snapshots() >= 5, "the scheme was applied", every=AGGREGATION)
    monitoring.off()
    monitoring.on()
    assert monitoring.nr_snapshots() == 0


def test_statistics_survive_a_commit(monitoring: Kdamond) -> None:
    wait_until(lambda: monitoring.nr_snapshots() >= 5, "the scheme was applied", every=AGGREGATION)
    monitoring.commit()
    assert monitoring.nr_snapshots() >= 5


def test_many_schemes(kdamond: Kdamond, shared_workload: Workload, damon: Damon) -> None:
    kdamond.add_targets(shared_workload.pid)
    kdamond.add_stat_schemes(20)
    kdamond.on()
    kdamond.update_regions("update_schemes_tried_bytes")
    size = sum(end - start for start, end in shared_workload.three_regions())
    assert [total(kdamond, index) for index in range(20)] == [size] * 20

# SPDX-License-Identifier: GPL-2.0
"""The regions themselves: where they are, how many there are, and how they follow the process's mappings."""

import pytest

from damon_tree import AGGREGATION, Kdamond, Region
from guest_time import advance, wait_until
from regions import check
from workload import MIB, Workload


def monitor(kdamond: Kdamond, pid: int, **attrs: int) -> None:
    kdamond.add_targets(pid)
    kdamond.add_stat_schemes()
    kdamond.set(**attrs)
    kdamond.on()


def test_cover_the_mappings(monitoring: Kdamond, shared_workload: Workload) -> None:
    """All mappings without the two largest gaps, in every snapshot."""
    ranges = shared_workload.three_regions()
    for _ in range(10):
        check(monitoring.snapshot(), ranges)
        advance(AGGREGATION)


@pytest.mark.parametrize(("low", "high"), [(3, 10), (20, 100), (100, 1000)])
def test_numbers(kdamond: Kdamond, shared_workload: Workload, low: int, high: int) -> None:
    """The number of regions stays within the limits (damon_nr_regions.py of the kernel's tests)."""
    monitor(kdamond, shared_workload.pid, min_regions=low, max_regions=high)
    numbers = []
    for _ in range(20):
        numbers.append(kdamond.count_regions())
        advance(AGGREGATION)
    assert low <= min(numbers) and max(numbers) <= high, numbers


def test_lower_maximum_online(kdamond: Kdamond, shared_workload: Workload) -> None:
    monitor(kdamond, shared_workload.pid, min_regions=100, max_regions=1000)
    wait_until(lambda: kdamond.count_regions() > 50, "there are many regions", every=AGGREGATION)
    kdamond.set(min_regions=3, max_regions=7)
    kdamond.commit()
    wait_until(lambda: kdamond.count_regions() <= 7, "regions are merged", every=AGGREGATION)
    for _ in range(5):
        advance(AGGREGATION)
        assert kdamond.count_regions() <= 7


def test_higher_minimum_online(kdamond: Kdamond, shared_workload: Workload) -> None:
    monitor(kdamond, shared_workload.pid, min_regions=3, max_regions=10)
    assert kdamond.count_regions() <= 10
    kdamond.set(min_regions=100, max_regions=1000)
    kdamond.commit()
    wait_until(lambda: kdamond.count_regions() >= 100, "regions are split", every=AGGREGATION)


def test_given_regions(kdamond: Kdamond, shared_workload: Workload) -> None:
    """Regions that the user gives are where monitoring starts, and stays without an update."""
    start, end = shared_workload.area
    ranges = [(start, start + 16 * MIB), (end - 8 * MIB, end)]
    kdamond.add_targets(shared_workload.pid)
    kdamond.add_stat_schemes()
    kdamond.set_init_regions(ranges)
    kdamond.on()
    for _ in range(5):
        check(kdamond.snapshot(), ranges)
        advance(2 * AGGREGATION)


def test_given_regions_are_updated(kdamond: Kdamond, shared_workload: Workload) -> None:
    """vaddr follows the mappings at each update, whatever it started with."""
    start, _ = shared_workload.area
    kdamond.add_targets(shared_workload.pid)
    kdamond.add_stat_schemes()
    kdamond.set_init_regions([(start, start + 16 * MIB)])
    kdamond.set(update_us=300000)
    kdamond.on()
    total = sum(end - start for start, end in shared_workload.three_regions())
    wait_until(lambda: sum(region.size for region in kdamond.snapshot()) == total, "the regions cover all mappings", every=AGGREGATION)
    check(kdamond.snapshot(), shared_workload.three_regions())


def covers(regions: list[Region], span: tuple[int, int]) -> bool:
    return sum(max(0, min(region.end, span[1]) - max(region.start, span[0])) for region in regions) == span[1] - span[0]


def test_new_mapping(kdamond: Kdamond, workload: Workload) -> None:
    """What is mapped and unmapped is followed at the update interval."""
    monitor(kdamond, workload.pid, update_us=200000)
    check(kdamond.snapshot(), workload.three_regions())
    for _ in range(3):
        extra = tuple(workload.command(f"map {64 * MIB}", "map")["extra"])
        wait_until(lambda: covers(kdamond.snapshot(), extra), "the new mapping is monitored", every=AGGREGATION)
        check(kdamond.snapshot(), workload.three_regions())
        workload.command("unmap", "unmap")
        wait_until(lambda: not covers(kdamond.snapshot(), extra), "the old mapping is not monitored any more", every=AGGREGATION)
        check(kdamond.snapshot(), workload.three_regions())


def test_no_update_before_its_time(kdamond: Kdamond, workload: Workload) -> None:
    monitor(kdamond, workload.pid, update_us=3600 * 10**6)
    before = workload.three_regions()
    workload.command(f"map {64 * MIB}", "map")
    advance(10 * AGGREGATION)
    check(kdamond.snapshot(), before)


def test_moved_mapping(kdamond: Kdamond, workload: Workload) -> None:
    monitor(kdamond, workload.pid, update_us=100000)
    for _ in range(5):
        extra = tuple(workload.command("mremap", "mremap")["extra"])
        wait_until(lambda: covers(kdamond.snapshot(), extra), "the mapping is monitored where it is now", every=AGGREGATION)


def test_restless_process(kdamond: Kdamond) -> None:
    """Mapping, unmapping, moving and forking all the time while regions are updated all the time."""
    with Workload("--size", "64M", "--churn", "256K", "--mremap-ms", "20", "--fork-ms", "50") as workload:
        update = 0.01
        monitor(kdamond, workload.pid, sample_us=1000, aggr_us=int(update * 1e6), update_us=int(update * 1e6), min_regions=100)
        sizes = set()
        for _ in range(20):
            advance(5 * update)
            regions = kdamond.snapshot()
            assert all(a.end <= b.start for a, b in zip(regions, regions[1:]))
            assert all(region.start < region.end for region in regions)
            sizes.add(sum(region.size for region in regions))
        assert kdamond.running and len(sizes) > 1


def test_age_and_rate_survive_an_update(kdamond: Kdamond, workload: Workload) -> None:
    """An update that changes nothing for a region leaves what is known about it."""
    monitor(kdamond, workload.pid, update_us=200000)
    wait_until(lambda: kdamond.oldest() > 10, "regions get older than updates are apart", every=AGGREGATION)

# SPDX-License-Identifier: GPL-2.0
"""Fixed ranges of virtual addresses: what the user says, and nothing else, whatever the process maps."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Iterator

import pytest

from damon_tree import AGGREGATION, Kdamond
from guest_time import advance, wait_until
from hot_area import THRESHOLD
from mapper import mapper, rates
from regions import by_target, check
from workload import MIB, Workload, score

Range = tuple[int, int]


def monitor(kdamond: Kdamond, targets: dict[Workload, list[Range]], **attrs: object) -> None:
    kdamond.set(ops="fvaddr", **attrs)
    kdamond.add_targets(*(workload.pid for workload in targets))
    for index, ranges in enumerate(targets.values()):
        kdamond.set_init_regions(ranges, index)
    kdamond.add_stat_schemes()
    kdamond.on()


def test_ranges_stay(kdamond: Kdamond, workload: Workload) -> None:
    """No update of anything follows the process: a mapping that comes is not monitored, one that goes stays."""
    start, end = workload.area
    # Not up to its ends: it may be mapped next to the area.
    low, high = workload.command(f"map {16 * MIB}", "map")["extra"]
    ranges = sorted([(start, start + 8 * MIB), (end - 16 * MIB, end), (low + MIB, high - MIB)])
    update = 0.05
    monitor(kdamond, {workload: ranges}, update_us=int(update * 1e6))
    check(kdamond.snapshot(), ranges)
    workload.command("unmap", "unmap")
    advance(10 * update)
    check(kdamond.snapshot(), ranges)
    workload.command(f"map {64 * MIB}", "map")
    advance(10 * update)
    check(kdamond.snapshot(), ranges)


def test_hot_part_of_a_range(kdamond: Kdamond, workload: Workload) -> None:
    """Of two ranges one has the hot area in it, and a third is not mapped at all."""
    start, end = workload.area
    middle = (start + end) // 2
    assert workload.hot[0] == middle
    nowhere = (1 << 40, (1 << 40) + 64 * MIB)
    ranges = sorted([nowhere, (start, middle), (middle, end)])
    monitor(kdamond, {workload: ranges})

    def found() -> bool:
        regions = kdamond.snapshot()
        check(regions, sorted([nowhere, (start, end)]))
        assert not any(region.nr_accesses for region in regions if region.end <= nowhere[1])
        return min(score(regions, workload.hot, THRESHOLD)) >= 0.9

    wait_until(found, "the hot area is found", every=AGGREGATION)


# In the in-tree DAMON memory that is on no list of reclaim's looks accessed all the time.
@pytest.mark.ours
@pytest.mark.parametrize("kind", ("packet", "anon", "shmem"))
def test_memory_on_no_list(kdamond: Kdamond, kind: str) -> None:
    """What a driver maps, and new pages that still wait to be put on a list: accessed once, when they were mapped, and later in one half."""
    with mapper(kind, on_lists=False) as process:
        start, size = process.hot[0], process.size
        assert process.cold[0] == process.hot[-1] + size
        kdamond.set(ops="fvaddr", min_regions=100)
        kdamond.add_targets(process.pid)
        kdamond.set_init_regions([(start, process.cold[-1] + size)])
        kdamond.add_stat_schemes()
        kdamond.on()
        # In the first aggregation there may be samples from before an access that has come late.
        advance(2 * AGGREGATION)
        for _ in range(5):
            advance(AGGREGATION)
            assert not any(region.nr_accesses for region in kdamond.snapshot())
        process.command("hot")

        def found() -> bool:
            regions = kdamond.snapshot()
            hot, cold = ([(page, page + size) for page in pages] for pages in (process.hot[:-1], process.cold[1:]))
            return min(rates(regions, hot)) >= THRESHOLD and max(rates(regions, cold)) == 0

        wait_until(found, "the half that is accessed is found hot, and it alone", every=AGGREGATION)


@pytest.fixture
def workloads() -> Iterator[list[Workload]]:
    """Processes that are hot in different places; all have the same addresses."""
    with ExitStack() as stack:
        started = [stack.enter_context(Workload("--size", "32M", "--hot", "4M", "--pace-us", "4000")) for _ in range(3)]
        for workload, offset in zip(started, (0, 12, 24)):
            workload.move_hot(offset * MIB)
        yield started


def several(kdamond: Kdamond, workloads: list[Workload]) -> list[list[Range]]:
    """Monitors all of them, each in ranges of its own, which are returned. The last one's hot area is outside."""
    start, end = workloads[0].area
    assert all(workload.area == (start, end) for workload in workloads)
    ranges = [[(start, end)], [(start, start + 8 * MIB), (start + 10 * MIB, end)], [(start, start + 16 * MIB)]]
    monitor(kdamond, dict(zip(workloads, ranges)), max_regions=300)
    return ranges


def test_several_targets(kdamond: Kdamond, workloads: list[Workload]) -> None:
    """Each has ranges of its own, and what one accesses is not seen in the others, which have the same addresses."""
    ranges = several(kdamond, workloads)

    def found() -> bool:
        targets = by_target(kdamond.snapshot())
        assert len(targets) == len(ranges)
        for regions, its in zip(targets, ranges):
            check(regions, its)
        assert not any(region.nr_accesses for region in targets[2])
        return all(min(score(regions, workload.hot, THRESHOLD)) >= 0.9 for regions, workload in zip(targets[:2], workloads))

    wait_until(found, "each is found hot where it is, and only there", every=AGGREGATION)


def test_new_ranges_of_one_target(kdamond: Kdamond, workloads: list[Workload]) -> None:
    """They are nothing to the others."""
    ranges = several(kdamond, workloads)
    _, end = workloads[0].area
    wait_until(lambda: kdamond.oldest() >= 5, "regions get old", every=AGGREGATION)
    ages = [max(region.age for region in regions) for regions in by_target(kdamond.snapshot())[:2]]
    ranges[2] = [(end - 8 * MIB, end)]
    for index, its in enumerate(ranges):
        kdamond.set_init_regions(its if index == 2 else [], index)
    kdamond.commit()
    targets = by_target(kdamond.snapshot())
    for regions, its in zip(targets, ranges):
        check(regions, its)
    assert all(max(region.age for region in regions) >= age for regions, age in zip(targets, ages))

    def seen() -> bool:
        return max(region.nr_accesses for region in by_target(kdamond.snapshot())[2]) >= THRESHOLD

    wait_until(seen, "the last one is hot there", every=AGGREGATION)


def test_goes_on_with_the_targets_that_are_left(kdamond: Kdamond, workloads: list[Workload]) -> None:
    area = workloads[0].area
    monitor(kdamond, {workload: [area] for workload in workloads})
    for left in (2, 1):
        workloads[left].kill()
        advance(3 * AGGREGATION)
        assert kdamond.running and kdamond.snapshot()
    workloads[0].kill()
    wait_until(lambda: not kdamond.running, "the kdamond ends with its last target")

# SPDX-License-Identifier: GPL-2.0
"""Targets that share memory: what is accessed all the time is found so in each of them."""

from __future__ import annotations

import pytest

from damon_tree import AGGREGATION, Kdamond
from guest_time import advance
from hot_area import SAMPLES
from regions import by_target
from sharer import sharer

KINDS = (
    "process", "thread", "vm", "vfork", "process+thp", "vm+thp", "hugetlb",
    # In the in-tree DAMON a process without its main thread has no memory.
    pytest.param("leader", marks=pytest.mark.ours),
    # This is accessed by write() alone, which shows in the idle flag of a page only.
    pytest.param("written", marks=pytest.mark.idle_flag),
)  # fmt: skip


def expect_all_hot(kdamond: Kdamond, nr_targets: int) -> None:
    """All samples of an aggregation find an access but one: a sampling interval may fall between two rounds of the workload."""
    kdamond.add_stat_schemes()
    kdamond.on()
    advance(2 * AGGREGATION)
    for _ in range(5):
        advance(AGGREGATION)
        rates = [[region.nr_accesses for region in regions] for regions in by_target(kdamond.snapshot())]
        print(f"of {SAMPLES} samples: {rates}")
        assert len(rates) == nr_targets
        assert min(map(min, rates)) >= SAMPLES - 1


@pytest.mark.parametrize("kind", KINDS)
def test_targets_of_one_memory(kdamond: Kdamond, kind: str) -> None:
    with sharer(kind) as shared:
        kdamond.set(ops="fvaddr", min_regions=3)
        kdamond.add_targets(*shared.pids)
        for index in range(2):
            kdamond.set_init_regions([(shared.start, shared.end)], index)
        expect_all_hot(kdamond, 2)


@pytest.mark.ours
def test_several_of_each(kdamond: Kdamond) -> None:
    """Targets of two memories in turn, so that those of one do not follow each other."""
    with sharer("vm") as one, sharer("thread+thp") as other:
        kdamond.set(ops="fvaddr", min_regions=3)
        kdamond.add_targets(one.pids[0], other.pids[0], one.pids[1], other.pids[1])
        for index, its in enumerate((one, other, one, other)):
            kdamond.set_init_regions([(its.start, its.end)], index)
        kdamond.add_stat_schemes()
        kdamond.on()
        advance(3 * AGGREGATION)
        rates = [region.nr_accesses for region in kdamond.snapshot()]
        assert len(rates) >= 4 and min(rates) >= SAMPLES - 1, f"of {SAMPLES} samples: {rates}"

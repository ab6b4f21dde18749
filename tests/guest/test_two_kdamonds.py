# SPDX-License-Identifier: GPL-2.0
"""Two kdamonds that monitor the same memory: each finds what is accessed, and does not find what is idle."""

from __future__ import annotations

from itertools import product

import pytest

from damon_tree import AGGREGATION, Damon, Kdamond
from guest_time import advance
from hot_area import SAMPLES
from mapper import PAGE, Mapper, frame_numbers, mapper, rates
from scheme_filters import ALLOW, filters

# In the in-tree DAMON each takes samples from the other one.
pytestmark = pytest.mark.ours

Ranges = list[tuple[int, int]]


def monitored(process: Mapper, ops: str) -> Ranges:
    """One hot page and a cold one that is not its neighbour, as the operations address them."""
    hot = process.hot[0]
    cold = next(page for page in process.cold if abs(page - hot) > process.size)
    starts = [hot, cold] if ops == "fvaddr" else [number * PAGE for number in frame_numbers(process.pid, [hot, cold])]
    return [(start, start + process.size) for start in starts]


def monitor(kdamond: Kdamond, process: Mapper, ops: str) -> Ranges:
    ranges = monitored(process, ops)
    kdamond.write("contexts/nr_contexts", 1)
    kdamond.set(ops=ops, min_regions=3)
    if ops == "fvaddr":
        kdamond.add_targets(process.pid)
    else:
        kdamond.context.write("targets/nr_targets", 1)
    kdamond.set_init_regions(sorted(ranges))
    kdamond.add_stat_schemes()
    kdamond.on()
    return ranges


@pytest.mark.parametrize(
    ("both", "kind"),
    [
        *product(("fvaddr fvaddr", "fvaddr paddr", "paddr paddr"), ("anon", "thp")),
        ("paddr paddr", "split"),
        ("paddr paddr", "forked"),
        # This is accessed by write() alone, which shows in the idle flag of a page only, and is not mapped.
        pytest.param("paddr paddr", "written", marks=pytest.mark.idle_flag),
    ],
)
def test_same_memory(damon: Damon, both: str, kind: str) -> None:
    """All samples of an aggregation find an access but one: a sampling interval may fall between two rounds of the process."""
    with mapper(kind) as process:
        kdamonds = damon.kdamonds(2)
        ranges = []
        for kdamond, ops in zip(kdamonds, both.split()):
            ranges.append(monitor(kdamond, process, ops))
            # Their passes do not come at the same time.
            advance(0.0021)
        process.command("hot")
        advance(3 * AGGREGATION)
        for _ in range(3):
            advance(AGGREGATION)
            (hot, cold), (other_hot, other_cold) = (rates(its.snapshot(), where) for its, where in zip(kdamonds, ranges))
            print(f"of {SAMPLES} samples: hot {hot} and {other_hot}, cold {cold} and {other_cold}")
            assert min(hot, other_hot) >= SAMPLES - 1
            assert max(cold, other_cold) == 0
        process.command("idle")
        advance(3 * AGGREGATION)
        for kdamond, where in zip(kdamonds, ranges):
            assert max(rates(kdamond.snapshot(), where)) == 0


def test_accesses_of_another_process(damon: Damon) -> None:
    """Beside a kdamond of physical memory, one of a process finds the accesses of this process only, as when it is alone."""
    with mapper("forked") as process:
        of_process, of_memory = damon.kdamonds(2)
        pages = monitor(of_process, process, "fvaddr")
        frames = monitor(of_memory, process, "paddr")
        process.command("hot")
        advance(4 * AGGREGATION)
        assert rates(of_memory.snapshot(), frames)[0] >= SAMPLES - 1
        assert rates(of_process.snapshot(), pages) == [0, 0]


def test_filter_of_another_kdamond(damon: Damon) -> None:
    """A filter of young pages clears the accesses to all pages of a region. Another kdamond finds them nevertheless."""
    with mapper("anon") as process:
        monitoring, filtering = damon.kdamonds(2)
        pages = monitor(monitoring, process, "fvaddr")
        filtering.write("contexts/nr_contexts", 1)
        filtering.set(ops="fvaddr", min_regions=3, sample_us=1000, aggr_us=20_000)
        filtering.add_targets(process.pid)
        filtering.set_init_regions([(min(process.hot), max(process.hot) + PAGE)])
        filtering.add_stat_schemes()
        (scheme,) = filtering.schemes
        scheme.write("apply_interval_us", 1000)
        filters(scheme, {"type": "young", **ALLOW})
        filtering.on()
        process.command("hot")
        advance(4 * AGGREGATION)
        assert filtering.stats()["sz_ops_filter_passed"] > 100 * PAGE
        assert rates(monitoring.snapshot(), pages)[0] >= SAMPLES - 1

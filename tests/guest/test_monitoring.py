# SPDX-License-Identifier: GPL-2.0
"""DAMON finds what a process accesses, compared with a process whose accesses are known."""

import pytest

from damon_tree import AGGREGATION, Kdamond
from guest_time import advance, wait_until
from hot_area import SAMPLES, THRESHOLD, good, typical
from workload import MIB, Workload, score


def monitor(kdamond: Kdamond, workload: Workload, **attrs: int) -> None:
    kdamond.add_targets(workload.pid)
    kdamond.add_stat_schemes()
    kdamond.set(**attrs)
    kdamond.on()


def test_hot_area(kdamond: Kdamond) -> None:
    """16 MiB hot of 256 MiB, default attributes: precision and recall of at least 0.95, in most snapshots from some time on."""
    with Workload("--size", "256M", "--hot", "16M") as workload:
        monitor(kdamond, workload)
        wait_until(lambda: min(typical(kdamond, workload.hot)) >= 0.95, "the hot area is found")


def test_hot_area_moves(kdamond: Kdamond, workload: Workload) -> None:
    monitor(kdamond, workload)
    for offset in (0, 110 * MIB, 50 * MIB):
        workload.move_hot(offset)
        wait_until(lambda: typical(kdamond, workload.hot).recall >= 0.9, f"the hot area is found at {offset >> 20} MiB")
        wait_until(lambda: good(kdamond, workload.hot), "nothing else is", every=AGGREGATION)


def test_huge_pages(kdamond: Kdamond) -> None:
    """A hot area of transparent huge pages."""
    with Workload("--thp", "hot", "--phase", "64M:100000000", "--size", "128M", "--hot", "16M") as workload:
        start, end = workload.hot
        smaps = open(f"/proc/{workload.pid}/smaps").read().split("\n")
        huge = sum(int(line.split()[1]) for line in smaps if line.startswith("AnonHugePages:"))
        if huge * 1024 < (end - start) / 2:
            pytest.skip(f"the kernel gave only {huge} kB of huge pages")
        monitor(kdamond, workload)
        wait_until(lambda: min(typical(kdamond, workload.hot)) >= 0.9, "the hot area is found")


def test_all_huge_pages(kdamond: Kdamond) -> None:
    with Workload("--thp", "all", "--size", "128M", "--hot", "16M") as workload:
        monitor(kdamond, workload)
        wait_until(lambda: good(kdamond, workload.hot), "the hot area is found", every=AGGREGATION)


def test_writes_count_as_reads_do(kdamond: Kdamond) -> None:
    with Workload("--write", "--size", "128M") as workload:
        monitor(kdamond, workload)
        wait_until(lambda: good(kdamond, workload.hot), "the hot area is found", every=AGGREGATION)


def test_idle_process(kdamond: Kdamond, workload: Workload) -> None:
    """Nothing is accessed but the few pages that the process runs on."""
    workload.idle()
    monitor(kdamond, workload)
    wait_until(lambda: kdamond.oldest() >= 30, "regions get old", every=AGGREGATION)
    for _ in range(5):
        advance(AGGREGATION)
        accessed = [region for region in kdamond.snapshot() if region.nr_accesses]
        inside = [region for region in accessed if region.start < workload.area[1] and region.end > workload.area[0]]
        # the mapping below the stack is adjacent to the area: a region may reach from the one into the other
        assert sum(region.size for region in inside) <= 4 * MIB, inside


def test_unmapped_memory(kdamond: Kdamond) -> None:
    """Memory that was never touched is cold, and looking at it does not make it resident."""
    with Workload("--no-populate", "--hot", "4M") as workload:
        monitor(kdamond, workload, sample_us=1000, aggr_us=20000, min_regions=200)
        wait_until(lambda: kdamond.nr_snapshots() >= 100, "a hundred aggregations are over", every=0.5)
        status = open(f"/proc/{workload.pid}/status").read()
        rss = next(int(line.split()[1]) for line in status.split("\n") if line.startswith("VmRSS:"))
        assert rss < 8 * 1024, f"{rss} kB"


def test_rates(kdamond: Kdamond, workload: Workload) -> None:
    """No region has more accesses than there are samples, and some region was accessed in all of them."""
    monitor(kdamond, workload)

    def some_is_hot() -> bool:
        rates = [region.nr_accesses for region in kdamond.snapshot()]
        assert max(rates) <= SAMPLES
        return max(rates) == SAMPLES

    wait_until(some_is_hot, "a region was accessed in each sample", every=AGGREGATION)


def test_ages(kdamond: Kdamond, workload: Workload) -> None:
    """Ages of what stays as it is go up; what changes starts again."""
    monitor(kdamond, workload)
    wait_until(lambda: kdamond.oldest() >= 15, "the cold regions get old", every=AGGREGATION)
    workload.move_hot(0)
    # What was found by the last call is looked at, which is one picture.
    wait_until(lambda: good(kdamond, workload.hot), "the hot area is found again", every=AGGREGATION)
    regions = kdamond.tried_regions()
    hot, cold = ([region.age for region in regions if (region.nr_accesses >= THRESHOLD) == is_hot] for is_hot in (True, False))
    assert max(hot) < max(cold)


def test_two_processes(kdamond: Kdamond, workload: Workload) -> None:
    """Two targets in one context, each with its own hot area."""
    with Workload("--size", "64M", "--hot", "8M", "--cpu", "0") as other:
        kdamond.add_targets(workload.pid, other.pid)
        kdamond.add_stat_schemes()
        kdamond.on()

        def found() -> bool:
            regions = kdamond.snapshot()
            # regions come target by target, each in ascending order
            border = next(i for i in range(1, len(regions)) if regions[i].start < regions[i - 1].start)
            scores = score(regions[:border], workload.hot, THRESHOLD), score(regions[border:], other.hot, THRESHOLD)
            return all(s.precision >= 0.9 and s.recall >= 0.9 for s in scores)

        wait_until(found, "both hot areas are found", every=AGGREGATION)


def test_one_process_in_two_kdamonds(damon, workload: Workload) -> None:
    """They clear each other's accessed bits, and still both find the hot area."""
    kdamonds = damon.kdamonds(2)
    for kdamond in kdamonds:
        kdamond.write("contexts/nr_contexts", 1)
        monitor(kdamond, workload)
    for kdamond in kdamonds:
        wait_until(lambda: good(kdamond, workload.hot), "the hot area is found", every=AGGREGATION)

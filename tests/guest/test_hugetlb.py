# SPDX-License-Identifier: GPL-2.0
"""Mappings of hugetlb, monitored by virtual address."""

from __future__ import annotations

from pathlib import Path

import pytest

from damon_tree import AGGREGATION, Kdamond
from guest_time import wait_until
from hot_area import THRESHOLD
from mapper import HUGE_PAGES, NR_HUGEPAGES, Mapper, frame_numbers, mapper, rates

KPF_HUGE, KPF_IDLE = 17, 25


def flag(number: int, bit: int) -> bool:
    """A flag of a page, as the kernel tells it."""
    with open("/proc/kpageflags", "rb", buffering=0) as file:
        file.seek(number * 8)
        return bool(int.from_bytes(file.read(8), "little") >> bit & 1)


def huge_pages(what: str) -> int:
    """How many there are: HugePages_Total, HugePages_Free."""
    line = next(line for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith(what))
    return int(line.split()[1])


def monitor(kdamond: Kdamond, process: Mapper, ops: str) -> None:
    kdamond.add_targets(process.pid)
    kdamond.set(ops=ops)
    if ops == "fvaddr":
        kdamond.set_init_regions([(min(process.hot), max(process.cold) + process.size)])
    kdamond.add_stat_schemes()
    kdamond.on()


@pytest.mark.slow(400)
@pytest.mark.parametrize("ops", ["vaddr", "fvaddr"])
@pytest.mark.parametrize("kind", ["hugetlb", "hugetlbfs"])
def test_hot_and_cold(kdamond: Kdamond, kind: str, ops: str) -> None:
    with mapper(kind) as process:
        numbers = frame_numbers(process.pid, process.hot + process.cold)
        assert all(flag(number, KPF_HUGE) for number in numbers)
        hot, cold = ([(start, start + process.size) for start in pages] for pages in (process.hot, process.cold))

        def found() -> bool:
            regions = kdamond.snapshot()
            # Regions of any size may reach from the one into the other.
            return min(rates(regions, hot)) >= THRESHOLD and max(rates(regions, cold[1:])) == 0

        monitor(kdamond, process, ops)
        for _ in range(2):
            process.command("hot")
            wait_until(found, "the hot pages are found, and they alone", every=AGGREGATION)
            process.command("idle")
            wait_until(lambda: max(rates(kdamond.snapshot(), hot)) == 0, "the pages get cold", every=AGGREGATION)


@pytest.mark.idle_flag
def test_pages_become_idle(kdamond: Kdamond) -> None:
    """What was looked at and not accessed since is idle for everyone who asks."""
    with mapper("hugetlb") as process:
        (first,) = frame_numbers(process.pid, process.hot[:1])
        assert not flag(first, KPF_IDLE)
        monitor(kdamond, process, "fvaddr")
        wait_until(lambda: flag(first, KPF_IDLE), "the page is marked idle")


def test_mappings_that_come_and_go(kdamond: Kdamond) -> None:
    """Nothing is left of a mapping that ends while it is monitored, not even a page."""
    for _ in range(3):
        with mapper("hugetlbfs") as process:
            monitor(kdamond, process, "fvaddr")
            process.command("hot")
            wait_until(lambda: kdamond.stats()["nr_tried"] > 20, "it monitors")
        wait_until(lambda: not kdamond.running, "the kdamond ends with its target")
    # The last reference to the process's memory may be gone later than the process.
    wait_until(lambda: huge_pages("HugePages_Total") == huge_pages("HugePages_Free"), "no page is in use")
    # Pages that came back while the pool was made smaller have stayed in it as surplus, until it is larger again.
    for pages in (HUGE_PAGES, 0):
        NR_HUGEPAGES.write_text(f"{pages}\n")
    assert huge_pages("HugePages_Total") == 0

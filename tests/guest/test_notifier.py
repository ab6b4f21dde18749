# SPDX-License-Identifier: GPL-2.0
"""Secondary MMUs: what they have accessed counts, though the page table of the process tells nothing.

One is played by tests/modules/notifier: it has always just accessed a range of addresses.
"""

from __future__ import annotations

import contextlib
import subprocess
from pathlib import Path
from typing import Iterator

import pytest

from damon_tree import AGGREGATION, Kdamond
from guest_time import wait_until
from mapper import PAGE, Mapper, mapper, rates

MODULE = Path("/damon-rs/modules/damon_test_notifier.ko")
PARAMETERS = Path("/sys/module/damon_test_notifier/parameters")
THRESHOLD = 15


@contextlib.contextmanager
def secondary_mmu(process: Mapper, start: int, end: int) -> Iterator[None]:
    subprocess.run(["insmod", MODULE, f"pid={process.pid}", f"start={start}", f"end={end}"], check=True)
    try:
        yield
    finally:
        subprocess.run(["rmmod", MODULE.stem], check=True)


def calls() -> dict[str, int]:
    return {name: int((PARAMETERS / name).read_text()) for name in ("clear_young", "test_young", "outside")}


def ranges_of(process: Mapper, ops: str) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Those of the hot pages, and those of the cold ones."""
    if ops == "paddr":
        return process.frames(2)
    hot, cold = ([(start, start + process.size) for start in pages] for pages in (process.hot, process.cold))
    return hot, cold


# The in-tree DAMON does not look at pages of hugetlb by physical address.
@pytest.mark.parametrize(
    ("kind", "ops"),
    [
        pytest.param(kind, ops, marks=[pytest.mark.ours] if (kind, ops) == ("hugetlb", "paddr") else [])
        for kind in ("anon", "shmem", "thp", "hugetlb")
        for ops in ("vaddr", "paddr")
    ],
)
def test_accesses_of_a_secondary_mmu(kdamond: Kdamond, kind: str, ops: str) -> None:
    with mapper(kind) as process:
        accessed, others = ranges_of(process, ops)
        if ops == "paddr":
            kdamond.context.write("targets/nr_targets", 1)
            kdamond.set_init_regions(sorted(accessed + others))
        else:
            kdamond.add_targets(process.pid)
            half = len(process.hot) * process.size
            start = min(process.hot)
            kdamond.set_init_regions([(start, start + half), (start + half, start + 2 * half)])
        kdamond.set(ops="paddr" if ops == "paddr" else "fvaddr")
        kdamond.add_stat_schemes()
        kdamond.on()

        # Regions of any size may reach from the one into the other, for a while.
        border = 0 if ops == "paddr" else len(others) // 4
        accessed = accessed[: len(accessed) - border]
        # The process itself rests all the time.
        wait_until(lambda: max(rates(kdamond.snapshot(), accessed + others)) == 0, "all is cold", every=AGGREGATION)
        with secondary_mmu(process, min(process.hot), max(process.hot) + process.size):

            def found() -> bool:
                regions = kdamond.snapshot()
                return min(rates(regions, accessed)) >= THRESHOLD and max(rates(regions, others[border:])) == 0

            wait_until(found, "what the secondary MMU has accessed is found, and that alone", every=AGGREGATION)
            before = calls()
            wait_until(lambda: all(calls()[name] > before[name] + 20 for name in before), "it is asked, about other addresses too")
        wait_until(lambda: max(rates(kdamond.snapshot(), accessed)) == 0, "all is cold again", every=AGGREGATION)


@pytest.mark.idle_flag
def test_accesses_stay_known_to_reclaim(kdamond: Kdamond) -> None:
    """They are taken from the secondary MMU, and so left in the young flag of the page."""
    with mapper("anon") as process:
        Path(f"/proc/{process.pid}/clear_refs").write_text("1\n")
        kdamond.add_targets(process.pid)
        start = min(process.hot)
        kdamond.set_init_regions([(start, start + PAGE)])
        kdamond.set(ops="fvaddr")
        with secondary_mmu(process, start, start + PAGE):
            kdamond.on()
            wait_until(lambda: calls()["clear_young"] > 5, "it is asked")
        kdamond.off()
        smaps = Path(f"/proc/{process.pid}/smaps").read_text().split(f"{start:x}-", 1)[1]
        referenced = next(line for line in smaps.splitlines() if line.startswith("Referenced:"))
        assert int(referenced.split()[1]) * 1024 == PAGE

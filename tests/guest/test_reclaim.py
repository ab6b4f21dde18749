# SPDX-License-Identifier: GPL-2.0
"""Monitoring must not lose accesses to reclaim: what DAMON has found and cleared still counts when memory is short.

A process accesses a part of its memory, then rests. DAMON clears every accessed bit in that part, so that page tables tell
no difference any more. Then a part of the process's memory is to be reclaimed: what is taken has to be the other part.
"""

from __future__ import annotations

import contextlib
import os
import struct
from pathlib import Path
from typing import Iterator

import pytest

from actions import CGROUPS, lru, swap  # noqa: F401
from damon_tree import Kdamond
from guest_time import wait_until
from mapper import PAGE
from workload import MIB, Workload

IDLE_BITMAP = Path("/sys/kernel/mm/page_idle/bitmap")
SIZE, HOT = 64 * MIB, 16 * MIB
KPF_IDLE = 25
PRESENT, SWAPPED = 63, 62


@contextlib.contextmanager
def in_cgroup(folder: Path) -> Iterator[None]:
    """What is started meanwhile belongs to a new cgroup, and so does its memory."""
    (CGROUPS / "cgroup.subtree_control").write_text("+memory\n")
    folder.mkdir()
    (folder / "cgroup.procs").write_text(f"{os.getpid()}\n")
    try:
        yield
    finally:
        (CGROUPS / "cgroup.procs").write_text(f"{os.getpid()}\n")


@pytest.fixture
def cgroup(lru: None, swap: None) -> Iterator[Path]:
    folder = CGROUPS / "damon-test"
    yield folder
    folder.rmdir()


@pytest.fixture
def resting(cgroup: Path) -> Iterator[Workload]:
    """A process in a cgroup of its own, whose hot part is where reclaim begins. Nothing of it was accessed yet."""
    with contextlib.ExitStack() as stack:
        with in_cgroup(cgroup):
            workload = stack.enter_context(Workload("--size", str(SIZE), "--hot", str(HOT)))
        workload.idle()
        Path(f"/proc/{workload.pid}/clear_refs").write_text("1\n")
        yield workload
        # Nothing may be charged to the cgroup when it goes.
        workload.kill()


def pages(workload: Workload) -> list[int]:
    """The area's entries of pagemap."""
    first, last = (address // PAGE for address in workload.area)
    with open(f"/proc/{workload.pid}/pagemap", "rb") as file:
        file.seek(first * 8)
        return list(struct.unpack(f"{last - first}Q", file.read((last - first) * 8)))


def frames(workload: Workload) -> list[int]:
    """The numbers of the hot part's pages."""
    return [entry & (1 << 55) - 1 for entry in pages(workload)[: HOT // PAGE] if entry >> PRESENT & 1]


def idle_share(numbers: list[int]) -> float:
    """The share of pages with the idle flag, of one in 16."""
    with open("/proc/kpageflags", "rb", buffering=0) as file:
        idle = 0
        for number in numbers[::16]:
            file.seek(number * 8)
            idle += int.from_bytes(file.read(8), "little") >> KPF_IDLE & 1
    return idle * 16 / len(numbers)


def idle_by_bitmap(numbers: list[int]) -> float:
    """The share of pages that idle page tracking finds idle: which have the flag, and no accessed bit either."""
    with open(IDLE_BITMAP, "rb", buffering=0) as file:
        idle = 0
        for number in numbers[::16]:
            file.seek(number // 64 * 8)
            idle += int.from_bytes(file.read(8), "little") >> number % 64 & 1
    return idle * 16 / len(numbers)


def referenced(workload: Workload) -> int:
    """Bytes of the area that reclaim takes for accessed, as smaps tells it."""
    text = Path(f"/proc/{workload.pid}/smaps").read_text().split(f"{workload.area[0]:x}-", 1)[1]
    return int(next(line for line in text.splitlines() if line.startswith("Referenced:")).split()[1]) * 1024


def pieces(numbers: list[int]) -> list[tuple[int, int]]:
    """Ranges of physical addresses that the pages are in, and not much else."""
    ranges: list[tuple[int, int]] = []
    for number in sorted(numbers):
        start = number * PAGE
        if ranges and start < ranges[-1][1] + MIB:
            ranges[-1] = (ranges[-1][0], start + PAGE)
        else:
            ranges.append((start, start + PAGE))
    return ranges


@pytest.mark.idle_flag
@pytest.mark.slow(300)
@pytest.mark.parametrize("ops", ["fvaddr", "paddr"])
def test_cold_memory_goes_first(kdamond: Kdamond, resting: Workload, cgroup: Path, ops: str) -> None:
    hot = (resting.area[0], resting.area[0] + HOT)
    resting.move_hot(0)
    resting.idle()
    accessed = referenced(resting)
    assert accessed >= HOT

    kdamond.set(ops=ops, sample_us=1000, aggr_us=20000, min_regions=1000, max_regions=3000)
    if ops == "paddr":
        kdamond.context.write("targets/nr_targets", 1)
        kdamond.set_init_regions(pieces(frames(resting)))
    else:
        kdamond.add_targets(resting.pid)
        kdamond.set_init_regions([hot])
    kdamond.on()
    wait_until(lambda: idle_share(frames(resting)) > 0.98, "every page of the hot part was looked at", every=0.2)
    kdamond.off()
    assert referenced(resting) >= accessed - MIB
    if IDLE_BITMAP.exists():
        # This takes accessed bits away too, and leaves none to tell that DAMON would have missed one.
        assert idle_by_bitmap(frames(resting)) > 0.9

    # Once, and no more than that: a limit would have the process reclaim as well, until only its hot part is left.
    with contextlib.suppress(BlockingIOError):
        (cgroup / "memory.reclaim").write_text(f"{24 * MIB}\n")
    swapped = [entry >> SWAPPED & 1 for entry in pages(resting)]
    lost, taken = sum(swapped[: HOT // PAGE]) * PAGE, sum(swapped[HOT // PAGE :]) * PAGE
    assert taken > 16 * MIB, f"{taken} bytes reclaimed"
    assert lost < HOT / 8, f"{lost} bytes of the hot part reclaimed, {taken} of the rest"

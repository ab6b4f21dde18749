# SPDX-License-Identifier: GPL-2.0
"""The physical address space: every kind of memory is seen accessed when it is, and not when it is not."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import mmap
import os
import signal
import struct
from contextlib import suppress
from pathlib import Path
from typing import Iterator

import pytest

from damon_tree import AGGREGATION, SAMPLE, ULONG_MAX, Kdamond
from guest_time import advance, wait_until
from hot_area import THRESHOLD
from iomem import memory
from mapper import PAGE, Mapper, frame_numbers, mapper, put_on_lists, rates
from probes import ANON, NOT_ANON, seen, set_probes
from trace_events import Probe
from workload import MIB

# Those of hugetlb are on no list of reclaim's, and so the in-tree DAMON does not look at them. What is accessed by write() alone shows
# in the idle flag only.
KINDS = {
    "anon": [], "file": [], "shmem": [], "written": [pytest.mark.idle_flag], "ksm": [], "forked": [], "thp": [], "split": [],
    "hugetlb": [pytest.mark.ours], "hugetlbfs": [pytest.mark.ours],
}  # fmt: skip


def monitor(kdamond: Kdamond, ranges: list[tuple[int, int]], **attrs: object) -> None:
    kdamond.set(ops="paddr", **attrs)
    kdamond.context.write("targets/nr_targets", 1)
    kdamond.set_init_regions(ranges)
    kdamond.add_stat_schemes()
    kdamond.on()


def finds(kdamond: Kdamond, hot: list[tuple[int, int]], cold: list[tuple[int, int]]) -> bool:
    """Whether all the hot ranges are seen hot, and none of the cold ones."""
    regions = kdamond.snapshot()
    found = rates(regions, hot), rates(regions, cold)
    # Of the last time pytest shows what a test that fails has printed.
    print(f"hot {found[0]}, cold {found[1]}")
    return min(found[0]) >= THRESHOLD and max(found[1]) == 0


def expect(kdamond: Kdamond, process: Mapper, hot: list[tuple[int, int]], cold: list[tuple[int, int]]) -> None:
    """What the process begins and stops to access is seen."""
    for _ in range(2):
        process.command("hot")
        wait_until(lambda: finds(kdamond, hot, cold), "the hot pages are found, and they alone", every=AGGREGATION)
        process.command("idle")
        wait_until(lambda: max(rates(kdamond.snapshot(), hot)) == 0, "the pages get cold", every=AGGREGATION)


@pytest.mark.slow(400)
@pytest.mark.parametrize("kind", [pytest.param(kind, marks=marks) for kind, marks in KINDS.items()])
def test_kinds_of_memory(kdamond: Kdamond, kind: str) -> None:
    with mapper(kind) as process:
        most = 6 if process.size == PAGE else 2
        hot, cold = process.frames(most)
        monitor(kdamond, sorted(hot + cold))
        expect(kdamond, process, hot, cold)


@contextlib.contextmanager
def shared(processes: int, pages: int) -> Iterator[list[int]]:
    """The numbers of pages that so many processes map, each of which has accessed each page once, and does not again."""
    memory = mmap.mmap(-1, pages * PAGE)
    children = []
    for _ in range(processes):
        told, tell = os.pipe()
        child = os.fork()
        if not child:
            for page in range(pages):
                memory[page * PAGE] = 1
            os.write(tell, b"x")
            signal.pause()
        children.append(child)
        assert os.read(told, 1) == b"x"
        os.close(told)
        os.close(tell)
    try:
        # Here they are mapped as well, by the look at their addresses.
        start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
        yield frame_numbers(children[0], [start + page * PAGE for page in range(pages)])
    finally:
        for child in children:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


def test_all_mappings_are_prepared(kdamond: Kdamond) -> None:
    """An access of long ago is not seen, whichever of the processes made it."""
    with shared(8, 32) as numbers:
        put_on_lists()
        monitor(kdamond, [(number * PAGE, (number + 1) * PAGE) for number in sorted(numbers)[::2]])
        wait_until(lambda: kdamond.nr_snapshots() > 0, "one aggregation is over")
        assert max(region.nr_accesses for region in kdamond.snapshot()) == 0


@pytest.mark.slow(400)
@pytest.mark.parametrize("unit", [2, 4096, 8192, 1 << 21])
def test_addr_unit(kdamond: Kdamond, unit: int) -> None:
    """Addresses are counted in units; a region is no smaller than a unit, and no smaller than a page."""
    with mapper("thp") as process:
        hot, cold = ([(start // unit, end // unit) for start, end in ranges] for ranges in process.frames(2))
        kdamond.context.write("addr_unit", unit)
        monitor(kdamond, sorted(hot + cold))
        expect(kdamond, process, hot, cold)
        assert min(region.size for region in kdamond.snapshot()) >= max(PAGE // unit, 1)


@pytest.mark.slow(400)
def test_addr_unit_by_commit(kdamond: Kdamond) -> None:
    with mapper("thp") as process:
        hot, cold = process.frames(2)
        monitor(kdamond, sorted(hot + cold))
        process.command("hot")
        wait_until(lambda: finds(kdamond, hot, cold), "the hot pages are found", every=AGGREGATION)
        hot, cold = ([(start // PAGE, end // PAGE) for start, end in ranges] for ranges in (hot, cold))
        kdamond.context.write("addr_unit", PAGE)
        kdamond.set_init_regions(sorted(hot + cold))
        kdamond.commit()
        regions = kdamond.snapshot()
        assert (regions[0].start, regions[-1].end) == (min(hot + cold)[0], max(hot + cold)[1])
        wait_until(lambda: finds(kdamond, hot, cold), "the hot pages are found", every=AGGREGATION)


def test_units_that_make_no_region_size(kdamond: Kdamond) -> None:
    """The whole units in a page must be a power of two, or none."""
    ranges = [(0, 1 << 20)]
    for unit in (3, 100, 1365):
        kdamond.context.write("addr_unit", unit)
        with pytest.raises(OSError) as refused:
            monitor(kdamond, ranges)
        assert refused.value.errno == errno.EINVAL
        assert not kdamond.running
    kdamond.context.write("addr_unit", 4095)
    kdamond.on()
    for unit in (3, 100, 1365):
        kdamond.context.write("addr_unit", unit)
        with pytest.raises(OSError) as refused:
            kdamond.commit()
        assert refused.value.errno == errno.EINVAL
    assert kdamond.running and kdamond.count_regions() >= 1


def test_no_address_is_too_high(kdamond: Kdamond) -> None:
    """The highest addresses there are, and the largest unit: nothing is there to be accessed."""
    monitor(kdamond, [(1 << 51, 1 << 52), (1 << 62, ULONG_MAX - PAGE + 1)], min_regions=20)
    wait_until(lambda: kdamond.stats()["nr_tried"] > 100, "it monitors")
    assert not any(region.nr_accesses for region in kdamond.snapshot())
    kdamond.context.write("addr_unit", ULONG_MAX)
    kdamond.commit()
    tried = kdamond.stats()["nr_tried"]
    wait_until(lambda: kdamond.stats()["nr_tried"] > tried + 100, "it monitors")
    assert not any(region.nr_accesses for region in kdamond.snapshot()[1:])


@pytest.mark.slow(400)
def test_all_memory(kdamond: Kdamond) -> None:
    """All of the machine's memory, area by area; then from its beginning to its end, with the holes, at once."""
    areas = memory()
    assert len(areas) >= 2
    with mapper("thp") as process:

        def something_is_hot() -> bool:
            return any(region.nr_accesses >= THRESHOLD for region in kdamond.snapshot())

        process.command("hot")
        monitor(kdamond, areas, sample_us=1000, aggr_us=20000, min_regions=500, max_regions=2000)
        wait_until(something_is_hot, "something hot is found", every=AGGREGATION)
        regions = kdamond.tried_regions()
        assert all(any(start < r.end and r.start < end for start, end in areas) for r in regions)
        kdamond.set_init_regions([(0, areas[-1][1])])
        kdamond.commit()
        wait_until(something_is_hot, "something hot is found", every=AGGREGATION)
        regions = kdamond.tried_regions()
        assert (regions[0].start, regions[-1].end) == (0, areas[-1][1])
        holes = [(before[1], after[0]) for before, after in zip(areas, areas[1:])]
        assert not any(r.nr_accesses for r in regions if any(start <= r.start and r.end <= end for start, end in holes))


KPF_BUDDY = 10
LARGEST_FREE = 1 << 22


def is_free(start: int) -> bool:
    """Whether a free block of the largest size begins at an address."""
    with open("/proc/kpageflags", "rb", buffering=0) as file:
        file.seek(start // PAGE * 8)
        flags = file.read(LARGEST_FREE // PAGE * 8)
    return all(word >> KPF_BUDDY & 1 for (word,) in struct.iter_unpack("Q", flags))


def free_memory() -> list[tuple[int, int]]:
    """Some large blocks that are free now, from the highest on."""
    first, last = memory()[-1]
    blocks = range(last // LARGEST_FREE * LARGEST_FREE - LARGEST_FREE, first, -LARGEST_FREE)
    found = [(start, start + LARGEST_FREE) for start in blocks if is_free(start)]
    return sorted(found[: len(found) // 2][:16])


def test_other_memory_is_passed_by(kdamond: Kdamond) -> None:
    """Free pages and the kernel's own are told by their flags: nobody goes and looks for what maps them."""
    attrs = {"sample_us": 1000, "aggr_us": 20000, "min_regions": 100, "max_regions": 200}
    kernel = [(start // PAGE * PAGE, end // PAGE * PAGE) for start, end in memory("Kernel code", "Kernel rodata", "Kernel data")]
    assert kernel
    # The second is called where the lock of the reverse mapping is held already.
    with Probe("rmap_walk") as walks, Probe("rmap_walk_locked") as locked_walks:
        for attempt in range(5):
            free = free_memory()
            assert free, "no large block of memory is free"
            if attempt:
                kdamond.set_init_regions(sorted(kernel + free))
                kdamond.commit()
            else:
                monitor(kdamond, sorted(kernel + free), **attrs)
            walks.clear()
            locked_walks.clear()
            tried = kdamond.stats()["nr_tried"]
            wait_until(lambda: kdamond.stats()["nr_tried"] > tried + 2000, "it monitors")
            walked = walks.count(kdamond.pid) + locked_walks.count(kdamond.pid)
            # What was taken meanwhile may be anything.
            if all(is_free(start) for start, _ in free):
                break
        else:
            pytest.skip("no memory stays free")
        assert walked == 0
        assert not any(region.nr_accesses for region in kdamond.snapshot())
        with mapper("anon") as process:
            kdamond.set_init_regions(process.frames(6)[0])
            kdamond.commit()
            locked_walks.clear()
            wait_until(lambda: locked_walks.count(kdamond.pid) > 20, "what maps the pages of a process is looked for")


@pytest.mark.parametrize("kind", ["anon", "thp", "shmem"])
def test_probes(kdamond: Kdamond, kind: str) -> None:
    """Attributes of pages: those of a process are anonymous, those of a file are not, and the kernel's have none."""
    kernel = [(start // PAGE * PAGE, end // PAGE * PAGE) for start, end in memory("Kernel code")]
    with mapper(kind) as process:
        frames = process.frames(4)[0]
        set_probes(kdamond, [ANON], [NOT_ANON])
        monitor(kdamond, sorted(kernel + frames))
        expected = (0, 20) if kind == "shmem" else (20, 0)

        def found() -> bool:
            its = seen(kdamond)
            inside = {tuple(hits) for region, hits in its if any(start <= region.start and region.end <= end for start, end in frames)}
            others = {tuple(hits) for region, hits in its if any(start <= region.start and region.end <= end for start, end in kernel)}
            return (inside, others) == ({expected}, {(0, 20)})

        wait_until(found, "each sample is a hit of the one probe", every=AGGREGATION)


def test_one_target(kdamond: Kdamond) -> None:
    """There is one physical memory."""
    kdamond.set(ops="paddr")
    kdamond.context.write("targets/nr_targets", 2)
    with pytest.raises(OSError) as refused:
        kdamond.on()
    assert refused.value.errno == errno.EINVAL


def test_goes_on_without_targets(kdamond: Kdamond) -> None:
    """Memory does not end as processes do."""
    monitor(kdamond, memory()[-1:])
    kdamond.context.write("targets/nr_targets", 0)
    kdamond.state("commit")
    advance(100 * SAMPLE)
    assert kdamond.running
    kdamond.context.write("targets/nr_targets", 1)
    kdamond.set_init_regions(memory()[-1:])
    kdamond.state("commit")
    wait_until(kdamond.snapshot, "there are regions again")


BLOCKS = Path("/sys/devices/system/memory")


def offline_one_of(numbers: list[int]) -> int | None:
    """Takes the first block of memory offline that the kernel itself has nothing in, and out of the list with those before it."""
    while numbers:
        number = numbers.pop(0)
        with suppress(OSError):
            (BLOCKS / f"memory{number}/state").write_text("offline\n")
            return number
    return None


def numbers_of_blocks() -> list[int]:
    return sorted((int(path.name[6:]) for path in BLOCKS.glob("memory[0-9]*")), reverse=True)


@pytest.mark.slow(400)
@pytest.mark.chatty  # It says which pages it cannot move.
def test_memory_that_goes_offline(kdamond: Kdamond) -> None:
    """Blocks of memory leave and come back while their pages are sampled. What is in them then is monitored as before."""
    size = int((BLOCKS / "block_size_bytes").read_text(), 16)
    areas = memory()
    monitor(kdamond, areas, sample_us=1000, aggr_us=20000, min_regions=1000, max_regions=2000)
    numbers = numbers_of_blocks()
    moved = []
    while len(moved) < 3 and (number := offline_one_of(numbers)) is not None:
        tried = kdamond.stats()["nr_tried"]
        wait_until(lambda: kdamond.stats()["nr_tried"] > tried + 2000, "it monitors")
        inside = [r for r in kdamond.snapshot() if number * size <= r.start and r.end <= (number + 1) * size]
        # What a process wants is taken from memory of this kind first.
        (BLOCKS / f"memory{number}/state").write_text("online_movable\n")
        assert inside and not any(region.nr_accesses for region in inside)
        moved.append(number)
    assert moved, "no block of memory can be taken offline"
    assert kdamond.running
    with mapper("anon") as process:
        hot, cold = process.frames(6)
        assert any(number * size <= start < (number + 1) * size for start, _ in hot for number in moved)
        kdamond.set_init_regions(sorted(hot + cold))
        kdamond.commit()
        process.command("hot")
        wait_until(lambda: finds(kdamond, hot, cold), "the hot pages are found, and they alone", every=AGGREGATION)
    assert kdamond.running


def test_pages_that_come_and_go(kdamond: Kdamond) -> None:
    """Processes that begin and end, files that are truncated, huge pages that are split, all while they are sampled."""
    monitor(kdamond, memory(), sample_us=100, aggr_us=20000, min_regions=1000, max_regions=2000)
    for _ in range(3):
        tried = kdamond.stats()["nr_tried"]
        for kind in ("forked", "split", "shmem", "file"):
            with mapper(kind) as process:
                process.command("hot")
        file = Path("/dev/shm/file")
        for length in (8 * MIB, PAGE, 0):
            file.write_bytes(b"x" * length)
        file.unlink()
        assert kdamond.stats()["nr_tried"] > tried, "it went on meanwhile"
    assert kdamond.running

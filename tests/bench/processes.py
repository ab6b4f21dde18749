# SPDX-License-Identifier: GPL-2.0
"""Memory to be monitored: what there is, and processes that have some of a kind."""

from __future__ import annotations

import mmap
import os
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from workload import MIB

MAP_NORESERVE, MAP_HUGETLB = 0x4000, 0x40000
MADV_HUGEPAGE, MADV_NOHUGEPAGE, MADV_POPULATE_WRITE = 14, 15, 23
HUGE = 2 * MIB
NR_HUGEPAGES = Path("/proc/sys/vm/nr_hugepages")

Range = tuple[int, int]


def system_ram() -> list[Range]:
    """What physical memory there is, in ascending order."""
    found = []
    for line in Path("/proc/iomem").read_text().splitlines():
        if line.endswith(": System RAM") and not line.startswith(" "):
            start, end = (int(text, 16) for text in line.split()[0].split("-"))
            found.append((start, end + 1))
    return found


@dataclass(frozen=True)
class Process:
    pid: int
    area: Range


def address(area: mmap.mmap) -> int:
    """Where a mapping is."""
    # The only buffer that tells its address without a library of C's.
    import ctypes

    return ctypes.addressof(ctypes.c_char.from_buffer(area))


def map_memory(kind: str, size: int, file: int) -> tuple[mmap.mmap, Range]:
    """Maps memory, all of it present but that of "reserved". Huge pages begin at multiples of their size."""
    extra = HUGE if kind == "thp" else 0
    flags = mmap.MAP_SHARED if file >= 0 else mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
    flags |= {"hugetlb": MAP_HUGETLB, "reserved": MAP_NORESERVE}.get(kind, 0)
    area = mmap.mmap(file, size + extra, flags)
    start = address(area)
    aligned = (start + HUGE - 1) // HUGE * HUGE if extra else start
    if kind != "hugetlb":
        area.madvise(MADV_HUGEPAGE if kind == "thp" else MADV_NOHUGEPAGE)
    if kind != "reserved":
        area.madvise(MADV_POPULATE_WRITE, aligned - start, size)
    return area, (aligned, aligned + size)


@contextmanager
def processes(kind: str, size: int, count: int = 1) -> Iterator[list[Process]]:
    """`count` processes that have `size` bytes each: "anon", "thp", "hugetlb", "reserved" (mapped, and not populated), or all of them
    the same "file" (of tmpfs, as shared memory is). They sleep."""
    children: list[Process] = []
    before = NR_HUGEPAGES.read_text()
    with tempfile.TemporaryFile(dir="/dev/shm") as shared:
        if kind == "hugetlb":
            NR_HUGEPAGES.write_text(f"{count * size // HUGE}\n")
        if kind == "file":
            shared.truncate(size)
        try:
            for _ in range(count):
                reader, writer = os.pipe()
                pid = os.fork()
                if not pid:
                    try:
                        _, area = map_memory(kind, size, shared.fileno() if kind == "file" else -1)
                        os.write(writer, f"{area[0]} {area[1]}".encode())
                        signal.pause()
                    finally:
                        os._exit(1)
                os.close(writer)
                text = os.read(reader, 100).split()
                os.close(reader)
                children.append(Process(pid, (int(text[0]), int(text[1])) if text else (0, 0)))
                if not text:
                    raise MemoryError(f"{size >> 20} MiB of {kind} are not to be had")
            yield children
        finally:
            for child in children:
                os.kill(child.pid, signal.SIGKILL)
                os.waitpid(child.pid, 0)
            NR_HUGEPAGES.write_text(before)

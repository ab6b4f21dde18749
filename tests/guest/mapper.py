# SPDX-License-Identifier: GPL-2.0
"""Runs mapper.c, and knows where in physical memory its pages are."""

from __future__ import annotations

import contextlib
import json
import struct
import subprocess
from itertools import chain, combinations, product
from pathlib import Path
from typing import Iterator

from damon_tree import Region
from guest_time import wait_until

PROGRAM = Path(__file__).with_name("mapper")
PAGE = 4096

KSM = Path("/sys/kernel/mm/ksm")
DROP_CACHES = Path("/proc/sys/vm/drop_caches")
NR_HUGEPAGES = Path("/proc/sys/vm/nr_hugepages")
# What the kinds of hugetlb map, and as much again.
HUGE_PAGES = 16

Ranges = list[tuple[int, int]]


def frame_numbers(pid: int, addresses: list[int]) -> list[int]:
    """The numbers of the pages that are mapped at addresses."""
    numbers = []
    with open(f"/proc/{pid}/pagemap", "rb", buffering=0) as file:
        for address in addresses:
            file.seek(address // PAGE * 8)
            (entry,) = struct.unpack("Q", file.read(8))
            assert entry >> 63, f"nothing is mapped at {address:#x}"
            numbers.append(entry & (1 << 55) - 1)
    return numbers


class Mapper:
    """A running mapper. A context manager that kills it."""

    def __init__(self, kind: str, file: Path | None = None) -> None:
        command = [str(PROGRAM), kind, *([str(file)] if file else [])]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout
        ready = json.loads(self._process.stdout.readline())
        self.pid: int = ready["pid"]
        self.size: int = ready["size"]
        self.hot: list[int] = ready["hot"]
        self.cold: list[int] = ready["cold"]
        self.twin: list[int] = ready["twin"]

    def __enter__(self) -> Mapper:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe:
                pipe.close()

    def command(self, command: str) -> None:
        """'hot' or 'idle'. Returns when the process does so."""
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(command + "\n")
        self._process.stdin.flush()
        assert self._process.stdout.readline() == "done\n"

    def frames(self, most: int) -> tuple[Ranges, Ranges]:
        """Ranges of physical addresses that some of the hot pages have, and some of the cold ones: two of either at least.

        No two of all these touch: while nothing is accessed neighbours become one region, and one of two pages is not split any more.
        """
        hot, cold = (sorted({number * PAGE for number in frame_numbers(self.pid, pages)}) for pages in (self.hot, self.cold))
        assert all(start % self.size == 0 for start in hot + cold), "this is no huge page"
        chosen: dict[bool, list[int]] = {True: [], False: []}
        last = -self.size - 1
        for start in sorted(hot + cold):
            found = chosen[start in hot]
            if len(found) < most and start > last + self.size:
                last = start
                found.append(start)
        if min(map(len, chosen.values())) < 2:
            # The first that there are may be in the way of the others.
            for pairs in product(combinations(hot, 2), combinations(cold, 2)):
                starts = sorted(chain(*pairs))
                if all(start > before + self.size for before, start in zip(starts, starts[1:])):
                    chosen = dict(zip((True, False), map(list, pairs)))
                    break
            else:
                raise AssertionError(f"the pages are in one piece: {hot} {cold}")
        all_hot, all_cold = ([(start, start + self.size) for start in chosen[which]] for which in (True, False))
        return all_hot, all_cold


@contextlib.contextmanager
def mapper(kind: str, on_lists: bool = True) -> Iterator[Mapper]:
    """A mapper of a kind, with what it needs of the system. Without `on_lists` new pages may still wait for reclaim's lists."""
    with contextlib.ExitStack() as stack:
        file = None
        if kind in ("file", "written"):
            # A file system whose files are page cache and nothing else, and not the shmem that tmpfs is.
            folder = Path("/tmp/ramfs")
            folder.mkdir(exist_ok=True)
            subprocess.run(["mount", "-t", "ramfs", "ramfs", folder], check=True)
            stack.callback(subprocess.run, ["umount", folder], check=True)
            file = folder / "file"
        if kind.startswith("hugetlb"):
            NR_HUGEPAGES.write_text(f"{HUGE_PAGES}\n")
            stack.callback(NR_HUGEPAGES.write_text, "0\n")
            assert int(NR_HUGEPAGES.read_text()) == HUGE_PAGES
        process = stack.enter_context(Mapper(kind, file))
        if kind == "ksm":
            stack.callback((KSM / "run").write_text, "2\n")
            merge(process)
        if on_lists:
            put_on_lists()
        yield process


def put_on_lists() -> None:
    """Has the kernel put new pages on reclaim's lists, which each processor does with some at a time."""
    DROP_CACHES.write_text("1\n")


def merge(process: Mapper) -> None:
    """Has KSM merge the pages with their copies."""
    for name, value in (("sleep_millisecs", 1), ("pages_to_scan", 1000), ("run", 1)):
        (KSM / name).write_text(f"{value}\n")

    def merged() -> bool:
        return frame_numbers(process.pid, process.hot) == frame_numbers(process.pid, process.twin)

    wait_until(merged, "KSM has merged the pages")
    # What is merged stays so, and nothing else happens to the pages.
    (KSM / "run").write_text("0\n")


def rates(regions: list[Region], ranges: list[tuple[int, int]]) -> list[int]:
    """The highest rate of any region that reaches into each range."""
    return [max((r.nr_accesses for r in regions if r.start < end and r.end > start), default=-1) for start, end in ranges]

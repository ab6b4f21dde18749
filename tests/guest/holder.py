# SPDX-License-Identifier: GPL-2.0
"""Runs holder.c, and knows what the kernel says of its memory."""

from __future__ import annotations

import json
import struct
import subprocess
from pathlib import Path

PROGRAM = Path(__file__).with_name("holder")
PAGE = 4096
HUGE = 2 << 20
MIB = 1 << 20

# Bits of an entry of /proc/PID/pagemap.
PRESENT, SWAPPED = 63, 62

# Of each value of an entry's highest byte, whether such a bit is set.
HIGHEST = {bit: bytes(value >> bit - 56 & 1 for value in range(256)) for bit in (PRESENT, SWAPPED)}


class Holder:
    """A running holder. A context manager that kills it."""

    def __init__(self, kind: str, size: int, file: Path | None = None) -> None:
        command = [str(PROGRAM), kind, str(size), *([str(file)] if file else [])]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout
        ready = json.loads(self.process.stdout.readline())
        self.pid: int = ready["pid"]
        self.area: tuple[int, int] = tuple(ready["area"])

    def __enter__(self) -> Holder:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe:
                pipe.close()

    def command(self, command: str) -> int:
        """The answer to a command."""
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def part(self, start: int, end: int) -> tuple[int, int]:
        """Addresses of a part of the area, given as offsets."""
        return self.area[0] + start, self.area[0] + end

    def maps(self) -> list[dict[str, str]]:
        """The lines of smaps for each mapping that lies in the area, by their names."""
        found: list[dict[str, str]] = []
        inside = False
        for line in Path(f"/proc/{self.pid}/smaps").read_text().splitlines():
            name, _, value = line.partition(":")
            if "-" in name and " " in name:
                start, end = (int(address, 16) for address in name.split()[0].split("-"))
                inside = start < self.area[1] and end > self.area[0]
                if inside:
                    found.append({})
            elif inside:
                found[-1][name] = value.strip()
        return found

    def bytes(self, name: str) -> int:
        """The sum of a number of smaps, such as Rss, Swap or AnonHugePages, in bytes."""
        return sum(int(fields[name].split()[0]) for fields in self.maps()) * 1024

    def flags(self) -> list[set[str]]:
        """The VmFlags of each mapping."""
        return [set(fields["VmFlags"].split()) for fields in self.maps()]

    def _pagemap(self, area: tuple[int, int] | None) -> bytes:
        start, end = area or self.area
        with open(f"/proc/{self.pid}/pagemap", "rb") as file:
            file.seek(start // PAGE * 8)
            return file.read((end - start) // PAGE * 8)

    def pages(self, area: tuple[int, int] | None = None) -> list[int]:
        """The entries of pagemap."""
        entries = self._pagemap(area)
        return list(struct.unpack(f"{len(entries) // 8}Q", entries))

    def _count(self, bit: int, area: tuple[int, int] | None) -> int:
        """How many entries have one of the highest bits, without a look at each in Python: many tests wait for this number."""
        return self._pagemap(area)[7::8].translate(HIGHEST[bit]).count(1)

    def swapped(self, area: tuple[int, int] | None = None) -> int:
        """Bytes of the area, or of another one, that are swapped out."""
        return self._count(SWAPPED, area) * PAGE

    def present(self, area: tuple[int, int] | None = None) -> int:
        """Bytes of the area, or of another one, that are mapped."""
        return self._count(PRESENT, area) * PAGE

    def frames(self, area: tuple[int, int] | None = None) -> list[int]:
        """The numbers of the mapped pages."""
        return [entry & (1 << 55) - 1 for entry in self.pages(area) if entry >> PRESENT & 1]


def physical(frames: list[int]) -> list[tuple[int, int]]:
    """Ranges of physical addresses that these pages fill exactly, ascending."""
    ranges: list[tuple[int, int]] = []
    for start in sorted(frame * PAGE for frame in frames):
        if ranges and ranges[-1][1] == start:
            ranges[-1] = (ranges[-1][0], start + PAGE)
        else:
            ranges.append((start, start + PAGE))
    return ranges


def memory(holder: Holder, *parts: tuple[int, int]) -> list[tuple[int, int]]:
    """Where the area, or parts of it, are. All of its pages are on reclaim's lists then."""
    drain()
    return physical([frame for part in parts or (holder.area,) for frame in holder.frames(part)])


def drain() -> None:
    """Has all processors put the folios on reclaim's lists that they keep back to do many at once."""
    Path("/proc/sys/vm/drop_caches").write_text("1\n")

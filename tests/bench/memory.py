# SPDX-License-Identifier: GPL-2.0
"""How much memory a DAMON takes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cost
from damon_tree import Damon
from figures import Figure, Goal
from processes import Process, processes
from workload import MIB

NAME = "memory"
TITLE = "Memory"
SETTINGS = "A kdamond that monitors reserved address space, against one that monitors as little as there can be."
NOTES = """\
What the kernel has less of free memory, divided by the number of regions there are more; in the median over several kdamonds."""

BYTES = Figure("bytes per region", "", False, 1, 1, ratio=True)
FIGURES = [BYTES]
PAGE = 4096
FEW = 10


@dataclass(frozen=True)
class Case:
    name: str
    regions: int

    @property
    def goals(self) -> dict[str, Goal]:
        return {BYTES.name: Goal(48.5, of_in_tree=False)}

    def about(self) -> str:
        return f"{self.regions:,} regions."


CASES = [Case(f"{n} regions", n) for n in (100_000, 500_000)]


# ---- in the guest ----


def unsupported(case: Case, damon: Damon) -> str | None:
    return None


def free() -> int:
    Path("/proc/sys/vm/drop_caches").write_text("3\n")
    line = next(line for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemFree"))
    return int(line.split()[1]) * 1024


class Session:
    def __init__(self, case: Case, its: Process) -> None:
        self.case, self.targets = case, {its.pid: [its.area]}

    def left(self, damon: Damon, regions: int) -> tuple[int, float]:
        """Free memory while so many regions are monitored, and how many there are."""
        size = sum(end - start for ranges in self.targets.values() for start, end in ranges)
        # The first sample of all is in the future, or nearly.
        cost.start(damon, self.targets, regions, sample_us=3_600_000_000, most_regions=regions * 11 // 10 + 10)
        time.sleep(1)
        found = free()
        damon.reset()
        return found, min(regions, size // PAGE)

    def measure(self, damon: Damon) -> dict[str, Any]:
        few, many = self.left(damon, FEW), self.left(damon, self.case.regions)
        return {"bytes": few[0] - many[0], "regions": many[1] - few[1]}


@contextmanager
def session(case: Case) -> Iterator[Session]:
    # As many pages as make regions of one size for all.
    with processes("reserved", case.regions * 4 * PAGE // MIB * MIB + MIB) as (process,):
        yield Session(case, process)


# ---- on the host ----


def figures(case: Case, record: dict[str, Any]) -> dict[str, float]:
    return {BYTES.name: record["bytes"] / record["regions"]}


def doubts(case: Case, record: dict[str, Any]) -> str | None:
    return None

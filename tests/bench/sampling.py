# SPDX-License-Identifier: GPL-2.0
"""What it costs to sample: to check one page of each region, and to prepare the next one."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import cost
from damon_tree import Damon, Kdamond
from figures import Goal
from processes import Process, processes, system_ram
from single import Monitored
from workload import MIB

NAME = "sampling"
TITLE = "Cost of sampling"
SETTINGS = "A sampling interval of 5 ms, nothing else due. Regions of the same size, in memory that is there and not accessed."
NOTES = """\
Instructions of the kdamond, by its ``schedstat``, for each region and sample: all that it does from one sleep to the next.
A page is checked and another one prepared. The number of regions is that which a scheme that matches all of them is
tried on."""

FIGURES = [cost.INSTRUCTIONS]
SETTLE = 0.2


@dataclass(frozen=True)
class Case:
    """`count` processes with `size` MiB each of a kind of memory, and a number of regions in all."""

    name: str
    regions: int
    goal: float = 0  # ours / in-tree, at most, where there is one
    kind: str = "anon"
    size: int = 256
    count: int = 1
    ops: str = "fvaddr"

    @property
    def goals(self) -> dict[str, Goal]:
        return {cost.INSTRUCTIONS.name: Goal(self.goal)} if self.goal else {}

    def about(self) -> str:
        what = {
            "anon": "anonymous memory", "thp": "transparent huge pages", "hugetlb": "hugetlb pages", "file": "shared memory",
            "free": "free memory", "reserved": "address space without memory",
        }[self.kind]  # fmt: skip
        size = f"{self.size} MiB" if self.size < 1024 else f"{self.size / 1024:g} GiB"
        if self.ops == "paddr":
            who = "nothing else" if self.kind == "free" else f"{size} of {what} of {self.count} process{'es' if self.count > 1 else ''}"
            return f"{self.regions:,} regions in all memory of the machine, 3 GiB, with {who} in it, paddr."
        who = f" of each of {self.count} processes" if self.count > 1 else ""
        return f"{self.regions:,} regions in {size} of {what}{who}, vaddr."


CASES = [
    *(Case(f"vaddr {n}", n, goal) for n, goal in ((10, 1 / 3), (100, 1 / 6), (1000, 0.1), (4000, 0.1), (20000, 0.1))),
    Case("vaddr 8 GiB", 1000, 0.1, "reserved", 8192),
    Case("vaddr 100 processes", 1000, 0.1, size=4, count=100),
    *(Case(f"thp {n}", n, 1 / 6, "thp") for n in (100, 1000)),
    *(Case(f"hugetlb {n}", n, 1 / 6, "hugetlb") for n in (100, 1000)),
    *(Case(f"paddr free {n}", n, 1 / 3, "free", ops="paddr") for n in (10, 100, 1000, 4000, 20000)),
    *(Case(f"paddr anon {n}", n, 1 / 2, "anon", 2048, ops="paddr") for n in (10, 100, 1000, 4000, 20000)),
    *(Case(f"paddr file {n}", n, 1 / 2, "file", 1024, ops="paddr") for n in (100, 1000, 4000)),
    *(Case(f"paddr shared {n}", n, 1 / 2, "file", 512, count=8, ops="paddr") for n in (100, 1000, 4000)),
]


# ---- in the guest ----


def unsupported(case: Case, damon: Damon) -> str | None:
    return cost.unsupported(case.ops, damon)


class Session(Monitored):
    def __init__(self, case: Case, its: list[Process]) -> None:
        super().__init__(case, its)
        if case.ops == "paddr":
            self.targets = {0: [area for area in system_ram() if area[1] - area[0] >= MIB]}
            self.size = sum(end - start for start, end in self.targets[0])

    def start(self, damon: Damon) -> Kdamond:
        return cost.start(damon, self.targets, self.case.regions, self.case.ops)

    def measure(self, damon: Damon) -> dict[str, Any]:
        kdamond = self.start(damon)
        time.sleep(SETTLE)
        # As many samples as make the sum of a rare thing small.
        used = cost.over_samples(kdamond.pid, min(max(40_000 // self.case.regions, 4), 400), 5000)
        regions = cost.count_regions(kdamond, self.size)
        return {"instructions": used.instructions, "samples": used.sleeps, "regions": regions}


@contextmanager
def session(case: Case) -> Iterator[Session]:
    with processes(case.kind if case.kind != "free" else "reserved", case.size * MIB, case.count) as its:
        yield Session(case, its)


# ---- on the host ----


def figures(case: Case, record: dict[str, Any]) -> dict[str, float]:
    return {cost.INSTRUCTIONS.name: record["instructions"] / record["samples"] / record["regions"]}


def doubts(case: Case, record: dict[str, Any]) -> str | None:
    off = abs(record["regions"] / case.regions - 1)
    return f"{case.name}: {record['regions']:.0f} regions" if off > 0.25 else None

# SPDX-License-Identifier: GPL-2.0
"""What memory is used: by a region, by a running context, by the code."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import cost
from damon_tree import Damon
from figures import Figure, Goal
from processes import processes
from single import Monitored
from single import anywhere as unsupported  # noqa: F401
from workload import MIB

NAME = "memory"
TITLE = "Memory used"
SETTINGS = "A sampling interval of 10 s, in which all regions are made and one sample is prepared. Address space without memory."
NOTES = """\
What the kernel has allocated for itself: slabs that can't be reclaimed, vmalloc areas, the stacks of threads and memory of
each processor, as ``/proc/meminfo`` counts them after all caches were shrunk. For a region: the difference between
contexts with that many regions and contexts with ten, with no room for more, for each region more. Here a region is 48
bytes; the kernel's list of the pages that regions are in takes a tenth of a byte for each region, and 1,000 regions do not fill
whole pages. That is by what the goal is missed.

A running context is what its start allocates, with the thread and its stack. Here that is room for the highest number of
regions that the user allows, up to 65,536, so that no sample needs memory; the in-tree DAMON allocates regions as it makes
them.

Code and data are by the symbols of the running kernel, for both; constants that have none, as strings, are not counted. The in-tree
DAMON's are all symbols between the first and the last that are of mm/damon/, but for its modules (reclaim, lru_sort and
stat). A module that is loaded has tables of symbols, types and stack frames of its own; the in-tree DAMON's are in those
of the kernel and not counted."""

REGION = Figure("bytes per region", "", False, 1, 0.5, ratio=True)
CONTEXT = Figure("a running context", "KiB", False, 1, 1, ratio=True)
CODE = Figure("code and data", "KiB", False, 0, 1, ratio=True)
LOADED = Figure("all that is loaded", "KiB", False, 0, 1, ratio=True)
FIGURES = [REGION, CONTEXT, CODE, LOADED]

SAMPLE_US = 10_000_000
FEW = 10
CACHES = Path("/sys/kernel/slab")
# A part of the in-tree DAMON that is in no module of ours, by the names of its functions and of its data.
THEIRS = re.compile(r"_*(?:\w*_)?(?:damon|damos|kdamond)(?!_(?:reclaim|lru_sort|stat)\b|_(?:reclaim|lru_sort|stat)_)")
# More than any of its symbols, less than to anything else of that name.
GAP = 16384


@dataclass(frozen=True)
class Case:
    """So many contexts at once, that each one counts more than what else the kernel does meanwhile."""

    name: str
    contexts: int = 0
    regions: int = 0
    most: int = 0
    goals: dict[str, Goal] = field(default_factory=dict)

    def about(self) -> str:
        if not self.contexts:
            return "What is loaded before anything is monitored."
        which = f"{self.contexts} contexts of" if self.contexts > 1 else "A context of"
        return f"{which} {self.regions:,} regions, {self.most:,} at the most."


SIZE_GOAL = {REGION.name: Goal(48, of_in_tree=False)}
CASES = [
    *(Case(f"{n} regions", count, n, n, SIZE_GOAL) for n, count in ((1000, 50), (20_000, 10), (100_000, 1), (300_000, 1))),
    Case("as by default", 50, FEW, 1000),
    Case("module"),
]


# ---- in the guest ----


def allocated(settle: float = 1) -> int:
    """Bytes that the kernel has for itself, after some seconds."""
    time.sleep(settle)
    for cache in CACHES.glob("*/shrink"):
        cache.write_text("1\n")
    Path("/proc/sys/vm/stat_refresh").write_text("1\n")
    kib = {line.partition(":")[0]: int(line.split()[1]) for line in Path("/proc/meminfo").read_text().splitlines()}
    return (kib["SUnreclaim"] + kib["VmallocUsed"] + kib["Percpu"]) << 10


class Symbol(NamedTuple):
    start: int
    end: int
    name: str
    module: str


def symbols() -> list[Symbol]:
    """All of the kernel and its modules, in ascending order. Each ends where the next one begins."""
    lines = [line.split() for line in Path("/proc/kallsyms").read_text().splitlines()]
    found = sorted((int(words[0], 16), words[2], words[3].strip("[]") if len(words) > 3 else "") for words in lines)
    return [Symbol(at, end, name, module) for (at, name, module), (end, _, _) in zip(found, found[1:])]


def extent(all_of_them: list[Symbol], module: str | None) -> int:
    """Bytes of a module's symbols, or of the in-tree DAMON's, and of what is between neighbours."""
    total, last = 0, None
    for its in all_of_them:
        of_it = its.module == module if module else not its.module and THEIRS.match(its.name)
        if of_it and its.end - its.start < GAP:
            total += its.end - (last if last is not None and its.start - last < GAP else its.start)
            last = its.end
    return total


class Session(Monitored):
    def run(self, damon: Damon, regions: int, most: int) -> dict[str, int]:
        kdamonds = damon.kdamonds(self.case.contexts)
        for kdamond in kdamonds:
            kdamond.write("contexts/nr_contexts", 1)
            cost.configure(kdamond, self.targets, regions, sample_us=SAMPLE_US, most_regions=most)
        # What another run has left is freed when the kernel gets to it.
        described = allocated(settle=12)
        for kdamond in kdamonds:
            kdamond.on()
        running = allocated()
        damon.reset()
        return {"running": running - described}

    def measure(self, damon: Damon) -> dict[str, Any]:
        if not self.case.contexts:
            code = extent(symbols(), damon.module)
            return {"code": code, "loaded": int(Path(f"/sys/module/{damon.module}/coresize").read_text()) if damon.module else code}
        few = self.run(damon, FEW, FEW)
        return {"few": few, "many": self.run(damon, self.case.regions, self.case.most)}


@contextmanager
def session(case: Case) -> Iterator[Session]:
    with processes("reserved", max(4096 * case.regions, MIB)) as its:
        yield Session(case, its)


# ---- on the host ----


def figures(case: Case, record: dict[str, Any]) -> dict[str, float]:
    if "code" in record:
        return {CODE.name: record["code"] / 1024, LOADED.name: record["loaded"] / 1024}
    if case.regions > FEW:
        extra = record["many"]["running"] - record["few"]["running"]
        return {REGION.name: extra / case.contexts / (case.regions - FEW)}
    its = record["many"]
    return {CONTEXT.name: its["running"] / case.contexts / 1024}


def doubts(case: Case, record: dict[str, Any]) -> str | None:
    return None if record.get("code") or record["many"]["running"] > 0 else f"{case.name}: nothing was allocated"

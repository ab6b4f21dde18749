# SPDX-License-Identifier: GPL-2.0
"""Whether schemes do the same to the same memory: what they are tried on, what is done, what quotas and filters leave out.

Nothing here is better or worse. What both do has to be the same within noise.
"""

from __future__ import annotations

import ctypes
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from damon_tree import Damon, Dir, Kdamond, set_pattern
from figures import Figure
from holder import MIB, Holder, drain, physical
from swap_space import swapping
from trace_events import Trace
from workload import three_regions

NAME = "schemes"
DOCUMENT = "schemes_compared"
TITLE = "Schemes, beside those of the in-tree DAMON"

SAMPLE_US, AGGR_US, UPDATE_US = 5000, 100000, 1000000
MIN_REGIONS, MAX_REGIONS = 10, 1000
SIZE, HOT = 32 * MIB, 4 * MIB
APPLICATIONS = 40
WINDOW_MS = 200
WINDOWS = APPLICATIONS * AGGR_US // 1000 // WINDOW_MS
ADDR_NO_RANDOMIZE = 0x0040000
COMPACT = Path("/proc/sys/vm/compact_memory")
APPLIED_EVENT = "damos_stat_after_apply_interval"

TRIED = Figure("tried in an aggregation", "% of the memory", None, 1, 2)
APPLIED = Figure("applied", "% of what was tried", None, 1, 2)
PASSED = Figure("passed by filters", "% of what was tried", None, 1, 2)
EXCEEDED = Figure("windows with the quota used up", "%", None, 1, 6)
TUNED = Figure("effective quota, mean over time of its logarithm", "powers of 2", None, 2, 0.2)
LAST = Figure("effective quota in the end", "powers of 2", None, 2, 0.2)
# The process's page table is looked at up to two applications later.
OUT = Figure("swapped out in the end", "% of the memory", None, 1, 5)
HOT_OUT = Figure("swapped out of what is hot", "% of it", None, 1, 3)
FIGURES = [TRIED, APPLIED, PASSED, EXCEEDED, TUNED, LAST, OUT, HOT_OUT]

SETTINGS = (
    f"Sampling, aggregation and update intervals of {SAMPLE_US / 1000:g} ms, {AGGR_US / 1000:g} ms and {UPDATE_US / 1e6:g} s, "
    f"{MIN_REGIONS} to {MAX_REGIONS} regions. Each time a new process with {SIZE // MIB} MiB, of which the first {HOT // MIB} MiB are "
    f"accessed every 2 ms. What is compared is what the schemes have come to when they were applied for the {APPLICATIONS}th time. "
    f"Quotas are for {WINDOW_MS} ms."
)

NOTES = """\
The share that is tried is of the memory that is monitored: for "vaddr" all between the first and the last mapping of
each of the three regions, for "paddr" the pages of the process. Where no quota is set, the figures about quotas are 0. The logarithm of the
effective quota is to the base of 2, in bytes, and 0 for no bytes; its mean is over the whole time. Swapped out is what
the process's page table says."""

ALLOW = {"matching": "Y", "allow": "Y"}
COLD = {"nr_accesses": (0, 0), "age": (2, 2**32 - 1)}


@dataclass(frozen=True)
class Case:
    name: str
    text: str
    action: str
    ops: str = "vaddr"
    pattern: dict[str, tuple[int, int]] = field(default_factory=dict)
    filters: list[dict[str, object]] = field(default_factory=list)  # "part": the middle of the area
    quotas: dict[str, object] = field(default_factory=dict)
    goal: dict[str, object] = field(default_factory=dict)
    kind: str = "anon"
    known: dict[str, str] = field(default_factory=dict)  # a figure that differs, and why

    def about(self) -> str:
        reasons = " ".join(dict.fromkeys(self.known.values()))
        return f"{self.text} Known to differ: {reasons}" if reasons else self.text


def both(name: str, text: str, action: str, **more: Any) -> list[Case]:
    """The same for virtual and for physical addresses."""
    return [Case(name, text, action, **more), Case(f"{name} paddr", text, action, ops="paddr", **more)]


SPLIT_COUNTS = "the in-tree DAMON counts, and charges, the size that a region had before filters cut it."

CASES = [
    *both("count old", "What was not accessed is counted.", "stat", filters=[{"type": "young", "matching": "Y", "allow": "N"}]),
    *both("pageout", "Reclaims what is cold for 2 aggregations.", "pageout", pattern=COLD),
    *both("pageout, size", "Reclaims what is cold for 2 aggregations, 1 MiB in each window.", "pageout", pattern=COLD, quotas={"bytes": MIB}),
    Case("pageout, time", "Reclaims what is cold for 2 aggregations, for 4 ms in each window.", "pageout", pattern=COLD, quotas={"ms": 4}),
    *both(
        "pageout, coldest first",
        "Reclaims whatever it is, the coldest first, 1 MiB in each window.",
        "pageout",
        quotas={"bytes": MIB, "weights/nr_accesses_permil": 1000, "weights/age_permil": 1000},
    ),
    *both(
        "pageout, far from a goal",
        "A tenth of the goal is reached, whatever is done: the quota nearly doubles in each window, up to 4 MiB.",
        "pageout",
        pattern=COLD,
        quotas={"bytes": 4 * MIB},
        goal={"target_metric": "user_input", "target_value": 1000, "current_value": 100},
    ),
    Case(
        "pageout, more than a goal",
        "More than the goal is reached: as little is done as can be.",
        "pageout",
        pattern=COLD,
        quotas={"bytes": 4 * MIB},
        goal={"target_metric": "user_input", "target_value": 1000, "current_value": 1500},
    ),
    *both("pageout of locked memory", "Half of the memory is locked. 1 MiB in each window; failures count for a tenth.", "pageout", kind="locked",
          quotas={"bytes": MIB, "fail_charge_num": 1, "fail_charge_denom": 10}),
    *both("pageout of a part", "Only a quarter of the memory, by a filter for addresses.", "pageout", filters=[{"type": "part", **ALLOW}],
          known={its.name: SPLIT_COUNTS for its in (TRIED, APPLIED, PASSED)}),
    Case("lru_prio", "Makes what is hot active.", "lru_prio", ops="paddr", pattern={"nr_accesses": (5, 2**32 - 1)}),
]  # fmt: skip


# ---- in the guest ----


def unsupported(case: Case, damon: Damon) -> str | None:
    """Why a DAMON can't do a case."""
    kdamond = damon.kdamond()
    known = kdamond.context.read("avail_operations").split()
    damon.reset()
    return None if case.ops in known else f"no {case.ops}"


def write_all(folder: Dir, files: dict[str, object]) -> None:
    for name, value in files.items():
        folder.write(name, value)


class Session:
    """A new process each time: what a scheme has done to its memory stays."""

    def __init__(self, case: Case) -> None:
        self.case = case

    def rules(self, holder: Holder) -> list[dict[str, object]]:
        """The filters. The part is a quarter of the area, of which the first 2 MiB are hot."""
        found = []
        for rule in self.case.filters:
            if rule["type"] == "part":
                start, end = holder.part(HOT // 2, HOT // 2 + SIZE // 4)
                parts = [(start, end)]
                if self.case.ops == "paddr":
                    parts = physical(holder.frames((start, end)))
                found += [{**rule, "type": "addr", "addr_start": first, "addr_end": last} for first, last in parts]
            else:
                found.append(rule)
        return found

    def prepare(self, damon: Damon, holder: Holder) -> tuple[Kdamond, int]:
        """A kdamond that is ready to start, and the size of what it monitors."""
        kdamond = damon.kdamond()
        kdamond.set(
            ops=self.case.ops, sample_us=SAMPLE_US, aggr_us=AGGR_US, update_us=UPDATE_US,
            min_regions=MIN_REGIONS, max_regions=MAX_REGIONS,
        )  # fmt: skip
        kdamond.add_stat_schemes()
        (scheme,) = kdamond.schemes
        scheme.write("action", self.case.action)
        set_pattern(scheme, **self.case.pattern)
        rules = self.rules(holder)
        scheme.write("filters/nr_filters", len(rules))
        for folder, rule in zip((scheme / "filters").numbered(), rules):
            write_all(folder, rule)
        if self.case.quotas:
            write_all(scheme / "quotas", {"reset_interval_ms": WINDOW_MS, **self.case.quotas})
        if self.case.goal:
            scheme.write("quotas/goals/nr_goals", 1)
            write_all(scheme / "quotas/goals/0", self.case.goal)
        if self.case.ops == "vaddr":
            kdamond.add_targets(holder.pid)
            return kdamond, sum(end - start for start, end in three_regions(holder.pid))
        kdamond.context.write("targets/nr_targets", 1)
        kdamond.set_init_regions(physical(holder.frames()))
        return kdamond, SIZE

    def measure(self, damon: Damon) -> dict[str, Any]:
        # Free memory in few pieces, so that the process's memory is so too.
        COMPACT.write_text("1\n")
        with Holder(self.case.kind, SIZE) as holder, Trace(damon, "damos_esz", APPLIED_EVENT) as trace:
            drain()
            kdamond, size = self.prepare(damon, holder)
            holder.command(f"hot {HOT}")
            kdamond.on()
            began = time.monotonic()
            # Nothing of ours runs meanwhile.
            time.sleep((APPLICATIONS + 0.5) * AGGR_US / 1e6)
            while len(applied := [event for event in trace.events() if event.name == APPLIED_EVENT]) < APPLICATIONS:
                time.sleep(AGGR_US / 1e6)
            kdamond.off()
            last = applied[APPLICATIONS - 1]
            return {
                "began": began,
                "ended": last.time,
                "stats": {name: int(value) for name, _, value in (word.partition("=") for word in last.text.split()) if value.isdecimal()},
                "size": size,
                "esz": [(event.time, int(event.text.split("esz=")[1])) for event in trace.events() if event.name == "damos_esz"],
                "out": holder.swapped(),
                "hot_out": holder.swapped(holder.part(0, HOT)),
            }


@contextmanager
def session(case: Case) -> Iterator[Session]:
    # All processes have the same addresses.
    libc = ctypes.CDLL(None)
    before = libc.personality(0xFFFFFFFF)
    libc.personality(before | ADDR_NO_RANDOMIZE)
    try:
        with swapping():
            yield Session(case)
    finally:
        libc.personality(before)


# ---- on the host ----


def percent(part: float, whole: float) -> float:
    return 100 * part / whole if whole else 0.0


def level(size: int) -> float:
    return math.log2(size) if size else 0.0


def figures(case: Case, record: dict[str, Any]) -> dict[str, float]:
    """What a record says."""
    stats, seconds = record["stats"], record["ended"] - record["began"]
    changes = [(max(at, record["began"]), size) for at, size in record["esz"] if at < record["ended"]]
    until = [at for at, _ in changes[1:]] + [record["ended"]]
    weighted = sum((end - start) * level(size) for (start, size), end in zip(changes, until))
    return {
        TRIED.name: percent(stats["sz_tried"], record["size"] * APPLICATIONS),
        APPLIED.name: percent(stats["sz_applied"], stats["sz_tried"]),
        PASSED.name: percent(stats["sz_ops_filter_passed"], stats["sz_tried"]),
        EXCEEDED.name: percent(stats["qt_exceeds"], WINDOWS),
        TUNED.name: weighted / seconds,
        LAST.name: level(changes[-1][1]) if changes else 0.0,
        OUT.name: percent(record["out"], SIZE),
        HOT_OUT.name: percent(record["hot_out"], HOT),
    }


def doubts(case: Case, record: dict[str, Any]) -> str | None:
    """Why a record may be worthless."""
    return None if record["stats"]["nr_tried"] else f"{case.name}: nothing was tried"

# SPDX-License-Identifier: GPL-2.0
"""How the cost of sampling grows: with the number of regions, with the size of memory, with the number of targets."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cost
import status
from damon_tree import Damon, Kdamond
from figures import Figure, Goal
from processes import Process
from single import Monitored
from single import anywhere as unsupported  # noqa: F401
from workload import MIB

NAME = "growth"
TITLE = "How the cost of sampling grows"
SETTINGS = (
    "A sampling interval of 5 ms, or of 4 us for each region where that is longer; nothing else due. Regions of the same size, in memory "
    "that is not accessed, vaddr."
)
NOTES = """\
Instructions of the kdamond, by its ``schedstat``, from one of its sleeps to another. With many regions the memory is 64 MiB that
are mapped again and again, a page a region at the most. With much memory one page of each 2 MiB is there, and thus all
tables of pages: that is what a sample costs more of in more memory. Each target is a process of its own.

Goals say that ours grows no more than linearly: what a region costs with many regions is compared with what it costs
with 1,000, with 1,000 targets of 10 regions each with that of 100 such targets, and in 64 GiB with that in 16 GiB. In less memory than
that it costs less, since more samples are in the same table of pages; in more, each of a region's two is in another one. To
monitor each page of 1 GiB, a sample must be done within a sampling interval of 100 ms."""

SAMPLE = Figure("time of a sample", "ms", False, 3, 0.001, ratio=True)
FIGURES = [cost.INSTRUCTIONS, SAMPLE]
CROWD = Path(__file__).parent / "crowd"
# Samples looked at, fewer where there are many regions.
SAMPLES = 20
ALL_SAMPLES = 40_000
LONG = 50_000
SETTLE_SECONDS = 2


@dataclass(frozen=True)
class Case:
    name: str
    regions: int
    size: int  # MiB of each target
    kind: str
    targets: int = 1
    than: str = ""  # the case that it may cost no more than, for a region
    most_ms: float = 0

    @property
    def goals(self) -> dict[str, Goal]:
        goals = {cost.INSTRUCTIONS.name: Goal(1.1, than=self.than)} if self.than else {}
        return {**goals, SAMPLE.name: Goal(self.most_ms, of_in_tree=False)} if self.most_ms else goals

    def about(self) -> str:
        what = {"anon": "anonymous memory", "shared": "shared memory", "sparse": "address space with a page in each 2 MiB"}[self.kind]
        size = f"{self.size} MiB" if self.size < 1024 else f"{self.size / 1024:g} GiB"
        return f"{self.regions:,} regions in {size} of {what}{f' of each of {self.targets:,} targets' if self.targets > 1 else ''}."

    @property
    def once(self) -> bool:
        """Whether a sample of the in-tree DAMON takes more than a hundred million instructions."""
        return self.regions > LONG

    @property
    def sample_us(self) -> int:
        return max(5000, 4 * self.regions)


CASES = [
    *(Case(f"{n} regions", n, 4096, "shared") for n in (10, 100, 1000)),
    *(Case(f"{n} regions", n, 4096, "shared", than="1000 regions") for n in (10_000, 100_000, 1 << 20)),
    Case("each page of 1 GiB", 262_144, 1024, "anon", most_ms=100),
    *(Case(f"{gib:g} GiB", 1000, int(gib * 1024), "sparse", than="16 GiB" if gib > 16 else "") for gib in (1 / 16, 0.5, 4, 16, 64)),
    *(Case(f"{n} targets", 10 * n, 2, "shared", n, than="100 targets" if n > 100 else "") for n in (1, 10, 100, 1000)),
]


# ---- in the guest ----


def count(damon: Damon) -> int:
    """The regions that there are, of all targets."""
    if damon.is_ours:
        return sum(len(target["regions"]) for target in status.kdamond(damon)["context"]["targets"])
    found = re.search(r"^damon_region +(\d+)", Path("/proc/slabinfo").read_text(), re.MULTILINE)
    assert found, "the kernel keeps no slabs of regions"
    return int(found[1])


class Session(Monitored):
    def start(self, damon: Damon) -> Kdamond:
        return cost.start(damon, self.targets, self.case.regions, sample_us=self.case.sample_us)

    def measure(self, damon: Damon) -> dict[str, Any]:
        case = self.case
        kdamond = self.start(damon)
        samples = min(max(ALL_SAMPLES // case.regions, 1), SAMPLES)
        used = cost.over_samples(kdamond.pid, samples, case.sample_us)
        regions = count(damon) if case.once or damon.is_ours else round(cost.count_regions(kdamond, self.size))
        return {"instructions": used.instructions, "samples": used.sleeps, "regions": regions}


@contextmanager
def session(case: Case) -> Iterator[Session]:
    command = [str(CROWD), str(case.targets), f"{case.size}M", case.kind]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as crowd:
        assert crowd.stdin and crowd.stdout
        lines = [crowd.stdout.readline().split() for _ in range(case.targets)]
        if not all(lines):
            raise MemoryError(f"{case.targets} times {case.size} MiB are not to be had")
        # What RCU still has to free of the processes before is not to be freed in a kdamond's time.
        time.sleep(SETTLE_SECONDS)
        yield Session(case, [Process(pid, (start, end)) for pid, start, end in (map(int, line) for line in lines)])
        crowd.stdin.close()


# ---- on the host ----


def figures(case: Case, record: dict[str, Any]) -> dict[str, float]:
    sample = record["instructions"] / record["samples"]
    return {cost.INSTRUCTIONS.name: sample / record["regions"], SAMPLE.name: sample / 1e6}


def doubts(case: Case, record: dict[str, Any]) -> str | None:
    off = abs(record["regions"] / case.regions - 1)
    return f"{case.name}: {record['regions']} regions" if off > 0.25 else None

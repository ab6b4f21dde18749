# SPDX-License-Identifier: GPL-2.0
"""What it costs to aggregate: to merge, age, apply schemes to, reset and split regions."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import cost
from damon_tree import Damon, Kdamond
from figures import Figure, Goal
from single import Monitored, session_of
from single import anywhere as unsupported  # noqa: F401
from workload import MIB

NAME = "aggregation"
TITLE = "Cost of aggregation and of schemes"
SETTINGS = "256 MiB that are not accessed; a sampling interval of 5 ms, and an aggregation interval of as much."
NOTES = """\
Instructions of the kdamond for each region and aggregation, without those of a kdamond that only samples as many regions.
"steady": as many regions as there are at least, so that none is merged or split. "splitting": up to four times as many, so
that all are, again and again; the figure is for a region of those that there are at least. "N schemes": steady, with
schemes that match all regions and count them."""

AGGREGATION = Figure("instructions per region and aggregation", "", False, 0, 1, ratio=True)
FIGURES = [AGGREGATION]
SAMPLE_US = 5000
SIZE = 256 * MIB
SECONDS = 0.5


@dataclass(frozen=True)
class Case:
    name: str
    regions: int
    goal: float
    most: int = 1  # times as many regions
    schemes: int = 0

    @property
    def goals(self) -> dict[str, Goal]:
        return {AGGREGATION.name: Goal(self.goal)}

    def about(self) -> str:
        schemes = f", {self.schemes} schemes" if self.schemes else ""
        return f"{self.regions:,} to {self.regions * self.most:,} regions{schemes}."


CASES = [
    *(Case(f"steady {n}", n, 1 / 4) for n in (100, 1000, 4000)),
    *(Case(f"splitting {n}", n, 1 / 4, most=4) for n in (100, 1000)),
    *(Case(f"{n} schemes", 1000, 1 / 3, schemes=n) for n in (1, 10, 100)),
]


# ---- in the guest ----


class Session(Monitored):
    def start(self, damon: Damon) -> Kdamond:
        case = self.case
        # Half of the highest number of regions is no more than there are at least: then none is split.
        most = case.regions * case.most + case.most // 2
        return cost.start(damon, self.targets, case.regions, sample_us=SAMPLE_US, aggr_us=SAMPLE_US, schemes=case.schemes, most_regions=most)

    def use(self, damon: Damon, kdamond: Kdamond) -> tuple[float, int]:
        """Instructions of a sample, and how many samples were looked at."""
        time.sleep(0.2)
        used = cost.over(kdamond.pid, SECONDS)
        damon.reset()
        return used.instructions / used.sleeps, used.sleeps

    def measure(self, damon: Damon) -> dict[str, Any]:
        without, _ = self.use(damon, cost.start(damon, self.targets, self.case.regions, sample_us=SAMPLE_US))
        its, samples = self.use(damon, self.start(damon))
        return {"without": without, "with": its, "samples": samples}


def session(case: Case) -> AbstractContextManager[Session]:
    return session_of(Session, case, SIZE)


# ---- on the host ----


def figures(case: Case, record: dict[str, Any]) -> dict[str, float]:
    return {AGGREGATION.name: (record["with"] - record["without"]) / case.regions}


def doubts(case: Case, record: dict[str, Any]) -> str | None:
    return f"{case.name}: {record['samples']} samples" if record["samples"] < 3 else None

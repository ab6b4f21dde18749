# SPDX-License-Identifier: GPL-2.0
"""What it costs to aggregate: to merge, age, apply schemes to, reset and split regions."""

from __future__ import annotations

import os
import time
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import cost
from damon_tree import Damon, Dir, Kdamond
from figures import Figure, Goal
from single import Monitored, session_of
from single import anywhere as unsupported  # noqa: F401
from single import undoubted as doubts  # noqa: F401
from workload import MIB

NAME = "aggregation"
TITLE = "Cost of aggregation and of schemes"
SETTINGS = (
    "256 MiB that are not accessed; a sampling interval of 5 ms, or of 10 us for each region where that is longer, and an aggregation "
    "interval of as much."
)
NOTES = """\
Instructions of the kdamond for each region and aggregation, without those of a kdamond that only samples as many regions.
"steady": as many regions as there are at least, so that none is merged or split. "splitting": up to four times as many, so
that all are, again and again; the figure is for a region of those that there are at least. "N schemes": steady, with
schemes that match all regions and count them. "filters": such a scheme with filters for addresses, none of which is
monitored. "quota": steady, with a scheme that reclaims the coldest page of all in each aggregation, so that nearly all that
it does is to put regions in order. "snapshot": what it takes to get all regions that a scheme matches by a word written to
``state``, in the process that asks and in the kdamond, without what that does anyway: with a directory in sysfs made for
each, most of which is sysfs's own work, and with the sum of their bytes alone."""

AGGREGATION = Figure("instructions per region and aggregation", "", False, 0, 1, ratio=True)
FIGURES = [AGGREGATION]
SIZE = 256 * MIB
# Until regions are as many as they are going to be.
SETTLE = 0.2
# Looked at, and more where there are few regions.
SAMPLES = 30
ALL_SAMPLES = 10_000
REQUESTS = 5
PAGE = 4096
QUOTA = {"bytes": PAGE, "reset_interval_ms": 5, "weights/nr_accesses_permil": 500, "weights/age_permil": 500}


@dataclass(frozen=True)
class Case:
    name: str
    regions: int
    goal: float
    most: int = 1  # times as many regions
    schemes: int = 0
    filters: int = 0
    quota: bool = False
    ask: str = ""  # what for, by a word written to `state`

    @property
    def goals(self) -> dict[str, Goal]:
        return {AGGREGATION.name: Goal(self.goal)}

    @property
    def sample_us(self) -> int:
        return max(5000, 10 * self.regions)

    def about(self) -> str:
        schemes = f", {self.schemes} schemes" if self.schemes else ""
        filters = f", {self.filters} filters" if self.filters else ""
        quota = ", a quota of a page" if self.quota else ""
        ask = f", asked by {self.ask}" if self.ask else ""
        return f"{self.regions:,} to {self.regions * self.most:,} regions{schemes}{filters}{quota}{ask}."

    def change(self, scheme: Dir) -> None:
        """Makes of a scheme that counts all regions the one of this case."""
        scheme.write("filters/nr_filters", self.filters)
        for index, folder in enumerate((scheme / "filters").numbered()):
            part = {"addr_start": index * PAGE, "addr_end": (index + 1) * PAGE}
            for name, value in {"type": "addr", "matching": "Y", "allow": "N", **part}.items():
                folder.write(name, value)
        if self.quota:
            scheme.write("action", "pageout")
            for name, value in QUOTA.items():
                scheme.write(f"quotas/{name}", value)


CASES = [
    *(Case(f"steady {n}", n, 1 / 4) for n in (100, 1000, 4000)),
    *(Case(f"splitting {n}", n, 1 / 4, most=4) for n in (100, 1000)),
    *(Case(f"{n} schemes", 1000, 1 / 3, schemes=n) for n in (1, 10, 100)),
    Case("10 filters", 1000, 1 / 3, schemes=1, filters=10),
    Case("quota", 4000, 1 / 3, schemes=1, quota=True),
    Case("snapshot", 1000, 1 / 4, schemes=1, ask="update_schemes_tried_regions"),
    Case("snapshot, bytes", 1000, 1 / 4, schemes=1, ask="update_schemes_tried_bytes"),
]


# ---- in the guest ----


class Session(Monitored):
    def start(self, damon: Damon) -> Kdamond:
        case = self.case
        # Half of the highest number of regions is no more than there are at least: then none is split.
        most = case.regions * case.most + case.most // 2
        return cost.start(
            damon, self.targets, case.regions,
            sample_us=case.sample_us, aggr_us=case.sample_us, schemes=case.schemes, most_regions=most, change=case.change,
        )  # fmt: skip

    def use(self, damon: Damon, kdamond: Kdamond) -> float:
        """Instructions of a sample."""
        time.sleep(SETTLE)
        used = cost.over_samples(kdamond.pid, max(SAMPLES, ALL_SAMPLES // self.case.regions), self.case.sample_us)
        damon.reset()
        return used.instructions / used.sleeps

    def asked(self, damon: Damon) -> dict[str, float]:
        """What a request takes that is made several times, beside what the kdamond does anyway."""
        us, interval = os.getpid(), self.case.sample_us / 1e6
        kdamond = self.start(damon)
        time.sleep(SETTLE)
        usual = cost.over_samples(kdamond.pid, SAMPLES, self.case.sample_us)
        before = cost.at_rest(kdamond.pid, 0, interval)
        mine = cost.read(us).instructions
        for _ in range(REQUESTS):
            kdamond.state(self.case.ask)
        mine = cost.read(us).instructions - mine
        used = cost.at_rest(kdamond.pid, before.sleeps + 1, interval) - before
        damon.reset()
        # Ours is woken for a request, and goes to sleep again without a sample.
        samples = used.sleeps - REQUESTS if damon.is_ours else used.sleeps
        return {"without": samples * usual.instructions / usual.sleeps / REQUESTS, "with": (mine + used.instructions) / REQUESTS}

    def measure(self, damon: Damon) -> dict[str, Any]:
        if self.case.ask:
            return self.asked(damon)
        without = self.use(damon, cost.start(damon, self.targets, self.case.regions, sample_us=self.case.sample_us))
        return {"without": without, "with": self.use(damon, self.start(damon))}


def session(case: Case) -> AbstractContextManager[Session]:
    return session_of(Session, case, SIZE)


# ---- on the host ----


def figures(case: Case, record: dict[str, Any]) -> dict[str, float]:
    return {AGGREGATION.name: (record["with"] - record["without"]) / case.regions}

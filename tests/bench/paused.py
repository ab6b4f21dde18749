# SPDX-License-Identifier: GPL-2.0
"""What a paused kdamond costs."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

import cost
from damon_tree import Damon
from figures import Figure, Goal
from single import Monitored, session_of
from single import undoubted as doubts  # noqa: F401
from workload import MIB

NAME = "paused"
TITLE = "Cost of being paused"
SETTINGS = "64 MiB, a sampling interval of 5 ms and an aggregation interval of 100 ms; paused by a commit."
NOTES = "The kdamond's own, by its ``schedstat`` and its voluntary context switches, over ten seconds."

WAKE_UPS = Figure("wake-ups a second", "", False, 1, 0.1, ratio=True)
INSTRUCTIONS = Figure("instructions a second", "", False, 0, 1, ratio=True)
FIGURES = [WAKE_UPS, INSTRUCTIONS]
SECONDS = 10


@dataclass(frozen=True)
class Case:
    name: str
    regions: int
    goals: dict[str, Goal] = field(default_factory=lambda: {WAKE_UPS.name: Goal(1, of_in_tree=False), INSTRUCTIONS.name: Goal(0.01)})

    def about(self) -> str:
        return f"{self.regions:,} regions."


CASES = [Case(f"{n} regions", n) for n in (10, 1000)]


# ---- in the guest ----


def unsupported(case: Case, damon: Damon) -> str | None:
    known = damon.kdamond().context.exists("pause")
    damon.reset()
    return None if known else "no pause"


class Session(Monitored):
    def measure(self, damon: Damon) -> dict[str, Any]:
        kdamond = cost.start(damon, self.targets, self.case.regions, aggr_us=100_000)
        kdamond.set(pause="Y")
        kdamond.commit()
        time.sleep(1)
        used = cost.over(kdamond.pid, SECONDS)
        return {"instructions": used.instructions, "sleeps": used.sleeps}


def session(case: Case) -> AbstractContextManager[Session]:
    return session_of(Session, case, 64 * MIB)


# ---- on the host ----


def figures(case: Case, record: dict[str, Any]) -> dict[str, float]:
    return {WAKE_UPS.name: record["sleeps"] / SECONDS, INSTRUCTIONS.name: record["instructions"] / SECONDS}

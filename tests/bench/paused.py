# SPDX-License-Identifier: GPL-2.0
"""What a paused kdamond costs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import cost
from damon_tree import Damon
from figures import Figure, Goal
from processes import Process, processes
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


class Session:
    def __init__(self, case: Case, its: Process) -> None:
        self.case, self.targets = case, {its.pid: [its.area]}

    def measure(self, damon: Damon) -> dict[str, Any]:
        kdamond = cost.start(damon, self.targets, self.case.regions, aggr_us=100_000)
        kdamond.set(pause="Y")
        kdamond.commit()
        time.sleep(1)
        used = cost.over(kdamond.pid, SECONDS)
        return {"instructions": used.instructions, "sleeps": used.sleeps}


@contextmanager
def session(case: Case) -> Iterator[Session]:
    with processes("anon", 64 * MIB) as (process,):
        yield Session(case, process)


# ---- on the host ----


def figures(case: Case, record: dict[str, Any]) -> dict[str, float]:
    return {WAKE_UPS.name: record["sleeps"] / SECONDS, INSTRUCTIONS.name: record["instructions"] / SECONDS}


def doubts(case: Case, record: dict[str, Any]) -> str | None:
    return None

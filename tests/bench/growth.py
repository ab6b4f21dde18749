# SPDX-License-Identifier: GPL-2.0
"""How the cost of sampling grows: with the number of regions, with the size of memory, with the number of targets."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import cost
import sampling
from damon_tree import Damon
from figures import Figure
from sampling import Case, Session

NAME = "growth"
TITLE = "How the cost of sampling grows"
SETTINGS = sampling.SETTINGS
NOTES = """\
As in the group "sampling", and what a sample of all regions takes. Page-granular monitoring of 1 GiB is 262,144 regions:
it holds a sampling interval that is longer than a sample takes."""

SAMPLE = Figure("instructions per sample", "millions", False, 3, 0.001, ratio=True)
FIGURES = [cost.INSTRUCTIONS, SAMPLE]

CASES = [
    *(Case(f"{n} regions", n, size=1024) for n in (10, 100, 1000, 10_000, 100_000, 262_144)),
    Case("1000000 regions", 1_000_000, kind="reserved", size=4096),
    *(Case(f"{mib} MiB", 1000, kind="reserved", size=mib) for mib in (64, 512, 4096, 65536)),
    *(Case(f"{n} targets", 1000, size=2, count=n) for n in (1, 10, 100)),
]


def unsupported(case: Case, damon: Damon) -> str | None:
    return sampling.unsupported(case, damon)


def session(case: Case) -> AbstractContextManager[Session]:
    return sampling.session(case)


def figures(case: Case, record: dict[str, Any]) -> dict[str, float]:
    return {**sampling.figures(case, record), SAMPLE.name: record["instructions"] / record["samples"] / 1e6}


def doubts(case: Case, record: dict[str, Any]) -> str | None:
    return sampling.doubts(case, record)

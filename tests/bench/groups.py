# SPDX-License-Identifier: GPL-2.0
"""The groups of the bench. A group is a module with cases; what belongs to no group is in figures.py, run.py and scripts/bench.py."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol, cast

import accuracy
import aggregation
import disturbance
import growth
import memory
import paused
import request_times
import sampling
import schemes
from damon_tree import Damon
from figures import Figure


class Case(Protocol):
    @property
    def name(self) -> str: ...

    def about(self) -> str:
        """A sentence or two for the reader of its figures."""


class Session(Protocol):
    def measure(self, damon: Damon) -> dict[str, Any]:
        """Once. What it returns is kept as JSON. Leaves kdamonds and their directories to the caller."""


class Group(Protocol):
    """What a group's module has."""

    NAME: str
    TITLE: str
    SETTINGS: str  # what both are given, in a sentence
    NOTES: str  # what the figures are
    FIGURES: Sequence[Figure]
    CASES: Sequence[Any]

    # in the guest

    def unsupported(self, case: Any, damon: Damon) -> str | None:
        """Why a case can't be run with that DAMON."""

    def session(self, case: Any) -> AbstractContextManager[Session]:
        """What all repetitions of a case with both DAMONs share."""

    # on the host

    def figures(self, case: Any, record: dict[str, Any]) -> dict[str, float]:
        """Of one repetition, by name."""

    def doubts(self, case: Any, record: dict[str, Any]) -> str | None:
        """Why the record may be worthless."""


# What they cost, and whether they see and do the same.
COST = (sampling, growth, aggregation, paused, request_times, disturbance, memory)
SAME = (accuracy, schemes)
GROUPS: dict[str, Group] = {module.NAME: cast(Group, module) for module in (*COST, *SAME)}

# Those that tell in a minute whether what is cheap still is, and by far enough from their goals that one repetition does.
QUICK = ("sampling/vaddr 1000", "sampling/vaddr 4000", "sampling/thp 1000", "paused/1000 regions", "request_times/500 ms")


def find(name: str) -> tuple[Group, Any]:
    """Of "GROUP/CASE"."""
    group, _, case = name.partition("/")
    return GROUPS[group], next(its for its in GROUPS[group].CASES if its.name == case)

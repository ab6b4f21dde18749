# SPDX-License-Identifier: GPL-2.0
"""What limits a scheme: quotas, their goals, and watermarks. They are those of a kdamond's first scheme."""

from __future__ import annotations

from typing import Any

import status
from damon_tree import Damon, Kdamond

# Of a quota: ten times as long as from one application of a scheme to the next.
WINDOW_MS = 500


def state(damon: Damon) -> dict[str, Any]:
    """The scheme, as the kdamond knows it."""
    scheme: dict[str, Any]
    (scheme,) = status.kdamond(damon)["context"]["schemes"]
    return scheme


def set_quota(kdamond: Kdamond, **files: object) -> None:
    quotas = kdamond.schemes[0] / "quotas"
    for name, value in {"reset_interval_ms": WINDOW_MS, **files}.items():
        quotas.write(name, value)


def effective(kdamond: Kdamond) -> int:
    kdamond.state("update_schemes_effective_quotas")
    return (kdamond.schemes[0] / "quotas").number("effective_bytes")


def set_goal(kdamond: Kdamond, **files: object) -> None:
    goals = kdamond.schemes[0] / "quotas/goals"
    if goals.number("nr_goals") != 1:
        goals.write("nr_goals", 1)
    for name, value in files.items():
        (goals / 0).write(name, value)


def set_goals(kdamond: Kdamond, *goals: dict[str, object]) -> None:
    """All goals, each with its files and what to write to them."""
    folder = kdamond.schemes[0] / "quotas/goals"
    folder.write("nr_goals", len(goals))
    for goal, files in zip(folder.numbered(), goals):
        for name, value in files.items():
            goal.write(name, value)


def share(part: int, whole: int) -> int:
    """In basis points."""
    return part * 10000 // whole


def values(damon: Damon) -> list[int | None]:
    """What each goal was measured to be."""
    return [goal["current_value"] for goal in state(damon)["quota"]["goals"]]


def value(damon: Damon) -> int | None:
    """What the only goal was measured to be."""
    (measured,) = values(damon)
    return measured


def set_marks(kdamond: Kdamond, high: int, mid: int, low: int, interval_us: int = 3600 * 10**6) -> None:
    marks = kdamond.schemes[0] / "watermarks"
    for name, value in {"metric": "free_mem_rate", "interval_us": interval_us, "high": high, "mid": mid, "low": low}.items():
        marks.write(name, value)

# SPDX-License-Identifier: GPL-2.0
"""Whether a kdamond finds the hot area of a workload."""

from __future__ import annotations

from statistics import median

from damon_tree import Kdamond
from workload import Score, score

# Of the 20 samples in a default aggregation interval. An emulated machine touches the hot area every second sample or so.
THRESHOLD = 5


def typical(kdamond: Kdamond, hot: tuple[int, int], threshold: int = THRESHOLD) -> Score:
    """The median of several snapshots: a region that has just been split at random says little."""
    scores = [score(kdamond.snapshot(), hot, threshold) for _ in range(7)]
    return Score(median(s.precision for s in scores), median(s.recall for s in scores))


def good(kdamond: Kdamond, hot: tuple[int, int]) -> bool:
    found = score(kdamond.snapshot(), hot, THRESHOLD)
    return found.precision >= 0.95 and found.recall >= 0.95

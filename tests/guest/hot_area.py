# SPDX-License-Identifier: GPL-2.0
"""Whether a kdamond finds the hot area of a workload."""

from __future__ import annotations

from statistics import median

from damon_tree import AGGREGATION, Kdamond
from guest_time import advance
from workload import Score, score

# In a default aggregation interval; and of these, so many make a region hot.
SAMPLES = 20
THRESHOLD = 5


def typical(kdamond: Kdamond, hot: tuple[int, int], threshold: int = THRESHOLD) -> Score:
    """The median of several snapshots: a region that has just been split at random says little."""
    scores = []
    for _ in range(7):
        scores.append(score(kdamond.snapshot(), hot, threshold))
        advance(AGGREGATION)
    return Score(median(s.precision for s in scores), median(s.recall for s in scores))


def good(kdamond: Kdamond, hot: tuple[int, int]) -> bool:
    found = score(kdamond.snapshot(), hot, THRESHOLD)
    return found.precision >= 0.95 and found.recall >= 0.95

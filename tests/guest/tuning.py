# SPDX-License-Identifier: GPL-2.0
"""Intervals that tune themselves: their goal, and what they are tuned to."""

from __future__ import annotations

import status
from damon_tree import Damon, Kdamond


def set_goal(kdamond: Kdamond, access_bp: int, aggrs: int, min_us: int, max_us: int) -> None:
    goal = kdamond.attrs / "intervals/intervals_goal"
    for name, value in (("access_bp", access_bp), ("aggrs", aggrs), ("min_sample_us", min_us), ("max_sample_us", max_us)):
        goal.write(name, value)


def intervals(kdamond: Kdamond, update: bool = True) -> tuple[int, int]:
    """What the files say, after the kdamond has written to them."""
    if update:
        kdamond.state("update_tuned_intervals")
    folder = kdamond.attrs / "intervals"
    return folder.number("sample_us"), folder.number("aggr_us")


def running_sample_us(damon: Damon) -> int:
    """What the kdamond samples at, whatever the files say."""
    sample_us: int = status.kdamond(damon)["context"]["attrs"]["sample_us"]
    return sample_us

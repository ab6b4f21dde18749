# SPDX-License-Identifier: GPL-2.0
"""What `damo` recorded, beside what the workload really accessed: the same picture of both, and how well they agree."""

from __future__ import annotations

import json
import re
import zlib
from pathlib import Path
from typing import Any, NamedTuple

from damon_tree import Region
from workload import Score, score

SHADES = "··░░▒▒▓▓██"  # of damo's ten levels, 0 to 9


class Phase(NamedTuple):
    """The hot area for a time, in nanoseconds of CLOCK_MONOTONIC."""

    start: int
    end: int
    hot: tuple[int, int]


class Snapshot(NamedTuple):
    start: int
    end: int
    regions: list[Region]


def number(text: Any) -> int:
    """damo writes numbers with commas."""
    return int(str(text).replace(",", ""))


def snapshots(record: Path) -> list[Snapshot]:
    """Of a file that `damo record` wrote."""
    found = []
    for target in json.loads(zlib.decompress(record.read_bytes())):
        for snapshot in target["snapshots"]:
            regions = [
                Region(number(r["start"]), number(r["end"]), number(r["nr_accesses"]["samples"]), number(r["age"]["aggr_intervals"]))
                for r in snapshot["regions"]
            ]
            found.append(Snapshot(number(snapshot["start_time"]), number(snapshot["end_time"]), regions))
    return found


def judge(taken: list[Snapshot], phase: Phase, threshold: int, settle: int) -> tuple[Score, float | None]:
    """The score of a phase's snapshots together, without the first few; and the seconds after which the hot area was found."""
    inside = found = hot = 0
    found_after = None
    during = [snapshot for snapshot in taken if phase.start < snapshot.end <= phase.end]
    for index, snapshot in enumerate(during):
        if found_after is None and min(score(snapshot.regions, phase.hot, threshold)) >= 0.95:
            found_after = (snapshot.end - phase.start) / 1e9
        if index >= settle:
            accessed = [region for region in snapshot.regions if region.nr_accesses >= threshold]
            inside += sum(max(0, min(region.end, phase.hot[1]) - max(region.start, phase.hot[0])) for region in accessed)
            found += sum(region.size for region in accessed)
            hot += phase.hot[1] - phase.hot[0]
    return Score(inside / found if found else 0.0, inside / hot if hot else 0.0), found_after


def truth_rows(phases: list[Phase], times: tuple[int, int], area: tuple[int, int], rows: int, columns: int) -> list[str]:
    """The picture that a perfect monitor would draw: of each cell, how much of it was hot for how long."""
    start, end = times
    lines = []
    for row in range(rows):
        t0, t1 = (start + (end - start) * i / rows for i in (row, row + 1))
        line = ""
        for column in range(columns):
            a0, a1 = (area[0] + (area[1] - area[0]) * i / columns for i in (column, column + 1))
            heat = sum(
                max(0, min(t1, p.end) - max(t0, p.start)) * max(0, min(a1, p.hot[1]) - max(a0, p.hot[0])) for p in phases
            )  # fmt: skip
            line += SHADES[min(9, int(10 * heat / ((t1 - t0) * (a1 - a0))))]
        lines.append(line)
    return lines


def damo_rows(heatmap: str) -> list[str]:
    """damo's picture, its colours left out and its digits as shades."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", heatmap)
    rows = [line for line in plain.splitlines() if line and not line.startswith("#")]
    return ["".join(SHADES[int(char)] if char.isdecimal() else " " for char in row) for row in rows]

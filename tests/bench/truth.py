# SPDX-License-Identifier: GPL-2.0
"""What was accessed how often at which time, and how well monitoring results agree with it."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple


class Range(NamedTuple):
    """Addresses, and the share of sampling intervals in which a page of them is accessed."""

    start: int
    end: int
    rate: float


class Phase(NamedTuple):
    """A time, in nanoseconds of CLOCK_MONOTONIC, and the rates in it: ascending, what is left out is not accessed."""

    start: int
    end: int
    ranges: list[Range]


class Snapshot(NamedTuple):
    """What was found in an aggregation interval; regions without accesses may be left out."""

    start: int
    end: int
    regions: list[Range]


def rate(part: Sequence[int], page: int, pace_us: int, sample_us: int) -> float:
    """The share of sampling intervals in which a page of a part (as in the log of patterns.c) is accessed at least once."""
    start, end, every, stride, pick = part
    rounds = sample_us / (pace_us * every)
    if pick:
        # Each round picks with replacement, and rounds fall into intervals without regard to each other.
        return 1 - math.exp(-rounds * pick * page / (end - start))
    return min(1.0, rounds) / stride


def phases(events: Iterable[dict[str, Any]], page: int, pace_us: int, sample_us: int) -> list[Phase]:
    """Of the log of one run of patterns.c."""
    found: list[Phase] = []
    for event in events:
        if event["event"] not in ("phase", "done"):
            continue
        if found:
            found[-1] = found[-1]._replace(end=event["t_ns"])
        if event["event"] == "phase":
            ranges = [Range(part[0], part[1], rate(part, page, pace_us, sample_us)) for part in event["parts"]]
            found.append(Phase(event["t_ns"], event["t_ns"], sorted(ranges)))
    return found


@dataclass
class Physical:
    """Where virtual pages are: runs of (virtual, physical, bytes)."""

    runs: list[tuple[int, int, int]]
    _starts: list[int] = field(init=False)

    def __post_init__(self) -> None:
        self.runs.sort()
        self._starts = [run[0] for run in self.runs]

    def ranges(self, virtual: Iterable[Range]) -> list[Range]:
        found = []
        for its in virtual:
            index = max(0, bisect_right(self._starts, its.start) - 1)
            while index < len(self.runs) and self.runs[index][0] < its.end:
                start, phys, size = self.runs[index]
                first, last = max(its.start, start), min(its.end, start + size)
                if first < last:
                    found.append(Range(first - start + phys, last - start + phys, its.rate))
                index += 1
        return joined(sorted(found))


def joined(ranges: Iterable[Range]) -> list[Range]:
    """Neighbours of the same rate as one."""
    found: list[Range] = []
    for its in ranges:
        if found and found[-1].end == its.start and found[-1].rate == its.rate:
            found[-1] = found[-1]._replace(end=its.end)
        else:
            found.append(its)
    return found


def cells(*layers: Sequence[Range]) -> Iterable[tuple[int, list[float]]]:
    """Cuts addresses where any of the layers changes: the size of each piece, and its rate in each layer.

    Layers ascend and do not overlap in themselves. What no layer covers is left out.
    """
    borders = sorted({border for layer in layers for its in layer for border in (its.start, its.end)})
    at = [0] * len(layers)
    for start, end in zip(borders, borders[1:]):
        rates = []
        for number, layer in enumerate(layers):
            while at[number] < len(layer) and layer[at[number]].end <= start:
                at[number] += 1
            covered = at[number] < len(layer) and layer[at[number]].start <= start
            rates.append(layer[at[number]].rate if covered else 0.0)
        if any(rates):
            yield end - start, rates


def mean(all_phases: Sequence[Phase], start: int, end: int) -> list[Range]:
    """The rates over a time, which may reach from one phase into another."""
    parts = [(max(start, its.start), min(end, its.end), its) for its in all_phases]
    parts = [part for part in parts if part[0] < part[1]]
    if len(parts) == 1 and parts[0][1] - parts[0][0] == end - start:
        return parts[0][2].ranges
    borders = sorted({border for _, _, phase in parts for its in phase.ranges for border in (its.start, its.end)})
    found = []
    for low, high in zip(borders, borders[1:]):
        total = sum(
            (until - since) * its.rate for since, until, phase in parts for its in phase.ranges if its.start <= low and high <= its.end
        )  # fmt: skip
        if total:
            found.append(Range(low, high, total / (end - start)))
    return found


@dataclass
class Agreement:
    """Bytes, summed up over snapshots."""

    found: float = 0
    hot: float = 0
    both: float = 0
    deviation: float = 0
    accesses: float = 0

    def add(self, snapshot: Snapshot, true: Sequence[Range], judged: Sequence[Range], hot: float) -> None:
        """Compares what is in the `judged` ranges; from a rate of `hot` on something is hot."""
        # A half of the distance between two counts of a window, so that rounding decides nothing.
        hot -= 1e-6
        for size, (real, seen, counts) in cells(true, snapshot.regions, judged):
            if counts:
                self.hot += size * (real >= hot)
                self.found += size * (seen >= hot)
                self.both += size * (real >= hot and seen >= hot)
                self.deviation += size * abs(real - seen)
                self.accesses += size * real

    @property
    def precision(self) -> float:
        return self.both / self.found if self.found else 0.0

    @property
    def recall(self) -> float:
        return self.both / self.hot if self.hot else 0.0

    @property
    def rate_error(self) -> float:
        """What was counted too much and what was missed, as a share of all accesses."""
        return self.deviation / self.accesses if self.accesses else 0.0

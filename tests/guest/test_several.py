# SPDX-License-Identifier: GPL-2.0
"""Several kdamonds at once, each with a picture of its own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from itertools import permutations
from typing import Any

import pytest

import status
from damon_tree import Damon, Kdamond, Region
from guest_time import wait_until
from hot_area import THRESHOLD
from pause import pause, resume
from regions import mean_age
from trace_events import Event, Trace, reported
from workload import MIB, Workload, score

# What each kdamond has is read from the status file, which only ours has.
pytestmark = pytest.mark.ours

Range = tuple[int, int]


def regions(target: dict[str, Any]) -> list[Region]:
    """A target's regions with what the last complete aggregation interval counted."""
    return [Region(its["start"], its["end"], its["last_nr_accesses"], its["age"]) for its in target["regions"]]


def found(its: Iterable[Region], hot: Range, least: float = 0.9) -> bool:
    return min(score(its, hot, THRESHOLD)) >= least


# ---- tens of kdamonds ----

OFFSETS = [1 * MIB, 5 * MIB, 9 * MIB, 13 * MIB]


@pytest.fixture
def workloads() -> Iterator[list[Workload]]:
    """Processes alike but for where they are hot."""
    with ExitStack() as stack:
        started = [
            stack.enter_context(Workload("--size", "16M", "--hot", "2M", "--pace-us", "20000")) for _ in OFFSETS
        ]  # fmt: skip
        for workload, offset in zip(started, OFFSETS):
            workload.move_hot(offset)
        yield started


@pytest.mark.slow(300)
def test_tens_of_kdamonds(damon: Damon, workloads: list[Workload]) -> None:
    """Each monitors three of four processes in an order of its own, with limits of its own; ending some is nothing to the others."""
    orders = list(permutations(workloads, 3))
    kdamonds = damon.kdamonds(len(orders))
    # With few regions it takes luck that one ends where the hot area does.
    limits = [(10 + index, 150 + 2 * index) for index in range(len(orders))]
    for kdamond, order, (least, most) in zip(kdamonds, orders, limits):
        kdamond.write("contexts/nr_contexts", 1)
        kdamond.add_targets(*(workload.pid for workload in order))
        kdamond.set(sample_us=50000, aggr_us=500000, min_regions=least, max_regions=most)
        kdamond.on()
    pids = [kdamond.pid for kdamond in kdamonds]
    assert len(set(pids)) == len(orders) == 24

    # Each is to be found at some time, not all of them at the same. With so few regions it is not exact, but in no other process's place.
    missing = {(index, position) for index, order in enumerate(orders) for position in range(len(order))}

    def all_found() -> bool:
        contexts = {its["index"]: its["context"] for its in status.read(damon)["kdamonds"]}
        for index, order in enumerate(orders):
            targets = contexts[index]["targets"]
            assert [target["pid"] for target in targets] == [workload.pid for workload in order]
            # Each part of the address space that is not contiguous has a region, whatever the limit.
            assert sum(len(target["regions"]) for target in targets) <= limits[index][1] + 3 * len(targets)
        for index, position in list(missing):
            if found(regions(contexts[index]["targets"][position]), orders[index][position].hot, 0.5):
                missing.remove((index, position))
        return not missing

    wait_until(all_found, lambda: f"every kdamond finds what is hot in every target of its; missing: {sorted(missing)}", 240, every=0.5)

    for kdamond in kdamonds[::2]:
        kdamond.off()
    others = set(pids[1::2])
    passed = {its["index"]: its["context"]["passed_sample_intervals"] for its in status.read(damon)["kdamonds"] if its["index"] % 2}
    with Trace(damon, "damon_aggregated") as trace:
        wait_until(lambda: {event.pid for event in trace.events()} >= others, "those that are left go on", every=0.5)
        assert {event.pid for event in trace.events()} == others
    for kdamond in kdamonds[::2]:
        assert not kdamond.running
    for its in status.read(damon)["kdamonds"]:
        if its["index"] % 2:
            assert its["state"] == "running" and its["context"]["passed_sample_intervals"] > passed[its["index"]]


@pytest.mark.slow(300)
def test_many_targets(damon: Damon, kdamond: Kdamond, workloads: list[Workload]) -> None:
    """Forty targets in one context, which are four processes ten times each."""
    order = [*workloads] * 10
    kdamond.add_targets(*(workload.pid for workload in order))
    kdamond.set(sample_us=50000, aggr_us=1000000, min_regions=200, max_regions=2000)
    kdamond.on()
    missing = set(range(len(order)))

    def all_found() -> bool:
        targets = status.kdamond(damon)["context"]["targets"]
        assert [target["pid"] for target in targets] == [workload.pid for workload in order]
        assert sum(len(target["regions"]) for target in targets) <= 2000
        missing.difference_update([place for place in missing if found(regions(targets[place]), order[place].hot)])
        return not missing

    wait_until(all_found, lambda: f"what is hot is found in every target; missing: {sorted(missing)}", 240, every=1.0)
    # Half of them end with their processes, and the others go on.
    for workload in workloads[::2]:
        workload.kill()
    passed = status.kdamond(damon)["context"]["passed_sample_intervals"]
    wait_until(lambda: status.kdamond(damon)["context"]["passed_sample_intervals"] > passed + 20, "it goes on", every=0.5)


# ---- foreground and background ----

FOREGROUND, BACKGROUND = 8 * MIB, 44 * MIB
SWITCHES = 3


class Mode:
    """What an application does in the foreground, or in the background, and the kdamond that watches it only then."""

    def __init__(self, damon: Damon, kdamond: Kdamond, index: int, workload: Workload, offset: int) -> None:
        self.damon, self.kdamond, self.index, self.workload = damon, kdamond, index, workload
        self.offset = offset
        self.hot = workload.area[0] + offset, workload.area[0] + offset + 8 * MIB
        kdamond.write("contexts/nr_contexts", 1)
        kdamond.add_targets(workload.pid)
        kdamond.set(pause="Y", sample_us=10000, aggr_us=200000)
        kdamond.on()
        self.pid = kdamond.pid

    def enter(self) -> None:
        self.workload.move_hot(self.offset)
        resume(self.kdamond)

    def leave(self) -> None:
        pause(self.kdamond)

    def picture(self) -> dict[str, Any]:
        """All that there is to know, byte for byte."""
        return status.kdamond(self.damon, self.index)

    def regions(self) -> list[Region]:
        (target,) = self.picture()["context"]["targets"]
        return regions(target)

    def knows(self) -> bool:
        return found(self.regions(), self.hot) and max(region.age for region in self.regions()) >= 6


def aggregations(events: Iterable[Event]) -> list[list[Region]]:
    """Of one target; without a last one that is not all there."""
    taken: list[list[Region]] = []
    pending = list(events)
    while pending and len(pending) >= (count := pending[0].fields()["nr_regions"]):
        taken.append(reported(pending[:count]))
        pending = pending[count:]
    return taken


def misled(events: Iterable[Event], area: Range, own: Range) -> list[Region]:
    """Regions of the area, away from where this kdamond's mode is hot, that were seen accessed."""
    return [
        region
        for region in reported(events)
        if region.nr_accesses and area[0] <= region.start and region.end <= area[1] and (region.end <= own[0] or own[1] <= region.start)
    ]


@pytest.mark.slow(300)
def test_foreground_and_background(damon: Damon) -> None:
    """Two kdamonds for an application, paused and resumed in turn: both keep what they know, and neither sees the other's time."""
    with Workload("--size", "64M", "--hot", "8M") as workload:
        kdamonds = damon.kdamonds(2)
        modes = [
            Mode(damon, kdamond, index, workload, offset) for index, (kdamond, offset) in enumerate(zip(kdamonds, (FOREGROUND, BACKGROUND)))
        ]  # fmt: skip
        known: dict[int, dict[str, Any]] = {}
        learned: dict[int, list[Region]] = {}
        with Trace(damon, "damon_aggregated") as trace:
            for turn in range(2 * SWITCHES):
                mode, other = modes[turn % 2], modes[1 - turn % 2]
                if mode.index in known:
                    assert mode.picture() == known[mode.index], "the picture changed while its kdamond was paused"
                trace.clear()
                mode.enter()
                wait_until(lambda: aggregations(trace.events()), "aggregation goes on")
                if mode.index in known:
                    # The regions of the first aggregation show what was hot as hot, and are one aggregation older than before the pause,
                    # but for those at the edges of the hot area, which may be accessed more or less than before.
                    first = aggregations(trace.events())[0]
                    assert score(first, mode.hot, THRESHOLD).recall >= 0.9, first
                    assert mean_age(learned[mode.index]) / 2 <= mean_age(first) <= mean_age(learned[mode.index]) + 1
                wait_until(mode.knows, "the hot area of this mode is found")
                mode.leave()
                known[mode.index] = mode.picture()
                learned[mode.index] = mode.regions()
                events = trace.events()
                assert {event.pid for event in events} == {mode.pid}, "the paused one works"
                # Accesses while this one was paused are not in its regions. A region that reaches over both areas tells nothing.
                assert not misled(events, workload.area, mode.hot)
                assert not known.get(other.index) or other.picture() == known[other.index]


def access(workload: Workload, offset: int) -> int:
    """Lets an idle workload access its memory for a moment; returns how often it did."""
    workload.move_hot(offset)
    workload.idle()
    rounds: int = workload.events("phase_end")[-1]["rounds"]
    return rounds


@pytest.mark.slow(120)
def test_resumed_sample_is_new(damon: Damon) -> None:
    """What is accessed between a pause in the middle of a sample and the end of that pause is in no sample."""
    with Workload("--size", "64M", "--hot", "8M") as workload:
        workload.idle()
        kdamond = damon.kdamond()
        kdamond.add_targets(workload.pid)
        # A sample an aggregation: the one that the pause comes into is the next to be reported.
        kdamond.set(sample_us=200000, aggr_us=200000, min_regions=100, max_regions=200)
        with Trace(damon, "damon_aggregated") as trace:
            kdamond.on()
            trace.wait()
            for _ in range(3):
                pause(kdamond)
                wait_until(lambda: access(workload, FOREGROUND), "the workload accesses its memory")
                trace.clear()
                resume(kdamond)
                trace.wait()
                inside = [
                    region for region in reported(trace.events())
                    if workload.area[0] <= region.start and region.end <= workload.area[1]
                ]  # fmt: skip
                assert inside and not [region for region in inside if region.nr_accesses], inside

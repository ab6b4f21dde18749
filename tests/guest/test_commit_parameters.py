# SPDX-License-Identifier: GPL-2.0
"""Every parameter is committed, to a kdamond that runs and to one that is paused; and refused commits leave everything as it is.

What the kdamond has then is read from its status. That of a paused one changes by commits alone, so that it can be compared as a whole.
"""

from __future__ import annotations

import subprocess
from contextlib import ExitStack
from typing import Any, Callable, Iterator

import pytest

import status
from cases import Cases
from damon_tree import AGGREGATION, ULONG_MAX, Damon, Kdamond, set_pattern
from guest_time import wait_until
from iomem import memory
from mapper import PAGE, mapper
from probes import ANON, NOT_ANON, memcg, set_probes
from tuning import set_goal
from workload import MIB, Workload

# Only ours has the status file.
pytestmark = pytest.mark.ours

Regions = list[dict[str, int]]

SAMPLES = 20


@pytest.fixture(params=["running", "paused"])
def paused(request: pytest.FixtureRequest) -> bool:
    return bool(request.param == "paused")


def context(damon: Damon) -> dict[str, Any]:
    found: dict[str, Any] = status.kdamond(damon)["context"]
    return found


def pids(damon: Damon) -> list[int]:
    return [target["pid"] for target in context(damon)["targets"]]


def oldest(regions: Regions) -> int:
    return max(region["age"] for region in regions)


def ranges(regions: Regions) -> list[tuple[int, int]]:
    """Where regions are, those that touch as one."""
    found: list[list[int]] = []
    for region in regions:
        if found and found[-1][1] == region["start"]:
            found[-1][1] = region["end"]
        else:
            found.append([region["start"], region["end"]])
    return [(start, end) for start, end in found]


@pytest.fixture
def learned(damon: Damon, kdamond: Kdamond, shared_workload: Workload, paused: bool) -> Kdamond:
    """A kdamond that has learned something, paused if that is asked for."""
    kdamond.add_targets(shared_workload.pid)
    kdamond.add_stat_schemes()
    kdamond.on()
    wait_until(lambda: oldest(status.regions(damon)) >= 16, "regions get old", every=AGGREGATION)
    wait_until(lambda: any(region["last_nr_accesses"] for region in status.regions(damon)), "something is accessed", every=AGGREGATION)
    if paused:
        kdamond.set(pause="Y")
        kdamond.commit()
    return kdamond


# ---- attributes ----


# Sampling and aggregation interval. Each is committed in the place of the default, and the default again.
DEFAULT_INTERVALS = (5000, 100000)
INTERVALS = ((5000, 400000), (10000, 100000), (5000, 50000), (20000, 400000))


def commit_intervals(damon: Damon, learned: Kdamond, paused: bool, old_intervals: tuple[int, int], intervals: tuple[int, int]) -> None:
    before = status.regions(damon)
    sample_us, aggr_us = intervals
    learned.set(sample_us=sample_us, aggr_us=aggr_us, update_us=7_000_000)
    learned.commit()
    now = context(damon)
    assert {name: now["attrs"][name] for name in ("sample_us", "aggr_us", "update_us")} == {
        "sample_us": sample_us, "aggr_us": aggr_us, "update_us": 7_000_000,
    }  # fmt: skip
    after = now["targets"][0]["regions"]
    old_samples, samples = old_intervals[1] // old_intervals[0], aggr_us // sample_us
    assert all(region["last_nr_accesses"] <= samples for region in after)
    if paused:
        assert len(after) == len(before)
        for old, new in zip(before, after):
            assert (new["start"], new["end"]) == (old["start"], old["end"])
            assert new["age"] == old["age"] * old_intervals[1] // aggr_us
            assert abs(new["last_nr_accesses"] - old["last_nr_accesses"] * samples / old_samples) < 1
    else:
        # An aggregation may be over between one look and the next.
        assert oldest(after) >= oldest(before) * old_intervals[1] // aggr_us - 1


def test_intervals(damon: Damon, learned: Kdamond, paused: bool) -> None:
    """Counts become those of the new number of samples, ages those of the new aggregation interval."""
    with Cases() as cases:
        for intervals in INTERVALS:
            with cases.case(intervals):
                commit_intervals(damon, learned, paused, DEFAULT_INTERVALS, intervals)
                assert oldest(status.regions(damon)) > 0
                commit_intervals(damon, learned, paused, intervals, DEFAULT_INTERVALS)


def test_limits_of_regions(damon: Damon, learned: Kdamond, paused: bool) -> None:
    learned.set(min_regions=300, max_regions=400)
    learned.commit()
    attrs = context(damon)["attrs"]
    assert (attrs["min_nr_regions"], attrs["max_nr_regions"]) == (300, 400)
    learned.set(pause="N")
    learned.commit()
    wait_until(lambda: 300 <= len(status.regions(damon)) <= 400, "regions are split", every=AGGREGATION)
    learned.set(min_regions=3, max_regions=6, pause="Y" if paused else "N")
    learned.commit()
    learned.set(pause="N")
    learned.commit()
    wait_until(lambda: len(status.regions(damon)) <= 6, "regions are merged", every=AGGREGATION)


def test_goal_of_intervals(damon: Damon, learned: Kdamond, paused: bool) -> None:
    """Tuning begins and ends by a commit; while paused nothing is tuned."""
    set_goal(learned, 1, 1, 100, 5000)
    learned.commit()
    if paused:
        assert context(damon)["attrs"]["sample_us"] == 5000
        learned.set(pause="N")
        learned.commit()
    wait_until(lambda: context(damon)["attrs"]["sample_us"] < 5000, "intervals are tuned", every=AGGREGATION)
    set_goal(learned, 0, 0, 0, 0)
    learned.commit()
    assert context(damon)["attrs"]["sample_us"] == 5000


# ---- what depends on the operations ----


def test_operations(damon: Damon, learned: Kdamond, shared_workload: Workload, paused: bool) -> None:
    """The same addresses of the same process: what was learned stays. Those of another space begin anew."""
    before = status.regions(damon)
    learned.set(ops="fvaddr")
    learned.commit()
    now = context(damon)
    assert now["ops"] == "fvaddr" and pids(damon) == [shared_workload.pid]
    assert oldest(status.regions(damon)) >= oldest(before)
    if paused:
        assert status.regions(damon) == before
    area = memory()[-1]
    learned.set(ops="paddr")
    learned.set_init_regions([area])
    learned.commit()
    now = context(damon)
    assert now["ops"] == "paddr" and "pid" not in now["targets"][0]
    assert ranges(status.regions(damon)) == [area]
    learned.set(ops="vaddr", update_us=100000, pause="N")
    learned.set_init_regions([])
    learned.commit()
    wait_until(lambda: ranges(status.regions(damon)) == shared_workload.three_regions(), "it is monitored again", every=AGGREGATION)


def test_unit_of_addresses(damon: Damon, kdamond: Kdamond, paused: bool) -> None:
    """Regions are in the new units at once, and no smaller than the unit allows."""
    with mapper("thp") as process:
        found = process.frames(2)[0]
        kdamond.set(ops="paddr", pause="Y" if paused else "N")
        kdamond.context.write("targets/nr_targets", 1)
        kdamond.set_init_regions(found)
        kdamond.on()
        for unit in (4096, 2, 1):
            kdamond.context.write("addr_unit", unit)
            wanted = [(start // unit, end // unit) for start, end in found]
            kdamond.set_init_regions(wanted)
            kdamond.commit()
            regions = status.regions(damon)
            assert ranges(regions) == wanted
            least = max(PAGE // unit, 1)
            assert all(region["start"] % least == 0 and region["end"] % least == 0 for region in regions)


# ---- targets ----


@pytest.fixture
def others() -> Iterator[list[Workload]]:
    with ExitStack() as stack:
        yield [stack.enter_context(Workload("--size", "8M", "--hot", "1M", "--pace-us", "10000")) for _ in range(3)]


def test_targets(damon: Damon, learned: Kdamond, shared_workload: Workload, others: list[Workload], paused: bool) -> None:
    """By position: one more, one less in the middle, another one in a place. Those that stay keep what they know."""
    first, second, third = others

    def regions(place: int) -> Regions:
        found: Regions = context(damon)["targets"][place]["regions"]
        return found

    def commit_and_compare(wanted: list[Workload], *kept: int) -> None:
        """`kept` are the places that the targets which stay were in."""
        before = context(damon)["targets"]
        learned.commit()
        assert pids(damon) == [workload.pid for workload in wanted]
        if paused:
            after = context(damon)["targets"]
            for place in kept:
                pid = before[place]["pid"]
                (found,) = [target for target in after if target["pid"] == pid]
                assert found == before[place]

    learned.add_targets(shared_workload.pid, first.pid, second.pid)
    commit_and_compare([shared_workload, first, second], 0)
    assert oldest(regions(0)) >= 16
    for place, workload in enumerate((shared_workload, first, second)):
        learned.set_init_regions([workload.area], place)
    commit_and_compare([shared_workload, first, second])
    assert [ranges(regions(place)) for place in range(3)] == [[workload.area] for workload in (shared_workload, first, second)]
    for place in range(3):
        learned.set_init_regions([], place)

    learned.targets[1].write("obsolete_target", "Y")
    commit_and_compare([shared_workload, second], 0, 2)
    assert oldest(regions(0)) >= 16

    learned.add_targets(shared_workload.pid, third.pid)
    commit_and_compare([shared_workload, third], 0)
    assert oldest(regions(0)) >= 16
    learned.add_targets(shared_workload.pid)
    commit_and_compare([shared_workload], 0)
    assert oldest(regions(0)) >= 16


def test_regions(damon: Damon, learned: Kdamond, shared_workload: Workload, paused: bool) -> None:
    """In the ranges that are given, regions that were there stay, and what is new is unknown."""
    start, end = shared_workload.area
    before = status.regions(damon)
    wanted = [(start, start + 16 * MIB), (end - 16 * MIB, end), (1 << 40, (1 << 40) + MIB)]
    learned.set_init_regions(sorted(wanted))
    learned.commit()
    after = status.regions(damon)
    assert ranges(after) == sorted(wanted)
    new = [region for region in after if region["end"] <= (1 << 40) + MIB]
    assert len(new) >= 1
    if paused:
        assert all(region["age"] == region["last_nr_accesses"] == 0 for region in new)
        places = {(region["start"], region["end"]): region for region in before}
        kept = [region for region in after if (region["start"], region["end"]) in places]
        assert all(region == places[region["start"], region["end"]] for region in kept)
        # Cut or whole, all of the old ranges is as old as it was.
        for region in after:
            over = [old for old in before if old["start"] < region["end"] and region["start"] < old["end"]]
            assert not over or region["age"] in [old["age"] for old in over]


# ---- the rest ----


def test_probes(damon: Damon, learned: Kdamond, paused: bool) -> None:
    before = status.regions(damon)
    set_probes(learned, [ANON], [NOT_ANON], [])
    learned.commit()
    assert all(len(region["probe_hits"]) == 3 for region in status.regions(damon))
    set_probes(learned, [ANON])
    learned.commit()
    assert all(len(region["probe_hits"]) == 1 for region in status.regions(damon))
    set_probes(learned)
    learned.commit()
    assert not any("probe_hits" in region for region in status.regions(damon))
    assert oldest(status.regions(damon)) >= oldest(before)
    if paused:
        assert status.regions(damon) == before


def test_schemes(damon: Damon, learned: Kdamond) -> None:
    learned.add_stat_schemes(2)
    set_pattern(learned.schemes[0], size=(1, 2), nr_accesses=(3, 4), age=(5, 6))
    learned.schemes[1].write("apply_interval_us", 777000)
    learned.commit()
    first, second = context(damon)["schemes"]
    assert first["access_pattern"] == {"sz": [1, 2], "nr_accesses": [3, 4], "age": [5, 6]}
    assert second["access_pattern"]["sz"] == [0, ULONG_MAX] and second["apply_interval_us"] == 777000


def test_pause(damon: Damon, learned: Kdamond, paused: bool) -> None:
    states = []
    for value in ("Y", "N", "Y", "Y", "N", "N"):
        learned.set(pause=value)
        assert context(damon)["pause"] is (states[-1] if states else paused)
        learned.commit()
        states.append(value == "Y")
        assert context(damon)["pause"] is states[-1]


def test_all_at_once(damon: Damon, learned: Kdamond, shared_workload: Workload, others: list[Workload], paused: bool) -> None:
    learned.add_targets(shared_workload.pid, others[0].pid)
    learned.set_init_regions([shared_workload.area])
    learned.set_init_regions([others[0].area], 1)
    learned.set(sample_us=10000, aggr_us=300000, update_us=2000000, min_regions=20, max_regions=90)
    learned.set(ops="fvaddr", pause="N" if paused else "Y")
    set_probes(learned, [ANON])
    learned.add_stat_schemes(3)
    learned.commit()
    now = context(damon)
    assert (now["ops"], now["pause"], len(now["schemes"])) == ("fvaddr", not paused, 3)
    assert now["attrs"] == {
        "sample_us": 10000, "aggr_us": 300000, "update_us": 2000000, "min_nr_regions": 20, "max_nr_regions": 90,
        "intervals_goal": {"access_bp": 0, "aggrs": 0, "min_sample_us": 0, "max_sample_us": 0},
    }  # fmt: skip
    assert [ranges(target["regions"]) for target in now["targets"]] == [[shared_workload.area], [others[0].area]]
    assert all(len(region["probe_hits"]) == 1 for region in status.regions(damon))


# ---- refused ----


def dead_pid() -> int:
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


def second_target(kdamond: Kdamond, pid: int) -> None:
    kdamond.add_targets(kdamond.targets[0].number("pid_target"), pid)


def obsolete_without_a_match(kdamond: Kdamond) -> None:
    second_target(kdamond, kdamond.targets[0].number("pid_target"))
    kdamond.targets[1].write("obsolete_target", "Y")


def two_physical_memories(kdamond: Kdamond) -> None:
    second_target(kdamond, kdamond.targets[0].number("pid_target"))
    kdamond.set(ops="paddr")


def odd_unit(kdamond: Kdamond) -> None:
    kdamond.set(ops="paddr")
    kdamond.context.write("addr_unit", 3)


# Each is one mistake in a commit whose other values are good, and others than before.
BAD: dict[str, Callable[[Kdamond], None]] = {
    "limits of regions": lambda kdamond: kdamond.set(min_regions=500, max_regions=400),
    "too few regions": lambda kdamond: kdamond.set(min_regions=2),
    "intervals": lambda kdamond: kdamond.set(sample_us=200000, aggr_us=100000),
    "goal of intervals": lambda kdamond: set_goal(kdamond, 400, 2, 20000, 10000),
    "no such process": lambda kdamond: second_target(kdamond, dead_pid()),
    "obsolete target": obsolete_without_a_match,
    "regions that descend": lambda kdamond: kdamond.set_init_regions([(4 * MIB, 5 * MIB), (MIB, 2 * MIB)]),
    "regions that overlap": lambda kdamond: kdamond.set_init_regions([(MIB, 3 * MIB), (2 * MIB, 4 * MIB)]),
    "two physical memories": two_physical_memories,
    "unit of addresses": odd_unit,
    "weight of a probe": lambda kdamond: set_probes(kdamond, [ANON], weights=(2**32 - 1,)),
    "group of a probe": lambda kdamond: set_probes(kdamond, [memcg("/damon-no-such-group")]),
}


def commit_mistake(damon: Damon, learned: Kdamond, paused: bool, mistake: Callable[[Kdamond], None]) -> None:
    """Commits a mistake, which takes effect as little as the good values beside it."""
    before = status.kdamond(damon)
    learned.set(sample_us=7000, aggr_us=70000, update_us=3000000, min_regions=30, max_regions=300, pause="N" if paused else "Y")
    learned.add_stat_schemes(2)
    mistake(learned)
    with pytest.raises(OSError, match="Invalid argument"):
        learned.commit()
    after = status.kdamond(damon)
    if paused:
        assert after == before
        return
    assert learned.running and after["state"] == "running"
    for name in ("ops", "pause", "attrs"):
        assert after["context"][name] == before["context"][name]
    assert len(after["context"]["schemes"]) == 1
    assert [target["pid"] for target in after["context"]["targets"]] == [target["pid"] for target in before["context"]["targets"]]
    assert oldest(after["context"]["targets"][0]["regions"]) >= oldest(before["context"]["targets"][0]["regions"])
    # It goes on.
    passed = after["context"]["passed_sample_intervals"]
    wait_until(lambda: context(damon)["passed_sample_intervals"] > passed + SAMPLES, "monitoring goes on", every=AGGREGATION)


def test_refused(damon: Damon, learned: Kdamond, shared_workload: Workload, paused: bool) -> None:
    """As a whole: nothing of the commit takes effect."""
    with Cases() as cases:
        for name, mistake in BAD.items():
            # The files of a mistake go; what the kdamond has stays.
            learned.write("contexts/nr_contexts", 1)
            learned.add_targets(shared_workload.pid)
            with cases.case(name):
                commit_mistake(damon, learned, paused, mistake)

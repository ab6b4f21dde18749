# SPDX-License-Identifier: GPL-2.0
"""Migration between NUMA nodes. Needs a machine with two (vm.py --nodes 2)."""

from __future__ import annotations

import contextlib
import ctypes
from itertools import product
from pathlib import Path
from typing import Iterator

import pytest

import vmstat
from actions import add_scheme, cgroup, free_at_once, inside, start, start_physical, tries
from cases import Cases
from damon_tree import Damon, Dir, Kdamond
from guest_time import wait_until
from holder import HUGE, MIB, PAGE, Holder, drain, memory
from kernel_module import Module
from scheme_filters import filters
from scheme_limits import effective, set_goal, set_goals, set_quota, share, values

__all__ = ["cgroup", "free_at_once"]

SIZE = 4 * MIB
NODES = Path("/sys/devices/system/node")
SYS_SET_MEMPOLICY, MPOL_DEFAULT, MPOL_BIND = 238, 0, 2

pytestmark = pytest.mark.skipif(not (NODES / "node1").exists(), reason="this machine has one node")


def on_node(holder: Holder, node: int) -> int:
    """Bytes of the area on a node, as numa_maps says it."""
    pages = 0
    for line in Path(f"/proc/{holder.pid}/numa_maps").read_text().splitlines():
        fields = line.split()
        if holder.area[0] <= int(fields[0], 16) < holder.area[1]:
            # Where nothing is mapped, no size is told.
            sizes = dict(field.split("=") for field in fields if "=" in field)
            pages += int(sizes.get(f"N{node}", 0)) * int(sizes.get("kernelpagesize_kB", 4)) // 4
    return pages * PAGE


def zones(node: int, name: str) -> list[int]:
    """A number of each zone with memory of a node."""
    found = []
    for zone in Path("/proc/zoneinfo").read_text().split(f"Node {node}, zone ")[1:]:
        fields = zone.split("Node ")[0].split()
        if int(fields[fields.index("present") + 1]):
            found.append(int(fields[fields.index(name) + 1]))
    return found


def first_page(node: int) -> int:
    """The number of the first page on a node."""
    return min(zones(node, "start_pfn:"))


def isolated() -> int:
    """Pages that are taken off the LRU lists. Of a number below zero the kernel warns, which fails the test."""
    Path("/proc/sys/vm/stat_refresh").write_text("1\n")
    found = vmstat.counters()
    return found["nr_isolated_anon"] + found["nr_isolated_file"]


def dests(scheme: Dir, *weights: tuple[int, int]) -> None:
    scheme.write("dests/nr_dests", len(weights))
    for folder, (node, weight) in zip((scheme / "dests").numbered(), weights):
        folder.write("id", node)
        folder.write("weight", weight)


@pytest.mark.parametrize("kind", ["anon", "thp", "split", "locked"])
@pytest.mark.parametrize("ops", ["vaddr", "fvaddr"])
def test_there_and_back(kdamond: Kdamond, kind: str, ops: str) -> None:
    with Holder(kind, SIZE) as holder:
        assert on_node(holder, 0) == SIZE
        scheme = add_scheme(kdamond, "migrate_cold", target_nid=1)
        start(kdamond, holder, ops=ops)
        wait_until(lambda: on_node(holder, 1) == SIZE, "everything has moved")
        if kind == "thp":
            assert holder.bytes("AnonHugePages") == SIZE, "huge pages move as such"
        stats = kdamond.stats()
        assert SIZE <= stats["sz_applied"] <= stats["sz_ops_filter_passed"]
        scheme.write("action", "migrate_hot")
        scheme.write("target_nid", 0)
        drain()
        kdamond.commit()
        wait_until(lambda: on_node(holder, 0) == SIZE, "everything is back")
        assert holder.command("check") == 0
        kdamond.off()
        assert isolated() == 0


def test_what_is_there_stays(kdamond: Kdamond) -> None:
    with Holder("anon", SIZE) as holder:
        frames = holder.frames()
        add_scheme(kdamond, "migrate_hot", target_nid=0)
        start(kdamond, holder)
        assert tries(kdamond)["sz_applied"] == 0
        assert holder.frames() == frames


# Those that a machine of two nodes has not, and that none can have.
NO_NODES = (-1, 2, 63, 64, 1 << 20, 2**31 - 1, -(2**31))


def test_no_such_node(kdamond: Kdamond) -> None:
    """Nothing moves."""
    with Holder("anon", SIZE) as holder, Cases() as cases:
        frames = holder.frames()
        for ops, node in product(("fvaddr", "paddr"), NO_NODES):
            with cases.case(f"{ops}, node {node}"):
                add_scheme(kdamond, "migrate_cold", target_nid=node)
                if ops == "paddr":
                    start_physical(kdamond, memory(holder))
                else:
                    start(kdamond, holder)
                assert tries(kdamond)["sz_applied"] == 0
                assert holder.frames() == frames
            kdamond.stop()


def test_shared_memory_moves(kdamond: Kdamond) -> None:
    """For all who map it."""
    with Holder("forked", SIZE) as holder:
        add_scheme(kdamond, "migrate_cold", target_nid=1)
        start(kdamond, holder)
        wait_until(lambda: on_node(holder, 1) == SIZE, "everything has moved")
        assert holder.command("check") == 0


def test_a_part_moves(kdamond: Kdamond) -> None:
    with Holder("anon", SIZE) as holder:
        part = holder.part(MIB, 2 * MIB)
        before = holder.frames()
        add_scheme(kdamond, "migrate_cold", target_nid=1)
        start(kdamond, holder, part)
        wait_until(lambda: on_node(holder, 1) == MIB, "the part has moved")
        tries(kdamond)
        after = holder.frames()
        moved = [one != other for one, other in zip(before, after)]
        assert all(moved[MIB // PAGE : 2 * MIB // PAGE]) and sum(moved) == MIB // PAGE


def test_pinned_pages_stay(kdamond: Kdamond) -> None:
    with Holder("pinned", SIZE) as holder:
        add_scheme(kdamond, "migrate_cold", target_nid=1)
        start(kdamond, holder)
        wait_until(lambda: on_node(holder, 1) == SIZE - SIZE // 16, "all others have moved")
        tries(kdamond)
        # While it is tried, a page is mapped nowhere.
        kdamond.off()
        assert on_node(holder, 0) == SIZE // 16


@pytest.mark.parametrize("weights", [((0, 1), (1, 1)), ((0, 1), (1, 3)), ((1, 0), (0, 2), (1, 3)), ((0, 5), (7, 5))])
@pytest.mark.parametrize("kind", ["anon", "split"])
def test_weights(kdamond: Kdamond, kind: str, weights: tuple[tuple[int, int], ...]) -> None:
    """Pages are distributed by weight, each by its place in the area, and then stay where they are."""
    with Holder(kind, SIZE * 4) as holder:
        page = HUGE if kind == "split" else PAGE
        scheme = add_scheme(kdamond, "migrate_hot")
        dests(scheme, *weights)
        start(kdamond, holder)
        turns = [node for node, weight in weights for _ in range(weight)]
        # The area's first page has the number that its address gives it.
        numbers = range(holder.area[0] // page, holder.area[1] // page)
        expected = sum(turns[number % len(turns)] == 1 for number in numbers) * page
        wait_until(lambda: on_node(holder, 1) == expected, f"{expected} bytes are on the second node")
        border = first_page(1)
        tries(kdamond)
        before = kdamond.stats()["sz_applied"]
        frames = holder.frames()
        for number, frame in zip(numbers, frames[:: page // PAGE]):
            assert (frame >= border) == (turns[number % len(turns)] == 1)
        tries(kdamond)
        assert holder.frames() == frames and kdamond.stats()["sz_applied"] == before


def test_no_weight(kdamond: Kdamond) -> None:
    with Holder("anon", SIZE) as holder:
        scheme = add_scheme(kdamond, "migrate_hot", target_nid=1)
        dests(scheme, (0, 0), (1, 0))
        start(kdamond, holder)
        assert tries(kdamond)["sz_applied"] == 0
        assert on_node(holder, 0) == SIZE


@pytest.mark.parametrize("rule, moves", [
    ({"type": "anon", "matching": "Y", "allow": "Y"}, True),
    ({"type": "anon", "matching": "Y", "allow": "N"}, False),
    ({"type": "hugepage_size", "min": HUGE, "max": HUGE, "matching": "Y", "allow": "Y"}, False),
    ({"type": "young", "matching": "Y", "allow": "N"}, True),
    ({"type": "unmapped", "matching": "Y", "allow": "Y"}, False),
])  # fmt: skip
@pytest.mark.parametrize("ops", ["fvaddr", "paddr"])
def test_filters(kdamond: Kdamond, ops: str, rule: dict[str, object], moves: bool) -> None:
    with Holder("anon", SIZE) as holder:
        scheme = add_scheme(kdamond, "migrate_cold", target_nid=1)
        filters(scheme, rule)
        if ops == "paddr":
            start_physical(kdamond, memory(holder))
        else:
            start(kdamond, holder)
        if moves:
            wait_until(lambda: on_node(holder, 1) == SIZE, "everything has moved")
        else:
            stats = tries(kdamond)
            assert stats["sz_applied"] == stats["sz_ops_filter_passed"] == 0
            assert on_node(holder, 0) == SIZE


def test_young_filter(kdamond: Kdamond) -> None:
    """What is accessed stays near, the rest goes."""
    with Holder("anon", SIZE) as holder:
        holder.command(f"hot {SIZE // 2}")
        scheme = add_scheme(kdamond, "migrate_cold", target_nid=1)
        filters(scheme, {"type": "young", "matching": "Y", "allow": "N"})
        start(kdamond, holder)
        wait_until(lambda: on_node(holder, 1) >= SIZE // 2, "the cold part has moved")
        assert on_node(holder, 1) <= SIZE // 2 + SIZE // 8
        assert holder.command("check") == 0


@pytest.mark.parametrize("kind", ["anon", "thp", "forked", "shmem", "locked"])
def test_physical(kdamond: Kdamond, kind: str) -> None:
    with Holder(kind, SIZE) as holder, Holder("anon", SIZE) as other:
        add_scheme(kdamond, "migrate_cold", target_nid=1)
        start_physical(kdamond, memory(holder))
        wait_until(lambda: on_node(holder, 1) == SIZE, "everything has moved")
        assert on_node(other, 0) == SIZE
        stats = kdamond.stats()
        assert SIZE <= stats["sz_applied"] <= stats["sz_ops_filter_passed"]
        assert holder.command("check") == 0


@contextlib.contextmanager
def full(node: int, left: int) -> Iterator[None]:
    """A node on which there is room for little more than so many bytes. The rest is in a pool, which nobody has to fill with anything."""
    left += sum(zones(node, "low")) * PAGE
    fields = (NODES / f"node{node}/meminfo").read_text().split()
    free = int(fields[fields.index("MemFree:") + 1]) * 1024
    pool = NODES / f"node{node}/hugepages/hugepages-2048kB/nr_hugepages"
    pool.write_text(f"{(free - left) // HUGE}\n")
    try:
        yield
    finally:
        pool.write_text("0\n")


def frames_at_rest(kdamond: Kdamond, holder: Holder) -> list[int]:
    """Where all pages are, while none is tried: those are mapped nowhere for a moment."""
    kdamond.set(pause="Y")
    kdamond.commit()
    frames = holder.frames()
    kdamond.set(pause="N")
    kdamond.commit()
    assert len(frames) == (holder.area[1] - holder.area[0]) // PAGE
    return frames


def test_a_full_node(kdamond: Kdamond, free_at_once: None) -> None:
    """What does not fit stays where it is, and is not moved to the node where it is already."""
    with Holder("anon", 12 * SIZE) as holder, full(1, left=4 * SIZE):
        assert on_node(holder, 0) == 12 * SIZE
        add_scheme(kdamond, "migrate_cold", target_nid=1)
        start(kdamond, holder)
        wait_until(lambda: on_node(holder, 1) > SIZE, "some has moved")
        tries(kdamond)
        border = first_page(1)
        before = frames_at_rest(kdamond, holder)
        assert any(frame < border for frame in before), "some has not"
        tries(kdamond)
        after = frames_at_rest(kdamond, holder)
        assert all(one == other for one, other in zip(before, after, strict=True) if other < border)
        assert kdamond.stats()["sz_applied"] <= 12 * SIZE
        assert holder.command("check") == 0
        kdamond.off()
        assert isolated() == 0, "what could not move is back on its list"


@contextlib.contextmanager
def allocating_on(node: int) -> Iterator[None]:
    """What is started meanwhile has its memory there."""
    libc = ctypes.CDLL(None, use_errno=True)
    mask = ctypes.c_ulong(1 << node)
    assert libc.syscall(SYS_SET_MEMPOLICY, MPOL_BIND, ctypes.byref(mask), 64) == 0
    try:
        yield
    finally:
        assert libc.syscall(SYS_SET_MEMPOLICY, MPOL_DEFAULT, None, 0) == 0


@pytest.mark.ours
def test_eligible_memory(damon: Damon, kdamond: Kdamond) -> None:
    """How much of what a scheme is for is on a node, page by page, in basis points; a node that there is not has no value."""
    expected = {0: 2500, 1: 7500, 2: None, -1: None}
    with Holder("anon", SIZE) as near:
        with allocating_on(1):
            far = Holder("anon", 3 * SIZE)
        with far:
            assert (on_node(near, 0), on_node(far, 1)) == (SIZE, 3 * SIZE)
            add_scheme(kdamond, "stat")
            set_quota(kdamond, reset_interval_ms=50)
            set_goals(kdamond, *({"target_metric": "node_eligible_mem_bp", "target_value": 5000, "nid": node} for node in expected))
            start_physical(kdamond, sorted(memory(near) + memory(far)))
            wait_until(lambda: values(damon) == [*expected.values()], lambda: f"nodes have {expected}, not {values(damon)}")


@pytest.mark.ours
def test_until_a_goal_is_reached(kdamond: Kdamond, cgroup: Path) -> None:
    """As much of a group's memory moves as it is to have there, and no more."""
    with inside(cgroup):
        holder = Holder("anon", 16 * SIZE)
    with holder:
        fields = (NODES / "node1/meminfo").read_text().split()
        total = int(fields[fields.index("MemTotal:") + 1]) * 1024
        add_scheme(kdamond, "migrate_cold", target_nid=1)
        set_quota(kdamond, bytes=SIZE, reset_interval_ms=100, goal_tuner="temporal")
        wanted = share(8 * SIZE, total) + 1
        set_goal(kdamond, target_metric="node_memcg_used_bp", target_value=wanted, nid=1, path=f"/{cgroup.name}")
        start(kdamond, holder)
        wait_until(lambda: on_node(holder, 1) >= 8 * SIZE and effective(kdamond) == 0, "the group has as much there as it is to have")
        # What is moved is counted when it is on reclaim's lists.
        assert on_node(holder, 1) <= 12 * SIZE


# So far from any goal that the quota grows fast, in basis points; and so near that there is none.
FAR, NEAR = 10**8, 1


# Of a node's memory more than the share of accesses by which the sample has its intervals tuned. With less they grow to minutes, and
# what is hot is found by chance.
TIERED = 128 * MIB


@pytest.mark.ours
@pytest.mark.slow(700)
def test_sample_mtier(damon: Damon, clean: None) -> None:
    """What is cold goes down while node 0 is to be emptier than it can be, and comes up again when it is hot and node 0 is to be fuller."""

    def tiers(free: int, used: int) -> Module:
        goals = (f"node0_mem_free_bp={free}", f"node0_mem_used_bp={used}")
        return Module(f"{damon.name}_sample_mtier", "detect_node_addresses=Y", *goals, "enabled=Y")

    with Holder("anon", TIERED) as holder:
        assert on_node(holder, 0) == TIERED
        with tiers(FAR, NEAR):
            wait_until(lambda: on_node(holder, 1) >= TIERED // 2, "what is cold has moved down", 300)
        down = on_node(holder, 1)
        holder.command(f"hot {TIERED}")
        with tiers(NEAR, FAR):
            wait_until(lambda: on_node(holder, 1) <= down // 2, "what is hot has moved up", 300)

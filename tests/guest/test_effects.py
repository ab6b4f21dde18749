# SPDX-License-Identifier: GPL-2.0
"""What keeps a scheme from acting, seen in the memory that is left alone: filters, quotas, watermarks, the limit on snapshots, pause."""

from __future__ import annotations

import time
from itertools import product
from pathlib import Path
from typing import Iterator

import pytest

from actions import APPLICATION, add_scheme, cgroup, classic, free_at_once, inside, start, start_physical, swap, tries
from cases import Cases
from damon_tree import Damon, Kdamond
from guest_time import advance, wait_until
from holder import HUGE, MIB, PAGE, Holder, drain, memory
from page_flags import KPF_ACTIVE, flagged
from scheme_filters import ALLOW, add_filters, addr, filters, passed
from scheme_limits import WINDOW_MS, set_marks, set_quota, state
from workload import Workload

__all__ = ["cgroup", "classic", "free_at_once", "swap"]

SIZE = 8 * MIB
HOUR_MS = 3600_000

pytestmark = pytest.mark.ours


def out(holder: Holder) -> list[bool]:
    """Whether each page of the area is swapped out."""
    return [bool(entry >> 62 & 1) for entry in holder.pages()]


# ---- filters ----


@pytest.mark.parametrize("allow", [True, False])
@pytest.mark.parametrize("ops", ["vaddr", "fvaddr"])
def test_addresses(kdamond: Kdamond, swap: None, ops: str, allow: bool) -> None:
    """To the page, however regions lie."""
    with Holder("anon", SIZE) as holder:
        start_at, end_at = 2 * MIB + 3 * PAGE, 5 * MIB + 7 * PAGE
        scheme = add_scheme(kdamond, "pageout")
        add_filters(scheme / "core_filters", addr(*holder.part(start_at, end_at), allow="Y" if allow else "N"))
        start(kdamond, holder, ops=ops)
        expected = [allow == (start_at <= page * PAGE < end_at) for page in range(SIZE // PAGE)]
        wait_until(lambda: holder.swapped() >= sum(expected) * PAGE, "what is left is swapped out")
        tries(kdamond, 5)
        assert out(holder) == expected


def test_target(kdamond: Kdamond, swap: None) -> None:
    """The memory of one process goes, that of the other stays."""
    with Holder("anon", SIZE) as first, Holder("anon", SIZE) as second:
        scheme = add_scheme(kdamond, "pageout")
        add_filters(scheme / "core_filters", {"type": "target", "damon_target_idx": 1, **ALLOW})
        kdamond.set(ops="fvaddr", sample_us=5000, aggr_us=50000)
        kdamond.add_targets(first.pid, second.pid)
        for number, holder in enumerate((first, second)):
            kdamond.set_init_regions([holder.area], number)
        kdamond.on()
        wait_until(lambda: second.swapped() == SIZE, "the second one's memory is swapped out")
        tries(kdamond, 5)
        assert first.present() == SIZE


IS_HUGE = {"type": "hugepage_size", "min": HUGE, "max": HUGE}

# Which memory goes, of: private, shared, private in huge pages.
RULES: dict[str, tuple[list[dict[str, object]], set[str]]] = {
    "anon": ([{"type": "anon", **ALLOW}], {"anon", "thp"}),
    "not anon": ([{"type": "anon", "matching": "N", "allow": "Y"}], {"shmem"}),
    "all but anon": ([{"type": "anon", "matching": "Y", "allow": "N"}], {"shmem"}),
    "huge pages": ([{**IS_HUGE, **ALLOW}], {"thp"}),
    "all but huge pages": ([{**IS_HUGE, "matching": "Y", "allow": "N"}], {"anon", "shmem"}),
    "the first decides": ([{**IS_HUGE, "matching": "Y", "allow": "N"}, {"type": "anon", **ALLOW}], {"anon"}),
    "the last decides about the rest": ([{"type": "anon", **ALLOW}, {**IS_HUGE, "matching": "Y", "allow": "N"}], {"anon", "shmem", "thp"}),
    "unmapped": ([{"type": "unmapped", **ALLOW}], set()),
}


@pytest.mark.parametrize("name", RULES)
def test_kinds_of_memory(kdamond: Kdamond, swap: None, name: str) -> None:
    rules, goes = RULES[name]
    with Holder("anon", SIZE) as anon, Holder("shmem", SIZE) as shmem, Holder("thp", SIZE) as thp:
        holders = {"anon": anon, "shmem": shmem, "thp": thp}
        filters(add_scheme(kdamond, "pageout"), *rules)
        start_physical(kdamond, sorted(sum((memory(holder) for holder in holders.values()), [])))
        wait_until(lambda: all(holders[kind].present() == 0 for kind in goes), "everything else is swapped out")
        tries(kdamond)
        assert {kind for kind, holder in holders.items() if holder.present() < SIZE} == goes


def test_unmapped(kdamond: Kdamond, tmp_path: Path) -> None:
    """What is in the page cache, and mapped by nobody any more."""
    with Holder("file", SIZE, tmp_path / "file") as file, Holder("anon", SIZE) as anon:
        ranges = sorted(memory(file) + memory(anon))
        filters(add_scheme(kdamond, "stat"), {"type": "unmapped", **ALLOW})
        start_physical(kdamond, ranges)
        assert passed(kdamond) == 0
    with Holder("anon", PAGE):
        # The first one's pages are still there.
        wait_until(lambda: passed(kdamond) == SIZE, "the pages of the file are not mapped")


def test_core_before_operations(kdamond: Kdamond, swap: None) -> None:
    """What a filter of the core layer allows, no filter of the operations is asked about."""
    with Holder("anon", SIZE) as holder:
        part = holder.part(2 * MIB, 4 * MIB)
        allowed = memory(holder, part)
        scheme = add_scheme(kdamond, "pageout")
        add_filters(scheme / "core_filters", *(addr(start, end, allow="Y") for start, end in allowed))
        add_filters(scheme / "ops_filters", {"type": "anon", "matching": "Y", "allow": "N"})
        start_physical(kdamond, memory(holder))
        wait_until(lambda: holder.swapped(part) == 2 * MIB, "what is allowed is swapped out")
        tries(kdamond)
        assert holder.swapped() == 2 * MIB


def test_a_group_that_is_removed(kdamond: Kdamond, swap: None, cgroup: Path) -> None:
    """Nothing belongs to it any more; nobody else's memory takes its place."""
    group = cgroup / "to-be-removed"
    (cgroup / "cgroup.subtree_control").write_text("+memory\n")
    group.mkdir()
    with inside(group):
        holder = Holder("anon", SIZE)
    with holder, Holder("anon", SIZE) as other:
        scheme = add_scheme(kdamond, "stat")
        filters(scheme, {"type": "memcg", "memcg_path": f"/{cgroup.name}/{group.name}", **ALLOW})
        start_physical(kdamond, sorted(memory(holder) + memory(other)))
        assert passed(kdamond) == SIZE
        # Its memory stays where it is, and becomes its parent's when the group is gone.
        for pid in (group / "cgroup.procs").read_text().split():
            (cgroup.parent / "cgroup.procs").write_text(f"{pid}\n")
        group.rmdir()
        wait_until(lambda: passed(kdamond) == 0, "nothing is of the group")
        scheme.write("action", "pageout")
        # The path leads nowhere now, so this would be refused: the scheme goes on as it was.
        with pytest.raises(OSError):
            kdamond.commit()
        assert passed(kdamond) == 0
        assert holder.present() == other.present() == SIZE
        filters(scheme)
        kdamond.commit()
        wait_until(lambda: holder.swapped() == other.swapped() == SIZE, "without the filter everything is swapped out")


# ---- quotas ----


def test_size(kdamond: Kdamond, swap: None) -> None:
    """No more in each window, and the next one goes on where the last has stopped: what is out is always one piece."""
    quota = MIB
    with Holder("anon", SIZE) as holder:
        drain()
        scheme = add_scheme(kdamond, "pageout")
        set_quota(kdamond, bytes=quota)
        scheme.write("quotas/weights/sz_permil", 0)
        begun = time.monotonic()
        start(kdamond, holder)

        def all_is_out() -> bool:
            pages = out(holder)
            seen = sum(pages)
            windows = (time.monotonic() - begun) * 1000 // WINDOW_MS + 1
            assert seen * PAGE <= windows * quota
            assert all(pages[:seen]), "it begins at the first page"
            return seen == SIZE // PAGE

        wait_until(all_is_out, "everything is swapped out", every=APPLICATION)
        assert holder.command("check") == 0


@pytest.mark.parametrize("free", [True, False])
def test_failures(kdamond: Kdamond, swap: None, free: bool) -> None:
    """Memory that cannot be reclaimed uses the quota up, unless failures are for nothing."""
    with Holder("locked", SIZE) as holder:
        locked, rest = holder.part(0, SIZE // 2), holder.part(SIZE // 2, SIZE)
        add_scheme(kdamond, "pageout")
        set_quota(kdamond, bytes=SIZE // 2, reset_interval_ms=HOUR_MS, fail_charge_num=0, fail_charge_denom=int(free))
        start(kdamond, holder, locked, rest)
        if free:
            wait_until(lambda: holder.swapped() == SIZE // 2, "the rest is swapped out")
        else:
            wait_until(lambda: kdamond.stats()["sz_tried"] == SIZE // 2, "the quota is used up")
            tried = kdamond.stats()["sz_tried"]
            advance(10 * APPLICATION)
            assert (kdamond.stats()["sz_tried"], holder.swapped()) == (tried, 0)
        assert holder.present(locked) == SIZE // 2


@pytest.fixture
def known(kdamond: Kdamond) -> Iterator[Holder]:
    """A process of whose memory the first 2 MiB are hot, and known to be. The scheme counts, and accesses decide about the order."""
    with Holder("anon", SIZE) as holder:
        holder.command(f"hot {2 * MIB}")
        scheme = add_scheme(kdamond, "stat")
        for name, value in {"sz_permil": 0, "nr_accesses_permil": 1000, "age_permil": 0}.items():
            scheme.write(f"quotas/weights/{name}", value)
        yield holder


HOT, COLD = (0, 2 * MIB), (4 * MIB, 6 * MIB)


def act(damon: Damon, kdamond: Kdamond, action: str, hot: list[tuple[int, int]], cold: list[tuple[int, int]]) -> None:
    """Acts on as much as either is, when it is known which is which."""

    def rates(inside: list[tuple[int, int]]) -> list[int]:
        return [its.nr_accesses for its in kdamond.snapshot() if any(start <= its.start and its.end <= end for start, end in inside)]

    wait_until(lambda: min(rates(hot), default=0) >= 5 and max(rates(cold), default=1) == 0, "what is hot is known", every=APPLICATION)
    kdamond.schemes[0].write("action", action)
    set_quota(kdamond, bytes=2 * MIB, reset_interval_ms=HOUR_MS)
    kdamond.commit()
    wait_until(lambda: state(damon)["quota"]["charged"] == 2 * MIB, "the quota is used up")


def test_cold_memory_goes_first(damon: Damon, kdamond: Kdamond, swap: None, known: Holder) -> None:
    drain()
    hot, cold = known.part(*HOT), known.part(*COLD)
    start(kdamond, known, hot, cold)
    act(damon, kdamond, "pageout", [hot], [cold])
    assert known.swapped() == known.swapped(cold) == 2 * MIB


def test_hot_memory_becomes_active_first(damon: Damon, kdamond: Kdamond, classic: None, known: Holder) -> None:
    hot, cold = memory(known, known.part(*HOT)), memory(known, known.part(*COLD))
    start_physical(kdamond, sorted(hot + cold))
    act(damon, kdamond, "lru_prio", hot, cold)
    drain()
    assert flagged(known.frames(known.part(*HOT)), KPF_ACTIVE) == 2 * MIB // PAGE
    assert flagged(known.frames(known.part(*COLD)), KPF_ACTIVE) == 0


# ---- watermarks ----


def free_permil() -> int:
    fields = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    free, total = (int(fields[name].split()[0]) for name in ("MemFree", "MemTotal"))
    return free * 1000 // total


def test_short_of_memory(damon: Damon, kdamond: Kdamond, swap: None, free_at_once: None) -> None:
    """The scheme rests while there is free memory, reclaims when there is not, and rests again."""
    with Holder("anon", 128 * MIB) as holder:
        add_scheme(kdamond, "pageout")
        now = free_permil()
        # Each mark is ten thousandths of memory from the next, which is 30 MiB.
        set_marks(kdamond, now - 10, now - 20, 0, interval_us=50000)
        set_quota(kdamond, bytes=4 * MIB, reset_interval_ms=50)
        start(kdamond, holder)
        wait_until(lambda: not state(damon)["watermarks"]["active"], "the scheme rests")
        advance(10 * APPLICATION)
        assert holder.present() == 128 * MIB
        with Holder("anon", 96 * MIB) as other:
            wait_until(lambda: holder.swapped() > 8 * MIB, "memory is reclaimed")
            wait_until(lambda: not state(damon)["watermarks"]["active"], "the scheme rests")
            assert holder.present() > 0 and other.present() == 96 * MIB
            assert free_permil() > now - 30


# ---- the limit on snapshots ----


def test_snapshots(kdamond: Kdamond, swap: None) -> None:
    """What comes back after the last one stays."""
    with Holder("anon", SIZE) as holder:
        drain()
        scheme = add_scheme(kdamond, "pageout")
        scheme.write("stats/max_nr_snapshots", 1)
        start(kdamond, holder)
        wait_until(lambda: holder.swapped() == SIZE, "everything is swapped out")
        wait_until(lambda: kdamond.stats()["nr_snapshots"] == 1, "the snapshot is counted")
        tried = kdamond.stats()["nr_tried"]
        assert holder.command("check") == 0
        advance(10 * APPLICATION)
        assert holder.present() == SIZE and kdamond.stats()["nr_tried"] == tried
        scheme.write("stats/max_nr_snapshots", 0)
        kdamond.commit()
        wait_until(lambda: holder.swapped() == SIZE, "everything is swapped out again")


@pytest.mark.parametrize("limited", [False, True])
def test_snapshot_of_several_targets(kdamond: Kdamond, shared_workload: Workload, limited: bool) -> None:
    """A snapshot is one application to all targets, even if the quota does not reach to the end of the last one."""
    start_at, _ = shared_workload.area
    kdamond.set(ops="fvaddr", min_regions=3)
    kdamond.add_targets(shared_workload.pid, shared_workload.pid)
    for index in range(2):
        kdamond.set_init_regions([(start_at + index * MIB, start_at + (index + 1) * MIB)], index)
    add_scheme(kdamond, "stat", stats__max_nr_snapshots=1)
    if limited:
        set_quota(kdamond, bytes=3 * MIB // 2, reset_interval_ms=HOUR_MS)
    kdamond.on()
    wait_until(lambda: kdamond.stats()["nr_snapshots"] > 0, "a snapshot is counted")
    advance(1)
    stats = kdamond.stats()
    assert (stats["nr_snapshots"], stats["sz_tried"]) == (1, 3 * MIB // 2 if limited else 2 * MIB)


# ---- pause ----


def test_pause(kdamond: Kdamond, swap: None) -> None:
    """Nothing is reclaimed meanwhile, whatever comes back."""
    with Holder("anon", SIZE) as holder:
        add_scheme(kdamond, "pageout")
        start(kdamond, holder)
        wait_until(lambda: holder.swapped() == SIZE, "everything is swapped out")
        kdamond.set(pause="Y")
        kdamond.commit()
        before = kdamond.stats()
        assert holder.command("check") == 0
        advance(10 * APPLICATION)
        assert holder.present() == SIZE and kdamond.stats() == before
        kdamond.set(pause="N")
        kdamond.commit()
        wait_until(lambda: holder.swapped() == SIZE, "everything is swapped out again")


# ---- what there is no action for ----


def test_what_is_for_physical_memory_only(kdamond: Kdamond, classic: None) -> None:
    """It is counted as tried, and changes nothing."""
    with Holder("anon", SIZE) as holder, Cases() as cases:
        drain()
        frames = holder.frames()
        before = flagged(frames, KPF_ACTIVE)
        for ops, action in product(("vaddr", "fvaddr"), ("lru_prio", "lru_deprio")):
            with cases.case(f"{ops}, {action}"):
                add_scheme(kdamond, action)
                start(kdamond, holder, ops=ops)
                stats = tries(kdamond)
                assert stats["sz_tried"] > 0 and stats["sz_applied"] == stats["sz_ops_filter_passed"] == 0
                drain()
                assert flagged(frames, KPF_ACTIVE) == before
            kdamond.stop()

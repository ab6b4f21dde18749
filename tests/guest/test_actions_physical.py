# SPDX-License-Identifier: GPL-2.0
"""Actions on physical addresses: what becomes of the memory of a process whose pages are known."""

from __future__ import annotations

from pathlib import Path

import pytest

from actions import APPLICATION, add_scheme, cgroup, classic, inside, start_physical, swap, tries
from cases import Cases
from damon_tree import ULONG_MAX, Kdamond
from guest_time import wait_until
from holder import HUGE, MIB, PAGE, Holder, drain, memory
from page_flags import KPF_ACTIVE, flagged
from scheme_filters import ALLOW, addr, filters, passed

__all__ = ["cgroup", "classic", "swap"]

SIZE = 4 * MIB


@pytest.mark.parametrize("kind", ["anon", "forked", "thp", "split", "shmem"])
def test_pageout(kdamond: Kdamond, swap: None, kind: str) -> None:
    """Everything is swapped out, whoever maps it, and comes back as it was."""
    with Holder(kind, SIZE) as holder:
        ranges = memory(holder)
        assert sum(end - start for start, end in ranges) == SIZE
        add_scheme(kdamond, "pageout")
        start_physical(kdamond, ranges)
        wait_until(lambda: holder.present() == 0, "everything is swapped out")
        stats = kdamond.stats()
        kdamond.off()
        assert SIZE <= stats["sz_applied"] <= stats["sz_ops_filter_passed"]
        assert holder.command("check") == 0


def test_pageout_spares_what_is_accessed(kdamond: Kdamond, swap: None) -> None:
    """Page by page, though no filter says so, and the region as a whole looks cold."""
    with Holder("anon", SIZE) as holder:
        hot, cold = holder.part(0, SIZE // 2), holder.part(SIZE // 2, SIZE)
        ranges = memory(holder)
        holder.command(f"hot {SIZE // 2}")
        add_scheme(kdamond, "pageout")
        start_physical(kdamond, ranges)
        wait_until(lambda: holder.swapped(cold) == SIZE // 2, "the cold part is swapped out")
        assert holder.swapped(hot) <= SIZE // 16, "the hot part stays but for pages that were old for a moment"


@pytest.mark.slow(240)
def test_pageout_of_what_is_allowed(kdamond: Kdamond, swap: None) -> None:
    """A filter of the core layer that allows memory has it paged out, accessed or not."""
    with Holder("anon", SIZE) as holder:
        ranges = memory(holder)
        holder.command(f"hot {SIZE}")
        scheme = add_scheme(kdamond, "pageout")
        filters(scheme, addr(0, 1 << 60, allow="Y"))
        start_physical(kdamond, ranges)
        # What is accessed comes back, so it is gone again and again.
        wait_until(lambda: kdamond.stats()["sz_applied"] > 4 * SIZE, "accessed memory is paged out")


def test_pageout_of_a_part(kdamond: Kdamond, swap: None) -> None:
    """Memory outside of the regions is left alone."""
    with Holder("anon", SIZE) as holder:
        part = holder.part(SIZE // 4, SIZE // 2)
        add_scheme(kdamond, "pageout")
        start_physical(kdamond, memory(holder, part))
        wait_until(lambda: holder.swapped(part) == SIZE // 4, "the part is swapped out")
        tries(kdamond)
        assert holder.swapped() == SIZE // 4 and holder.present() == SIZE - SIZE // 4


def test_memory_that_must_stay(kdamond: Kdamond, swap: None) -> None:
    """Locked memory is not reclaimed, nor is what is in use by a pipe."""
    with Holder("locked", SIZE) as locked, Holder("pinned", SIZE) as pinned:
        ranges = sorted(memory(locked) + memory(pinned))
        add_scheme(kdamond, "pageout")
        start_physical(kdamond, ranges)
        wait_until(lambda: locked.swapped() == SIZE // 2, "what is not locked is swapped out")
        wait_until(lambda: pinned.command("resident") == SIZE // PAGE // 16, "what is not pinned is swapped out")
        tries(kdamond)
        assert locked.present(locked.part(0, SIZE // 2)) == SIZE // 2
        assert pinned.command("resident") == SIZE // PAGE // 16
        assert locked.command("check") == 0 and pinned.command("check") == 0


def test_lists(kdamond: Kdamond, classic: None) -> None:
    """Pages go to the active list and back, and are not accessed by that."""
    with Holder("anon", SIZE) as holder, Holder("anon", SIZE) as other:
        frames, others = holder.frames(), other.frames()
        scheme = add_scheme(kdamond, "lru_prio")
        start_physical(kdamond, memory(holder))
        stats = tries(kdamond)
        drain()
        assert flagged(frames, KPF_ACTIVE) == len(frames)
        assert flagged(others, KPF_ACTIVE) == 0
        assert stats["sz_applied"] == stats["sz_tried"] == stats["sz_ops_filter_passed"]
        scheme.write("action", "lru_deprio")
        kdamond.commit()
        tries(kdamond)
        drain()
        assert flagged(frames, KPF_ACTIVE) == 0


@pytest.mark.parametrize("action", ["lru_prio", "lru_deprio"])
def test_order_of_reclaim(kdamond: Kdamond, classic: None, swap: None, cgroup: Path, action: str) -> None:
    """Reclaim takes what has the lower priority, though it is neither older nor less accessed.

    The multi-gen kind puts private memory into the same generation for both actions.
    """
    with inside(cgroup):
        holder = Holder("anon", SIZE)
    with holder:
        # Without a scheme the first half would go first.
        first, second = holder.part(0, SIZE // 2), holder.part(SIZE // 2, SIZE)
        scheme = add_scheme(kdamond, "lru_prio")
        # What is new is inactive already.
        start_physical(kdamond, memory(holder) if action == "lru_deprio" else memory(holder, first))
        tries(kdamond)
        if action == "lru_deprio":
            drain()
            scheme.write("action", action)
            kdamond.set_init_regions(memory(holder, second))
            kdamond.commit()
            tries(kdamond)
        kdamond.off()
        drain()
        Path(f"/proc/{holder.pid}/clear_refs").write_text("1\n")
        (cgroup / "memory.reclaim").write_text(f"{SIZE // 4}\n")
        taken, lost = holder.swapped(second), holder.swapped(first)
        assert taken >= SIZE // 8, f"{taken} bytes reclaimed of what has the lower priority"
        assert lost <= taken // 8, f"{lost} bytes reclaimed of the rest, {taken} of what has the lower priority"


# What passes of private memory and of shared memory: all or nothing.
FILTERS: tuple[tuple[dict[str, object], tuple[int, int]], ...] = (
    ({"type": "anon", **ALLOW}, (1, 0)),
    ({"type": "anon", "matching": "N", "allow": "Y"}, (0, 1)),
    ({"type": "anon", "matching": "Y", "allow": "N"}, (0, 1)),
    ({"type": "unmapped", **ALLOW}, (0, 0)),
    ({"type": "hugepage_size", "min": HUGE, "max": HUGE, **ALLOW}, (0, 0)),
    ({"type": "hugepage_size", "min": 1, "max": PAGE, **ALLOW}, (1, 1)),
)


def test_filters(kdamond: Kdamond) -> None:
    """What passes is counted, whatever it is: private memory and shared memory."""
    with Holder("anon", SIZE) as anon, Holder("shmem", SIZE) as shared, Cases() as cases:
        for rule, share in FILTERS:
            with cases.case(rule):
                scheme = add_scheme(kdamond, "stat")
                filters(scheme, rule)
                start_physical(kdamond, sorted(memory(anon) + memory(shared)))
                assert passed(kdamond) == SIZE * sum(share)
                assert kdamond.stats()["sz_applied"] == 0
            kdamond.stop()


def test_stat_without_filters(kdamond: Kdamond) -> None:
    with Holder("anon", SIZE) as holder:
        add_scheme(kdamond, "stat")
        start_physical(kdamond, memory(holder))
        tries(kdamond)
        assert kdamond.stats()["sz_ops_filter_passed"] == 0


def test_huge_folios_are_counted_once(kdamond: Kdamond) -> None:
    """Also where regions end in them."""
    with Holder("thp", SIZE) as holder:
        scheme = add_scheme(kdamond, "stat")
        filters(scheme, {"type": "hugepage_size", "min": HUGE, "max": HUGE, **ALLOW})
        start_physical(kdamond, memory(holder))
        wait_until(lambda: kdamond.count_regions() >= 3, "regions are split", every=APPLICATION)
        assert passed(kdamond) == SIZE


def test_a_region_that_begins_in_a_huge_folio(kdamond: Kdamond) -> None:
    """The next folio is visited too, though the region ends less than the size of a folio behind its start."""
    with Holder("thp", 8 * SIZE) as holder, Holder("anon", SIZE) as other:
        # Where one huge folio ends and another begins.
        edge = next(start + HUGE for start, end in memory(holder) if end - start >= 2 * HUGE)
        scheme = add_scheme(kdamond, "stat")
        filters(scheme, {"type": "hugepage_size", "min": HUGE, "max": HUGE, **ALLOW})
        # A region of two pages is not split. The other memory has no huge folio, and makes the largest size of a region more than that.
        start_physical(kdamond, sorted([(edge - PAGE, edge + PAGE), *memory(other)]))
        assert passed(kdamond) == 2 * HUGE


def test_active_filter(kdamond: Kdamond, classic: None) -> None:
    with Holder("anon", SIZE) as holder:
        scheme = add_scheme(kdamond, "stat")
        filters(scheme, {"type": "active", **ALLOW})
        start_physical(kdamond, memory(holder))
        assert passed(kdamond) == 0
        scheme.write("action", "lru_prio")
        scheme.write("filters/nr_filters", 0)
        kdamond.commit()
        tries(kdamond)
        drain()
        scheme.write("action", "stat")
        filters(scheme, {"type": "active", **ALLOW})
        kdamond.commit()
        assert passed(kdamond) == SIZE


def test_memcg_filter(kdamond: Kdamond, swap: None, cgroup: Path) -> None:
    """Only memory of the group goes."""
    with inside(cgroup):
        holder = Holder("anon", SIZE)
    with holder, Holder("anon", SIZE) as other:
        scheme = add_scheme(kdamond, "pageout")
        filters(scheme, {"type": "memcg", "memcg_path": f"/{cgroup.name}", **ALLOW})
        start_physical(kdamond, sorted(memory(holder) + memory(other)))
        wait_until(lambda: holder.swapped() == SIZE, "the group's memory is swapped out")
        tries(kdamond)
        assert other.present() == SIZE


def test_young_filter(kdamond: Kdamond, swap: None) -> None:
    """An own filter for young pages stands for the one that pageout has otherwise: here what is accessed is what goes."""
    with Holder("anon", SIZE) as holder:
        hot, cold = holder.part(0, SIZE // 2), holder.part(SIZE // 2, SIZE)
        Path(f"/proc/{holder.pid}/clear_refs").write_text("1\n")
        ranges = memory(holder)
        scheme = add_scheme(kdamond, "stat")
        filters(scheme, {"type": "young", **ALLOW})
        start_physical(kdamond, ranges)
        # What was accessed before is forgotten by and by.
        wait_until(lambda: passed(kdamond) == 0, "everything is old")
        holder.command(f"hot {SIZE // 2}")
        wait_until(lambda: passed(kdamond) >= SIZE // 4, "the hot part is young")
        scheme.write("action", "pageout")
        kdamond.commit()
        wait_until(lambda: holder.swapped(hot) > 0, "what is accessed is swapped out")
        assert holder.swapped(cold) == 0


# The in-tree DAMON goes through all these addresses page by page, which takes days.
@pytest.mark.ours
def test_all_addresses(kdamond: Kdamond) -> None:
    """Where there is no memory, there is nothing to be done, and it takes no time to find out."""
    with Holder("anon", SIZE) as holder:
        scheme = add_scheme(kdamond, "stat")
        filters(scheme, {"type": "anon", **ALLOW})
        start_physical(kdamond, [(0, 1 << 40), (1 << 40, ULONG_MAX - PAGE + 1)])
        assert tries(kdamond)["sz_ops_filter_passed"] >= SIZE
        assert holder.present() == SIZE


@pytest.mark.parametrize("unit", [2, 4096, 8192])
def test_addr_unit(kdamond: Kdamond, swap: None, unit: int) -> None:
    """Statistics are in the unit of the addresses."""
    with Holder("thp", SIZE) as holder:
        scheme = add_scheme(kdamond, "stat")
        filters(scheme, {"type": "anon", **ALLOW})
        start_physical(kdamond, memory(holder), unit)
        assert passed(kdamond) == SIZE // unit
        scheme.write("action", "pageout")
        scheme.write("filters/nr_filters", 0)
        before = kdamond.stats()
        kdamond.commit()
        wait_until(lambda: holder.present() == 0, "everything is swapped out")
        after = kdamond.stats()
        done, tried = after["sz_applied"] - before["sz_applied"], after["sz_tried"] - before["sz_tried"]
        assert SIZE // unit <= done <= tried


def test_what_is_for_processes_only(kdamond: Kdamond) -> None:
    """It is counted as tried, and changes nothing."""
    with Holder("anon", SIZE) as holder, Cases() as cases:
        for action in ("willneed", "cold", "hugepage", "nohugepage", "collapse"):
            with cases.case(action):
                add_scheme(kdamond, action)
                start_physical(kdamond, memory(holder))
                stats = tries(kdamond)
                assert stats["sz_tried"] > 0 and stats["sz_applied"] == 0
                assert holder.present() == SIZE and holder.bytes("AnonHugePages") == 0
            kdamond.stop()


@pytest.mark.slow(240)
def test_memory_that_comes_and_goes(kdamond: Kdamond, swap: None) -> None:
    """Processes end while their memory is reclaimed."""
    with Holder("anon", SIZE) as holder:
        ranges = memory(holder)
    add_scheme(kdamond, "pageout")
    start_physical(kdamond, ranges)
    for kind in ("anon", "thp", "split", "forked", "locked", "pinned", "shmem") * 2:
        with Holder(kind, SIZE) as holder:
            kdamond.set_init_regions(memory(holder))
            kdamond.commit()
            tries(kdamond, 1)
    assert kdamond.running

# SPDX-License-Identifier: GPL-2.0
"""Actions on virtual addresses that are advice: what becomes of the memory, and of that which is none of theirs."""

from __future__ import annotations

from pathlib import Path
from typing import Iterator

import pytest

from actions import THP, add_scheme, cgroup, inside, lru, start, swap, tries
from damon_tree import Kdamond
from guest_time import wait_until
from holder import HUGE, MIB, PAGE, Holder, drain

__all__ = ["cgroup", "lru", "swap"]

SIZE = 8 * MIB


@pytest.fixture
def thp(request: pytest.FixtureRequest) -> Iterator[None]:
    """When the kernel gives huge pages by itself: always, madvise or never."""
    before = THP.read_text().split("[")[1].split("]")[0]
    THP.write_text(f"{request.param}\n")
    yield
    THP.write_text(f"{before}\n")


@pytest.mark.parametrize("ops", ["vaddr", "fvaddr"])
def test_pageout(kdamond: Kdamond, swap: None, ops: str) -> None:
    """Everything is swapped out, and comes back as it was."""
    with Holder("anon", SIZE) as holder:
        add_scheme(kdamond, "pageout")
        start(kdamond, holder, ops=ops)
        wait_until(lambda: holder.swapped() == SIZE, "everything is swapped out")
        assert holder.bytes("Rss") == 0 and holder.bytes("Swap") == SIZE
        stats = kdamond.stats()
        assert stats["sz_applied"] >= SIZE if ops == "fvaddr" else stats["nr_tried"]
        kdamond.off()
        assert holder.command("check") == 0
        assert holder.bytes("Rss") == SIZE


def test_pageout_counts_what_it_is_for(kdamond: Kdamond, swap: None) -> None:
    """All bytes of a region that the advice was taken for count, each time."""
    with Holder("anon", SIZE) as holder:
        add_scheme(kdamond, "pageout")
        start(kdamond, holder)
        stats = tries(kdamond)
        assert stats["sz_applied"] == stats["sz_tried"] > 0
        assert stats["nr_applied"] == stats["nr_tried"]


def test_pageout_of_a_part(kdamond: Kdamond, swap: None) -> None:
    """Memory outside of the target's regions is left alone."""
    with Holder("anon", SIZE) as holder:
        inside = holder.part(2 * MIB, 4 * MIB)
        add_scheme(kdamond, "pageout")
        start(kdamond, holder, inside)
        wait_until(lambda: holder.swapped(inside) == 2 * MIB, "the part is swapped out")
        tries(kdamond)
        assert holder.swapped() == 2 * MIB and holder.present() == SIZE - 2 * MIB


def test_pageout_of_one_of_two(kdamond: Kdamond, swap: None) -> None:
    """So is that of other processes."""
    with Holder("anon", SIZE) as holder, Holder("anon", SIZE) as other:
        add_scheme(kdamond, "pageout")
        start(kdamond, holder, ops="vaddr")
        wait_until(lambda: holder.swapped() == SIZE, "everything is swapped out")
        assert other.present() == SIZE and other.swapped() == 0


def test_willneed(kdamond: Kdamond, swap: None) -> None:
    """What was swapped out is read again, before anybody touches it."""
    with Holder("anon", SIZE) as holder:
        scheme = add_scheme(kdamond, "pageout")
        start(kdamond, holder)
        wait_until(lambda: holder.swapped() == SIZE, "everything is swapped out")
        kdamond.set(pause="Y")
        kdamond.commit()
        wait_until(lambda: holder.command("resident") == 0, "it is not in memory")
        scheme.write("action", "willneed")
        kdamond.set(pause="N")
        kdamond.commit()
        wait_until(lambda: holder.command("resident") == SIZE // PAGE, "it is back in memory")
        assert holder.present() == 0, "nobody has touched it"
        assert holder.command("check") == 0


def test_cold(kdamond: Kdamond, lru: None, swap: None, cgroup: Path) -> None:
    """What is marked as cold is what reclaim takes, though it is the part that was touched last."""
    with inside(cgroup):
        holder = Holder("anon", SIZE)
    with holder:
        holder.command("check")
        cold, rest = holder.part(SIZE // 2, SIZE), holder.part(0, SIZE // 2)
        add_scheme(kdamond, "cold")
        start(kdamond, holder, cold)
        stats = tries(kdamond)
        assert stats["sz_applied"] == stats["sz_tried"] > 0
        kdamond.off()
        assert holder.swapped() == 0
        drain()
        (cgroup / "memory.reclaim").write_text(f"{SIZE // 4}\n")
        taken, lost = holder.swapped(cold), holder.swapped(rest)
        assert taken >= SIZE // 8, f"{taken} bytes of the cold part reclaimed"
        assert lost <= taken // 8, f"{lost} bytes of the rest reclaimed, {taken} of the cold part"


@pytest.mark.parametrize("thp", ["madvise"], indirect=True)
def test_hugepage(kdamond: Kdamond, thp: None) -> None:
    """What is touched from then on is in huge pages."""
    with Holder("empty", SIZE) as holder:
        add_scheme(kdamond, "hugepage")
        start(kdamond, holder)
        wait_until(lambda: all("hg" in flags for flags in holder.flags()), "huge pages are advised")
        kdamond.off()
        holder.command("write")
        assert holder.bytes("AnonHugePages") == SIZE


@pytest.mark.parametrize("thp", ["always"], indirect=True)
def test_nohugepage(kdamond: Kdamond, thp: None) -> None:
    """What is touched from then on is not in huge pages."""
    with Holder("empty", SIZE) as holder, Holder("plain", SIZE) as other:
        add_scheme(kdamond, "nohugepage")
        start(kdamond, holder)
        wait_until(lambda: all("nh" in flags for flags in holder.flags()), "huge pages are advised against")
        kdamond.off()
        holder.command("write")
        assert holder.bytes("Rss") == SIZE and holder.bytes("AnonHugePages") == 0
        assert other.bytes("AnonHugePages") == SIZE, "others get them"


@pytest.mark.parametrize("thp", ["madvise"], indirect=True)
def test_collapse(kdamond: Kdamond, thp: None) -> None:
    """Small pages are replaced by huge ones, with the same contents."""
    with Holder("plain", SIZE) as holder:
        assert holder.bytes("AnonHugePages") == 0
        add_scheme(kdamond, "collapse")
        # Regions of whole huge pages that are not split: a smaller one has none in it.
        areas = [holder.part(at, at + HUGE) for at in range(0, SIZE, HUGE)]
        start(kdamond, holder, *areas, min_regions=3, max_regions=4)
        wait_until(lambda: holder.bytes("AnonHugePages") == SIZE, "pages are collapsed")
        kdamond.off()
        assert holder.command("check") == 0


def test_locked_memory_stays(kdamond: Kdamond, swap: None) -> None:
    """What is locked into memory is refused, and not counted; what is not goes."""
    with Holder("locked", SIZE) as holder:
        locked, rest = holder.part(0, SIZE // 2), holder.part(SIZE // 2, SIZE)
        add_scheme(kdamond, "pageout")
        start(kdamond, holder, locked, rest)
        wait_until(lambda: holder.swapped(rest) == SIZE // 2, "the rest is swapped out")
        stats = tries(kdamond)
        assert holder.present(locked) == SIZE // 2
        assert 0 < stats["sz_applied"] < stats["sz_tried"]


def test_pinned_pages_stay(kdamond: Kdamond, swap: None) -> None:
    """They may be unmapped, but not freed."""
    with Holder("pinned", SIZE) as holder:
        add_scheme(kdamond, "pageout")
        start(kdamond, holder)
        wait_until(lambda: holder.command("resident") == SIZE // PAGE // 16, "all others are swapped out")
        tries(kdamond)
        assert holder.command("resident") == SIZE // PAGE // 16
        assert holder.command("check") == 0


def test_shared_pages_stay(kdamond: Kdamond, swap: None) -> None:
    """The other process may need them."""
    with Holder("forked", SIZE) as holder:
        add_scheme(kdamond, "pageout")
        start(kdamond, holder)
        tries(kdamond, 5)
        assert holder.present() == SIZE


def test_zero_pages_stay(kdamond: Kdamond, swap: None) -> None:
    with Holder("zero", SIZE) as holder:
        zeros, rest = holder.part(0, SIZE // 2), holder.part(SIZE // 2, SIZE)
        add_scheme(kdamond, "pageout")
        start(kdamond, holder)
        wait_until(lambda: holder.swapped(rest) == SIZE // 2, "the rest is swapped out")
        assert holder.present(zeros) == SIZE // 2 and holder.swapped(zeros) == 0
        assert holder.command("check") == 0


def test_holes(kdamond: Kdamond, swap: None) -> None:
    """Holes are no obstacle, but a region with one does not count."""
    with Holder("holes", SIZE) as holder:
        add_scheme(kdamond, "pageout")
        start(kdamond, holder)
        wait_until(lambda: holder.swapped() == SIZE // 2, "everything is swapped out")
        assert holder.present() == 0
        assert holder.command("check") == 0


@pytest.mark.slow(240)
@pytest.mark.parametrize("action", ["pageout", "collapse", "willneed"])
def test_target_that_exits(kdamond: Kdamond, swap: None, action: str) -> None:
    """A process may end while its memory is acted on."""
    for _ in range(4):
        with Holder("plain", 64 * MIB) as holder:
            add_scheme(kdamond, action)
            start(kdamond, holder, ops="vaddr")
            wait_until(lambda: kdamond.stats()["nr_tried"] > 0, "the scheme is applied")
        wait_until(lambda: not kdamond.running, "the kdamond ends with its target")


def test_huge_regions_of_nothing(kdamond: Kdamond) -> None:
    """All the addresses there are."""
    with Holder("anon", SIZE) as holder:
        add_scheme(kdamond, "cold")
        start(kdamond, holder, (0, 1 << 46), (1 << 46, 2**64 - PAGE))
        stats = tries(kdamond)
        assert stats["sz_applied"] == 0
        assert holder.present() == SIZE

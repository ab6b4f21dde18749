# SPDX-License-Identifier: GPL-2.0
"""Data attributes: how much of a region is anonymous, or belongs to a control group."""

from __future__ import annotations

from pathlib import Path
from typing import Iterator

import pytest

import status
from cases import Cases
from damon_tree import AGGREGATION, Damon, Kdamond
from guest_time import advance, wait_until
from mapped import CGROUPS, Mapped
from probes import ANON, NOT_ANON, memcg, seen, set_probes
from trace_events import Trace

# Linux 7.2 has probes for physical addresses only, and no weights at all.
pytestmark = pytest.mark.ours

SAMPLES = 20


def hits_in(kdamond: Kdamond, area: tuple[int, int]) -> set[tuple[int, ...]]:
    """What the regions in this area have."""
    return {tuple(found) for region, found in seen(kdamond) if area[0] <= region.start and region.end <= area[1]}


def watch(kdamond: Kdamond, mapped: Mapped) -> Kdamond:
    """Has a kdamond look at the three areas, each in regions of its own."""
    kdamond.set(ops="fvaddr")
    kdamond.add_targets(mapped.pid)
    kdamond.set_init_regions(list(mapped.areas))
    kdamond.add_stat_schemes()
    return kdamond


@pytest.fixture(scope="module")
def mapped() -> Iterator[Mapped]:
    with Mapped() as process:
        yield process


@pytest.fixture
def watching(kdamond: Kdamond, mapped: Mapped) -> Kdamond:
    return watch(kdamond, mapped)


def test_anon(watching: Kdamond, mapped: Mapped) -> None:
    """Each sample of a page that is what the filter is for is a hit, and no other. Where no page is, none is anonymous."""
    set_probes(watching, [ANON], [NOT_ANON], [])
    watching.on()
    for area, expected in zip(mapped.areas, [(20, 0, 20), (0, 20, 20), (0, 20, 20)]):
        assert hits_in(watching, area) == {expected}


def test_filters_in_their_order(watching: Kdamond, mapped: Mapped) -> None:
    """The first that matches decides; what none matches is treated the other way round than what the last one matches."""
    reject_anon = {**ANON, "allow": "N"}
    set_probes(watching, [reject_anon, ANON], [ANON, reject_anon], [reject_anon], [{**NOT_ANON, "allow": "N"}])
    watching.on()
    assert hits_in(watching, mapped.areas.anon) == {(0, 20, 0, 20)}
    # no filter of the first two is for it; the last of the first allows, so it is rejected
    assert hits_in(watching, mapped.areas.file) == {(0, 20, 20, 0)}


def test_event(damon: Damon, watching: Kdamond, mapped: Mapped) -> None:
    set_probes(watching, [ANON], [NOT_ANON])
    watching.on()
    with Trace(damon, "damon_region_aggregated") as trace:
        wait_until(lambda: len(trace.events()) >= 60, "regions are aggregated", every=AGGREGATION)
        events = trace.events()
    for event in events:
        fields = event.fields()
        text = event.text.rpartition("probe_hits=")[2]
        if fields["end"] <= mapped.areas.anon[1]:
            assert text == "14 00", event.text
        else:
            assert text == "00 14", event.text


def test_probe_hits(damon: Damon, kdamond: Kdamond) -> None:
    """Of each probe that there is, while the window is open and of the one before; without probes there are none."""
    with Mapped() as mapped:
        watch(kdamond, mapped)
        kdamond.set(sample_us=50000, aggr_us=1000000)
        kdamond.on()
        assert not any("probe_hits" in region or "last_probe_hits" in region for region in status.regions(damon))
        set_probes(kdamond, [ANON], [NOT_ANON])
        kdamond.commit()

        def expected(region: dict[str, int]) -> list[int]:
            return [SAMPLES, 0] if region["end"] <= mapped.areas.anon[1] else [0, SAMPLES]

        wait_until(lambda: all(its["last_probe_hits"] == expected(its) for its in status.regions(damon)), "a window is over", every=0.1)
        for region in status.regions(damon):
            assert [hits > 0 for hits in region["probe_hits"]] in ([False, False], [hits > 0 for hits in expected(region)])
            assert max(region["probe_hits"]) <= SAMPLES


def test_no_probes(watching: Kdamond) -> None:
    watching.on()
    assert all(found == [] for _, found in seen(watching))


def test_commit(watching: Kdamond, mapped: Mapped) -> None:
    """Probes come, change and go while it runs; a hit of another question is none of the new one."""
    watching.on()
    assert hits_in(watching, mapped.areas.anon) == {()}
    set_probes(watching, [ANON])
    watching.commit()
    wait_until(lambda: hits_in(watching, mapped.areas.anon) == {(20,)}, "anonymous memory hits", every=AGGREGATION)
    set_probes(watching, [NOT_ANON], [ANON])
    watching.commit()
    assert {found[0] for found in hits_in(watching, mapped.areas.anon)} == {0}
    wait_until(lambda: hits_in(watching, mapped.areas.anon) == {(0, 20)}, "it hits the second probe", every=AGGREGATION)
    # the same again does not disturb the counts
    watching.commit()
    assert hits_in(watching, mapped.areas.anon) == {(0, 20)}
    set_probes(watching)
    watching.commit()
    assert hits_in(watching, mapped.areas.anon) == {()}


def test_commit_of_intervals(watching: Kdamond, mapped: Mapped) -> None:
    """Hits are counts of samples, and rescaled as those of accesses are."""
    set_probes(watching, [ANON])
    watching.on()
    assert hits_in(watching, mapped.areas.anon) == {(20,)}
    watching.set(sample_us=10000, aggr_us=100000)
    watching.commit()
    assert hits_in(watching, mapped.areas.anon) == {(10,)}


def test_pause(watching: Kdamond, mapped: Mapped) -> None:
    set_probes(watching, [ANON])
    watching.on()
    seen(watching)
    watching.set(pause="Y")
    watching.commit()
    set_probes(watching, [NOT_ANON])
    watching.commit()
    watching.set(pause="N")
    watching.commit()
    wait_until(lambda: hits_in(watching, mapped.areas.file) == {(20,)}, "the probe of the pause is at work", every=AGGREGATION)


def test_target_ends(kdamond: Kdamond, mapped: Mapped) -> None:
    """Memory that is gone has no attributes."""
    with Mapped() as other:
        kdamond.set(ops="fvaddr")
        kdamond.add_targets(other.pid, mapped.pid)
        for index, process in enumerate((other, mapped)):
            kdamond.set_init_regions([process.areas.anon], index)
        kdamond.add_stat_schemes()
        set_probes(kdamond, [ANON], [NOT_ANON])
        kdamond.on()
        assert {tuple(found) for _, found in seen(kdamond)} == {(20, 0)}
    wait_until(lambda: len(seen(kdamond)) > 0, "the other target is still monitored", every=AGGREGATION)
    assert kdamond.running


@pytest.mark.slow(240)
def test_weights(watching: Kdamond, mapped: Mapped) -> None:
    """With a weight, attributes are what regions are made of, and accesses are not looked at."""
    start, end = mapped.areas.anon[0], mapped.areas.empty[1]
    watching.set_init_regions([(start, end)])
    watching.set(min_regions=10, max_regions=200)
    set_probes(watching, [NOT_ANON], [ANON], weights=(0, 1))
    watching.on()

    def share() -> float:
        """Of the bytes that are taken for anonymous and those that are, how many are both."""
        found = [region for region, hit in seen(watching) if hit[1] >= SAMPLES / 2]
        area = mapped.areas.anon
        both = sum(max(0, min(region.end, area[1]) - max(region.start, area[0])) for region in found)
        return both / (sum(region.size for region in found) + area[1] - area[0] - both)

    wait_until(lambda: share() > 0.9, "regions follow the attribute", every=AGGREGATION)
    assert all(region.nr_accesses == 0 for region, _ in seen(watching))
    # what is merged gets the mean, rounded down
    assert all(SAMPLES - 2 <= sum(hit) <= SAMPLES for _, hit in seen(watching))
    assert max(region.age for region, _ in seen(watching)) > 0


def test_weights_that_cannot_be_counted(watching: Kdamond) -> None:
    set_probes(watching, [ANON], weights=(1,))
    watching.set(sample_us=1000, aggr_us=256000)
    with pytest.raises(OSError, match="Invalid argument"):
        watching.on()
    watching.set(aggr_us=255000)
    watching.on()
    set_probes(watching, [ANON], weights=(2**32 - 1,))
    with pytest.raises(OSError, match="Invalid argument"):
        watching.commit()
    assert watching.running


# ---- memory control groups ----


@pytest.fixture
def groups() -> Iterator[tuple[Path, Path]]:
    """Two memory control groups."""
    (CGROUPS / "cgroup.subtree_control").write_text("+memory\n")
    found = CGROUPS / "damon-test", CGROUPS / "damon-test/inner"
    for group in found:
        group.mkdir()
        (group.parent / "cgroup.subtree_control").write_text("+memory\n")
    yield found
    for group in reversed(found):
        if group.exists():
            wait_until(lambda group=group: remove(group), "the group is empty")


def remove(group: Path) -> bool:
    try:
        group.rmdir()
    except OSError:
        return False
    return True


def name(group: Path) -> str:
    return f"/{group.relative_to(CGROUPS)}"


def test_memcg(kdamond: Kdamond, groups: tuple[Path, Path]) -> None:
    """Memory belongs to the group that it was allocated in, not to those around it."""
    outer, inner = groups
    with Mapped(inner) as member:
        watch(kdamond, member)
        set_probes(kdamond, [memcg(name(inner))], [memcg(name(outer))], [memcg("/")], [{**memcg(name(inner)), "matching": "N"}])
        kdamond.on()
        assert hits_in(kdamond, member.areas.anon) == {(20, 0, 0, 0)}
        assert hits_in(kdamond, member.areas.file) == {(20, 0, 0, 0)}
        assert hits_in(kdamond, member.areas.empty) == {(0, 0, 0, 20)}


def test_removed_memcg(kdamond: Kdamond, groups: tuple[Path, Path]) -> None:
    """A group that is gone has no memory any more, nor has another one of its name."""
    _, inner = groups
    with Mapped(inner) as member:
        watch(kdamond, member)
        set_probes(kdamond, [memcg(name(inner))])
        kdamond.on()
        assert hits_in(kdamond, member.areas.anon) == {(20,)}
        (CGROUPS / "cgroup.procs").write_text(f"{member.pid}\n")
        wait_until(lambda: remove(inner), "the group is removed")
        wait_until(lambda: hits_in(kdamond, member.areas.anon) == {(0,)}, "its memory is another's", every=AGGREGATION)
        with pytest.raises(OSError, match="Invalid argument"):
            kdamond.commit()
        assert kdamond.running
        inner.mkdir()
        with Mapped(inner) as other:
            target = kdamond.targets[0]
            target.write("pid_target", other.pid)
            kdamond.set_init_regions(list(other.areas))
            set_probes(kdamond, [NOT_ANON])
            kdamond.commit()
            set_probes(kdamond, [memcg(name(inner))])
            kdamond.commit()
            wait_until(lambda: hits_in(kdamond, other.areas.anon) == {(20,)}, "the new group's memory hits", every=AGGREGATION)


NO_GROUPS = {
    "none": "",
    "unknown": "/damon-no-such-group",
    "not from the root": "damon-test",
    "with a slash": "/damon-test/",
    "long": "/damon-test/" + "x" * 4000,
}


def test_no_memcg(watching: Kdamond, groups: tuple[Path, Path]) -> None:
    """Neither a start nor a commit takes a path that is none of a group."""
    with Cases() as cases:
        for what, path in NO_GROUPS.items():
            with cases.case(f"{what}, at the start"):
                set_probes(watching, [memcg(path)])
                with pytest.raises(OSError, match="Invalid argument"):
                    watching.on()
        set_probes(watching, [ANON])
        watching.on()
        for what, path in NO_GROUPS.items():
            with cases.case(f"{what}, by a commit"):
                set_probes(watching, [memcg(path)])
                with pytest.raises(OSError, match="Invalid argument"):
                    watching.commit()
                advance(2 * AGGREGATION)
                assert watching.running

# SPDX-License-Identifier: GPL-2.0
"""What tests of actions share: swap space, and kdamonds with one scheme."""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path
from typing import Iterator

import pytest

from damon_tree import Dir, Kdamond, set_pattern
from guest_time import wait_until
from holder import Holder, drain
from setting import setting
from swap_space import swapping

THP = Path("/sys/kernel/mm/transparent_hugepage/enabled")
LRU_GEN = Path("/sys/kernel/mm/lru_gen/enabled")
CGROUPS = Path("/sys/fs/cgroup")

INTERVALS = {"sample_us": 5000, "aggr_us": 50000, "update_us": 1000000, "min_regions": 10, "max_regions": 100}

# How often a scheme of these tests is applied, in seconds.
APPLICATION = INTERVALS["aggr_us"] / 1e6


@pytest.fixture
def swap() -> Iterator[None]:
    with swapping():
        yield


@pytest.fixture(params=["classic", "multi-gen"])
def lru(request: pytest.FixtureRequest) -> Iterator[None]:
    """The two kinds of reclaim."""
    with setting(LRU_GEN, "y\n" if request.param == "multi-gen" else "n\n"):
        yield


@pytest.fixture
def classic() -> Iterator[None]:
    """The kind of reclaim that has an active list for what was used more than once."""
    with setting(LRU_GEN, "n\n"):
        yield


def kept_by_processors() -> int:
    """Freed pages on the processors' own lists beyond what these may hold now. They do not count as free, until the lists are drained."""
    pagesets = re.findall(r"\bcount: +(\d+).*?\bhigh_min: +(\d+)", Path("/proc/zoneinfo").read_text(), re.DOTALL)
    return sum(max(0, int(count) - int(high_min)) for count, high_min in pagesets)


@pytest.fixture
def free_at_once() -> Iterator[None]:
    """Freed pages count as free soon. A processor keeps freed pages in a list of its own, up to an eighth of memory if it is the only one,
    and these do not count.
    """
    with setting(Path("/proc/sys/vm/percpu_pagelist_high_fraction"), "10000"):
        # What was freed before is drained little by little, each second.
        wait_until(lambda: not kept_by_processors(), lambda: f"the processors keep no free pages: {kept_by_processors()}", every=0.5)
        yield


@pytest.fixture
def cgroup() -> Iterator[Path]:
    """A new memory control group."""
    folder = CGROUPS / "damon-test"
    (CGROUPS / "cgroup.subtree_control").write_text("+memory\n")
    folder.mkdir()
    yield folder
    # A process's child ends a moment later than the process.
    wait_until(lambda: not (folder / "cgroup.procs").read_text(), "nobody is in the group")
    folder.rmdir()


@contextlib.contextmanager
def inside(folder: Path) -> Iterator[None]:
    """What is started meanwhile belongs to the group, and so does its memory."""
    (folder / "cgroup.procs").write_text(f"{os.getpid()}\n")
    try:
        yield
    finally:
        (CGROUPS / "cgroup.procs").write_text(f"{os.getpid()}\n")


def add_scheme(kdamond: Kdamond, action: str, **files: object) -> Dir:
    """One scheme for everything; `files` are more of its files, __ for a slash."""
    kdamond.context.write("schemes/nr_schemes", 1)
    (scheme,) = kdamond.schemes
    scheme.write("action", action)
    set_pattern(scheme)
    for name, value in files.items():
        scheme.write(name.replace("__", "/"), value)
    return scheme


def start(kdamond: Kdamond, holder: Holder, *areas: tuple[int, int], ops: str = "fvaddr", **attrs: int) -> None:
    """Begins, with all of the process or these areas of it. All of its pages are on reclaim's lists then."""
    drain()
    kdamond.set(ops=ops, **{**INTERVALS, **attrs})
    kdamond.add_targets(holder.pid)
    if ops == "fvaddr":
        kdamond.set_init_regions(list(areas) or [holder.area])
    kdamond.on()


def start_physical(kdamond: Kdamond, ranges: list[tuple[int, int]], unit: int = 1) -> None:
    """Begins, with these physical addresses."""
    kdamond.set(ops="paddr", **{**INTERVALS, "max_regions": max(100, 2 * len(ranges))})
    kdamond.context.write("addr_unit", unit)
    kdamond.context.write("targets/nr_targets", 1)
    kdamond.set_init_regions([(begin // unit, end // unit) for begin, end in ranges])
    kdamond.on()


def tries(kdamond: Kdamond, times: int = 2) -> dict[str, int]:
    """The scheme's statistics after it was tried on everything so many times more."""
    before = kdamond.nr_snapshots()
    wait_until(lambda: kdamond.nr_snapshots() >= before + times + 1, "the scheme is applied")
    return kdamond.stats(update=False)

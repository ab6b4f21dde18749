# SPDX-License-Identifier: GPL-2.0
"""Goals of quotas: what they are measured by, and what becomes of the memory that is to reach them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import vmstat
from actions import CGROUPS, add_scheme, cgroup, classic, free_at_once, inside, start, start_physical, swap
from damon_tree import Damon, Kdamond
from guest_time import advance, wait_until
from holder import MIB, PAGE, Holder, drain, memory
from scheme_limits import effective, set_goal, set_goals, set_quota, share, value, values

__all__ = ["cgroup", "classic", "free_at_once", "swap"]

SIZE = 64 * MIB
NODE = Path("/sys/devices/system/node/node0")
PRESSURE = Path("/proc/pressure/memory")

pytestmark = pytest.mark.ours


def node_memory() -> tuple[int, int]:
    """Free memory and all memory of the node, in bytes."""
    fields = (NODE / "meminfo").read_text().split()
    free, total = (int(fields[fields.index(f"{name}:") + 1]) * 1024 for name in ("MemFree", "MemTotal"))
    return free, total


def free_bp() -> int:
    return share(*node_memory())


def active_bp() -> int:
    found = vmstat.counters()
    active, inactive = (sum(found[f"nr_{kind}_{of}"] for of in ("anon", "file")) for kind in ("active", "inactive"))
    return share(active, active + inactive)


def group_bytes(group: Path) -> int:
    """Memory of the group that is on reclaim's lists of the node."""
    lists = ("active_anon", "inactive_anon", "active_file", "inactive_file")
    lines = [line.split() for line in (group / "memory.numa_stat").read_text().splitlines()]
    return sum(int(line[1].removeprefix("N0=")) for line in lines if line[0] in lists)


def group_bp(group: Path) -> int:
    return share(group_bytes(group), node_memory()[1])


READINGS: dict[str, Callable[[Path], int]] = {
    "node_mem_used_bp": lambda _: 10000 - free_bp(),
    "node_mem_free_bp": lambda _: free_bp(),
    "node_memcg_used_bp": group_bp,
    "node_memcg_free_bp": lambda group: 10000 - group_bp(group),
}


def agree(damon: Damon, read: Callable[[], list[int]]) -> list[int]:
    """What both say of each goal, when they do; they change all the time."""

    def pairs() -> list[tuple[int, int]]:
        return [(measured or 0, reading) for measured, reading in zip(values(damon), read(), strict=True)]

    wait_until(lambda: all(abs(measured - reading) <= 20 for measured, reading in pairs()), lambda: f"goals are measured right: {pairs()}")
    return read()


def test_values(damon: Damon, kdamond: Kdamond, cgroup: Path) -> None:
    """They are what the kernel says elsewhere, also when a process has taken memory."""

    def read() -> list[int]:
        return [reading(cgroup) for reading in READINGS.values()]

    with Holder("anon", MIB) as small:
        add_scheme(kdamond, "stat")
        set_quota(kdamond, reset_interval_ms=50)
        goal: dict[str, object] = {"target_value": 5000, "nid": 0, "path": f"/{cgroup.name}"}
        set_goals(kdamond, *({"target_metric": metric, **goal} for metric in READINGS))
        start(kdamond, small)
        before = agree(damon, read)
        with inside(cgroup):
            holder = Holder("anon", 3 * SIZE)
        with holder:
            drain()
            changes = [after - its for after, its in zip(agree(damon, read), before)]
            assert all(abs(change) > 200 for change in changes), changes


def test_values_of_lists(damon: Damon, kdamond: Kdamond, classic: None) -> None:
    """The same for the lists of reclaim, to which the scheme itself moves memory."""

    def read() -> list[int]:
        active = active_bp()
        return [active, 10000 - active]

    with Holder("anon", SIZE) as holder:
        scheme = add_scheme(kdamond, "stat")
        set_quota(kdamond, reset_interval_ms=50)
        # Far away, so that the quota is soon enough for all of it.
        set_goals(kdamond, *({"target_metric": metric, "target_value": 10**6} for metric in ("active_mem_bp", "inactive_mem_bp")))
        start_physical(kdamond, memory(holder))
        before = agree(damon, read)[0]
        scheme.write("action", "lru_prio")
        kdamond.commit()
        wait_until(lambda: abs(active_bp() - before) > 500, "the memory is on the active list")
        agree(damon, read)


def test_value_of_a_group_that_is_gone(damon: Damon, kdamond: Kdamond, cgroup: Path) -> None:
    """There is none, and so the quota stays as it is."""
    group = cgroup / "to-be-removed"
    (cgroup / "cgroup.subtree_control").write_text("+memory\n")
    group.mkdir()
    with Holder("anon", MIB) as small:
        with inside(group):
            holder = Holder("anon", SIZE)
        with holder:
            drain()
            add_scheme(kdamond, "stat")
            set_quota(kdamond, reset_interval_ms=50)
            expected = share(SIZE, node_memory()[1])
            # So near that the quota does not reach its largest value before the group is gone.
            set_goal(kdamond, target_metric="node_memcg_used_bp", target_value=expected + 1, nid=0, path=f"/{cgroup.name}/{group.name}")
            start(kdamond, small)
            wait_until(lambda: (value(damon) or 0) >= expected, "the group has memory")
            for pid in (group / "cgroup.procs").read_text().split():
                (CGROUPS / "cgroup.procs").write_text(f"{pid}\n")
            group.rmdir()
            wait_until(lambda: value(damon) is None, "the group is gone")
            before = effective(kdamond)
            advance(0.5)
            assert (value(damon), effective(kdamond)) == (None, before)


def test_pressure(damon: Damon, kdamond: Kdamond, swap: None, cgroup: Path) -> None:
    """Pressure is counted in each window, all of it once. While there is none more is done, and less when there is enough."""
    if not PRESSURE.exists():
        pytest.skip("this kernel does not measure pressure")

    def total() -> int:
        return int(PRESSURE.read_text().split("total=")[1].split()[0])

    before = total()
    seen = [0]

    def look() -> int:
        found = value(damon) or 0
        if found != seen[-1]:
            seen.append(found)
        return found

    with Holder("anon", MIB) as small:
        add_scheme(kdamond, "stat")
        set_quota(kdamond, reset_interval_ms=500)
        set_goal(kdamond, target_metric="some_mem_psi_us", target_value=100)
        start(kdamond, small)
        wait_until(lambda: effective(kdamond) >= 32, "more is done by and by")
        (cgroup / "memory.high").write_text(f"{8 * MIB}\n")
        most = effective(kdamond)
        with inside(cgroup):
            busy = Holder("anon", 12 * MIB)
        with busy:
            busy.command(f"hot {12 * MIB}")
            wait_until(lambda: look() > 200, "there is pressure")
            wait_until(lambda: look() is not None and effective(kdamond) < most, "less is done")
        wait_until(lambda: look() is not None and 2 * sum(seen) >= total() - before, "all of it is counted")
        assert sum(seen) <= total() - before


def test_pressure_that_is_not_measured(damon: Damon, kdamond: Kdamond, cgroup: Path) -> None:
    """While the kernel does not measure pressure, a goal of it has no value, and the quota stays as it is."""
    if not PRESSURE.exists():
        pytest.skip("this kernel does not measure pressure")
    switch = CGROUPS / "cgroup.pressure"
    with Holder("anon", MIB) as small:
        add_scheme(kdamond, "stat")
        set_quota(kdamond, reset_interval_ms=50)
        set_goal(kdamond, target_metric="some_mem_psi_us", target_value=10**6)
        start(kdamond, small)
        wait_until(lambda: value(damon) is not None, "pressure is measured")
        switch.write_text("0\n")
        try:
            wait_until(lambda: value(damon) is None, "pressure is not measured")
            before = effective(kdamond)
            advance(0.5)
            assert (value(damon), effective(kdamond)) == (None, before)
        finally:
            switch.write_text("1\n")
        wait_until(lambda: value(damon) is not None and effective(kdamond) > before, "it is measured again")


def test_free_memory_is_kept(kdamond: Kdamond, swap: None, free_at_once: None) -> None:
    """Cold memory goes until as much is free as is wanted, and no more. It goes on when another process takes memory."""
    slack = 24 * MIB  # Other processes take and free memory meanwhile.
    with Holder("anon", 3 * SIZE) as holder:
        drain()
        free, total = node_memory()
        add_scheme(kdamond, "pageout")
        set_quota(kdamond, bytes=2 * MIB, reset_interval_ms=200, goal_tuner="temporal")
        set_goal(kdamond, target_metric="node_mem_free_bp", target_value=share(free + SIZE, total), nid=0)
        start(kdamond, holder)
        wait_until(lambda: holder.swapped() >= SIZE - slack and effective(kdamond) == 0, "as much is free as is wanted", every=0.05)
        first = holder.swapped()
        assert first <= SIZE + slack
        with Holder("anon", SIZE):
            wait_until(lambda: holder.swapped() >= first + SIZE - slack and effective(kdamond) == 0, "it is free again", every=0.05)
            assert holder.swapped() <= first + SIZE + slack
        assert holder.present() > 0


def test_use_of_a_group_is_kept(kdamond: Kdamond, swap: None, cgroup: Path) -> None:
    """Memory of a group goes until it has no more than it may have."""
    with inside(cgroup):
        holder = Holder("anon", SIZE)
    with holder:
        drain()
        total = node_memory()[1]
        add_scheme(kdamond, "pageout")
        set_quota(kdamond, bytes=4 * MIB, reset_interval_ms=100, goal_tuner="temporal")
        wanted = share(total - SIZE // 2, total) + 1
        set_goal(kdamond, target_metric="node_memcg_free_bp", target_value=wanted, nid=0, path=f"/{cgroup.name}")
        start(kdamond, holder)
        wait_until(lambda: holder.swapped() > 0 and effective(kdamond) == 0, "the group has no more than it may have", every=0.05)
        assert SIZE // 2 - 10 * MIB <= group_bytes(cgroup) <= SIZE // 2
        assert holder.swapped() + group_bytes(cgroup) >= SIZE - MIB


@pytest.mark.parametrize("tuner", ["temporal", "consist"])
def test_user(kdamond: Kdamond, swap: None, tuner: str) -> None:
    """The user says how far it is, and so how much is reclaimed."""
    most = 2 * MIB
    window = 0.05
    with Holder("anon", SIZE) as holder:
        drain()
        add_scheme(kdamond, "pageout")
        set_quota(kdamond, bytes=most, reset_interval_ms=int(window * 1000), goal_tuner=tuner)
        set_goal(kdamond, target_metric="user_input", target_value=SIZE // 2, current_value=0)
        start(kdamond, holder)

        def tell() -> int:
            found = holder.swapped()
            # Twice as much as is wanted stands for too much by far.
            set_goal(kdamond, current_value=found if found < SIZE // 2 else SIZE)
            kdamond.state("commit_schemes_quota_goals")
            return found

        def enough() -> bool:
            return tell() >= SIZE // 2 and effective(kdamond) <= 1

        wait_until(enough, "half of it is swapped out")
        kept = holder.swapped()
        advance(10 * window)
        assert holder.swapped() == kept < SIZE
        # It is read again, and goes again.
        assert holder.command("check") == 0
        tell()
        wait_until(enough, "half of it is swapped out again")
        assert PAGE < holder.present() <= SIZE // 2

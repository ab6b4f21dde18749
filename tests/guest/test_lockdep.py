# SPDX-License-Identifier: GPL-2.0
"""Lockdep, where the kernel has it, knows what it means to wait for a kdamond, and still looks for mistakes."""

from pathlib import Path

import pytest

from damon_tree import Kdamond

LOCKDEP = Path("/proc/lockdep")
LOCKDEP_STATS = Path("/proc/lockdep_stats")
WAITED_FOR = "damon_kdamond_at_work"

pytestmark = [pytest.mark.ours, pytest.mark.skipif(not LOCKDEP.exists(), reason="this kernel has no lockdep")]


def locks() -> dict[str, list[str]]:
    """Each lock class, and those that were taken next while it was held."""
    found: dict[str, list[str]] = {}
    taken: list[str] = []
    for line in LOCKDEP.read_text(errors="replace").splitlines():
        if line.startswith(" -> "):
            taken.append(line.split("] ", 1)[1])
        elif ": " in line:
            taken = found.setdefault(line.rsplit(": ", 1)[1], [])
    return found


def test_kdamond_at_work(monitoring: Kdamond) -> None:
    """A kdamond takes locks while it is at work, and who waits for it may hold none of them: both are orders that lockdep keeps."""
    monitoring.commit()
    assert monitoring.snapshot()
    monitoring.stop()
    found = locks()
    assert WAITED_FOR in found
    assert "&mm->mmap_lock" in found[WAITED_FOR], f"taken at work: {found[WAITED_FOR]}"
    waiting = [name for name, taken in found.items() if WAITED_FOR in taken]
    assert any(name.startswith("kn->active") for name in waiting), f"held while waiting: {waiting}"


def test_still_looks() -> None:
    """After its first report lockdep looks no more."""
    (line,) = [line for line in LOCKDEP_STATS.read_text().splitlines() if "debug_locks" in line]
    assert line.split()[-1] == "1"

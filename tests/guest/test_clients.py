# SPDX-License-Identifier: GPL-2.0
"""The kernel's own tests of the in-tree DAMON, unmodified, by their own runner."""

import contextlib
import os
from pathlib import Path
from typing import Iterator

import pytest

from clients import HUGE_PAGES, run
from damon_tree import Damon
from kernel_module import Module
from workload import Workload

SELFTESTS = Path("/damon-rs/selftests")
# All that `make install` has put there.
TESTS = [line.partition(":")[2] for line in (SELFTESTS / "kselftest-list.txt").read_text().split()]

# They look at what a kdamond of the in-tree DAMON has in its memory.
NEED_DRGN = ("sysfs.py", "sysfs_no_op_commit_break.py")

# Those that need one of the modules.
MODULES = {"reclaim.sh": "reclaim", "lru_sort.sh": "lru_sort"}

# Its own program is to access 10 MiB and more in each sampling interval, again and again, for which an emulated machine is just fast
# enough where it runs against the clock: now and then a page of 4 KiB is not seen, and what was accessed less often is not of the age
# that it asks for. Huge pages are seen all.
IN_HUGE_PAGES = ("sysfs_update_schemes_tried_regions_wss_estimation.py",)

@pytest.fixture
def switching() -> Iterator[None]:
    """Every CPU is switched between address spaces all the time; see workload.c for why an emulated one has to be."""
    with contextlib.ExitStack() as stack:
        for cpu in os.sched_getaffinity(0):
            stack.enter_context(Workload("--size", "2M", "--hot", "4K", "--pace-us", "4000", "--cpu", str(cpu)))
        yield


def selftest(damon: Damon, name: str) -> tuple[str, str]:
    """Has the kernel's runner run a test: its line of the result, and everything that was said."""
    tunables = (HUGE_PAGES,) if name in IN_HUGE_PAGES else ()
    result = run(damon, "./run_kselftest.sh", "-t", f"damon:{name}", cwd=SELFTESTS, tunables=tunables)
    lines = [line for line in result.stdout.splitlines() if line.startswith(("ok 1 ", "not ok 1 "))]
    assert len(lines) == 1 and name in lines[0], result.stdout
    assert (result.returncode == 0) == lines[0].startswith("ok"), result.stdout
    return lines[0], result.stdout


@pytest.mark.parametrize("name", TESTS)
def test_selftest(damon: Damon, request: pytest.FixtureRequest, name: str) -> None:
    if name in NEED_DRGN and not damon.is_ours:
        pytest.skip("needs a debugger")
    with contextlib.ExitStack() as stack:
        if name in MODULES and damon.is_ours:
            stack.enter_context(Module(f"{damon.name}_{MODULES[name]}"))
        if name.endswith(".py"):
            request.getfixturevalue("switching")
        line, output = selftest(damon, name)
    assert line.startswith("ok") and "# SKIP" not in line, output[-3000:]


def test_selftests_are_all_there() -> None:
    assert len(TESTS) >= 14 and {*NEED_DRGN, *MODULES, *IN_HUGE_PAGES} < set(TESTS)

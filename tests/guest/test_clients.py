# SPDX-License-Identifier: GPL-2.0
"""Programs that were written for the in-tree DAMON: damo, and the kernel's own tests. They run unmodified."""

import contextlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Iterator

import pytest

from damon_tree import Damon, Kdamond
from workload import Workload

SELFTESTS = Path("/damon-rs/selftests/damon")
AS_DAMON = Path(__file__).with_name("as_damon.py")

# Exit status of a kernel selftest that cannot run here.
SKIPPED = 4

# What each needs that ours does not have yet.
NOT_YET = {
    "lru_sort.sh": "DAMON_LRU_SORT",
    "reclaim.sh": "DAMON_RECLAIM",
}

# What needs a debugger for the running kernel.
NEEDS_DRGN = ("sysfs.py", "sysfs_no_op_commit_break.py")

TESTS = (
    "sysfs.sh", "sysfs_update_removed_scheme_dir.sh", "sysfs_memcg_path_leak.sh", "damon_nr_regions.py", "damos_tried_regions.py",
    "damos_apply_interval.py", "sysfs_update_schemes_tried_regions_hang.py", "sysfs_update_schemes_tried_regions_wss_estimation.py",
    "damos_quota.py", "damos_quota_goal.py", *NEEDS_DRGN, *NOT_YET,
)  # fmt: skip


def debugging() -> bool:
    """Whether the kernel checks itself all the time, and is slow."""
    return Path("/proc/lockdep").exists()


def run(damon: Damon, *command: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """To the command our DAMON is /sys/kernel/mm/damon."""
    prefix = [sys.executable, str(AS_DAMON)] if damon.is_ours else []
    # The processor says that it stores strings fast, but its emulation stores byte by byte: the estimation of a working set
    # writes tens of MiB in each sampling interval, and a memset() that takes libc at its word is ten times too slow for it.
    env = os.environ | {"GLIBC_TUNABLES": "glibc.cpu.x86_rep_stosb_threshold=0x40000000"}
    return subprocess.run([*prefix, *command], cwd=cwd, env=env, text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


@pytest.fixture
def switching() -> Iterator[None]:
    """Every CPU is switched between address spaces all the time; see workload.c for why an emulated one has to be."""
    with contextlib.ExitStack() as stack:
        for cpu in os.sched_getaffinity(0):
            stack.enter_context(Workload("--size", "2M", "--hot", "4K", "--pace-us", "4000", "--cpu", str(cpu)))
        yield


@pytest.mark.slow(400)
@pytest.mark.parametrize("name", TESTS)
def test_selftest(damon: Damon, request: pytest.FixtureRequest, name: str) -> None:
    if not SELFTESTS.is_dir():
        pytest.skip("the guest has no kernel selftests")
    if name.endswith(".py"):
        # Those start Python over and over; a kernel full of checks takes half an hour for them under emulation.
        if debugging():
            pytest.skip("runs on the stock kernel")
        request.getfixturevalue("switching")
    interpreter = "bash" if name.endswith(".sh") else sys.executable
    # Those in Python compare estimates with limits that are for real machines; an emulated one may be too slow once.
    for _ in range(3 if name.endswith(".py") else 1):
        result = run(damon, interpreter, f"./{name}", cwd=SELFTESTS)
        if result.returncode in (0, SKIPPED) or name in NEEDS_DRGN or name in NOT_YET:
            break
        damon.reset()
    if result.returncode == SKIPPED or name in NEEDS_DRGN:
        pytest.skip(result.stdout.strip().split("\n")[-1] or "the test skipped itself")
    if damon.is_ours and name in NOT_YET and result.returncode:
        pytest.xfail(f"needs {NOT_YET[name]}")
    assert result.returncode == 0, result.stdout[-2000:]


@pytest.fixture
def damo(damon: Damon):
    if not shutil.which("damo"):
        pytest.skip("the guest has no damo")

    def call(*arguments: str) -> str:
        result = run(damon, "damo", *arguments)
        assert result.returncode == 0, result.stdout
        return result.stdout

    return call


def test_damo(damon: Damon, damo, shared_workload: Workload) -> None:
    """Start, look, pause, go on and stop."""
    damo("start", str(shared_workload.pid))
    (kdamond,) = damon.kdamonds()
    assert kdamond.running
    assert "size" in damo("report", "access", "--format_snapshot_head", "")
    damo("tune", str(shared_workload.pid), "--pause_ctx", "0")
    assert kdamond.context.read("pause") == "Y"
    with pytest.raises(OSError, match="canceled"):
        kdamond.state("update_schemes_tried_bytes")
    assert '"state": "on"' in damo("report", "damon", "--json")
    damo("stop")
    assert not Kdamond(kdamond.path).running

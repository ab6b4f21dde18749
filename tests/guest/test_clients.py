# SPDX-License-Identifier: GPL-2.0
"""Programs that were written for the in-tree DAMON: damo, and the kernel's own tests. They run unmodified."""

import contextlib
import os
import shutil
import subprocess
from pathlib import Path
from typing import Iterator

import pytest

from damon_tree import Damon, Kdamond
from test_modules import Module
from workload import Workload

SELFTESTS = Path("/damon-rs/selftests")
AS_DAMON = "/damon-rs/scripts/as-damon"
# What stands in for programs that the guest has not.
STAND_INS = Path(__file__).with_name("bin")

# All that `make install` has put there.
TESTS = [line.partition(":")[2] for line in (SELFTESTS / "kselftest-list.txt").read_text().split()]

# They look at what a kdamond of the in-tree DAMON has in its memory.
NEED_DRGN = ("sysfs.py", "sysfs_no_op_commit_break.py")

# Those that need one of the modules.
MODULES = {"reclaim.sh": "reclaim", "lru_sort.sh": "lru_sort"}

# The runner's own limit of 45 seconds is for machines that are not emulated.
TIMEOUT = 350


def debugging() -> bool:
    """Whether the kernel checks itself all the time, and is slow."""
    return Path("/proc/lockdep").exists()


def run(damon: Damon, *command: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """To the command our DAMON is /sys/kernel/mm/damon."""
    prefix = [AS_DAMON] if damon.is_ours else []
    env = os.environ | {
        "PATH": f"{STAND_INS}:{os.environ['PATH']}",
        # The processor says that it stores strings fast, but its emulation stores byte by byte: the estimation of a working set
        # writes tens of MiB in each sampling interval, and a memset() that takes libc at its word is ten times too slow for it.
        "GLIBC_TUNABLES": "glibc.cpu.x86_rep_stosb_threshold=0x40000000",
    }
    return subprocess.run([*prefix, *command], cwd=cwd, env=env, text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


@pytest.fixture
def switching() -> Iterator[None]:
    """Every CPU is switched between address spaces all the time; see workload.c for why an emulated one has to be."""
    with contextlib.ExitStack() as stack:
        for cpu in os.sched_getaffinity(0):
            stack.enter_context(Workload("--size", "2M", "--hot", "4K", "--pace-us", "4000", "--cpu", str(cpu)))
        yield


def selftest(damon: Damon, name: str) -> tuple[str, str]:
    """Has the kernel's runner run a test: its line of the result, and everything that was said."""
    result = run(damon, "./run_kselftest.sh", "-o", str(TIMEOUT), "-t", f"damon:{name}", cwd=SELFTESTS)
    lines = [line for line in result.stdout.splitlines() if line.startswith(("ok 1 ", "not ok 1 "))]
    assert len(lines) == 1 and name in lines[0], result.stdout
    assert (result.returncode == 0) == lines[0].startswith("ok"), result.stdout
    return lines[0], result.stdout


@pytest.mark.slow(1200)
@pytest.mark.parametrize("name", TESTS)
def test_selftest(damon: Damon, request: pytest.FixtureRequest, name: str) -> None:
    if name in NEED_DRGN and not damon.is_ours:
        pytest.skip("needs a debugger")
    with contextlib.ExitStack() as stack:
        if name in MODULES and damon.is_ours:
            stack.enter_context(Module(f"{damon.name}_{MODULES[name]}"))
        if name.endswith(".py"):
            request.getfixturevalue("switching")
        # Those in Python compare estimates with limits that are for real machines; an emulated one may be too slow once.
        for _ in range(3 if name.endswith(".py") and name not in NEED_DRGN else 1):
            line, output = selftest(damon, name)
            if line.startswith("ok"):
                break
            damon.reset()
    assert line.startswith("ok") and "# SKIP" not in line, output[-3000:]


def test_selftests_are_all_there() -> None:
    assert len(TESTS) >= 14 and {*NEED_DRGN, *MODULES} < set(TESTS)


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

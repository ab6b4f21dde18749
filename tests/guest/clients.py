# SPDX-License-Identifier: GPL-2.0
"""Runs programs that were written for the in-tree DAMON."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from damon_tree import Damon

AS_DAMON = "/damon-rs/scripts/as-damon"
# What stands in for programs that the guest has not.
STAND_INS = Path(__file__).with_name("bin")


def command(damon: Damon, *words: str) -> list[str]:
    """The command line of a program to which our DAMON is /sys/kernel/mm/damon."""
    return [*([AS_DAMON] if damon.is_ours else []), *words]


# malloc() has its memory in huge pages where it can, as all have that on most machines.
HUGE_PAGES = "glibc.malloc.hugetlb=1"


def environment(*tunables: str) -> dict[str, str]:
    """That of a program, and of what it starts."""
    return os.environ | {"PATH": f"{STAND_INS}:{os.environ['PATH']}", "GLIBC_TUNABLES": ":".join(tunables)}


def run(damon: Damon, *words: str, cwd: Path | None = None, tunables: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(damon, *words), cwd=cwd, env=environment(*tunables), text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip

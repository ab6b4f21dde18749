# SPDX-License-Identifier: GPL-2.0
"""Swap space that is memory, compressed."""

from __future__ import annotations

import contextlib
import subprocess
from pathlib import Path
from typing import Iterator

ZRAM = Path("/sys/block/zram0")


@contextlib.contextmanager
def swapping() -> Iterator[None]:
    """There is swap space."""
    (ZRAM / "disksize").write_text("256M\n")
    subprocess.run(["mkswap", "/dev/zram0"], check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["swapon", "/dev/zram0"], check=True)
    yield
    subprocess.run(["swapoff", "/dev/zram0"], check=True)
    (ZRAM / "reset").write_text("1\n")

# SPDX-License-Identifier: GPL-2.0
"""The machine's physical memory, as /proc/iomem lists it."""

from __future__ import annotations

from pathlib import Path


def memory(*resources: str) -> list[tuple[int, int]]:
    """Where the machine has memory, or what is named."""
    wanted = tuple(f" : {name}" for name in resources or ("System RAM",))
    lines = [line for line in Path("/proc/iomem").read_text().splitlines() if line.endswith(wanted) and (resources or line[0] != " ")]
    return [(int(first, 16), int(last, 16) + 1) for first, last in (line.split()[0].split("-") for line in lines)]

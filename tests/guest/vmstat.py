# SPDX-License-Identifier: GPL-2.0
"""The kernel's counters of memory."""

from pathlib import Path


def counters() -> dict[str, int]:
    """What /proc/vmstat has, by name."""
    return {name: int(value) for name, value in (line.split() for line in Path("/proc/vmstat").read_text().splitlines())}

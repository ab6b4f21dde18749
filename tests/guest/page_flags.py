# SPDX-License-Identifier: GPL-2.0
"""The kernel's flags of pages, from /proc/kpageflags."""

from __future__ import annotations

import os
import struct

from workload import Workload

PAGE = 4096

# Bits of an entry.
KPF_ACTIVE, KPF_IDLE = 6, 25


def flagged(frames: list[int], flag: int) -> int:
    """How many of these pages have a flag of kpageflags."""
    with open("/proc/kpageflags", "rb", buffering=0) as file:
        return sum(int.from_bytes(os.pread(file.fileno(), 8, frame * 8), "little") >> flag & 1 for frame in frames)


def frames(workload: Workload) -> list[int]:
    """Page frame numbers of the area's pages."""
    first, last = (address // PAGE for address in workload.area)
    with open(f"/proc/{workload.pid}/pagemap", "rb") as file:
        file.seek(first * 8)
        entries = struct.unpack(f"{last - first}Q", file.read((last - first) * 8))
    return [entry & (1 << 55) - 1 for entry in entries if entry >> 63]


def idle_pages(workload: Workload) -> int:
    """How many pages are idle, of one in eight."""
    return flagged(frames(workload)[::8], KPF_IDLE)

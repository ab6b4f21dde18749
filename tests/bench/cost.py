# SPDX-License-Identifier: GPL-2.0
"""What a kdamond costs: instructions and wake-ups, as the scheduler counts them.

Under QEMU's icount an instruction takes a nanosecond, so that the time that a thread has run is a number of instructions.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from damon_tree import Damon, Dir, Kdamond
from figures import Figure
from processes import Range

# So long that what is due at their end never is.
NEVER_US = 10_000_000_000
# More regions than there ever are.
MANY = 10**9


class Reading(NamedTuple):
    """Of a thread, since it began."""

    instructions: int
    sleeps: int

    def __sub__(self, other: object) -> Reading:
        assert isinstance(other, Reading)
        return Reading(self.instructions - other.instructions, self.sleeps - other.sleeps)


def read(pid: int) -> Reading:
    instructions = int(Path(f"/proc/{pid}/schedstat").read_text().split()[0])
    status = Path(f"/proc/{pid}/status").read_text()
    return Reading(instructions, int(status.partition("\nvoluntary_ctxt_switches:")[2].split()[0]))


def over(pid: int, seconds: float) -> Reading:
    """What a thread uses in some time in which nothing of ours runs."""
    before = read(pid)
    time.sleep(seconds)
    return read(pid) - before


def start(
    damon: Damon,
    targets: dict[int, list[Range]],
    regions: int,
    ops: str = "fvaddr",
    sample_us: int = 5000,
    aggr_us: int = NEVER_US,
    schemes: int = 0,
    most_regions: int = MANY,
    change: Callable[[Dir], None] = lambda scheme: None,
) -> Kdamond:
    """A kdamond that monitors ranges of processes, or of physical memory: as many regions in all, of about the same size. The schemes
    are changed from those that count all regions."""
    kdamond = damon.kdamond()
    kdamond.set(ops=ops, max_regions=most_regions, min_regions=regions, sample_us=sample_us, aggr_us=aggr_us, update_us=NEVER_US)
    if ops == "paddr":
        kdamond.context.write("targets/nr_targets", 1)
    else:
        kdamond.add_targets(*targets)
    for index, ranges in enumerate(targets.values()):
        kdamond.set_init_regions(ranges, index)
    if schemes:
        kdamond.add_stat_schemes(schemes)
        for scheme in kdamond.schemes:
            change(scheme)
    kdamond.on()
    return kdamond


def unsupported(ops: str, damon: Damon) -> str | None:
    """Why a DAMON can't do a case with these operations."""
    known = damon.kdamond().context.read("avail_operations").split()
    damon.reset()
    return None if ops in known else f"no {ops}"


def count_regions(kdamond: Kdamond, size: int) -> float:
    """How many regions there are in `size` bytes. Ends the measurement: schemes are committed."""
    # One that was there before would keep its counts.
    kdamond.context.write("schemes/nr_schemes", 0)
    kdamond.commit()
    kdamond.add_stat_schemes()
    kdamond.schemes[0].write("apply_interval_us", kdamond.attrs.number("intervals/sample_us"))
    kdamond.commit()
    while not (stats := kdamond.stats())["sz_tried"]:
        time.sleep(0.01)
    return stats["nr_tried"] * size / stats["sz_tried"]


INSTRUCTIONS = Figure("instructions per region and sample", "", False, 0, 1, ratio=True)

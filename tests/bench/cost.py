# SPDX-License-Identifier: GPL-2.0
"""What a kdamond costs: instructions and wake-ups, as the scheduler counts them.

Under QEMU's icount an instruction takes a nanosecond, so that the time that a thread has run is a number of instructions.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

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


def at_rest(pid: int, sleeps: int, interval: float) -> Reading:
    """A reading of a kdamond that sleeps, for at least the given number of times since it began; its sampling interval is in seconds.
    What it has used up to then is that of whole samples."""
    end = time.monotonic() + 60 + 100 * interval
    while time.monotonic() < end:
        its = read(pid)
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        if its.sleeps >= sleeps and state != "R" and read(pid) == its:
            return its
        time.sleep(max(interval / 50, 0.001))
    raise TimeoutError(f"kdamond {pid} did not sleep {sleeps} times")


def over_samples(pid: int, samples: int, sample_us: int) -> Reading:
    """What a kdamond uses for at least so many samples, each from one sleep to the next."""
    interval = sample_us / 1e6
    # The first time that it sleeps it may not have come to sampling.
    first = at_rest(pid, read(pid).sleeps + 1, interval)
    time.sleep((samples - 1) * interval)
    return at_rest(pid, first.sleeps + samples, interval) - first


def configure(
    kdamond: Kdamond,
    targets: dict[int, list[Range]],
    regions: int,
    ops: str = "fvaddr",
    sample_us: int = 5000,
    aggr_us: int = NEVER_US,
    schemes: int = 0,
    most_regions: int = MANY,
    change: Callable[[Dir], None] = lambda scheme: None,
) -> None:
    """To monitor ranges of processes, or of physical memory: as many regions in all, of about the same size. The schemes are changed
    from those that count all regions."""
    kdamond.set(ops=ops, max_regions=most_regions, min_regions=regions, sample_us=sample_us, aggr_us=aggr_us, update_us=NEVER_US)
    if ops == "paddr":
        kdamond.context.write("targets/nr_targets", 1)
    else:
        kdamond.add_targets(*targets)
    # There may be a thousand, so that they are listed once.
    for target, ranges in zip(kdamond.targets, targets.values()):
        folder = target / "regions"
        folder.write("nr_regions", len(ranges))
        for index, (start, end) in enumerate(ranges):
            (folder / index).write("start", start)
            (folder / index).write("end", end)
    if schemes:
        kdamond.add_stat_schemes(schemes)
        for scheme in kdamond.schemes:
            change(scheme)


def start(damon: Damon, targets: dict[int, list[Range]], regions: int, ops: str = "fvaddr", **more: Any) -> Kdamond:
    """The only kdamond, which runs then. See `configure`."""
    kdamond = damon.kdamond()
    configure(kdamond, targets, regions, ops, **more)
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

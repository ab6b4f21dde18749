# SPDX-License-Identifier: GPL-2.0
"""How much a process that changes its address space all the time is disturbed by being monitored."""

from __future__ import annotations

import math
import os
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cost
import trace_events
from damon_tree import TRACEFS, Damon, Kdamond
from figures import Figure, Goal
from single import anywhere as unsupported  # noqa: F401

NAME = "disturbance"
TITLE = "Disturbance of what is monitored"
SETTINGS = (
    "vaddr, 1,000 regions; sampling, aggregation and update intervals of 5 ms, 50 ms and 50 ms. A process with 64 MiB, that does nothing "
    "but operations that change its address space."
)
NOTES = """\
The slowdown is by how much longer the same operations take than just before, unmonitored. The machine has one processor,
since only then instructions can be counted. So the process loses to the kdamond the time in which that runs, which is most
of the first figure; with more processors it would not. The second figure is without the time of the kdamond: what is left are
switches from one to the other, caches that are emptied by that, and waiting for locks that the kdamond held when its time was up. What
waiting two processors cause each other by running at once can't be seen here. It is bounded by how long locks are held.

The time for which the kdamond holds ``mmap_lock`` is by the kernel's trace events of it, from when it has been acquired to its release,
for another time of the same operations. It is in microseconds of a second, and includes what recording takes. Neither DAMON takes
``mmap_lock`` to look at a sample where the area has a lock of its own; they do where there is no area, and to look for
areas at each update. Locks of areas have no such events."""

SLOWDOWN = Figure("slowdown", "%", False, 2, 0.1, ratio=True)
SWITCHES = Figure("slowdown, but for the kdamond's own time", "%", False, 2, 0.2)
LONGEST = Figure("the longest operation", "us", False, 0, 10)
HELD = Figure("mmap_lock held", "us a second", False, 1, 1, ratio=True)
HELD_LONGEST = Figure("mmap_lock held at the longest", "us", False, 1, 2, ratio=True)
FIGURES = [SLOWDOWN, SWITCHES, LONGEST, HELD, HELD_LONGEST]

CHURN = Path(__file__).parent / "churn"
REGIONS = 1000
AGGR_US, UPDATE_US = 50_000, 50_000
# What the operations of a measurement take without a DAMON, about.
SECONDS = 0.2
# Of them while locks are recorded.
TRACED = 0.5
EVENTS = ("mmap_lock_acquire_returned", "mmap_lock_released")
MM = re.compile(r"mm=(\S+)")
ENTRIES = re.compile(r"entries-in-buffer/entries-written: (\d+)/(\d+)")


@dataclass(frozen=True)
class Case:
    name: str
    text: str

    @property
    def goals(self) -> dict[str, Goal]:
        return {figure.name: Goal(1) for figure in (SLOWDOWN, HELD, HELD_LONGEST)}

    def about(self) -> str:
        return self.text


CASES = [
    Case("map", "Maps 64 KiB, writes to each page of them, and unmaps them."),
    Case("fault", "Drops 64 KiB of what is monitored, and writes to each page of them."),
    Case("protect", "Makes a page of what is monitored read-only and writable again, which splits its area and joins it."),
    Case("holes", 'As "map"; what is monitored has 1,000 areas of a page each, and holes of 15 pages between them.'),
]


# ---- in the guest ----


class LockTrace:
    """Records when a thread gets and releases an `mmap_lock` while it is open. A context manager."""

    def __init__(self, pid: int) -> None:
        self.folder = TRACEFS / "instances" / f"damon-bench-{os.getpid()}"
        self.folder.mkdir()
        for name, value in (("trace_clock", "mono"), ("buffer_size_kb", "16384"), ("set_event_pid", str(pid))):
            (self.folder / name).write_text(f"{value}\n")
        self.enable("1")

    def enable(self, value: str) -> None:
        for event in EVENTS:
            (self.folder / "events/mmap_lock" / event / "enable").write_text(f"{value}\n")

    def __enter__(self) -> LockTrace:
        return self

    def __exit__(self, *_: object) -> None:
        self.enable("0")
        self.folder.rmdir()

    def text(self) -> str:
        return (self.folder / "trace").read_text()


class Session:
    def __init__(self, case: Case, churn: subprocess.Popen[str]) -> None:
        self.case, self.churn = case, churn
        assert churn.stdout
        self.pid = int(churn.stdout.readline())
        self.count = 100
        self.count = max(1, int(self.count * SECONDS * 1e9 / self.run()["total"]))

    def run(self, share: float = 1) -> dict[str, int]:
        assert self.churn.stdin and self.churn.stdout
        self.churn.stdin.write(f"{math.ceil(self.count * share)}\n")
        self.churn.stdin.flush()
        return dict(zip(("total", "longest"), map(int, self.churn.stdout.readline().split())))

    def start(self, damon: Damon) -> Kdamond:
        kdamond = damon.kdamond()
        kdamond.set(
            ops="vaddr", max_regions=REGIONS + REGIONS // 2, min_regions=REGIONS, sample_us=5000, aggr_us=AGGR_US, update_us=UPDATE_US
        )
        kdamond.add_targets(self.pid)
        kdamond.on()
        time.sleep(4 * UPDATE_US / 1e6)
        return kdamond

    def measure(self, damon: Damon) -> dict[str, Any]:
        alone = self.run()
        kdamond = self.start(damon)
        before = cost.read(kdamond.pid)
        monitored = self.run()
        used = cost.read(kdamond.pid) - before
        with LockTrace(kdamond.pid) as trace:
            traced = self.run(TRACED)
            # What is done while this is read is not of that time.
            trace.enable("0")
            text = trace.text()
        return {"alone": alone, "monitored": monitored, "kdamond": used.instructions, "traced": traced["total"], "trace": text}


@contextmanager
def session(case: Case) -> Iterator[Session]:
    with subprocess.Popen([str(CHURN), case.name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as churn:
        yield Session(case, churn)
        assert churn.stdin
        churn.stdin.close()


# ---- on the host ----


def holds(text: str) -> list[float]:
    """Microseconds of each time that a lock was held, from a trace. One whose beginning or end is not in it is not counted."""
    found, since = [], dict[str, float]()
    for event in trace_events.parse(text):
        mm = MM.search(event.text)
        if mm and event.name == EVENTS[0] and "success=true" in event.text:
            since[mm[1]] = event.time
        elif mm and event.name == EVENTS[1] and mm[1] in since:
            found.append((event.time - since.pop(mm[1])) * 1e6)
    return found


def figures(case: Case, record: dict[str, Any]) -> dict[str, float]:
    alone, monitored = record["alone"]["total"], record["monitored"]["total"]
    held = holds(record["trace"])
    return {
        SLOWDOWN.name: 100 * (monitored / alone - 1),
        SWITCHES.name: 100 * ((monitored - record["kdamond"]) / alone - 1),
        LONGEST.name: record["monitored"]["longest"] / 1e3,
        HELD.name: sum(held) / (record["traced"] / 1e9),
        HELD_LONGEST.name: max(held, default=0.0),
    }


def doubts(case: Case, record: dict[str, Any]) -> str | None:
    # With more events than there is room for the first ones are lost.
    entries = ENTRIES.search(record["trace"])
    if not entries or entries[1] != entries[2]:
        return f"{case.name}: events were lost"
    return None if record["monitored"]["total"] > 5e7 else f"{case.name}: the operations took no time"

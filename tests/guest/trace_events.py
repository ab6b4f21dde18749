# SPDX-License-Identifier: GPL-2.0
"""DAMON's trace events, through a trace instance of our own: whatever else traces is not disturbed."""

from __future__ import annotations

import os
import re
import time
from typing import Iterable, NamedTuple

from damon_tree import TRACEFS, Damon, Region
from guest_time import wait_until

LINE = re.compile(r"\s*(?P<task>.+)-(?P<pid>\d+)\s+\[\d+\]\s+\S*\s*(?P<time>[\d.]+): (?P<name>\w+): (?P<text>.*)")
AGGREGATED = re.compile(
    r"target_id=(?P<target>\d+) nr_regions=(?P<nr_regions>\d+) (?P<start>\d+)-(?P<end>\d+): (?P<nr_accesses>\d+) (?P<age>\d+)"
    r"(?: probe_hits=(?P<hits>.*))?$"
)


class Event(NamedTuple):
    task: str
    pid: int
    time: float  # as time.monotonic() counts
    name: str
    text: str

    def fields(self) -> dict[str, int]:
        """Of damon_aggregated and damon_region_aggregated."""
        match = AGGREGATED.match(self.text)
        assert match, self.text
        return {name: int(value) for name, value in match.groupdict().items() if value is not None and name != "hits"}


def parse(text: str) -> list[Event]:
    """Of a `trace` file."""
    found = []
    for line in text.splitlines():
        match = None if line.startswith("#") else LINE.match(line)
        if match:
            found.append(Event(match["task"], int(match["pid"]), float(match["time"]), match["name"], match["text"]))
    return found


def windows(events: list[Event]) -> list[list[Event]]:
    """The events of each target's aggregations; without the last, of which more may come."""
    found: list[list[Event]] = []
    for event in events:
        if not found or len(found[-1]) == found[-1][0].fields()["nr_regions"]:
            found.append([])
        found[-1].append(event)
    return found[:-1]


def reported(events: Iterable[Event]) -> list[Region]:
    """The regions of events of damon_aggregated."""
    return [Region(*(event.fields()[name] for name in Region._fields)) for event in events]


class Probe:
    """Records calls of a function of the kernel's while it is open. A context manager."""

    def __init__(self, function: str) -> None:
        self.name = f"damon_test_{function}"
        self.command(f"p:kprobes/{self.name} {function}\n")
        self.folder = TRACEFS / "instances" / f"{self.name}-{os.getpid()}"
        self.folder.mkdir()
        (self.folder / f"events/kprobes/{self.name}/enable").write_text("1\n")

    def __enter__(self) -> Probe:
        return self

    def __exit__(self, *_: object) -> None:
        (self.folder / f"events/kprobes/{self.name}/enable").write_text("0\n")
        self.folder.rmdir()
        self.command(f"-:kprobes/{self.name}\n")

    @staticmethod
    def command(text: str) -> None:
        """Opened in any other way the file is emptied first, or refuses to be."""
        fd = os.open(TRACEFS / "kprobe_events", os.O_WRONLY | os.O_APPEND)
        try:
            os.write(fd, text.encode())
        finally:
            os.close(fd)

    def clear(self) -> None:
        (self.folder / "trace").write_text("\n")

    def count(self, pid: int) -> int:
        """How many of the calls were those of a thread; not more than there is room for."""
        return sum(event.pid == pid for event in parse((self.folder / "trace").read_text()))


class Trace:
    """Records the given events while it is open. A context manager."""

    def __init__(self, damon: Damon, *events: str) -> None:
        self.folder = TRACEFS / "instances" / f"damon-test-{os.getpid()}-{time.monotonic_ns()}"
        self.folder.mkdir()
        (self.folder / "trace_clock").write_text("mono\n")
        (self.folder / "buffer_size_kb").write_text("4096\n")
        self.enables = [self.folder / "events" / damon.name / event / "enable" for event in events]
        for enable in self.enables:
            enable.write_text("1\n")

    def __enter__(self) -> Trace:
        return self

    def __exit__(self, *_: object) -> None:
        for enable in self.enables:
            if enable.exists():
                enable.write_text("0\n")
        self.folder.rmdir()

    def events(self) -> list[Event]:
        """All so far."""
        return parse((self.folder / "trace").read_text())

    def clear(self) -> None:
        (self.folder / "trace").write_text("\n")

    def wait(self) -> list[Event]:
        """Clears, and waits for the next events."""
        self.clear()
        wait_until(self.events, "there are trace events", every=0.02)
        return self.events()

# SPDX-License-Identifier: GPL-2.0
"""Runs workload.c and knows what it accesses."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import Any, Iterable, NamedTuple, Self

from damon_tree import Region
from guest_time import wait_until

PROGRAM = Path(__file__).with_name("workload")
MIB = 1 << 20


class Score(NamedTuple):
    """How well regions that were found hot cover the memory that is hot."""

    precision: float
    recall: float

    def __str__(self) -> str:
        return f"precision {self.precision:.3f}, recall {self.recall:.3f}"


def score(regions: Iterable[Region], hot: tuple[int, int], threshold: int) -> Score:
    """By bytes. A region counts as found hot from `threshold` accesses on."""
    inside = found = 0
    for region in regions:
        if region.nr_accesses < threshold:
            continue
        found += region.size
        inside += max(0, min(region.end, hot[1]) - max(region.start, hot[0]))
    return Score(inside / found if found else 0.0, inside / (hot[1] - hot[0]))


def mappings(pid: int) -> list[tuple[int, int]]:
    """A process's mappings, in ascending order, without the page that belongs to the kernel."""
    ranges = []
    for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
        if not line.endswith("[vsyscall]"):
            start, end = line.split()[0].split("-")
            ranges.append((int(start, 16), int(end, 16)))
    return ranges


def three_regions(pid: int) -> list[tuple[int, int]]:
    """What DAMON monitors of a process: all mappings, without the two largest gaps between them."""
    maps = mappings(pid)
    gaps = sorted(((b[0] - a[1], a[1], b[0]) for a, b in zip(maps, maps[1:])), reverse=True)[:2]
    (_, end0, start1), (_, end1, start2) = sorted(gaps, key=lambda gap: gap[1])
    return [(maps[0][0], end0), (start1, end1), (start2, maps[-1][1])]


class Program:
    """A running program that logs what it accesses. A context manager that kills it."""

    def __init__(self, program: Path, ready: str, *options: str, control: bool = True) -> None:
        """`ready` is the event in its log that tells that it can be looked at; with `control` it takes commands."""
        self._folder = tempfile.TemporaryDirectory(prefix=f"{program.name}-")
        self._log = Path(self._folder.name) / "log"
        command = [str(program), "--log", str(self._log), *options]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE if control else subprocess.DEVNULL, text=True)
        wait_until(lambda: self._said(ready), f"{program.name} is ready")
        event = self.events("ready")[0]
        self.pid: int = event["pid"]
        self.area: tuple[int, int] = tuple(event["area"])

    def _said(self, event: str) -> bool:
        if self.process.poll() is not None:
            raise RuntimeError(f"it ended with {self.process.returncode}")
        return self._log.exists() and bool(self.events(event))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self._folder.cleanup()

    def events(self, name: str | None = None) -> list[dict[str, Any]]:
        """The log so far; without a last line that is still being written."""
        lines = self._log.read_text().split("\n")[:-1]
        events = [json.loads(line) for line in lines]
        return [event for event in events if name in (None, event["event"])]

    def command(self, command: str, answer: str) -> dict[str, Any]:
        """Gives a command and waits for the line it causes in the log."""
        before = len(self.events(answer))
        assert self.process.stdin
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        wait_until(lambda: len(self.events(answer)) > before, f"the workload does {command!r}")
        return self.events(answer)[-1]

    def maps(self) -> list[tuple[int, int]]:
        return mappings(self.pid)

    def three_regions(self) -> list[tuple[int, int]]:
        return three_regions(self.pid)

    def halt(self, halted: bool) -> None:
        """Has it stand still, or go on where it was."""
        os.kill(self.pid, signal.SIGSTOP if halted else signal.SIGCONT)

    def kill(self) -> None:
        """Ends it as `kill -9` does, and waits until it is gone for good."""
        if self.process.poll() is None:
            os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()
        if self.process.stdin:
            self.process.stdin.close()


class Workload(Program):
    """A running workload.c, which has one hot area at a time."""

    def __init__(self, *options: str, control: bool = True) -> None:
        super().__init__(PROGRAM, "phase", *options, *(["--control"] if control else []), control=control)

    @property
    def hot(self) -> tuple[int, int]:
        hot = self.events("phase")[-1]["hot"]
        assert hot, "the workload is idle"
        return tuple(hot)

    def move_hot(self, offset: int) -> None:
        self.command(f"hot {offset}", "phase")

    def idle(self) -> None:
        self.command("idle", "phase")

#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Shows which memory of a process is hot, live and in the terminal: time goes down, addresses go to the right.

    scripts/heatmap.py PID        or        make heatmap PID=…

Needs the module and nothing else. A kdamond that monitors the process already is only looked at; else one is started, and stopped
in the end. Columns are the mappings of the process one behind the other, without the holes between them.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

STATUS = Path("/sys/kernel/debug/damon_rs/status")
# Where the in-tree DAMON has the first name, ours has the second.
TREES = (Path("/sys/kernel/mm/damon_rs/admin/kdamonds"), Path("/sys/kernel/mm/damon/admin/kdamonds"))

SHADES = "·░▒▓█"
# Of the palette of 256 colours: black, purple, red, orange, yellow.
COLOURS = (16, 54, 125, 208, 226)
MARGIN = 9


class Range(NamedTuple):
    start: int
    end: int


class Region(NamedTuple):
    """With its accesses in the last aggregation interval, as a share of the samples."""

    start: int
    end: int
    heat: float


def without_holes(regions: list[Region]) -> list[Range]:
    """The ranges that the regions cover."""
    ranges: list[Range] = []
    for region in regions:
        if ranges and ranges[-1].end == region.start:
            ranges[-1] = Range(ranges[-1].start, region.end)
        else:
            ranges.append(Range(region.start, region.end))
    return ranges


def place(ranges: list[Range], address: int) -> int:
    """How many bytes of the ranges are before an address."""
    return sum(min(max(address - start, 0), end - start) for start, end in ranges)


def columns_of(regions: list[Region], ranges: list[Range], count: int) -> list[float]:
    """The heat of each of so many columns: the mean of its bytes."""
    whole = sum(end - start for start, end in ranges)
    heat = [0.0] * count
    for region in regions:
        first, last = (place(ranges, address) * count / whole if whole else 0.0 for address in (region.start, region.end))
        for column in range(int(first), min(count, int(last) + 1)):
            heat[column] += region.heat * max(0.0, min(last, column + 1) - max(first, column))
    return heat


def shade(heat: float) -> int:
    """Anything that was accessed is told from what was not."""
    return 0 if heat < 0.005 else min(len(SHADES) - 1, 1 + int(heat * (len(SHADES) - 1)))


def line(heat: list[float], colours: bool) -> str:
    if colours:
        return "".join(f"\x1b[48;5;{COLOURS[shade(its)]}m " for its in heat) + "\x1b[0m"
    return "".join(SHADES[shade(its)] for its in heat)


def size(count: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def contexts(pid: int) -> Iterator[tuple[dict[str, Any], list[Region], str]]:
    """Each context that monitors the process: its attributes, the regions of the process, and its state."""
    for kdamond in json.loads(STATUS.read_text(encoding="utf-8"))["kdamonds"]:
        context = kdamond.get("context", {})
        for target in context.get("targets", ()):
            if target.get("pid") == pid:
                attrs = context["attrs"]
                most = max(1, attrs["aggr_us"] // max(1, attrs["sample_us"]))
                regions = [Region(its["start"], its["end"], min(1.0, its["last_nr_accesses"] / most)) for its in target["regions"]]
                yield attrs, regions, kdamond["state"]


@contextlib.contextmanager
def monitored(pid: int) -> Iterator[None]:
    """A kdamond looks at the process."""
    if any(contexts(pid)):
        yield
        return
    tree = next((path for path in TREES if path.is_dir()), TREES[0])
    if int((tree / "nr_kdamonds").read_text(encoding="utf-8")):
        raise SystemExit(f"heatmap.py: somebody else uses {tree}, and does not monitor {pid}")

    def write(name: str, value: object) -> None:
        (tree / name).write_text(f"{value}\n", encoding="utf-8")

    write("nr_kdamonds", 1)
    try:
        write("0/contexts/nr_contexts", 1)
        write("0/contexts/0/monitoring_attrs/intervals/update_us", 1_000_000)
        write("0/contexts/0/targets/nr_targets", 1)
        write("0/contexts/0/targets/0/pid_target", pid)
        write("0/state", "on")
        yield
    finally:
        with contextlib.suppress(OSError):  # It has ended with the process.
            write("0/state", "off")
        write("nr_kdamonds", 0)


def show(pid: int, rows: int, every: float, count: int, colours: bool) -> None:
    ranges: list[Range] = []
    began = time.monotonic()
    row = 0
    while not rows or row < rows:
        found = next(contexts(pid), None)
        if found is None:
            print(f"{pid} has ended" if not Path(f"/proc/{pid}").exists() else f"{pid} is not monitored any more")
            return
        _, regions, state = found
        now = without_holes(regions)
        whole, before = (sum(end - start for start, end in each) for each in (now, ranges))
        if len(now) != len(ranges) or abs(whole - before) * count > whole:
            ranges = now
            areas = ", ".join(f"{start:#x}-{end:#x}" for start, end in ranges)
            print(f"{'':{MARGIN}}{size(whole)} in {len(ranges)} areas: {areas}")
        mark = " paused" if state == "paused" else ""
        print(f"{time.monotonic() - began:6.1f} s {line(columns_of(regions, ranges, count), colours)}{mark}", flush=True)
        row += 1
        if not rows or row < rows:
            time.sleep(every)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pid", type=int, metavar="PID")
    parser.add_argument("--rows", type=int, default=0, help="end after so many rows (default: at Ctrl-C, or with the process)")
    parser.add_argument("--every", type=float, default=0.5, metavar="SECONDS", help="time between two rows (default: %(default)s)")
    parser.add_argument("--columns", type=int, default=0, help="default: the width of the terminal")
    parser.add_argument("--plain", action="store_true", help="characters instead of colours; so it is where the output is no terminal")
    arguments = parser.parse_args()
    if os.geteuid() != 0:
        raise SystemExit("heatmap.py: only root may look")
    if not STATUS.exists():
        raise SystemExit(f"heatmap.py: there is no {STATUS}: the module is not loaded, or debugfs not mounted")
    count = arguments.columns if arguments.columns > 0 else max(10, shutil.get_terminal_size().columns - MARGIN - 8)
    # So that what was started is stopped then too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with monitored(arguments.pid):
            show(arguments.pid, arguments.rows, arguments.every, count, sys.stdout.isatty() and not arguments.plain)
    except KeyboardInterrupt:
        pass
    except OSError as error:
        raise SystemExit(f"heatmap.py: {error}") from error
    return 0


if __name__ == "__main__":
    sys.exit(main())

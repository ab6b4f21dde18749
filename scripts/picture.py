#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Makes a picture (SVG) of the heat maps that `make demo` prints: what damo found beside what the process did.

    make demo | scripts/picture.py >demo.svg
    scripts/picture.py README.md >Documentation/demo.svg
"""

from __future__ import annotations

import argparse
import re
import sys
from typing import NamedTuple

SHADES = "·░▒▓█"
# From cold to hot; each is told from the next without colours too.
COLOURS = ("#0b1026", "#4b1d6b", "#a3325f", "#ee6a3a", "#fcd34d")

ROW = re.compile(rf"^\s+(\d+\.\d) s ([{SHADES} ]+?)   ([{SHADES} ]+)$", re.MULTILINE)
FOOT = re.compile(r"^\s+(0 MiB +address +\d+ MiB)", re.MULTILINE)
FOUND = re.compile(r"^ +(hot at \d+ MiB) +(precision [\d.]+, recall [\d.]+) +(.+)$", re.MULTILINE)

CELL_WIDTH, CELL_HEIGHT = 9, 16
LEFT, TOP, GAP = 64, 44, 40
LINE = 20
TITLES = ("what damo found", "what the process did")


class Row(NamedTuple):
    """One row of both maps."""

    time: str
    maps: tuple[str, str]


class Demo(NamedTuple):
    """What the demo printed of its maps."""

    rows: list[Row]
    size: str
    notes: list[str]


def read(text: str) -> Demo:
    """Fails with ValueError if there are no maps, or maps that do not fit together."""
    rows = [Row(time, (found, truth)) for time, found, truth in ROW.findall(text)]
    feet = FOOT.findall(text)
    if not rows or not feet:
        raise ValueError("no heat maps in it")
    if len({len(row.maps[side]) for row in rows for side in (0, 1)}) != 1:
        raise ValueError("its rows are not equally long")
    notes = [f"{where}: {how}, {when}" for where, how, when in FOUND.findall(text)]
    return Demo(rows, feet[0].split("address")[1].strip(), notes)


def label(x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}">{text}</text>'


def cells(left: int, rows: list[str]) -> list[str]:
    """Neighbours of one shade are one rectangle; the coldest is the ground."""
    found = []
    for y, row in enumerate(rows):
        for run in re.finditer(r"(.)\1*", row):
            shade = SHADES.find(run[1])
            if shade > 0:
                x, width = left + run.start() * CELL_WIDTH, len(run[0]) * CELL_WIDTH
                found.append(f'<rect x="{x}" y="{TOP + y * CELL_HEIGHT}" width="{width}" height="{CELL_HEIGHT}" fill="{COLOURS[shade]}"/>')
    return found


def draw(demo: Demo) -> str:
    width, height = len(demo.rows[0].maps[0]) * CELL_WIDTH, len(demo.rows) * CELL_HEIGHT
    bottom = TOP + height
    whole = LEFT + 2 * width + GAP + 16, bottom + 24 + LINE * (len(demo.notes) + 1)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{whole[0]}" height="{whole[1]}" viewBox="0 0 {whole[0]} {whole[1]}"'
        ' font-family="ui-monospace, monospace" font-size="13" fill="#1f2937">',
        "<title>Two heat maps of a process's memory over time: what damo found, and what the process did</title>",
        f'<rect width="{whole[0]}" height="{whole[1]}" fill="#ffffff"/>',
    ]
    for side, title in enumerate(TITLES):
        left = LEFT + side * (width + GAP)
        parts.append(label(left + width / 2, TOP - 16, title, "middle"))
        parts.append(f'<rect x="{left}" y="{TOP}" width="{width}" height="{height}" fill="{COLOURS[0]}"/>')
        parts += cells(left, [row.maps[side] for row in demo.rows])
        parts += [label(left, bottom + 18, "0"), label(left + width / 2, bottom + 18, "address", "middle")]
        parts.append(label(left + width, bottom + 18, demo.size, "end"))
    parts += [label(LEFT - 8, TOP + (y + 0.8) * CELL_HEIGHT, f"{row.time} s", "end") for y, row in enumerate(demo.rows)]
    parts += [label(LEFT, bottom + 24 + LINE * (n + 1), note) for n, note in enumerate(demo.notes)]
    return "\n".join([*parts, "</svg>", ""])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", nargs="?", type=argparse.FileType(encoding="utf-8"), default=sys.stdin, help="what the demo printed")
    try:
        sys.stdout.write(draw(read(parser.parse_args().file.read())))
    except ValueError as error:
        print(f"picture.py: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

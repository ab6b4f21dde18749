# SPDX-License-Identifier: GPL-2.0
"""A picture (SVG) of what a group found: a row for each case, a dot for each DAMON.

Drawn here, byte for byte the same from the same results: a library for this would bring more packages into the toolchain's root
than all other tools of the bench, and what it draws changes with its version.
"""

from __future__ import annotations

import math
from html import escape

from figures import Comparison, Figure, Results

COLOURS = ("#64748b", "#c2410c")
NAMES = ("in-tree", "ours")
LEFT, WIDTH, RIGHT = 220, 440, 200
ROW, HEAD, FOOT = 20, 54, 16


def text(x: float, y: float, words: str, anchor: str = "start", more: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{more}>{escape(words)}</text>'


def line(x1: float, y1: float, x2: float, y2: float, colour: str, width: float = 1) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" stroke-width="{width}"/>'


class Scale:
    """Where values are: between whole powers of ten where they are compared by ratio, where what is nothing or less is at the left end;
    from nothing to the highest otherwise."""

    def __init__(self, values: list[float], ratio: bool) -> None:
        self.ratio = ratio
        if ratio:
            above = [value for value in values if value > 0] or [1.0]
            self.first = float(math.floor(math.log10(min(above))))
            self.last = max(float(math.ceil(math.log10(max(above)))), self.first + 1)
        else:
            self.first, self.last = min(values + [0.0]), max(values + [0.0])

    def x(self, value: float) -> float:
        if self.ratio:
            value = math.log10(value) if value > 0 else self.first
        return LEFT + WIDTH * ((value - self.first) / (self.last - self.first) if self.last > self.first else 0)

    def marks(self) -> list[tuple[float, str]]:
        if self.ratio:
            powers = range(int(self.first), int(self.last) + 1)
            return [(self.x(10.0**power), f"{10.0**power:,.{max(-power, 0)}f}") for power in powers]
        return [(self.x(value), f"{value:.4g}") for value in {self.first: 0, 0.0: 0, self.last: 0}]


def panel(figure: Figure, found: list[tuple[str, Comparison]], top: float) -> list[str]:
    scale = Scale([value for _, its in found for value in its.medians], figure.ratio)
    bottom = top + HEAD + ROW * len(found)
    parts = [text(LEFT, top + 20, figure.title, more=' font-weight="bold"')]
    for x, label in scale.marks():
        parts += [line(x, top + HEAD - 8, x, bottom, "#e2e8f0"), text(x, top + HEAD - 14, label, "middle", ' font-size="10"')]
    for row, (case, its) in enumerate(found):
        y = top + HEAD + ROW * (row + 0.5)
        places = [scale.x(value) for value in its.medians]
        parts += [text(LEFT - 12, y + 4, case, "end"), line(places[0], y, places[1], y, "#cbd5e1", 3)]
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" fill="{colour}"/>' for x, colour in zip(places, COLOURS)]
        parts.append(text(LEFT + WIDTH + 16, y + 4, " → ".join(map(figure.text, its.medians))))
    return parts


def draw(title: str, results: Results) -> str:
    panels = [(figure, results.of(figure)) for figure in results.figures if results.of(figure)]
    width = LEFT + WIDTH + RIGHT
    parts, top = [], 34.0
    for n, (name, colour) in enumerate(zip(NAMES, COLOURS)):
        parts += [f'<circle cx="{LEFT + 90 * n + 5}" cy="20" r="5" fill="{colour}"/>', text(LEFT + 90 * n + 16, 24, name)]
    for figure, found in panels:
        parts += panel(figure, found, top)
        top += HEAD + ROW * len(found) + FOOT
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{top:.0f}" viewBox="0 0 {width} {top:.0f}"'
        ' font-family="system-ui, sans-serif" font-size="12" fill="#1f2937">',
        f"<title>{escape(title)}</title>", f'<rect width="{width}" height="{top:.0f}" fill="#ffffff"/>', *parts, "</svg>", "",
    ])  # fmt: skip

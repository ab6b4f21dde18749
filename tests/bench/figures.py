# SPDX-License-Identifier: GPL-2.0
"""Figures of two DAMONs side by side: medians, spread, a verdict; as text, as reStructuredText and as JSON.

Both are measured several times in the same boot, in turn. The noise of a comparison is the larger of the two ranges
(highest less lowest repetition), and never less than the figure's resolution. A difference of the medians that is larger
than the noise is taken for real, a smaller one for none.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Literal

IN_TREE, OURS = "in-tree", "ours"

# One repetition has no range, and the range of two says little.
FEWEST_REPETITIONS = 3

# Instructions of a kdamond repeat to this share of them, or better.
ONCE = 0.05

RULE = (
    "The noise is the larger of the two ranges (highest less lowest repetition), and never less than the figure's resolution; "
    "of cases that are measured once, because they take long, it is a twentieth of the figure. "
    "A difference of the medians counts where it is larger than the noise. "
    "A goal is the most that ours is meant to take: as such, as a share of what the in-tree one takes, or of what ours takes in another case."
)

Verdict = Literal["better", "worse", "same", "differs", "differs, as documented", "too few repetitions"]


@dataclass(frozen=True)
class Figure:
    """Something that is measured of both."""

    name: str
    unit: str  # empty: a plain number
    higher_is_better: bool | None  # None: neither is better, both have to be the same
    digits: int  # behind the decimal point
    resolution: float  # differences below this mean nothing
    ratio: bool = False  # compare by ratio instead of by difference

    def text(self, value: float) -> str:
        return f"{value:.{self.digits}f}"

    @property
    def title(self) -> str:
        unit = f", {self.unit}" if self.unit else ""
        if self.higher_is_better is None:
            return f"{self.name}{unit}"
        return f"{self.name}{unit} ({'higher' if self.higher_is_better else 'lower'} is better)"


@dataclass(frozen=True)
class Goal:
    """What ours is meant to reach: at most some value, at most some share of the in-tree one's, or of ours in another case."""

    most: float
    of_in_tree: bool = True
    than: str = ""  # the other case
    base: float | None = None  # what ours is there, once that is known

    def met(self, in_tree: float, ours: float) -> bool:
        if self.than:
            # Not known where the other case was left out.
            return self.base is None or ours <= self.most * self.base
        return ours <= self.most * (in_tree if self.of_in_tree else 1)

    def text(self, in_tree: float, ours: float) -> str:
        of = f" of {self.than}" if self.than else " of in-tree" if self.of_in_tree else ""
        if self.than and self.base is None:
            return f"{self.most:.3g}{of}: not known"
        return f"{self.most:.3g}{of}: {'met' if self.met(in_tree, ours) else 'missed'}"


@dataclass(frozen=True)
class Comparison:
    """What the repetitions of one case say of one figure."""

    figure: Figure
    in_tree: Sequence[float]
    ours: Sequence[float]
    goal: Goal | None = None
    explained: bool = False  # a difference has a reason that the case tells
    once: bool = False  # it counts instructions, and is measured no more than once

    @property
    def medians(self) -> tuple[float, float]:
        return median(self.in_tree), median(self.ours)

    @property
    def difference(self) -> float:
        return self.medians[1] - self.medians[0]

    @property
    def noise(self) -> float:
        if self.once:
            return max(self.figure.resolution, ONCE * max(self.medians))
        return max(self.figure.resolution, *(max(values) - min(values) for values in (self.in_tree, self.ours)))

    @property
    def verdict(self) -> Verdict:
        if not self.once and min(len(self.in_tree), len(self.ours)) < FEWEST_REPETITIONS:
            return "too few repetitions"
        if abs(self.difference) <= self.noise:
            return "same"
        if self.figure.higher_is_better is None:
            return "differs, as documented" if self.explained else "differs"
        return "better" if (self.difference > 0) == self.figure.higher_is_better else "worse"

    def change(self) -> str:
        before, after = self.medians
        if self.figure.ratio:
            return f"{after / before:.3f}" if before else "-"
        return f"{self.difference:+.{self.figure.digits}f}"

    def cells(self) -> list[str]:
        text = self.figure.text
        sides = [f"{text(median(values))} [{text(min(values))} {text(max(values))}]" for values in (self.in_tree, self.ours)]
        goal = [self.goal.text(*self.medians)] if self.goal else []
        return [*sides, self.change(), text(self.noise), self.verdict, *goal]

    def json(self) -> dict[str, object]:
        return {
            IN_TREE: list(self.in_tree),
            OURS: list(self.ours),
            "medians": dict(zip((IN_TREE, OURS), self.medians)),
            "noise": self.noise,
            "verdict": self.verdict,
            **({"goal": self.goal.text(*self.medians)} if self.goal else {}),
        }


@dataclass
class Results:
    """Of a group: its cases in order, each with what was compared, or why it was left out."""

    group: str
    figures: Sequence[Figure]
    compared: dict[str, list[Comparison]]
    skipped: dict[str, str]

    def settle_goals(self) -> None:
        """Tells those goals that compare with another case what was found there."""
        ours = {(case, its.figure): its.medians[1] for case, all_its in self.compared.items() for its in all_its}
        for all_its in self.compared.values():
            for index, its in enumerate(all_its):
                if its.goal and its.goal.than:
                    all_its[index] = replace(its, goal=replace(its.goal, base=ours.get((its.goal.than, its.figure))))

    def of(self, figure: Figure) -> list[tuple[str, Comparison]]:
        return [(case, its) for case, all_its in self.compared.items() for its in all_its if its.figure == figure]

    def summary(self) -> list[str]:
        """Sentences; the last one is the verdict."""
        all_of_them = [(case, its) for case in self.compared for its in self.compared[case]]
        rated = [its for _, its in all_of_them if its.figure.higher_is_better is not None]
        lines = [f"{case}: skipped: {reason}" for case, reason in self.skipped.items()]
        equal = sum(not its.difference for its in rated)
        verdicts: list[str] = []
        if rated:
            higher = sum((its.difference > 0) == its.figure.higher_is_better for its in rated if its.difference)
            lines.append(f"Of {len(rated)} medians {higher} are better in ours, {len(rated) - higher - equal} worse, {equal} equal.")
            verdicts += ["better", "worse"]
        if len(rated) < len(all_of_them):
            lines.append(f"{len(all_of_them) - len(rated)} medians have to be the same.")
            verdicts += ["differs", "differs, as documented"]
        if missed := [f"{case} ({its.figure.name})" for case, its in all_of_them if its.goal and not its.goal.met(*its.medians)]:
            lines.append(f"goal missed: {', '.join(missed)}")
        if any(its.verdict == "too few repetitions" for _, its in all_of_them):
            return [*lines, f"no verdict: it takes {FEWEST_REPETITIONS} repetitions"]
        for verdict in verdicts:
            found = [f"{case} ({its.figure.name})" for case, its in all_of_them if its.verdict == verdict]
            lines.append(f"{verdict}{'' if 'documented' in verdict else ' beyond noise'}: {', '.join(found) or 'none'}")
        return lines

    def json(self) -> dict[str, object]:
        return {
            "cases": {case: {its.figure.name: its.json() for its in all_its} for case, all_its in self.compared.items()},
            "skipped": self.skipped,
            "summary": self.summary(),
        }


HEAD = ["case", f"{IN_TREE} [range]", f"{OURS} [range]", "ours less in-tree", "noise", "verdict"]


def rows(results: Results, figure: Figure) -> list[list[str]]:
    head = [*HEAD]
    if figure.ratio:
        head[3] = "ours / in-tree"
    body = [[case, *its.cells()] for case, its in results.of(figure)]
    if any(its.goal for _, its in results.of(figure)):
        head.append("goal")
        body = [[*row, *["-"] * (len(head) - len(row))] for row in body]
    return [head, *body]


def aligned(table: list[list[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*table)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in table]


def text(results: Results) -> str:
    lines: list[str] = []
    for figure in results.figures:
        lines += [figure.title, *(f"  {line}" for line in aligned(rows(results, figure))), ""]
    return "\n".join([*lines, *results.summary()]) + "\n"


def is_notable(its: Comparison) -> bool:
    """Whether a row says something: the two differ, nearly differ, or have a goal."""
    return its.verdict != "same" or its.goal is not None or abs(its.difference) > its.noise / 2


def rst(results: Results) -> str:
    """The tables, without the rows that say nothing."""
    lines: list[str] = []
    for figure in results.figures:
        compared = results.of(figure)
        kept = [case for case, its in compared if is_notable(its)]
        if not compared:
            continue
        title = figure.title[0].upper() + figure.title[1:]
        lines += [title, "-" * len(title), ""]
        if kept:
            head, *body = rows(results, figure)
            table = [head, *(row for row in body if row[0] in kept)]
            widths = [max(map(len, column)) for column in zip(*table)]
            rule = "  ".join("=" * width for width in widths)
            shown = aligned(table)
            lines += [rule, shown[0], rule, *shown[1:], rule, ""]
        if same := len(compared) - len(kept):
            which = f"{same} other {'case differs' if same == 1 else 'cases differ'}" if kept else "all cases differ"
            lines += [f"The medians of {which} by less than half of the noise.", ""]
    return "\n".join(lines).rstrip() + "\n"


# Lines of the verdict, and cases that one of them names.
VERDICT_LINES, NAMED = 6, 4


def verdict(results: Results) -> list[str]:
    """The summary in a few lines; the tables have all cases."""
    lines = []
    for line in results.summary():
        head, colon, cases = line.partition(": ")
        names = re.split(r"(?<=\)), ", cases)
        if colon and len(names) > NAMED:
            line = f"{head}: {len(names)} of {sum(map(len, results.compared.values()))} figures, among them {', '.join(names[:NAMED])}"
        lines.append(line)
    if len(lines) > VERDICT_LINES:
        skipped = [line for line in lines if ": skipped: " in line]
        lines = [f"{len(skipped)} cases were skipped.", *(line for line in lines if line not in skipped)]
    return lines[-VERDICT_LINES:]

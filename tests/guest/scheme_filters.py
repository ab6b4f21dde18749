# SPDX-License-Identifier: GPL-2.0
"""Filters of a scheme, and how much passes them."""

from __future__ import annotations

from damon_tree import Dir, Kdamond
from guest_time import wait_until

ALLOW = {"matching": "Y", "allow": "Y"}


def add_filters(folder: Dir, *rules: dict[str, object]) -> None:
    """The filters of one of a scheme's directories for them, each with its files and what to write to them."""
    folder.write("nr_filters", len(rules))
    for entry, rule in zip(folder.numbered(), rules):
        for name, value in rule.items():
            entry.write(name, value)


def filters(scheme: Dir, *rules: dict[str, object]) -> None:
    """The scheme's filters, each with its files and what to write to them."""
    add_filters(scheme / "filters", *rules)


def addr(start: int, end: int, **more: object) -> dict[str, object]:
    return {"type": "addr", "addr_start": start, "addr_end": end, "matching": "Y", **more}


def passed(kdamond: Kdamond) -> int:
    """How many bytes pass the filters in one round."""
    before = kdamond.stats()
    wait_until(lambda: kdamond.nr_snapshots() > before["nr_snapshots"], "the scheme is applied")
    after = kdamond.stats(update=False)
    rounds = after["nr_snapshots"] - before["nr_snapshots"]
    return (after["sz_ops_filter_passed"] - before["sz_ops_filter_passed"]) // rounds

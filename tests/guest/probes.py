# SPDX-License-Identifier: GPL-2.0
"""Probes of a context: which data attributes are counted, and what was counted in each region."""

from __future__ import annotations

from damon_tree import Dir, Kdamond, Region

ANON = {"type": "anon", "matching": "Y", "allow": "Y"}
NOT_ANON = {"type": "anon", "matching": "N", "allow": "Y"}


def memcg(path: str) -> dict[str, str]:
    return {"type": "memcg", "matching": "Y", "allow": "Y", "path": path}


def set_probes(kdamond: Kdamond, *probes: list[dict[str, str]], weights: tuple[int, ...] = ()) -> None:
    folder = kdamond.attrs / "probes"
    folder.write("nr_probes", len(probes))
    for probe, filters in zip(folder.numbered(), probes):
        probe.write("filters/nr_filters", len(filters))
        for place, values in zip((probe / "filters").numbered(), filters):
            for name, value in values.items():
                place.write(name, value)
    for probe, weight in zip(folder.numbered(), weights):
        probe.write("weight", weight)


def hits(folder: Dir) -> list[int]:
    return [probe.number("hits") for probe in (folder / "probes").numbered()]


def seen(kdamond: Kdamond) -> list[tuple[Region, list[int]]]:
    """All regions with the hits of each probe."""
    kdamond.update_regions()
    folders = (kdamond.schemes[0] / "tried_regions").numbered()
    return [(Region(*(folder.number(name) for name in Region._fields)), hits(folder)) for folder in folders]

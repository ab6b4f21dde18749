# SPDX-License-Identifier: GPL-2.0
"""Where regions are, and how old they are."""

from __future__ import annotations

from damon_tree import Region

PAGE = 4096


def mean_age(regions: list[Region]) -> float:
    """By bytes: merging and splitting regions keep it. The age of the oldest region they do not: it may merge with a larger, younger one."""
    return sum(region.size * region.age for region in regions) / sum(region.size for region in regions)


def by_target(regions: list[Region]) -> list[list[Region]]:
    """Targets come in their order, and in each regions ascend. The first address of a target must be below the last one of the target before."""
    found: list[list[Region]] = [[]]
    for region in regions:
        if found[-1] and region.start < found[-1][-1].end:
            found.append([])
        found[-1].append(region)
    return found


def check(regions: list[Region], ranges: list[tuple[int, int]]) -> None:
    """Sorted, disjoint, aligned, not empty, and together exactly the ranges."""
    assert all(region.start < region.end for region in regions)
    assert all(a.end <= b.start for a, b in zip(regions, regions[1:]))
    assert all(region.start % PAGE == 0 and region.end % PAGE == 0 for region in regions)
    covered: list[list[int]] = []
    for region in regions:
        if covered and covered[-1][1] == region.start:
            covered[-1][1] = region.end
        else:
            covered.append([region.start, region.end])
    assert [tuple(span) for span in covered] == ranges

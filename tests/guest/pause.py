# SPDX-License-Identifier: GPL-2.0
"""A kdamond that runs is paused and resumed."""

from __future__ import annotations

from damon_tree import Kdamond


def pause(kdamond: Kdamond) -> None:
    kdamond.set(pause="Y")
    kdamond.commit()


def resume(kdamond: Kdamond) -> None:
    kdamond.set(pause="N")
    kdamond.commit()

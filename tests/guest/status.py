# SPDX-License-Identifier: GPL-2.0
"""The state of every context, from debugfs."""

from __future__ import annotations

import json
from typing import Any

from damon_tree import Damon


def read(damon: Damon) -> dict[str, Any]:
    return json.loads(damon.status.read_text())


def kdamond(damon: Damon, index: int = 0) -> dict[str, Any]:
    (found,) = [kdamond for kdamond in read(damon)["kdamonds"] if kdamond["index"] == index]
    return found


def regions(damon: Damon, index: int = 0) -> list[dict[str, int]]:
    """Of all targets of a kdamond."""
    return [region for target in kdamond(damon, index)["context"]["targets"] for region in target["regions"]]


def passed(damon: Damon) -> int:
    """Samples that were taken, since the start."""
    count: int = kdamond(damon)["context"]["passed_sample_intervals"]
    return count

#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""The in-tree DAMON's answers to everything that behaviour.py and scenarios.py ask, kept in a file for each kernel series.

    python3 answers.py >in_tree-7.3.json        asks the in-tree DAMON of the running kernel
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import behaviour
import damon_tree
import scenarios

HERE = Path(__file__).parent
Series = tuple[int, ...]

# What later series have that the oldest one has not, with mode and contents. Ours has it on all.
LATER = {"kdamonds/0/contexts/0/monitoring_attrs/probes/0/weight": ["-rw-------", "0\n"]}


def series(text: str) -> Series:
    """The kernel series at the beginning of a release: (7, 2) of "7.2.12-cloud"."""
    return tuple(int(number) for number in text.split("-")[0].split(".")[:2])


def recorded() -> Path:
    """The answers of the running kernel's series, or of the newest one before it that they are recorded of."""
    running = series(os.uname().release)
    files = {series(path.stem.removeprefix("in_tree-")): path for path in HERE.glob("in_tree-*.json")}
    return files[max(its for its in files if its <= running)]


def group_writes(answers: dict[str, list[str]]) -> list[dict[str, list[str]]]:
    """Files that answer alike are written down once."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for name, given in answers.items():
        groups.setdefault(tuple(given), []).append(name)
    return [{"files": names, "answers": list(given)} for given, names in groups.items()]


def load() -> dict[str, Any]:
    """The answers of the in-tree DAMON of the running series, writes by file."""
    found = json.loads(recorded().read_text())
    found["writes"] = {name: group["answers"] for group in found["writes"] for name in group["files"]}
    return found


def dump(found: dict[str, Any]) -> None:
    """JSON, with a line for each entry."""
    parts = []
    for key, value in found.items():
        items: list[str] = []
        if isinstance(value, dict):
            items = [f"{json.dumps(name)}: {json.dumps(entry)}" for name, entry in value.items()]
            body = "{\n  " + ",\n  ".join(items) + "\n }"
        elif isinstance(value, list):
            body = "[\n  " + ",\n  ".join(json.dumps(entry) for entry in value) + "\n ]"
        else:
            body = json.dumps(value)
        parts.append(f" {json.dumps(key)}: {body}")
    print("{\n" + ",\n".join(parts) + "\n}")


def main() -> None:
    damon_tree.free_in_tree()
    damon = damon_tree.in_tree()
    if damon is None:
        sys.exit("this kernel has no DAMON of its own")
    damon.reset()
    found = {
        "kernel": os.uname().release.split("+")[0],
        "tree": behaviour.tree(damon),
        "writes": group_writes({name: behaviour.probe_file(damon, name) for name in behaviour.writable(damon)}),
        "formats": {name: behaviour.event_format(damon, name) for name in ("damon_aggregated", "damon_region_aggregated")},
        "states": {name: scenarios.run_scenario(damon, name) for name in scenarios.SCENARIOS},
    }
    dump(found)


if __name__ == "__main__":
    main()

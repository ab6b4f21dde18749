# SPDX-License-Identifier: GPL-2.0
"""What a DAMON's files do, as data: names, modes and first contents, what each write does, and the trace events' formats.

The same questions are asked of the in-tree DAMON and of ours; see answers.py.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import Callable

import damon_tree
from damon_tree import Damon, Kdamond

# What is written to each file. Sizes of what a number makes the kernel allocate stay small.
PROBES = (
    "", "\n", " \n", "x\n", "-1\n", "-0\n", "0\n", "1\n", "+2\n", "2\n", "2", "010\n", "0x11\n", " 3\n", "3 \n", "3 4\n", "3x\n", "1.5\n", "1e3\n",
    "4294967295\n", "4294967296\n", "9223372036854775808\n", "18446744073709551615\n", "18446744073709551616\n",
    "99999999999999999999999\n", "Y\n", "n\n", "on\n", "true\n", "stat\n", "STAT\n", "vaddr\n", "vaddr \n", "fvaddr\n", "anon\n", "none\n",
    "user_input\n", "temporal\n", "x" * 5000 + "\n",
)  # fmt: skip

# Numbers that make directories. A number as large as these is a legitimate request for that many.
TOO_MANY = ("4294967295\n", "4294967296\n")


def outcome(action: Callable[[], object]) -> str:
    """'ok', or the name of the errno."""
    try:
        action()
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    return "ok"


def write(kdamond: damon_tree.Dir, name: str, text: str) -> Callable[[], object]:
    return lambda: kdamond.write(name, text.encode())


# ---- the tree ----


PARTS = (
    "monitoring_attrs/probes/nr_probes", "monitoring_attrs/probes/0/filters/nr_filters", "targets/nr_targets", "targets/0/regions/nr_regions",
    "schemes/nr_schemes", "schemes/0/quotas/goals/nr_goals", "schemes/0/core_filters/nr_filters", "schemes/0/ops_filters/nr_filters",
    "schemes/0/filters/nr_filters", "schemes/0/dests/nr_dests",
)  # fmt: skip


def full_kdamond(damon: Damon) -> Kdamond:
    """A kdamond with one of everything."""
    kdamond = damon.kdamond()
    fill(kdamond)
    return kdamond


def fill(kdamond: Kdamond) -> None:
    """Makes one of everything that there is none of."""
    for name in PARTS:
        if kdamond.context.exists(name) and not kdamond.context.exists(str(Path(name).with_name("0"))):
            kdamond.context.write(name, 1)


def tree(damon: Damon) -> dict[str, list[str]]:
    """Of each file and directory below admin/: its mode and, of files, the contents."""
    full_kdamond(damon)
    root = damon.admin.path
    found: dict[str, list[str]] = {}
    for folder, _, names in os.walk(root):
        for name in [""] + names:
            path = Path(folder) / name
            entry = [stat.filemode(path.stat().st_mode)]
            if name:
                entry.append(path.read_text())
            found[str(path.relative_to(root))] = entry
    return dict(sorted(found.items()))


# ---- writes ----


def writable(damon: Damon) -> list[str]:
    """The files below a kdamond that take a value; `state` takes commands and is asked elsewhere."""
    kdamond = full_kdamond(damon)
    return [name for name in kdamond.files() if name != "state" and (kdamond.path / name).stat().st_mode & 0o200]


def probe_file(damon: Damon, name: str) -> list[str]:
    """The answer to each probe, one after another: 'ok' or an errno, and what the file says if that changed."""
    answers = []
    kdamond = full_kdamond(damon)
    before = kdamond.read(name)
    for text in probes(name):
        result = outcome(write(kdamond, name, text))
        now = kdamond.read(name)
        if now != before:
            result += f" {now[:24]!r}" + (f"({len(now)})" if len(now) > 24 else "")
        answers.append(f"{text[:24]!r} {result}")
        before = now
    return answers


def is_count(folder: damon_tree.Dir, name: str) -> bool:
    """Whether a file makes numbered directories."""
    path = folder.path / name
    return path.name.startswith("nr_") and (path.parent / "0").is_dir()


def probes(name: str) -> list[str]:
    return [text for text in PROBES if text not in TOO_MANY or not os.path.basename(name).startswith("nr_")]


# ---- trace events ----


def event_format(damon: Damon, name: str) -> list[str]:
    """The `format` file but for its number, which the kernel gives."""
    lines = (damon.events / name / "format").read_text().splitlines()
    return [line for line in lines if not line.startswith("ID:")]

#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Runs a command to which our DAMON looks like the in-tree one.

    as_damon.py damo start $(pidof workload)

On a kernel that has the in-tree DAMON ours goes by the name of damon_rs. Tools know only `damon`: the sysfs directory, and
the trace events `damon:*`. In a mount namespace of their own, which nobody else sees, ours is mounted over the other's.
On a kernel without the in-tree DAMON ours has its names already, and nothing needs to be done.
"""

from __future__ import annotations

import ctypes
import os
import sys
import tempfile
from pathlib import Path

import damon_tree
from damon_tree import SYSFS, TRACEFS

MS_BIND = 0x1000
MS_REC = 0x4000
MS_PRIVATE = 0x40000

LIBC = ctypes.CDLL(None, use_errno=True)


def mount(source: str, target: str, flags: int, kind: str | None = None) -> None:
    fstype = kind.encode() if kind else None
    if LIBC.mount(source.encode(), target.encode(), fstype, ctypes.c_ulong(flags), None):
        error = ctypes.get_errno()
        raise OSError(error, f"mounting {source} on {target}: {os.strerror(error)}")


def available_events(damon: damon_tree.Damon) -> str:
    """The list of trace events as it would be if ours were the only DAMON."""
    lines = (TRACEFS / "available_events").read_text().splitlines()
    others = [line for line in lines if line.partition(":")[0] not in ("damon", damon.name)]
    return "\n".join(others + [f"damon:{event.name}" for event in damon.events.iterdir() if event.is_dir()]) + "\n"


def enter() -> None:
    """Moves this process, and with it its children, into the namespace."""
    damon = damon_tree.ours()
    if damon is None:
        raise SystemExit("as_damon.py: the module is not loaded")
    if damon.name == "damon":
        return
    os.unshare(os.CLONE_NEWNS)
    mount("none", "/", MS_REC | MS_PRIVATE)
    mount(str(damon.root), str(SYSFS / "damon"), MS_BIND)
    events = available_events(damon)
    mount(str(damon.events), str(TRACEFS / "events/damon"), MS_BIND)
    with tempfile.NamedTemporaryFile("w") as file:
        file.write(events)
        file.flush()
        mount(file.name, str(TRACEFS / "available_events"), MS_BIND)
    # damo asks to disable each special-purpose module that runs, as it keeps others out of the in-tree DAMON. Not out of ours.
    for parameters in Path("/sys/module").glob("damon_*/parameters"):
        mount("none", str(parameters), 0, "tmpfs")


def main() -> None:
    if not sys.argv[1:]:
        raise SystemExit(__doc__)
    enter()
    os.execvp(sys.argv[1], sys.argv[1:])


if __name__ == "__main__":
    main()

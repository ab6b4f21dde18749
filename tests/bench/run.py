#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Measures cases of the groups given, of both DAMONs of this kernel, in turn. Runs in the guest of scripts/bench.py.

    run.py [--against-itself] FOLDER REPETITIONS GROUP/CASE …

Leaves FOLDER/GROUP/CASE/NUMBER-{in-tree,ours}.json: what was recorded, from which the host computes figures; or
FOLDER/GROUP/CASE/skipped, a text that says why. With --against-itself the in-tree DAMON takes both roles.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

BENCH = Path(__file__).resolve().parent
sys.path[:0] = [str(BENCH), str(BENCH.parent / "guest")]

import damon_tree  # noqa: E402
import groups  # noqa: E402
from damon_tree import Damon  # noqa: E402
from figures import IN_TREE, OURS  # noqa: E402
from kernel_log import WARNING, KernelLog  # noqa: E402


def both(against_itself: bool) -> dict[str, Damon]:
    damon_tree.free_in_tree()
    in_tree = damon_tree.in_tree()
    ours = in_tree if against_itself else damon_tree.ours()
    if in_tree is None or ours is None:
        raise SystemExit("run.py: this takes a kernel with a DAMON of its own, and the module")
    return {IN_TREE: in_tree, OURS: ours}


def run_case(group: groups.Group, case: groups.Case, damons: dict[str, Damon], repetitions: int, folder: Path) -> None:
    folder.mkdir(parents=True)
    reasons = [f"{reason} in {name}" for name, damon in damons.items() if (reason := group.unsupported(case, damon))]
    if reasons:
        (folder / "skipped").write_text(", ".join(reasons))
        print(f"{group.NAME}: {case.name}: skipped: {', '.join(reasons)}", flush=True)
        return
    names = list(damons)
    if getattr(case, "once", False):
        repetitions = 1
    with group.session(case) as session:
        for number in range(repetitions):
            # Neither is always the first one.
            for name in names if number % 2 == 0 else reversed(names):
                record = session.measure(damons[name])
                damons[name].reset()
                (folder / f"{number}-{name}.json").write_text(json.dumps(record))
            print(f"{group.NAME}: {case.name}: {number + 1} of {repetitions}", flush=True)


def main() -> None:
    arguments = sys.argv[1:]
    if against_itself := arguments[:1] == ["--against-itself"]:
        arguments.pop(0)
    if len(arguments) < 3:
        raise SystemExit(__doc__)
    folder, repetitions = Path(arguments[0]), int(arguments[1])
    damons = both(against_itself)
    for damon in damons.values():
        damon.reset()
    log = KernelLog()
    for name in arguments[2:]:
        group, case = groups.find(name)
        run_case(group, case, damons, repetitions, folder / group.NAME / case.name)
    if messages := log.messages(WARNING):
        raise SystemExit(f"run.py: the kernel said: {messages}")


if __name__ == "__main__":
    main()

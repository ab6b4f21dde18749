#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Has a DAMON go through a case of the bench for a while. Runs in the guest of scripts/profile.py.

    sample.py in-tree|ours GROUP/CASE
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

BENCH = Path(__file__).resolve().parent
sys.path[:0] = [str(BENCH), str(BENCH.parent / "guest")]

import cost  # noqa: E402
import groups  # noqa: E402
from run import both  # noqa: E402


def main() -> None:
    side, name = sys.argv[1:]
    group, case = groups.find(name)
    damon = both(against_itself=False)[side]
    out = Path("/out")
    (out / "kallsyms").write_text(Path("/proc/kallsyms").read_text())
    with group.session(case) as session:
        kdamond = session.start(damon)  # type: ignore[attr-defined]
        time.sleep(0.2)
        print("damon-rs: sampling", flush=True)
        time.sleep(max(2.0, 4_000 / case.regions))
        (out / "regions").write_text(str(cost.count_regions(kdamond, session.size)))  # type: ignore[attr-defined]


if __name__ == "__main__":
    main()

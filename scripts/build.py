#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Builds the module for one of the prepared kernels, in the cache: the tree stays clean."""

import argparse
from pathlib import Path

import kernel
import toolchain
from cache import LOGS, OWN, REPO, lock
from progress import Step, run_main, step


def build(current: Step, its: kernel.Kernel, clippy: bool = False) -> list[Path]:
    """Builds and returns the .ko files. Warnings are errors."""
    name = f"build-{its.series}-{its.kind}{'-clippy' if clippy else ''}"
    folder = OWN / name
    with lock(f"{OWN.name}-{name}"):
        folder.mkdir(parents=True, exist_ok=True)
        argv = ["make", "-C", its.build, kernel.JOBS, f"M={REPO}", f"MO={folder}", "DAMON_STRICT=y", *its.make_flags]
        if clippy:
            # Clippy looks at what make finds out of date.
            (folder / "src/damon.o").unlink(missing_ok=True)
            argv.append("CLIPPY=1")
        toolchain.run(current, [*argv, "modules"], what="building the module")
        order = (folder / "modules.order").read_text(encoding="utf-8").split()
        return [(folder / name).with_suffix(".ko") for name in order]


def module(kind: str, series: str = kernel.SERIES) -> list[Path]:
    """The .ko files for a kernel, all of them up to date."""
    its = kernel.ensure(kind, series)
    with step(f"module for the {kind} kernel", LOGS / f"module-{kind}.log") as current:
        modules = build(current, its)
        current.note = ", ".join(path.name for path in modules)
    return modules


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=kernel.KINDS, nargs="?", default="stock")
    parser.add_argument("--series", default=kernel.SERIES)
    arguments = parser.parse_args()
    for path in module(arguments.kind, arguments.series):
        print(path)
    return 0


if __name__ == "__main__":
    run_main(main)

#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Builds the module for one of the prepared kernels, in the cache: the tree stays clean.

With --tests also those that only tests load: one in each folder of tests/modules, and the examples of the documentation.
"""

import argparse
from pathlib import Path

import doctests
import kernel
import toolchain
from cache import LOGS, OWN, REPO, lock
from progress import Step, run_main, step

TEST_MODULES = REPO / "tests/modules"


def make(current: Step, its: kernel.Kernel, source: Path, folder: Path, *flags: str) -> list[Path]:
    """Has the kernel's build system build the modules of a folder of sources, and returns the .ko files."""
    folder.mkdir(parents=True, exist_ok=True)
    argv = ["make", "-C", its.build, kernel.JOBS, f"M={source}", f"MO={folder}", *its.make_flags, *flags, "modules"]
    toolchain.run(current, argv, what=f"building {source.name}" if source != REPO else "building the module")
    order = (folder / "modules.order").read_text(encoding="utf-8").split()
    return [(folder / name).with_suffix(".ko") for name in order]


def test_modules(current: Step, its: kernel.Kernel) -> list[Path]:
    """Builds and returns the modules that only tests load."""
    paths = []
    for source in sorted(TEST_MODULES.iterdir()):
        name = f"build-{its.series}-{its.kind}-test-{source.name}"
        with lock(f"{OWN.name}-{name}"):
            paths += make(current, its, source, OWN / name, "W=1", "KCFLAGS=-Werror")
    return paths + [examples(current, its)]


def examples(current: Step, its: kernel.Kernel) -> Path:
    """Builds and returns the module of the documentation's examples, against the built module."""
    crate = OWN / f"build-{its.series}-{its.kind}"
    folder = OWN / f"{crate.name}-doctests"
    with lock(f"{OWN.name}-{folder.name}"):
        doctests.write(folder / "source", crate / "src/libdamon.rmeta")
        # make does not see that the crate has changed.
        for path in folder.glob("*.o"):
            path.unlink()
        return make(current, its, folder / "source", folder, f"KBUILD_EXTRA_SYMBOLS={crate / 'Module.symvers'}")[0]


def build(current: Step, its: kernel.Kernel, clippy: bool = False) -> list[Path]:
    """Builds and returns the .ko files. Warnings are errors."""
    name = f"build-{its.series}-{its.kind}{'-clippy' if clippy else ''}"
    folder = OWN / name
    with lock(f"{OWN.name}-{name}"):
        flags = ["DAMON_STRICT=y"]
        if clippy:
            # Clippy looks at what make finds out of date.
            (folder / "src/damon.o").unlink(missing_ok=True)
            flags.append("CLIPPY=1")
        return make(current, its, REPO, folder, *flags)


def module(kind: str, series: str = kernel.SERIES, tests: bool = False) -> list[Path]:
    """The .ko files for a kernel, all of them up to date; those that only tests load come last."""
    its = kernel.ensure(kind, series)
    with step(f"module for the {kind} kernel", LOGS / f"module-{kind}.log") as current:
        modules = build(current, its)
        if tests:
            modules += test_modules(current, its)
        current.note = ", ".join(path.name for path in modules)
    return modules


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=kernel.KINDS, nargs="?", default="stock")
    parser.add_argument("--series", default=kernel.SERIES)
    parser.add_argument("--tests", action="store_true", help="also the modules that only tests load")
    arguments = parser.parse_args()
    for path in module(arguments.kind, arguments.series, arguments.tests):
        print(path)
    return 0


if __name__ == "__main__":
    run_main(main)

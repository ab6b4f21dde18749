#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""The main job in a virtual machine with Debian's unmodified kernel: everything is made ready, then tests/guest/demo.py runs there.

With --shell a prompt instead, with the module loaded and damo at hand.
"""

import argparse
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import build
import image
import kernel
import toolchain
import vm
from progress import run_main

GUEST_DEMO = ["python3", "/damon-rs/tests/guest/demo.py"]
GUEST_SHELL = ["sh", "-c", 'insmod "$DAMON_RS_MODULE" && exec /damon-rs/scripts/as-damon bash -l']


def together(*jobs: Callable[[], Any]) -> list[Any]:
    """Runs jobs at the same time; raises the first failure after all have ended."""
    with ThreadPoolExecutor(len(jobs)) as pool:
        futures = [pool.submit(job) for job in jobs]
    return [future.result() for future in futures]


def prepare(kinds: tuple[str, ...]) -> None:
    """Makes ready what is not. Each waits for what it needs; downloads and builds of the others go on meanwhile."""
    together(toolchain.ensure, image.ensure, lambda: [kernel.ensure(kind) for kind in kinds])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kernel", choices=kernel.KINDS, default="stock")
    parser.add_argument("--shell", action="store_true", help="a prompt; `exit` ends it")
    parser.add_argument("--out", type=Path, help="a folder that gets the files that the demo leaves")
    arguments = parser.parse_args()
    prepare((arguments.kernel,))
    machine = vm.Machine(
        kernel=kernel.ensure(arguments.kernel),
        modules=build.module(arguments.kernel),
        interactive=arguments.shell,
        out=arguments.out,
        timeout=300,
    )
    return vm.run(machine, GUEST_SHELL if arguments.shell else GUEST_DEMO)


if __name__ == "__main__":
    run_main(main)

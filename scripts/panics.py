#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Counts the panic entry points that a linked module refers to, and names the functions that do.

In the kernel a Rust panic is a BUG. A reference is not yet a panic that can be reached, but a module without any has none.
"""

import argparse
import re
import subprocess
from collections import defaultdict
from pathlib import Path

import toolchain
from progress import Failure, run_main

# Where the core crate's panics begin, as the demangled names have it.
ENTRIES = re.compile(
    r"core::panicking::|core::(option|result)::(unwrap|expect)_failed|core::slice::index::\w*fail|core::str::slice_error_fail"
    r"|core::cell::panic_already|len_mismatch_fail|core::alloc::layout::\w*panic|panic_const|\brust_begin_unwind|core::array::\w*fail"
    r"|core::char::\w+::panic|panic_bounds_check|core::num::\w+::panic|handle_alloc_error|rust_build_error"
)

FUNCTION = re.compile(r"^[0-9a-f]+ <(.+)>:$")
RELOCATION = re.compile(r"R_X86_64_(?:PLT32|PC32|64|32S?)\s+(.+?)(?:[-+]0x[0-9a-f]+)?$")


def references(module: Path) -> dict[str, set[str]]:
    """The panic entry points, each with the functions of the module that refer to it."""
    objdump = subprocess.run(
        toolchain.command(["objdump", "--demangle=rust", "--disassemble", "--reloc", "--no-show-raw-insn", module.resolve()]),
        env=toolchain.environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    if objdump.returncode != 0:
        raise Failure(f"objdump could not read {module}: {objdump.stderr.strip()}")
    found: dict[str, set[str]] = defaultdict(set)
    function = "?"
    for line in objdump.stdout.splitlines():
        if match := FUNCTION.match(line):
            function = match[1]
        elif (match := RELOCATION.search(line)) and ENTRIES.search(match[1]):
            found[match[1]].add(function)
    return dict(found)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("module", type=Path, help="a .ko file")
    found = references(parser.parse_args().module)
    for entry, functions in sorted(found.items()):
        print(entry)
        for function in sorted(functions):
            print(f"    {function}")
    print(f"{len(found)} panic entry points referred to by {len(set().union(*found.values()))} functions")
    return 0


if __name__ == "__main__":
    run_main(main)

#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Finds unsafe code outside the places that own it, unsafe blocks that nobody has justified, and addresses made into functions.

Functions that the kernel does not export are called as src/mm/calls.h says, never by their address.
"""

import argparse
import re
from pathlib import Path

from cache import REPO

# The layers whose job it is to make something unsafe safe.
OWNERS = re.compile(r"src/(mm|glue|service)(/|\.rs$)|src/sysfs/kobject|src/kdamond/thread")
TESTS = re.compile(r"^\s*#\[(kernel::macros::)?kunit_tests|^\s*#\[cfg\(test\)\]")
COMMENT = re.compile(r"^\s*//")
BLOCK = re.compile(r"\bunsafe\s*(\{|impl\b|extern\s+\"\"\s*\{)")


def without_strings(line: str) -> str:
    """The line's code: no comment, no string."""
    return re.sub(r'"(\\.|[^"\\])*"', '""', line).split("//")[0]


def justified(lines: list[str], number: int) -> bool:
    """Whether a SAFETY comment stands above the block, or above the statement that it is in."""
    for above in range(number, max(-1, number - 8), -1):
        line = lines[above]
        if above < number and COMMENT.match(line):
            begin = above
            while begin > 0 and COMMENT.match(lines[begin - 1]):
                begin -= 1
            return any("SAFETY:" in text for text in lines[begin : above + 1])
        if above < number and re.search(r"[;}]\s*$", without_strings(line)) and not line.strip().startswith("#"):
            return False
    return False


def audit(path: Path) -> tuple[list[str], int]:
    """Complaints about a file, and how many unsafe blocks it has."""
    name = path.relative_to(REPO).as_posix()
    lines = path.read_text(encoding="utf-8").splitlines()
    complaints: list[str] = []
    count = 0
    for number, line in enumerate(lines):
        if TESTS.match(line):
            break
        code = without_strings(line)
        if re.search(r"\btransmute(_copy)?\b", code):
            complaints.append(f"{name}:{number + 1}: what an address is made into may not be called, see src/mm/calls.h: {line.strip()}")
        if not re.search(r"\bunsafe\b", code) or re.search(r"unsafe_code|unsafe_op", code):
            continue
        if not OWNERS.match(name):
            complaints.append(f"{name}:{number + 1}: unsafe code outside the layers that own it: {line.strip()}")
        if BLOCK.search(code):
            count += 1
            if not justified(lines, number):
                complaints.append(f"{name}:{number + 1}: no SAFETY comment: {line.strip()}")
    return complaints, count


def sources() -> list[Path]:
    return sorted(path for folder in ("src", "samples") for path in (REPO / folder).rglob("*.rs"))


def main() -> int:
    argparse.ArgumentParser(description=__doc__).parse_args()
    results = [audit(path) for path in sources()]
    complaints = [line for lines, _ in results for line in lines]
    print("\n".join(complaints))
    print(f"{sum(count for _, count in results)} unsafe blocks, {len(complaints)} complaints")
    return 1 if complaints else 0


if __name__ == "__main__":
    raise SystemExit(main())

#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Finds what a kernel complains about in its log."""

import argparse
import re
import sys
from pathlib import Path

# Each is the first line of a report. A taint by an out-of-tree or unsigned module is none, and neither is a directory that is not
# added for want of memory (error -12).
REPORTS = re.compile(
    r"WARNING: |\bBUG\b[ :]|\bOops\b[: ]|Kernel panic|general protection fault|double fault|unable to handle"
    r"|possible (recursive|circular) locking|inconsistent lock state|suspicious RCU usage|bad unlock balance|held lock freed"
    r"|INFO: task .* blocked|INFO: (possible|trying to register)|rcu.*(stall|self-detected)"
    r"|(KASAN|UBSAN|KFENCE|KMSAN|KCSAN): |refcount_t: |ODEBUG: |pagealloc: |(list|plist)_\w+ corruption"
    r"|cannot create duplicate|already present!|kobject_add_internal failed for (?!\S+ \(error: -12 )|does not have a release\(\) function"
    r"|tried to init an initialized object|Slab corruption|Object already free|Freepointer corrupt|Padding overwritten"
    r"|[1-9]\d* new suspected memory leaks|DEBUG_LOCKS_WARN_ON|scheduling while atomic|Bad page state|Bad rss-counter"
    r"|still has objects|rust_kernel: .*panicked|unreferenced object"
)

# Said by machines under emulation, about the machine; and options of the kernel that have the words of a report in their names.
HARMLESS = re.compile(
    r"\] (Kernel c|C)ommand line: |\bRCU CPU stall warnings suppressed \("
    r"|clocksource: |x86/cpu: |workqueue: .* hogged CPU|TSC_DEADLINE|Spectre|RETBleed|\bWARNING: Spectre"
)


# KCSAN reports races of the whole kernel, of which there are many. What is between its rules tells whose this one is.
RACE = re.compile(r"BUG: KCSAN: ")
RULE = re.compile(r"={20,}$")
OURS = re.compile(r"\[damon(_rs)?\]")


def race_end(lines: list[str], start: int) -> int:
    """Where the report of a race that begins at `start` ends."""
    for number in range(start, min(start + 120, len(lines))):
        if RULE.search(lines[number]):
            return number
    return start + 12


def complaints(log: str) -> list[str]:
    """The first line of every report in a kernel's log, with a few lines that follow it; of races all lines."""
    lines = log.splitlines()
    found: list[str] = []
    shown = -1
    for number, line in enumerate(lines):
        if number <= shown or not REPORTS.search(line) or HARMLESS.search(line):
            continue
        shown = race_end(lines, number) if RACE.search(line) else number + 12
        report = "\n".join(lines[number : shown + 1])
        if not RACE.search(line) or OURS.search(report):
            found.append(report)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("log", type=Path, help="a kernel log")
    found = complaints(parser.parse_args().log.read_text(encoding="utf-8", errors="replace"))
    print("\n--\n".join(found))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())

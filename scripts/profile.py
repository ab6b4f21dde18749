#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Shows where the instructions of a sample go: `scripts/profile.py "sampling/vaddr 1000"`.

Runs a case of one of the bench's groups "sampling", "growth" and "aggregation", and has QEMU write down the address of each
instruction for a moment. Prints instructions per region and sample by function, and with --lines by source line of the module.
"""

import argparse
import collections
import re
import socket
import subprocess
import sys
import tempfile
import time
from bisect import bisect_right
from pathlib import Path

import bench
import build
import kernel
import toolchain
from cache import OWN, REPO
from demo import prepare
from progress import Failure, run_main

READY = "damon-rs: sampling"
# Of what QEMU writes. A line is an instruction and has some 90 bytes.
LOG_BYTES = 800 << 20
# What both DAMONs sleep in between two samples.
SLEEP = "schedule_hrtimeout_range_clock"


class Monitor:
    """QEMU's, as a person would use it."""

    PROMPT = b"(qemu) "

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(str(path))
        self._wait()

    def _wait(self) -> None:
        text = b""
        while not text.endswith(self.PROMPT):
            more = self.socket.recv(4096)
            if not more:
                raise Failure("QEMU has ended")
            text += more

    def command(self, text: str) -> None:
        self.socket.sendall(text.encode() + b"\n")
        self._wait()


class Symbols:
    """Of the kernel and its modules, as /proc/kallsyms has them."""

    def __init__(self, text: str) -> None:
        found = sorted(
            (int(words[0], 16), words[2], words[3].strip("[]") if len(words) > 3 else "")
            for words in map(str.split, text.splitlines())
            if words[1] in "tT"
        )
        self.starts = [start for start, _, _ in found]
        self.names = [(name, module) for _, name, module in found]

    def start(self, function: str) -> int:
        """Where the kernel's function of this name begins."""
        return self.starts[self.names.index((function, ""))]

    def find(self, address: int) -> tuple[str, str, int] | None:
        """The function that an address is in, its module and the offset in it."""
        index = bisect_right(self.starts, address) - 1
        if index < 0:
            return None
        return *self.names[index], address - self.starts[index]


def record(case: str, side: str, folder: Path) -> Path:
    """Leaves kallsyms and the number of regions in a folder, and returns the file of addresses."""
    its = kernel.ensure("stock")
    monitor, log = folder / "monitor", folder / "exec.log"
    command = [
        sys.executable, REPO / "scripts/vm.py", "run", "--icount", "--kernel", "stock", "--timeout=1200", f"--out={folder}", f"--monitor={monitor}",
        f"--overlay={bench.stage(OWN / 'bench/stage')}:{bench.GUEST_BENCH}", *(f"--module={path}" for path in build.module(its.kind, its.series)),
        "--", "sh", "-c", f'insmod "$DAMON_RS_MODULE" && exec python3 {bench.GUEST_BENCH}/sample.py "$@"', "sample.py", side, case,
    ]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as vm:
        assert vm.stdout
        for line in vm.stdout:
            if line.startswith(READY):
                break
        else:
            raise Failure("the guest did not get that far")
        control = Monitor(monitor)
        control.command(f"logfile {log}")
        control.command("one-insn-per-tb on")
        control.command("log exec,nochain")
        end = time.monotonic() + 120
        while (not log.exists() or log.stat().st_size < LOG_BYTES) and time.monotonic() < end:
            time.sleep(0.05)
        control.command("log none")
        control.command("one-insn-per-tb off")
        control.socket.close()
        for line in vm.stdout:
            print(line, end="")
        if vm.wait():
            raise Failure(f"the guest ended with status {vm.returncode}")
    return log


def whole_samples(log: Path, sleep: int) -> tuple[collections.Counter[int], int]:
    """How often the instruction at each address ran from the first sleep in the log to the last, and how many samples that is. `sleep` is
    where the function begins that a kdamond sleeps in. What is before the first and behind the last sleep is a part of a sample."""
    counts: collections.Counter[int] = collections.Counter()
    current: collections.Counter[int] = collections.Counter()
    sleeps = 0
    with open(log, encoding="ascii", errors="replace") as lines:
        for line in lines:
            # Trace 0: 0x7f… [cs_base/pc/flags/cflags] symbol
            parts = line.split("/", 2)
            if len(parts) != 3 or not line.startswith("Trace"):
                continue
            address = int(parts[1], 16)
            if address == sleep:
                if sleeps:
                    counts.update(current)
                current.clear()
                sleeps += 1
            current[address] += 1
    if sleeps < 2:
        raise Failure("no whole sample was recorded: take a case with fewer regions")
    return counts, sleeps - 1


def source_lines(module: Path, found: dict[tuple[str, int], int]) -> collections.Counter[str]:
    """By line, what was counted by offset in functions."""
    table = subprocess.run(toolchain.command(["nm", "--defined-only", module]), env=toolchain.environment(), capture_output=True, text=True, check=True)
    where: dict[str, int] = {}
    for words in map(str.split, table.stdout.splitlines()):
        if words[1] in "tT":
            where.setdefault(words[2], int(words[0], 16))
    keys = [(key, where[key[0]] + key[1]) for key in found if key[0] in where]
    text = "".join(f"{address:#x}\n" for _, address in keys)
    command = toolchain.command(["addr2line", "-s", "-j", ".text", "-e", module])
    said = subprocess.run(command, env=toolchain.environment(), input=text, capture_output=True, text=True, check=True).stdout.splitlines()
    counts: collections.Counter[str] = collections.Counter()
    for (key, _), line in zip(keys, said):
        counts[re.sub(r" \(discriminator \d+\)", "", line)] += found[key]
    return counts


def listing(module: Path, function: str, found: dict[tuple[str, int], int]) -> list[str]:
    """A function's instructions, each behind how often it ran."""
    command = toolchain.command(["objdump", "-d", "--no-show-raw-insn", f"--disassemble={function}", module])
    text = subprocess.run(command, env=toolchain.environment(), capture_output=True, text=True, check=True).stdout
    lines: list[str] = []
    start: int | None = None
    for line in text.splitlines():
        if head := re.match(r"([0-9a-f]+) <(.*)>:", line):
            start = int(head[1], 16)
        elif (body := re.match(r"\s+([0-9a-f]+):\s+(.*)", line)) and start is not None:
            lines.append(f"{found.get((function, int(body[1], 16) - start), 0):10} {body[2]}")
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("case", metavar="GROUP/CASE", help="scripts/bench.py --list shows them")
    parser.add_argument("--in-tree", action="store_true", help="of the in-tree DAMON")
    parser.add_argument("--lines", action="store_true", help="by source line, too")
    parser.add_argument("--code", metavar="TEXT", help="the instructions of the module's functions with this in their name")
    parser.add_argument("--least", type=float, default=1.0, help="leave out what is less per region (default: %(default)s)")
    arguments = parser.parse_args()
    prepare(("stock",))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        log = record(arguments.case, "in-tree" if arguments.in_tree else "ours", folder)
        symbols = Symbols((folder / "kallsyms").read_text(encoding="ascii"))
        counts, samples = whole_samples(log, symbols.start(SLEEP))
        regions = float((folder / "regions").read_text())
    functions: collections.Counter[tuple[str, str]] = collections.Counter()
    offsets: dict[tuple[str, int], int] = {}
    for address, count in counts.items():
        symbol = symbols.find(address)
        if symbol and address >= 1 << 63:
            functions[symbol[:2]] += count
            if symbol[1].startswith("damon"):
                offsets[symbol[0], symbol[2]] = count
    print(f"{samples} samples, {regions:.0f} regions; instructions per region and sample:")
    scale = 1 / samples / regions
    module_file = build.module("stock", kernel.SERIES)[0] if arguments.lines or arguments.code is not None else Path()
    for (function, module), count in functions.most_common():
        if count * scale >= arguments.least:
            print(f"{count * scale:8.1f}  {function} {module}")
    if arguments.lines:
        print("by line:")
        for line, count in source_lines(module_file, offsets).most_common():
            if count * scale >= arguments.least:
                print(f"{count * scale:8.1f}  {line}")
    if arguments.code is not None:
        for function in sorted({name for name, _ in offsets if arguments.code in name}):
            print(f"{function}:", *listing(module_file, function, offsets), sep="\n")
    return 0


if __name__ == "__main__":
    run_main(main)

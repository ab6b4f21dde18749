# SPDX-License-Identifier: GPL-2.0
"""A process with memory of known kinds, which it does not access once it is there.

Run as a program it is that process: it maps its areas, with holes between them, says where they are, and waits.
"""

from __future__ import annotations

import ctypes
import json
import mmap
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

MIB = 1 << 20
SIZE = 8 * MIB
CGROUPS = Path("/sys/fs/cgroup")


class Areas(NamedTuple):
    anon: tuple[int, int]
    file: tuple[int, int]
    empty: tuple[int, int]


class Mapped:
    """Such a process, in a cgroup of its own if wanted. A context manager that ends it."""

    def __init__(self, cgroup: Path | None = None) -> None:
        self.process = subprocess.Popen(
            [sys.executable, __file__, str(cgroup or "")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout
        areas = json.loads(self.process.stdout.readline())
        self.pid = self.process.pid
        self.areas = Areas(*(tuple(area) for area in areas))

    def __enter__(self) -> Mapped:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()


def place(libc: ctypes.CDLL, address: int, flags: int, fd: int) -> tuple[int, int]:
    """Maps an area at this address, in small pages."""
    found = libc.mmap(ctypes.c_void_p(address), ctypes.c_size_t(SIZE), mmap.PROT_READ | mmap.PROT_WRITE, flags, fd, ctypes.c_long(0))
    assert found == address
    libc.madvise(ctypes.c_void_p(address), ctypes.c_size_t(SIZE), 15)  # MADV_NOHUGEPAGE
    return address, address + SIZE


def main(cgroup: str) -> None:
    if cgroup:
        (Path(cgroup) / "cgroup.procs").write_text(f"{os.getpid()}\n")
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_size_t
    private, fixed = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, 0x10
    reserved = libc.mmap(None, ctypes.c_size_t(5 * SIZE), 0, private | 0x4000, -1, ctypes.c_long(0))
    with tempfile.TemporaryFile() as file:
        file.truncate(SIZE)
        anon = place(libc, reserved, private | fixed, -1)
        shared = place(libc, reserved + 2 * SIZE, mmap.MAP_SHARED | fixed, file.fileno())
        empty = place(libc, reserved + 4 * SIZE, private | fixed, -1)
        for start, end in (anon, shared):
            ctypes.memset(start, 1, end - start)
        print(json.dumps([anon, shared, empty]), flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main(sys.argv[1])

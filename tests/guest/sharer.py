# SPDX-License-Identifier: GPL-2.0
"""Runs sharer.c: two tasks with memory in common."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Iterator, NamedTuple

from mapper import NR_HUGEPAGES, put_on_lists

PROGRAM = Path(__file__).with_name("sharer")
HUGE_PAGES = 8


class Shared(NamedTuple):
    """The tasks, and the range of addresses that is accessed through one of them."""

    pids: list[int]
    start: int
    end: int


@contextlib.contextmanager
def sharer(kind: str) -> Iterator[Shared]:
    """Two tasks that share memory in one of the ways of sharer.c."""
    with contextlib.ExitStack() as stack:
        command = [str(PROGRAM), kind]
        if kind == "written":
            folder = Path("/tmp/ramfs-shared")
            folder.mkdir(exist_ok=True)
            subprocess.run(["mount", "-t", "ramfs", "ramfs", folder], check=True)
            stack.callback(subprocess.run, ["umount", folder], check=True)
            command.append(str(folder / "file"))
        if kind == "hugetlb":
            NR_HUGEPAGES.write_text(f"{HUGE_PAGES}\n")
            stack.callback(NR_HUGEPAGES.write_text, "0\n")
            assert int(NR_HUGEPAGES.read_text()) == HUGE_PAGES
        process = stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        assert process.stdout
        tasks = json.loads(process.stdout.readline())

        def kill() -> None:
            for pid in {process.pid, *tasks["pids"]}:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

        stack.callback(kill)
        put_on_lists()
        yield Shared(tasks["pids"], tasks["start"], tasks["start"] + tasks["size"])

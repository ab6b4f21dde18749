# SPDX-License-Identifier: GPL-2.0
"""Runs a trial in a child process, and finds out if that hangs."""

from __future__ import annotations

import os
import select
import sys
import traceback
from pathlib import Path
from typing import Callable

# How often the child is looked at until patience is at its end.
LOOKS = 10


def switches(pid: int) -> list[int]:
    """How often each thread of a process went to sleep or was made to wait. A thread that does not leave a system call has no others."""
    texts = [(task / "status").read_text() for task in Path(f"/proc/{pid}/task").iterdir()]
    return [int(line.split()[1]) for text in texts for line in text.splitlines() if "voluntary_ctxt_switches:" in line]


def print_stacks(pid: int) -> None:
    """Where a process and the kdamonds are, as the kernel has it."""
    found = [task for task in Path(f"/proc/{pid}/task").iterdir()]
    found += [task for task in Path("/proc").glob("[0-9]*") if (task / "comm").read_text().startswith("kdamond")]
    for task in found:
        print(f"{task.name} {(task / 'comm').read_text()}{(task / 'stack').read_text()}", flush=True)


def supervised(run: Callable[[], int], patience: float) -> int:
    """Returns what `run` does, or 1 if the process that it runs in does nothing for `patience` seconds of guest time, which has to be
    longer than it ever sleeps. It is for machines whose clock counts instructions. It is not waited for then: it may be unable to end.
    """
    child = os.fork()
    if not child:
        status = 1
        try:
            status = run()
        except SystemExit as problem:
            status = problem.code if isinstance(problem.code, int) else 1
        except BaseException:
            traceback.print_exc()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    poll = select.poll()
    poll.register(os.pidfd_open(child), select.POLLIN)
    seen, idle = switches(child), 0
    while not poll.poll(1000 * patience / LOOKS):
        now = switches(child)
        seen, idle = now, idle + 1 if now == seen else 0
        if idle == LOOKS:
            print(f"broken: it does nothing for {patience:.0f} s")
            print_stacks(child)
            os.kill(child, 9)
            return 1
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

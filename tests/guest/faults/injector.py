# SPDX-License-Identifier: GPL-2.0
"""Makes allocations fail: in the system calls of a helper program, or in another task of the kernel's."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import select
import subprocess
from pathlib import Path
from typing import Iterator, NamedTuple

from damon_tree import TRACEFS
from guest_time import wait_until

GUEST = Path(__file__).resolve().parent.parent
DEBUGFS = Path("/sys/kernel/debug")
SLAB = Path("/sys/kernel/slab")

# Of what finds mistakes. Were there no memory for a note about an object, it would look for its mistakes no more.
DEBUGGING = ("kmemleak_object", "kmemleak_scan_area", "debug_objects_cache", "kmem_cache", "kmem_cache_node")

# A system call does not return if it takes longer than so many beats: a second of sleep, and a program that is started and waited for. On
# a machine that is slow, for whatever reason, a beat takes longer as well.
STUCK_BEATS = 120

# Enough never to be reached, to count allocations without failing one.
NEVER = 1_000_000_000


class Outcome(NamedTuple):
    error: int
    # Whether an allocation was made to fail.
    injected: bool
    # What the system call returned.
    result: int = 0
    # How many allocations there were, if none failed and `NEVER` was to.
    allocations: int = 0

    def __str__(self) -> str:
        answer = errno.errorcode.get(self.error, str(self.error)) if self.error else f"{self.result}"
        return f"{answer}{'' if self.injected else ', without a fault'}"


class Broken(AssertionError):
    """What the module must not do."""


def configure() -> int:
    """Any allocation may be chosen: whatever its flags and its size, of slabs and of pages. Returns the number of kinds of slabs."""
    settings = {
        "failslab": {"probability": 0, "times": -1, "verbose": 0, "task-filter": "Y", "ignore-gfp-wait": "N", "cache-filter": "Y"},
        "fail_page_alloc": {
            "probability": 0, "times": -1, "verbose": 0, "task-filter": "Y", "ignore-gfp-wait": "N",
            "ignore-gfp-highmem": "N", "min-order": 0,
        },
    }  # fmt: skip
    for name, values in settings.items():
        for key, value in values.items():
            (DEBUGFS / name / key).write_text(f"{value}\n")
    chosen = 0
    for cache in SLAB.iterdir():
        # The other names of a cache that has several are links.
        if not cache.is_symlink() and cache.name not in DEBUGGING:
            (cache / "failslab").write_text("1\n")
            chosen += 1
    # Grace periods are most of the time that it takes to unload a module.
    Path("/sys/kernel/rcu_expedited").write_text("1\n")
    # A release of a kobject that the kernel puts off is told at a level below these.
    Path("/proc/sys/kernel/printk").write_text("5 4 1 5\n")
    return chosen


def set_share(percent: int) -> None:
    """Lets a share of all allocations fail of the tasks that are prone to it."""
    for name in ("failslab", "fail_page_alloc"):
        (DEBUGFS / name / "probability").write_text(f"{percent}\n")


def set_interval(interval: int, times: int) -> None:
    """With a share of 100 %: lets `times` allocations fail, those whose number is a multiple of `interval`."""
    for name in ("failslab", "fail_page_alloc"):
        (DEBUGFS / name / "interval").write_text(f"{interval}\n")
        (DEBUGFS / name / "times").write_text(f"{times}\n")


@contextlib.contextmanager
def chosen_caches(prefix: str) -> Iterator[None]:
    """Only slabs whose name begins so have faults meanwhile."""
    others = [cache / "failslab" for cache in SLAB.iterdir() if not cache.is_symlink() and not cache.name.startswith(prefix)]
    others = [file for file in others if file.read_text().strip() == "1"]
    for file in others:
        file.write_text("0\n")
    try:
        yield
    finally:
        for file in others:
            file.write_text("1\n")


class FailedAllocations:
    """Whose allocations of slabs have failed, and where. A context manager that ends the watch."""

    EVENTS = ("kmem/kmalloc", "kmem/kmem_cache_alloc")

    def __init__(self) -> None:
        self._trace = TRACEFS / "trace"

    def _enable(self, text: str, condition: str) -> None:
        for name in self.EVENTS:
            folder = TRACEFS / "events" / name
            (folder / "filter").write_text(f"{condition}\n")
            (folder / "enable").write_text(f"{text}\n")

    def __enter__(self) -> FailedAllocations:
        self._enable("1", "ptr == 0")
        return self

    def __exit__(self, *_: object) -> None:
        self._enable("0", "0")

    def clear(self) -> None:
        self._trace.write_text("")

    def places(self, task: str) -> list[str]:
        """The callers of those in tasks whose name begins so, since the last `clear()`."""
        found = (re.match(r"\s*(.*)-\d+ .* call_site=(\S+) ", line) for line in self._trace.read_text().splitlines())
        return [match[2] for match in found if match and match[1].startswith(task)]


class Injector:
    """The helper program. A context manager that ends it."""

    def __init__(self) -> None:
        self.process = subprocess.Popen([str(GUEST / "inject")], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._pending = b""
        self._line()

    def __enter__(self) -> Injector:
        return self

    def __exit__(self, *_: object) -> None:
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait()

    def _more(self) -> None:
        assert self.process.stdout
        fd = self.process.stdout.fileno()
        for _ in range(STUCK_BEATS):
            if select.select([fd], [], [], 1)[0]:
                break
            subprocess.run(["true"], check=True)
        else:
            stack = Path(f"/proc/{self.process.pid}/stack")
            raise Broken(f"a system call does not return:\n{stack.read_text() if stack.exists() else 'nobody knows where'}")
        data = os.read(fd, 1 << 20)
        if not data:
            raise Broken(f"the helper program ended with {self.process.wait()}")
        self._pending += data

    def _line(self) -> str:
        while b"\n" not in self._pending:
            self._more()
        line, _, self._pending = self._pending.partition(b"\n")
        return line.decode()

    def _ask(self, *fields: object) -> str:
        assert self.process.stdin
        self.process.stdin.write("\t".join(map(str, fields)).encode() + b"\n")
        self.process.stdin.flush()
        return self._line()

    def do(self, call: str, nth: int, *fields: object) -> Outcome:
        """A system call of which the `nth` allocation fails, if there are so many; none for 0."""
        error, left, result = map(int, self._ask(call, nth, *fields).split())
        return Outcome(error, nth > 0 and left == 0, result, nth - left)

    def tree(self, root: Path) -> str:
        """Each directory and file below, with its contents."""
        size = int(self._ask("tree", root))
        while len(self._pending) < size:
            self._more()
        text, self._pending = self._pending[:size], self._pending[size:]
        return text.decode(errors="replace")

    def count_tasks(self, name: str) -> int:
        """The tasks whose name begins so."""
        return int(self._ask("count", name).split()[2])

    def set_prone(self, prone: bool) -> None:
        self._ask("prone", int(prone))


class Task:
    """Another task, of which allocations fail."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._file = Path(f"/proc/{pid}/fail-nth")

    def set(self, nth: int) -> None:
        self._file.write_text(f"{nth}\n")

    def left(self) -> int:
        return int(self._file.read_text())

    def sleeps(self) -> int:
        """How often it went to sleep: a kdamond at least once for each sample."""
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("voluntary_ctxt_switches:"))

    def wait_for_fault(self, sleeps: int) -> None:
        """Until the fault of `set(nth)` has happened, or the task has gone to sleep so often without it. Takes nothing of the task's."""
        end = self.sleeps() + sleeps
        wait_until(lambda: self.left() == 0 or self.sleeps() >= end, f"{sleeps} samples are taken")

    def outcome(self, nth: int, outcome: Outcome) -> Outcome:
        """What a system call of another task's came to, with what happened here since `set(nth)`. No fault is left."""
        left = self.left()
        self.set(0)
        return Outcome(outcome.error, nth > 0 and left == 0, outcome.result, nth - left)

    def count(self) -> int:
        """The allocations since `set(NEVER)`."""
        return NEVER - self.left()

    def set_prone(self, prone: bool) -> None:
        Path(f"/proc/{self.pid}/make-it-fail").write_text(f"{int(prone)}\n")

# SPDX-License-Identifier: GPL-2.0
"""The kernel's log from a point in time on."""

from __future__ import annotations

import os
from typing import NamedTuple

WARNING = 4
INFO = 6

# Messages that are not about DAMON. Some parts of the kernel report that an emulated machine is slow.
HARMLESS = (
    "clocksource:",
    "TSC found unstable",
    "perf: interrupt took too long",
    "hrtimer: interrupt took",
    "workqueue:",
    "sched: DL replenish lagged",
    "sched: RT throttling",
    # A disk that changes its size often, as swap space on zram does.
    "set_capacity_and_notify:",
    # CONFIG_DEBUG_KOBJECT_RELEASE tells of every release that it puts off.
    "kobject: '",
    # Each module that was not built with the kernel.
    # The kernel's own runner of selftests tells that it starts.
    "kselftest: Running tests in",
    "damon: loading out-of-tree module taints kernel",
    "damon_rs: loading out-of-tree module taints kernel",
    "damon: module verification failed",
    "damon_rs: module verification failed",
)


class Message(NamedTuple):
    level: int
    text: str


class KernelLog:
    """Messages since this object was made, or since `messages` was last called."""

    def __init__(self) -> None:
        self._fd = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK)
        os.lseek(self._fd, 0, os.SEEK_END)

    def close(self) -> None:
        os.close(self._fd)

    def messages(self, level: int) -> list[Message]:
        """Those of this level and the more urgent ones, without the harmless."""
        return [message for message in self._all() if message.level <= level and not message.text.startswith(HARMLESS)]

    def _all(self) -> list[Message]:
        found = []
        while True:
            try:
                record = os.read(self._fd, 16384).decode(errors="replace")
            except BlockingIOError:
                return found
            except BrokenPipeError:  # messages were overwritten; go on with what is left
                continue
            head, _, text = record.partition(";")
            found.append(Message(int(head.split(",")[0]) & 7, text.split("\n")[0]))

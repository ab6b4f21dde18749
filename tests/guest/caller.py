# SPDX-License-Identifier: GPL-2.0
"""A process that writes a command, for tests that send it signals."""

from __future__ import annotations

import ctypes
import os
import signal
from typing import Callable

from damon_tree import Dir
from guest_time import advance, wait_until

_libc = ctypes.CDLL(None, use_errno=True)


def write_once(path: str, text: str) -> int:
    """One write(2), whose errno is returned. Python's own repeats the call after a signal."""
    fd = os.open(path, os.O_WRONLY)
    try:
        data = f"{text}\n".encode()
        return 0 if _libc.write(fd, data, len(data)) == len(data) else ctypes.get_errno()
    finally:
        os.close(fd)


class Caller:
    """A child process. What it does returns an errno."""

    def __init__(self, what: Callable[[], int]) -> None:
        self.status: int | None = None
        self.pid = os.fork()
        if self.pid:
            return
        try:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            os._exit(what())
        finally:
            os._exit(255)

    def send(self, *signals: signal.Signals) -> None:
        for its in signals:
            os.kill(self.pid, its)

    def has_ended(self) -> bool:
        if self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.status = status if pid else None
        return self.status is not None

    def errno(self) -> int:
        """Waits for its end."""
        wait_until(self.has_ended, "the caller ends")
        assert self.status is not None and os.WIFEXITED(self.status), f"the caller ended with status {self.status}"
        return os.WEXITSTATUS(self.status)

    def kill(self) -> None:
        if not self.has_ended():
            self.send(signal.SIGKILL)
            wait_until(self.has_ended, "the caller is killed", timeout=2)


def waiting(folder: Dir, command: str, prepare: Callable[[], None] = lambda: None) -> Caller:
    """A caller that has written a command to `state` and waits."""

    def write() -> int:
        prepare()
        return write_once(f"{folder.path}/state", command)

    caller = Caller(write)
    advance(0.1)
    assert not caller.has_ended(), f"{command} was served at once"
    return caller

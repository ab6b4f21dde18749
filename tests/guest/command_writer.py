# SPDX-License-Identifier: GPL-2.0
"""A command that may have to wait, written by a thread of its own."""

from __future__ import annotations

import errno
import threading

from damon_tree import Kdamond


class Writer(threading.Thread):
    """Writes a command and keeps the answer."""

    def __init__(self, kdamond: Kdamond, command: str) -> None:
        super().__init__(daemon=True)
        self.kdamond, self.command = kdamond, command
        self.answer: str | None = None
        self.start()

    def run(self) -> None:
        try:
            self.kdamond.state(self.command)
            self.answer = "ok"
        except OSError as error:
            self.answer = errno.errorcode[error.errno or 0]

    def result(self) -> str | None:
        self.join(60)
        assert not self.is_alive(), f"{self.command} never returned"
        return self.answer

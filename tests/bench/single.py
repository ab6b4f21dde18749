# SPDX-License-Identifier: GPL-2.0
"""What groups share that need no more than a process with memory that is not accessed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

from damon_tree import Damon
from processes import Process, Range, processes


class Monitored:
    """A case, and whom its kdamonds monitor."""

    def __init__(self, case: Any, its: list[Process]) -> None:
        self.case = case
        self.targets: dict[int, list[Range]] = {process.pid: [process.area] for process in its}
        self.size = sum(process.area[1] - process.area[0] for process in its)


S = TypeVar("S", bound=Monitored, covariant=True)


class Maker(Protocol[S]):
    def __call__(self, case: Any, its: list[Process]) -> S: ...


@contextmanager
def session_of(make: Maker[S], case: Any, size: int) -> Iterator[S]:
    """With one process that has `size` bytes of anonymous memory."""
    with processes("anon", size) as its:
        yield make(case, its)


def anywhere(case: Any, damon: Damon) -> None:
    """Any DAMON can do the case."""


def undoubted(case: Any, record: dict[str, Any]) -> None:
    """Nothing in a record could say that it is worthless."""

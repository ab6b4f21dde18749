# SPDX-License-Identifier: GPL-2.0
"""Lets each allocation of an operation fail in turn, and looks at what that leaves behind."""

from __future__ import annotations

import difflib
import errno
import time
from dataclasses import dataclass, field
from typing import Any, Callable

from injector import Broken, Outcome

# More allocations than any operation here makes: an operation that never completes is an error as well.
MOST = 20_000


def nothing() -> None:
    pass


@dataclass
class Operation:
    """Something that allocates memory."""

    name: str
    # Does it; of its allocations the one with this number fails, none for 0.
    attempt: Callable[[int], Outcome]
    # Everything that it must leave as it was when it is refused.
    picture: Callable[[], Any]
    # What may be left of a picture instead, if it is refused half-way.
    remains: Callable[[Any], list[Any]] = lambda before: []
    # Makes everything ready for an attempt.
    prepare: Callable[[], None] = nothing
    # Complains about what is wrong after a success.
    verify: Callable[[], None] = nothing
    # Complains about what is wrong when all allocations have failed.
    finish: Callable[[], None] = nothing
    # Whether it succeeds whatever fails.
    always: bool = False
    # Whether it is one of many alike.
    quiet: bool = False
    # The first allocation to fail, and after how many the next.
    first: int = 1
    step: int = 1
    # The last number that is tried even if the one before was not reached.
    at_least: int = 0


@dataclass
class Total:
    """What has been done."""

    operations: int = 0
    refused: int = 0
    skipped: int = 0
    broken: list[str] = field(default_factory=list)

    @property
    def injected(self) -> int:
        return self.refused + self.skipped

    def run(self, operation: Operation) -> None:
        """Lets the first, the second … allocation fail until the operation is done before it comes to that one."""
        start, refused, skipped = time.monotonic(), self.refused, self.skipped
        self.operations += 1
        number = operation.first
        try:
            while self._once(operation, number):
                number += operation.step
                if number > MOST:
                    raise Broken("it does not come to an end")
            operation.finish()
        except (Broken, OSError, ValueError) as problem:
            self.broken.append(f"{operation.name}, allocation {number}: {problem}")
        refused, skipped = self.refused - refused, self.skipped - skipped
        seconds = time.monotonic() - start
        if not operation.quiet:
            print(f"{seconds:6.1f} s  {operation.name}: {refused} refused, {skipped} done all the same", flush=True)
        if len(self.broken) > 20:
            raise Broken("too much is broken to go on")

    def _once(self, operation: Operation, number: int) -> bool:
        operation.prepare()
        before = operation.picture()
        outcome = operation.attempt(number)
        if outcome.error:
            if not outcome.injected:
                raise Broken(f"{outcome}")
            if outcome.error != errno.ENOMEM or operation.always:
                raise Broken(f"refused with {outcome}")
            self.refused += 1
            now = operation.picture()
            if now != before and now not in operation.remains(before):
                raise Broken(f"refused, and yet it has changed\n{difference(before, now)}")
            again = operation.attempt(0)
            if again.error:
                raise Broken(f"without a fault it still fails with {again}")
        elif outcome.injected:
            self.skipped += 1
        operation.verify()
        return outcome.injected or number < operation.at_least


def difference(before: Any, now: Any) -> str:
    texts = [value if isinstance(value, str) else "\n".join(map(str, value)) for value in (before, now)]
    lines = list(difflib.unified_diff(texts[0].splitlines(), texts[1].splitlines(), "before", "after", lineterm="", n=0))
    return "\n".join(line[:300] for line in lines[:20])

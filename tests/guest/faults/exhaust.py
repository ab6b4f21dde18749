# SPDX-License-Identifier: GPL-2.0
"""Lets each allocation of an operation fail in turn, and looks at what that leaves behind."""

from __future__ import annotations

import difflib
import errno
import itertools
import random
import time
from dataclasses import dataclass, field
from typing import Any, Callable, Iterator

from injector import NEVER, Broken, Outcome
from least import Counts

# More allocations than any operation here makes: an operation that never completes is an error as well.
MOST = 20_000

# Each time so many attempts were refused, one without a fault must succeed.
AGAIN = 8


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
    # What it may be refused with.
    errors: tuple[int, ...] = (errno.ENOMEM,)
    # Whether it succeeds whatever fails.
    always: bool = False
    # Whether it is one of many alike.
    quiet: bool = False
    # The first allocation to fail, and after how many the next.
    first: int = 1
    step: int = 1
    # The last number that is tried even if the one before was not reached.
    at_least: int = 0
    # Whether an attempt with `NEVER` tells how many allocations there are.
    counted: bool = True
    # Whether it is the kdamond whose allocations fail.
    in_kdamond: bool = False


@dataclass
class Total:
    """What has been done."""

    counts: Counts
    # How many allocations of an operation fail at most; 0: all.
    most: int
    # Chooses which.
    rng: random.Random
    broken: list[str] = field(default_factory=list)
    # What the present operation must leave as it was.
    _before: Any = None

    def run(self, group: str, operation: Operation) -> None:
        """Lets the first, the second … allocation fail until the operation is done before it comes to that one.

        What is refused changes nothing, so that the next attempt goes on from there; now and then the same is done without a fault.
        """
        start, before = time.monotonic(), dict(self.counts.did)
        self.counts.add("operations")
        number = operation.first
        try:
            self._ready(operation)
            for number in self._numbers(operation):
                if number > MOST:
                    raise Broken("it does not come to an end")
                if not self._once(operation, number):
                    break
            operation.finish()
        except (Broken, OSError, ValueError) as problem:
            self.complain(f"{operation.name}, allocation {number}: {problem}")
        refused, skipped = (self.counts.did[kind] - before[kind] for kind in ("refused", "skipped"))
        for kind in ("failed", group, *(["in-kdamonds"] if operation.in_kdamond else [])):
            self.counts.add(kind, refused + skipped)
        seconds = time.monotonic() - start
        if not operation.quiet:
            print(f"{seconds:6.1f} s  {operation.name}: {refused} refused, {skipped} done all the same", flush=True)
        if len(self.broken) > 20:
            raise Broken("too much is broken to go on")

    def complain(self, *problems: str) -> None:
        for problem in problems:
            print(f"broken: {problem}", flush=True)
        self.broken += problems

    def _numbers(self, operation: Operation) -> Iterator[int]:
        """The allocations to fail: all, or where there are more than are wanted, one in each of as many equal parts."""
        first, step = operation.first, operation.step
        if self.most and operation.counted and not operation.quiet and step == 1:
            outcome = operation.attempt(NEVER)
            if outcome.error:
                raise Broken(f"without a fault it fails with {outcome}")
            operation.verify()
            self._ready(operation)
            number = outcome.allocations - first + 1
            if number > self.most:
                part = number / self.most
                yield from sorted({first + int((index + self.rng.random()) * part) for index in range(self.most)})
                first = outcome.allocations + 1
        yield from itertools.count(first, step)

    def _ready(self, operation: Operation) -> None:
        operation.prepare()
        self._before = operation.picture()

    def _once(self, operation: Operation, number: int) -> bool:
        """Whether there is more to try."""
        outcome = operation.attempt(number)
        if outcome.error:
            if not outcome.injected:
                raise Broken(f"{outcome}")
            if outcome.error not in operation.errors or operation.always:
                raise Broken(f"refused with {outcome}")
            self.counts.add("refused")
            now = operation.picture()
            if now != self._before and now not in operation.remains(self._before):
                raise Broken(f"refused, and yet it has changed\n{difference(self._before, now)}")
            self._before = now
            if self.counts.did["refused"] % AGAIN:
                return True
            again = operation.attempt(0)
            if again.error:
                raise Broken(f"without a fault it still fails with {again}")
            self.counts.add("repeated")
        elif outcome.injected:
            self.counts.add("skipped")
        operation.verify()
        goes_on = outcome.injected or number < operation.at_least
        if goes_on:
            self._ready(operation)
        return goes_on


def difference(before: Any, now: Any) -> str:
    texts = [value if isinstance(value, str) else "\n".join(map(str, value)) for value in (before, now)]
    lines = list(difflib.unified_diff(texts[0].splitlines(), texts[1].splitlines(), "before", "after", lineterm="", n=0))
    return "\n".join(line[:300] for line in lines[:20])

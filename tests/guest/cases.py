# SPDX-License-Identifier: GPL-2.0
"""Tables of cases in one test: each case is tried, and all that fail are reported."""

from __future__ import annotations

import contextlib
import traceback
from typing import Iterator

import pytest


class Cases:
    """A context manager around the loop over a table. At its end the test fails if a case has failed.

    with Cases() as cases:
        for name, expected in TABLE.items():
            with cases.case(name):
                assert answer(name) == expected
    """

    def __init__(self) -> None:
        self._tried = 0
        self._failed: list[str] = []

    def __enter__(self) -> Cases:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        failed = "\n".join([f"{len(self._failed)} of {self._tried} cases:", *self._failed])
        if error is None:
            assert self._tried, "no case was tried"
            if self._failed:
                pytest.fail(failed, pytrace=False)
        elif self._failed:
            # What fails outside of a case, or the time limit, ends the loop.
            error.add_note(failed)

    @contextlib.contextmanager
    def case(self, name: object) -> Iterator[None]:
        """What fails inside is kept for the end."""
        self._tried += 1
        try:
            yield
        except (Exception, pytest.fail.Exception) as error:
            # The first of the test's own frames.
            lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename != __file__]
            self._failed.append(f"{name}: line {lines[0]}: {type(error).__name__}: {error}")

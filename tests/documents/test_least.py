# SPDX-License-Identifier: GPL-2.0
"""Tests of the minima of trials in Python: python3 -m unittest discover -s tests/documents"""

from __future__ import annotations

import contextlib
import io
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests/guest"))

from least import Counts, parse  # noqa: E402

KINDS = {"commits": 1, "shown-snapshots": 2, "extras": 0}


class LeastTest(unittest.TestCase):
    def test_kinds_that_are_not_asked_for_keep_their_minima(self) -> None:
        counts = Counts(KINDS)
        counts.ask("commits=20,extras=3")
        self.assertEqual(counts.least, {"commits": 20, "shown-snapshots": 2, "extras": 3})
        self.assertEqual(KINDS["commits"], 1)

    def test_what_is_no_minimum_is_refused(self) -> None:
        for text in ("", "commits", "commits=", "commits=-1", "commits=x", "commit=1", "commits=1,", "=1", "commits=1 extras=2"):
            with self.subTest(text), self.assertRaises(ValueError):
                parse(text, KINDS)

    def test_a_trial_below_its_minima_says_so(self) -> None:
        counts = Counts(KINDS)
        counts.add("commits", 3)
        counts.add("shown-snapshots")
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            self.assertEqual(counts.tell(), 1)
        self.assertEqual(output.getvalue(), "too little: shown-snapshots 1 of at least 2\ndid: commits=3 shown-snapshots=1 extras=0\n")
        counts.add("shown-snapshots")
        self.assertEqual(counts.few(), [])

    def test_a_kind_that_there_is_not_cannot_be_counted(self) -> None:
        with self.assertRaises(KeyError):
            Counts(KINDS).add("commit")


if __name__ == "__main__":
    unittest.main()

# SPDX-License-Identifier: GPL-2.0
"""Tests that documents name exist: python3 -m unittest discover -s tests/documents"""

from __future__ import annotations

import ast
import re
import unittest
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
DOCUMENTS = REPO / "Documentation/mm/damon"
HOST = REPO / "tests/host/damon/src"

RUST_TEST = re.compile(r"#\[test\]\s+(?:#\[[^\]]*\]\s+)*fn (\w+)")
SUITE = re.compile(r"#\[kunit_tests\((\w+)\)\]")
# A test or a suite of them, but for words that stand for one.
NAME = re.compile(r"``(test_[a-z_]+\.py(?:::\w+)?|damon_rs_(?!(?:sample|stat|reclaim|lru_sort)\b)[a-z_]+(?:::\w+)?|[a-z/]+\.rs::\w+)``")
LITERAL = re.compile(r"``([^`]+)``")
# A source file, and a type or an item of one. `FILE.rs` stands for any.
SOURCE = re.compile(r"``([a-z_/]+\.rs)(?:::\w+)?``")
ITEM = re.compile(r"``([A-Z]\w*[a-z]\w*(?:::\w+)*)(?:\(\))?``")
NO_ITEMS = {"Kbuild", "Makefile"}


def guest_tests() -> set[str]:
    """file.py::test of all that pytest collects."""
    found = set()
    for path in (REPO / "tests/guest").glob("test_*.py"):
        body = ast.parse(path.read_text(encoding="utf-8")).body
        found |= {f"{path.name}::{its.name}" for its in body if isinstance(its, ast.FunctionDef) and its.name.startswith("test_")}
    return found


def unit_tests() -> set[str]:
    """suite, and suite::case."""
    found = set()
    for path in (REPO / "src").rglob("*.rs"):
        text = path.read_text(encoding="utf-8")
        for suite in SUITE.finditer(text):
            cases = RUST_TEST.findall(text, suite.end())
            found |= {suite[1]} if cases else set()
            found |= {f"{suite[1]}::{case}" for case in cases}
    return found


def host_tests() -> set[str]:
    """file.rs::test."""
    return {
        f"{path.relative_to(HOST)}::{test}" for path in HOST.rglob("*.rs") for test in RUST_TEST.findall(path.read_text(encoding="utf-8"))
    }


def rows(name: str) -> list[tuple[str, str]]:
    """The two columns of a document's table, without its head."""
    text = (DOCUMENTS / name).read_text(encoding="utf-8")
    table = re.search(r"^\.\. list-table::\n(?:   .*\n|\n)*", text, re.MULTILINE)
    assert table
    cells = re.findall(r"^   \* - ((?:.*\n)(?:       ?.*\n)*?)     - ((?:.*\n)(?:       .*\n)*)", table[0], re.MULTILINE)
    found = [(" ".join(left.split()), " ".join(right.split())) for left, right in cells]
    assert len(found) == len(re.findall(r"^   \* - ", table[0], re.MULTILINE)), "a row was not understood"
    return found[1:]


class Names(unittest.TestCase):
    def test_features(self) -> None:
        """Each row has a test, and each test that is named is there."""
        known = guest_tests() | unit_tests() | host_tests()
        for document in ("features.rst", "features_schemes.rst"):
            table = rows(document)
            self.assertGreater(len(table), 40)
            for what, shown_by in table:
                named = LITERAL.findall(shown_by)
                self.assertTrue(named, f"nothing shows: {what}")
                for name in named:
                    self.assertIn(name, known, what)

    def test_unit_tests(self) -> None:
        """Ours that stand for the in-tree DAMON's."""
        known = unit_tests()
        table = rows("kunit.rst")
        # Four of the cases share a row.
        self.assertEqual(len(table), 34 - 3)
        for theirs, ours in table:
            named = re.findall(r"(damon_rs_\w+): (\w+(?:, \w+)*)", ours)
            self.assertTrue(named or ours.startswith("None"), theirs)
            for suite, cases in named:
                for case in cases.split(", "):
                    self.assertIn(f"{suite}::{case}", known, theirs)

    def test_all_documents(self) -> None:
        """What looks like a test's name is one, in whichever document."""
        known = guest_tests() | unit_tests() | host_tests() | {path.name for path in (REPO / "tests/guest").glob("test_*.py")}
        named = [(path, name) for path in (REPO / "Documentation").rglob("*.rst") for name in NAME.findall(path.read_text(encoding="utf-8"))]
        self.assertGreater(len(named), 200)
        for path, name in named:
            self.assertIn(name, known, path.name)

    def test_sources(self) -> None:
        """Files and items of the source that documents name are there."""
        paths = [path for folder in ("src", "samples", "tests/host", "tests/guest") for path in (REPO / folder).rglob("*.rs")]
        text = " ".join(path.read_text(encoding="utf-8") for path in (REPO / "src").rglob("*.[rch]*"))
        words = set(re.findall(r"\w+", text))
        found = 0
        for document in (REPO / "Documentation").rglob("*.rst"):
            content = document.read_text(encoding="utf-8")
            for name in SOURCE.findall(content):
                self.assertTrue(any(str(path).endswith(f"/{name}") for path in paths), f"{document.name}: {name}")
                found += 1
            for item in ITEM.findall(content):
                self.assertFalse(set(item.split("::")) - NO_ITEMS - words, document.name)
                found += 1
        self.assertGreater(found, 100)

    def test_the_check_itself(self) -> None:
        """What is looked for is found at all, and in no smaller number than there was once."""
        self.assertGreater(len(guest_tests()), 150)
        self.assertGreater(len(unit_tests()), 120)
        self.assertGreater(len(host_tests()), 20)
        self.assertNotIn("test_regions.py::test_nothing_of_this_name", guest_tests())
        self.assertNotIn("damon_rs_rate::nothing_of_this_name", unit_tests())


if __name__ == "__main__":
    unittest.main()

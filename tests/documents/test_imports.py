# SPDX-License-Identifier: GPL-2.0
"""What tests in the guest share is in helper files: python3 -m unittest discover -s tests/documents"""

from __future__ import annotations

import ast
import unittest
from pathlib import Path

GUEST = Path(__file__).resolve().parents[2] / "tests/guest"


def imported(source: str) -> set[str]:
    """The modules that are imported anywhere in a file."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


def of_tests(source: str) -> set[str]:
    """Those of them that are test files."""
    return {name for name in imported(source) if name.startswith("test_")}


class Imports(unittest.TestCase):
    def test_guest(self) -> None:
        """No file imports a test file."""
        files = list(GUEST.rglob("*.py"))
        self.assertGreater(len(files), 60)
        for path in files:
            self.assertEqual(of_tests(path.read_text(encoding="utf-8")), set(), path.name)

    def test_the_check_itself(self) -> None:
        """An import of a test file is found in both forms, and at any place."""
        self.assertEqual(of_tests("import os\nimport test_one\n\ndef its() -> None:\n    from test_two import name\n"), {"test_one", "test_two"})


if __name__ == "__main__":
    unittest.main()

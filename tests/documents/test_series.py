# SPDX-License-Identifier: GPL-2.0
"""Tests that a build without the kernel's internal headers is refused for a series whose prototypes were not compared."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
SERIES = {(7, 1): False, (7, 2): True, (7, 3): True, (7, 4): False, (7, 20): False, (8, 2): False}
VERSION = "#define KERNEL_VERSION(a, b, c) (((a) << 16) + ((b) << 8) + (c))\n#define LINUX_VERSION_CODE KERNEL_VERSION({}, {}, 5)\n"


def compiles(series: tuple[int, int], prototype: str = "") -> bool:
    """Whether unexported.c does, for a kernel with this in its mm/internal.h, if anything."""
    with tempfile.TemporaryDirectory() as folder:
        files = {
            "linux/version.h": VERSION.format(*series),
            "linux/mm_types.h": "#include <stdbool.h>\nstruct folio;\nstruct list_head;\n",
        }  # fmt: skip
        if prototype:
            files["mm/internal.h"] = f"struct list_head;\n{prototype}\n"
        for name, text in files.items():
            path = Path(folder, name)
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
        toolchain = [sys.executable, REPO / "scripts/toolchain.py", "run", "--"]
        argv = [*toolchain, "cc", "-fsyntax-only", "-I", folder, REPO / "src/mm/unexported.c"]
        return subprocess.run(argv, capture_output=True, check=False, timeout=60).returncode == 0


class Series(unittest.TestCase):
    def test_build(self) -> None:
        for series, supported in SERIES.items():
            self.assertEqual(compiles(series), supported, series)

    def test_build_that_compares(self) -> None:
        """With internal headers any series is accepted, but no other prototype."""
        self.assertTrue(compiles((7, 4), "unsigned long reclaim_pages(struct list_head *list);"))
        self.assertFalse(compiles((7, 4), "unsigned int reclaim_pages(struct list_head *list, int node);"))

    def test_dkms(self) -> None:
        config = (REPO / "scripts/debian/dkms.conf").read_text(encoding="utf-8")
        exclusive = re.search(r'^BUILD_EXCLUSIVE_KERNEL="(.*)"$', config, re.MULTILINE)
        assert exclusive
        for (major, minor), supported in SERIES.items():
            for release in (f"{major}.{minor}.12+deb13-cloud-amd64", f"{major}.{minor}-rc3", f"{major}.{minor}"):
                # DKMS matches like bash: anywhere.
                self.assertEqual(bool(re.search(exclusive[1], release)), supported, release)


if __name__ == "__main__":
    unittest.main()

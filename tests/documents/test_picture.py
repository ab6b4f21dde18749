# SPDX-License-Identifier: GPL-2.0
"""The picture of the demo is of what README.md says that it prints, and shows what is in that; those that documents show are there."""

from __future__ import annotations

import re
import sys
import unittest
import xml.etree.ElementTree as ElementTree
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPO / "scripts"))

import picture  # noqa: E402

TEXT = """
    0.0 s ·░▒▓   ···█
    1.4 s ··██   ····
          0 MiB address 4 MiB   0 MiB address 4 MiB
  hot at 3 MiB   precision 0.996, recall 1.000   found after 0.7 s
"""


class Picture(unittest.TestCase):
    def test_of_the_readme(self) -> None:
        """Made anew by: scripts/picture.py README.md >Documentation/demo.svg"""
        made = picture.draw(picture.read((REPO / "README.md").read_text(encoding="utf-8")))
        self.assertEqual((REPO / "Documentation/demo.svg").read_text(encoding="utf-8"), made)

    def test_read(self) -> None:
        demo = picture.read(TEXT)
        self.assertEqual(demo.rows, [picture.Row("0.0", ("·░▒▓", "···█")), picture.Row("1.4", ("··██", "····"))])
        self.assertEqual((demo.size, demo.notes), ("4 MiB", ["hot at 3 MiB: precision 0.996, recall 1.000, found after 0.7 s"]))

    def test_draw(self) -> None:
        """A rectangle for each run of a shade, within its map."""
        root = ElementTree.fromstring(picture.draw(picture.read(TEXT)))
        drawn = [its for its in root.iter("{http://www.w3.org/2000/svg}rect") if its.get("fill") in picture.COLOURS[1:]]
        found = sorted((picture.COLOURS.index(its.attrib["fill"]), int(its.attrib["width"]) // picture.CELL_WIDTH) for its in drawn)
        self.assertEqual(found, [(1, 1), (2, 1), (3, 1), (4, 1), (4, 2)])
        for its in root.iter("{http://www.w3.org/2000/svg}rect"):
            self.assertLessEqual(float(its.attrib.get("x", 0)) + float(its.attrib["width"]), float(root.attrib["width"]))
            self.assertLessEqual(float(its.attrib.get("y", 0)) + float(its.attrib["height"]), float(root.attrib["height"]))

    def test_of_documents(self) -> None:
        """Each that is shown is there and well-formed, and none is left over."""
        folder = REPO / "Documentation/mm/damon"
        shown = {name for path in folder.glob("*.rst") for name in re.findall(r"^\.\. figure:: (\S+)$", path.read_text(encoding="utf-8"), re.MULTILINE)}
        self.assertEqual({path.name for path in folder.glob("*.svg")}, shown)
        for name in shown:
            ElementTree.parse(folder / name)

    def test_what_is_no_demo(self) -> None:
        for text in ("", "nothing", TEXT.replace("··██", "·██")):
            self.assertRaises(ValueError, picture.read, text)


if __name__ == "__main__":
    unittest.main()

# SPDX-License-Identifier: GPL-2.0
"""The pictures of what the bench found: python3 -m unittest discover -s tests/bench"""

from __future__ import annotations

import sys
import unittest
import xml.etree.ElementTree as ElementTree
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "guest")]

import plot  # noqa: E402
from figures import Comparison, Figure, Results  # noqa: E402

COST = Figure("cost", "", False, 0, 1, ratio=True)
SHARE = Figure("share", "", True, 2, 0.01)


class Plots(unittest.TestCase):
    def root(self, compared: dict[str, list[Comparison]]) -> ElementTree.Element:
        return ElementTree.fromstring(plot.draw("a < b", Results("g", [COST, SHARE], compared, {})))

    def places(self, root: ElementTree.Element) -> list[float]:
        """Of the dots, without those of the legend."""
        return [float(its.attrib["cx"]) for its in root.iter("{http://www.w3.org/2000/svg}circle")][2:]

    def test_places(self) -> None:
        """A power of ten is as long as the next one; what is not compared by ratio is drawn from nothing on."""
        compared = {
            "x & y": [Comparison(COST, [1000] * 3, [10] * 3), Comparison(SHARE, [0.5] * 3, [1.0] * 3)],
            "z": [Comparison(COST, [100] * 3, [0] * 3)],
        }
        root = self.root(compared)
        left, right, middle = plot.LEFT, plot.LEFT + plot.WIDTH, plot.LEFT + plot.WIDTH / 2
        self.assertEqual(self.places(root), [right, left, middle, left, middle, right])
        words = ["".join(its.itertext()) for its in root.iter("{http://www.w3.org/2000/svg}text")]
        for expected in ("x & y", "z", "1000 → 10", "0.50 → 1.00", "1,000", "cost (lower is better)"):
            self.assertIn(expected, words)

    def test_everything_is_in_the_picture(self) -> None:
        root = self.root({f"case {n}": [Comparison(COST, [3.0 * 7**n] * 3, [0.003 * n] * 3)] for n in range(12)})
        height = float(root.attrib["height"])
        for its in root.iter():
            for name in ("y", "cy", "y1", "y2"):
                self.assertLessEqual(float(its.attrib.get(name, 0)), height)
        for place in self.places(root):
            self.assertTrue(plot.LEFT <= place <= plot.LEFT + plot.WIDTH)

    def test_nothing_but_zeros(self) -> None:
        root = self.root({"a": [Comparison(figure, [0] * 3, [0] * 3) for figure in (COST, SHARE)]})
        self.assertEqual(set(self.places(root)), {plot.LEFT})


if __name__ == "__main__":
    unittest.main()

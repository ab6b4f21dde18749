# SPDX-License-Identifier: GPL-2.0
"""No file of src/ imports, by way of others, itself: python3 -m unittest discover -s tests/documents"""

from __future__ import annotations

import re
import unittest
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

SRC = Path(__file__).resolve().parents[2] / "src"
ROOT = "damon"

COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
# A module of unit tests is the last item of its file.
TESTS = re.compile(r"^#\[(?:kernel::prelude::)?(?:kunit_tests\(|cfg\((?:test|any\(test))", re.MULTILINE)
USE = re.compile(r"^\s*(pub(?:\([^)]*\))? )?use ([^;]+);", re.MULTILINE)
# A path of the crate in the code itself.
INLINE = re.compile(r"\bcrate(?:::\w+)+")


def module_of(path: Path) -> str:
    """The name of the module that a file is: `engine::context`, or "" for the root of the crate."""
    name = "::".join(path.relative_to(SRC).with_suffix("").parts)
    return "" if name == ROOT else name


def leaves(tree: str, prefix: str = "") -> Iterator[str]:
    """The paths of a use tree: `a::{b, c::{d, self}}` is a::b, a::c::d and a::c."""
    tree = tree.strip()
    head, brace, rest = tree.partition("{")
    if not brace:
        # `c::{self}` is c.
        yield re.sub(r"::self\b", "", prefix + re.sub(r"\s+", " ", tree))
        return
    depth, item = 0, ""
    for char in rest[: rest.rindex("}")] + ",":
        depth += (char == "{") - (char == "}")
        if char == "," and not depth:
            if item.strip():
                yield from leaves(item, prefix + head.strip())
            item = ""
        else:
            item += char


def absolute(path: str, module: str, modules: set[str]) -> str | None:
    """A path as seen from the root of the crate; `None` if it leads out of it."""
    words = [word for word in path.split("::") if word]
    here = module.split("::") if module else []
    if words[0] == "crate":
        return "::".join(words[1:])
    if "::".join([*here, words[0]]) in modules:
        return "::".join(here + words)
    if words[0] not in ("super", "self"):
        return None
    while words and words[0] in ("super", "self"):
        if words.pop(0) == "super":
            here = here[:-1]
    return "::".join(here + words)


def file_of(path: str, modules: set[str]) -> str:
    """The module whose file a path leads to: the longest that the path begins with."""
    words = path.split("::")
    for length in range(len(words), 0, -1):
        if (name := "::".join(words[:length])) in modules:
            return name
    return ""


@dataclass
class File:
    """What a file of the crate imports, without its unit tests."""

    module: str
    # Paths of the crate, absolute.
    paths: set[str] = field(default_factory=set)
    # What it hands on under a name of its own: where the name leads to.
    handed_on: dict[str, str] = field(default_factory=dict)

    @staticmethod
    def read(module: str, text: str, modules: set[str]) -> "File":
        text = COMMENT.sub("", text)
        if tests := TESTS.search(text):
            rest = text[tests.start() :]
            # An item for tests alone may stand before others.
            text = text[: tests.start()] + (rest.partition("\n}\n")[2] if "mod tests" in rest[:200] else rest)
        file = File(module)
        code = USE.sub("", text)
        for visibility, tree in USE.findall(text):
            for leaf in leaves(tree):
                path, _, alias = leaf.partition(" as ")
                # Bindings come with a star. They are no file of src/.
                if path.endswith("*") or (target := absolute(path, module, modules)) is None:
                    continue
                name = alias or target.rpartition("::")[2]
                # A private one is seen by the modules below.
                file.handed_on[name] = target
                if not visibility or re.search(rf"\b{name}\b", code):
                    file.paths.add(target)
        file.paths |= {path.removeprefix("crate::") for path in INLINE.findall(code)}
        return file


def imports() -> dict[str, set[str]]:
    """For each module, those that define what it imports."""
    sources = {module_of(path): path.read_text(encoding="utf-8") for path in SRC.rglob("*.rs") if path.stem != "fake"}
    modules = set(sources)
    files = {module: File.read(module, text, modules) for module, text in sources.items()}

    def defined_in(path: str) -> str:
        """The module that defines what a path names, behind those that hand it on."""
        for _ in range(9):
            module = file_of(path, modules)
            name, _, rest = path.removeprefix(module).removeprefix("::").partition("::")
            if (target := files[module].handed_on.get(name)) is None:
                return module
            path = f"{target}::{rest}" if rest else target
        raise ValueError(f"{path} is handed on in a circle")

    return {module: {defined_in(path) for path in file.paths} - {module, ""} for module, file in files.items()}


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """The groups of modules of which each leads to each (Tarjan's strongly connected components)."""
    order: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(node: str) -> None:
        order[node] = low[node] = len(order)
        stack.append(node)
        for target in sorted(graph.get(node, ())):
            if target not in order:
                visit(target)
                low[node] = min(low[node], low[target])
            elif target in stack:
                low[node] = min(low[node], order[target])
        if low[node] == order[node]:
            group = []
            while not group or group[-1] != node:
                group.append(stack.pop())
            if len(group) > 1:
                found.append(sorted(group))

    for node in sorted(graph):
        if node not in order:
            visit(node)
    return found


class Imports(unittest.TestCase):
    def test_no_circle(self) -> None:
        graph = imports()
        self.assertGreater(sum(map(len, graph.values())), 300, "the check reads no imports")
        self.assertEqual(circles(graph), [])

    def test_the_check_finds_circles(self) -> None:
        self.assertEqual(list(leaves("a::{b, c::{d, self as e}}")), ["a::b", "a::c::d", "a::c as e"])
        self.assertEqual(absolute("super::super::x::Y", "a::b::c", set()), "a::x::Y")
        self.assertEqual(absolute("c::Y", "a::b", {"a::b::c"}), "a::b::c::Y")
        self.assertIsNone(absolute("kernel::page::Page", "a::b", {"a::b::c"}))
        self.assertEqual(file_of("a::x::Y", {"a", "a::x"}), "a::x")
        self.assertEqual(circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}), [["a", "b", "c"]])


if __name__ == "__main__":
    unittest.main()

# SPDX-License-Identifier: GPL-2.0
"""The examples in the crate's documentation as unit tests of KUnit, in a module of their own.

An example is a block of Rust in a doc comment, as for rustdoc: lines that begin with # are a part of it which readers do not see. One
that is marked `ignore` or `text` is left out. Each becomes a function that returns a Result; it runs when the module is loaded.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from cache import REPO

NAME = "damon_doctests"

HEAD = """\
// SPDX-License-Identifier: GPL-2.0
//! Made by scripts/doctests.py of the examples in the crate's documentation.

use kernel::prelude::*;

module! {{
    type: Doctests,
    name: "{name}",
    authors: ["The damon-rs developers"],
    description: "Examples of the damon crate",
    license: "GPL",
}}

struct Doctests;

impl kernel::Module for Doctests {{
    fn init(_: &'static ThisModule) -> Result<Self> {{
        Ok(Self)
    }}
}}

#[kunit_tests({name})]
mod examples {{
    use super::*;
"""

KBUILD = """\
# SPDX-License-Identifier: GPL-2.0
obj-m := {name}.o
rustflags-y := --extern damon={metadata}
"""


class Example(NamedTuple):
    """What is to be compiled, and where it is."""

    path: Path
    line: int
    code: list[str]

    @property
    def name(self) -> str:
        return re.sub(r"\W", "_", f"{self.path.with_suffix('')}_{self.line}")


def examples_of(path: Path, text: str) -> list[Example]:
    """Those of one file."""
    found: list[Example] = []
    code: list[str] | None = None
    kept = False
    for number, line in enumerate(text.splitlines(), 1):
        comment = re.match(r"\s*//[/!] ?(.*)$", line)
        if not comment:
            code = None
        elif fence := re.match(r"```(\w*)\s*$", comment[1]):
            if code is None:
                code, kept = [], fence[1] in ("", "rust")
                begin = number
            else:
                if kept:
                    found.append(Example(path, begin, code))
                code = None
        elif code is not None:
            code.append(re.sub(r"^# ?", "", comment[1]) if comment[1].startswith(("# ", "#")) and not comment[1].startswith("#[") else comment[1])
    return found


def examples() -> list[Example]:
    """Those of the crate."""
    return [each for path in sorted((REPO / "src").rglob("*.rs")) for each in examples_of(path.relative_to(REPO), path.read_text(encoding="utf-8"))]


def write(folder: Path, metadata: Path) -> None:
    """Makes the module's sources, for a build of the crate with this metadata. What has not changed is not written."""
    parts = [HEAD.format(name=NAME)]
    for example in examples():
        body = "\n".join(f"        {line}".rstrip() for line in example.code)
        parts.append(f"\n    /// {example.path}, line {example.line}\n    #[test]\n    fn {example.name}() -> Result {{\n{body}\n    }}\n")
    files = {f"{NAME}.rs": "".join([*parts, "}\n"]), "Kbuild": KBUILD.format(name=NAME, metadata=metadata)}
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        if not (folder / name).exists() or (folder / name).read_text(encoding="utf-8") != text:
            (folder / name).write_text(text, encoding="utf-8")

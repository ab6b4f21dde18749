#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Makes the crate's documentation, for those who build on it, and prints where it begins: `make rustdoc`.

With the flags that the crate was compiled with. A link in it that leads nowhere is an error.
"""

import argparse
import re
import shlex
from pathlib import Path

import build
import kernel
import toolchain
from cache import LOGS, OWN, REPO
from progress import Failure, Step, run_main, step

# What is about the object file, and no matter of the documentation.
SKIPPED = re.compile(r"--emit=.*|--out-dir|-Zbinary_dep_depinfo.*|src/$|.*/src/damon\.rs$|rustc$|\w+=.*")


def flags(folder: Path) -> list[str]:
    """Those that the crate in this build folder was compiled with."""
    text = (folder / "src/.damon.o.cmd").read_text(encoding="utf-8")
    command = re.match(r"savedcmd_src/damon\.o := ([^;\n]*)", text)
    if not command:
        raise Failure(f"{folder}/src/.damon.o.cmd does not say how the crate is compiled")
    return [word for word in shlex.split(command[1]) if not SKIPPED.fullmatch(word)]


def document(current: Step, its: kernel.Kernel, target: Path) -> Path:
    """Makes the documentation in this folder: its first page."""
    folder = build.build(current, its)[0].parent
    argv = [
        "rustdoc", *flags(folder), "--crate-name=damon", "-Drustdoc::broken_intra_doc_links", "-Arustdoc::private_intra_doc_links",
        f"--output={target}", REPO / "src/damon.rs",
    ]  # fmt: skip
    env = {"RUSTC_BOOTSTRAP": "1", "OBJTREE": its.build, "RUST_MODFILE": "./damon", "DAMON_BINDINGS": str(folder / "src/bindings_generated.rs")}
    toolchain.run(current, argv, cwd=folder, env=env, what="documentation of the crate")
    return target / "damon/index.html"


def main() -> int:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    toolchain.ensure()
    its = kernel.ensure("stock")
    with step("documentation of the crate", LOGS / "rustdoc.log") as current:
        first = document(current, its, OWN / "rustdoc")
        pages = len(list(first.parent.rglob("*.html")))
        current.note = f"{pages} pages"
    print(first)
    return 0


if __name__ == "__main__":
    run_main(main)

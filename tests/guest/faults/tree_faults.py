# SPDX-License-Identifier: GPL-2.0
"""Operations on the tree, which is asked itself for what there is: lists, values, reading."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Iterator

from damon_tree import Damon, Dir
from exhaust import Operation
from injector import Broken, Injector

# One of these is another value for any file than the one that is in it.
VALUES = (
    "1", "2", "Y", "N", "fvaddr", "vaddr", "cold", "stat",
    "memcg", "anon", "young", "active", "hugepage_size", "unmapped", "addr", "target", "free_mem_rate",
    "none", "temporal", "consist", "user_input", "node_mem_used_bp", "/a/path",
)  # fmt: skip


def lists(damon: Damon) -> list[str]:
    """The files that make directories, after each has made one."""
    root = damon.admin / "kdamonds"
    found: list[str] = []
    while True:
        new = []
        for name in root.files():
            file = root.path / name
            if file.name.startswith("nr_") and name not in found and file.stat().st_mode & 0o200:
                root.write(name, 1)
                if (file.parent / "0").is_dir():
                    new.append(name)
        if not new:
            return found
        found += new


def values(damon: Damon, names: list[str]) -> list[str]:
    """The files that keep what is written to them; not those with these names."""
    root = damon.admin / "kdamonds"
    return [name for name in root.files() if name not in names and Path(name).name != "state" and (root.path / name).stat().st_mode & 0o200]


def two_values(folder: Dir, name: str) -> list[tuple[str, str]]:
    """Two values that the file takes, and what is read then. Leaves the second in it."""
    found: dict[str, str] = {}
    for text in VALUES:
        try:
            folder.write(name, text)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ERANGE):
                raise
            continue
        found.setdefault(folder.read(name), text)
        if len(found) == 2:
            return [(text, shown) for shown, text in found.items()]
    raise Broken(f"{name} takes less than two of the values")


def list_operation(damon: Damon, injector: Injector, name: str, number: int) -> Operation:
    """Replaces the directories of a list; removes them for 0."""
    root = damon.admin / "kdamonds"
    file = root.path / name

    def tree() -> str:
        return injector.tree(file.parent)

    root.write(name, 0)
    empty, whole_empty = tree(), injector.tree(root.path)
    root.write(name, 1)
    one, whole = tree(), injector.tree(root.path)
    after = one if number else empty

    def verify() -> None:
        if tree() != after:
            raise Broken("the directories are not there as they should be")

    def finish() -> None:
        if injector.tree(root.path) != (whole if number else whole_empty):
            raise Broken("something else in the tree has changed")

    return Operation(
        name=f"write {number} to {name}",
        attempt=lambda nth: injector.do("write", nth, file, number),
        picture=tree,
        # The old ones go before the new ones come, whose names are the same.
        remains=lambda before: [empty],
        prepare=(lambda: None) if number else (lambda: root.write(name, 1)),
        verify=verify,
        finish=finish,
    )


def value_operation(damon: Damon, injector: Injector, name: str) -> Operation:
    """Changes a value to and fro."""
    root = damon.admin / "kdamonds"
    folder = Dir((root.path / name).parent)
    file = root.path / name
    choice = two_values(root, name)
    wanted = shown = ""

    def prepare() -> None:
        nonlocal wanted, shown
        wanted, shown = next(pair for pair in choice if pair[1] != root.read(name))

    def verify() -> None:
        if root.read(name) != shown:
            raise Broken(f"{wanted!r} was written, {root.read(name)!r} is read")

    return Operation(
        name=f"write to {name}",
        attempt=lambda nth: injector.do("write", nth, file, wanted),
        picture=lambda: injector.tree(folder.path),
        prepare=prepare,
        verify=verify,
        quiet=True,
    )


def read_operation(injector: Injector, file: Path, name: str, call: str = "read") -> Operation:
    whole = injector.do("read", 0, file).result

    def attempt(nth: int):  # type: ignore[no-untyped-def]
        outcome = injector.do(call, nth, file, "r")
        if call == "read" and not outcome.error and outcome.result != whole:
            raise Broken(f"{outcome.result} bytes of {whole} are read, and no error")
        return outcome

    return Operation(name=f"{call} {name}", attempt=attempt, picture=lambda: "", quiet=True)


def tree_operations(damon: Damon, injector: Injector) -> Iterator[Operation]:
    """All of them. Each makes ready for the next what that needs."""
    root = damon.admin / "kdamonds"
    names = lists(damon)
    for name in root.files():
        yield read_operation(injector, root.path / name, name)
    kinds = {Path(name).name: name for name in ("nr_kdamonds", "0/state", "0/contexts/0/operations")}
    for name in kinds.values():
        yield read_operation(injector, root.path / name, name, "open")
    for name in values(damon, names):
        yield value_operation(damon, injector, name)
    # The innermost first: replacing a directory empties the lists inside.
    for name in sorted(names, key=lambda name: (-name.count("/"), name)):
        for number in (1, 0):
            yield list_operation(damon, injector, name, number)
        root.write(name, 1)

# SPDX-License-Identifier: GPL-2.0
"""The tree's directories and files: names, modes and first contents are the in-tree DAMON's."""

import pytest

import answers
import behaviour
import damon_tree
from damon_tree import Damon

IN_TREE = answers.load()["tree"]


@pytest.fixture(scope="module")
def tree(damon: Damon) -> dict[str, list[str]]:
    return behaviour.tree(damon)


def test_files(tree: dict[str, list[str]]) -> None:
    """Each has the mode and the contents that the in-tree DAMON gives it, and there is no other."""
    assert len(IN_TREE) > 100
    found = {name: entry for name, entry in tree.items() if name in IN_TREE or name not in answers.LATER}
    differ = {name: (found.get(name), IN_TREE.get(name)) for name in {*found, *IN_TREE} if found.get(name) != IN_TREE.get(name)}
    assert not differ, "\n".join(f"{name}: {ours}, not {theirs}" for name, (ours, theirs) in sorted(differ.items()))


@pytest.mark.ours
def test_added_files(tree: dict[str, list[str]]) -> None:
    assert {name: tree.get(name) for name in answers.LATER} == answers.LATER


@pytest.mark.stock
def test_recorded_answers_are_this_kernels(damon: Damon) -> None:
    """The record still says what the running kernel's DAMON does."""
    in_tree = damon_tree.in_tree()
    assert in_tree
    try:
        assert behaviour.tree(in_tree) == IN_TREE
    finally:
        in_tree.reset()


def test_tried_region_files(monitoring: damon_tree.Kdamond) -> None:
    monitoring.update_regions()
    region = monitoring.schemes[0] / "tried_regions/0"
    assert [name for name in region.files()] == ["age", "end", "nr_accesses", "start", "sz_filter_passed"]
    assert {(region.path / name).stat().st_mode & 0o777 for name in region.files()} == {0o400}
    assert (region.path / "probes").is_dir()


def test_nothing_is_readable_to_others(damon: Damon) -> None:
    behaviour.full_kdamond(damon)
    for name in damon.admin.files():
        assert (damon.admin.path / name).stat().st_mode & 0o077 == 0, name


def test_numbers_of_directories(damon: Damon) -> None:
    """Each number makes that many, counted from 0; a new number replaces them all by new ones."""
    kdamond = behaviour.full_kdamond(damon)
    for folder, count in (
        ("contexts/0/targets", "nr_targets"),
        ("contexts/0/targets/0/regions", "nr_regions"),
        ("contexts/0/schemes", "nr_schemes"),
    ):
        for number in (3, 5, 2, 1):
            kdamond.write(f"{folder}/{count}", number)
            assert [child.path.name for child in (kdamond / folder).numbered()] == [str(i) for i in range(number)]
    kdamond.context.write("targets/0/pid_target", 77)
    kdamond.context.write("targets/nr_targets", 1)
    assert kdamond.context.read("targets/0/pid_target") == "0"

# SPDX-License-Identifier: GPL-2.0
"""Bad input is refused with the errno of the in-tree DAMON, the old value stays, and the kernel says nothing about it.

behaviour.py and scenarios.py ask, answers.py has the answers of this series that are expected.
"""

import contextlib
import os

import pytest

import answers
import behaviour
import damon_tree
import scenarios
from cases import Cases
from damon_tree import Damon
from kernel_log import INFO, KernelLog

IN_TREE = answers.load()

# Where ours answers otherwise on purpose.
OURS = {
    # The in-tree DAMON starts a kdamond that finds nothing to monitor and ends at once.
    "on_without_targets": ["EINVAL"],
}


@pytest.mark.slow(400)
def test_write(damon: Damon, clean: None) -> None:
    """Each file takes what the in-tree DAMON takes and refuses what it refuses."""
    with contextlib.closing(KernelLog()) as log, Cases() as cases:
        for name, answered in IN_TREE["writes"].items():
            with cases.case(name):
                assert behaviour.probe_file(damon, name) == answered
                assert not log.messages(INFO)


@pytest.mark.parametrize("name", scenarios.SCENARIOS)
def test_state(damon: Damon, quiet: None, name: str) -> None:
    """Commands, and changes while a kdamond runs, work or fail as they do with the in-tree DAMON."""
    expected = IN_TREE["states"][name]
    if damon.is_ours:
        expected = OURS.get(name, expected)
    assert scenarios.run_scenario(damon, name) == expected


@pytest.mark.stock
@pytest.mark.slow(400)
def test_recorded_answers_are_this_kernels(damon: Damon) -> None:
    in_tree = damon_tree.in_tree()
    assert in_tree
    with Cases() as cases:
        for name, answered in IN_TREE["states"].items():
            with cases.case(name):
                assert scenarios.run_scenario(in_tree, name) == answered


def test_read_only_files(damon: Damon, quiet: None) -> None:
    kdamond = behaviour.full_kdamond(damon)
    for name in ("pid", "contexts/0/avail_operations", "contexts/0/schemes/0/stats/nr_tried", "contexts/0/schemes/0/tried_regions/total_bytes"):
        assert behaviour.outcome(lambda: kdamond.write(name, "1")) in ("EIO", "EACCES", "EPERM"), name


@pytest.mark.ours
def test_too_many_directories(damon: Damon, quiet: None) -> None:
    """A number of directories for which there is no memory is refused while the present ones are still there."""
    kdamond = behaviour.full_kdamond(damon)
    kdamonds = damon.admin / "kdamonds"
    kdamond.context.write("addr_unit", 7)
    before = {name: kdamonds.read(name) for name in kdamonds.files()}
    counts = [name for name in before if behaviour.is_count(kdamonds, name)]
    assert "nr_kdamonds" in counts and len(counts) >= 11
    for name in counts:
        assert behaviour.outcome(lambda: kdamonds.write(name, 2**31 - 1)) in ("ENOMEM", "EINVAL"), name
        assert {name: kdamonds.read(name) for name in kdamonds.files()} == before, name
    kdamond.context.write("targets/nr_targets", 2)


def test_write_at_an_offset(damon: Damon, quiet: None) -> None:
    """A second write through the same descriptor is a write like the first, not a longer number."""
    kdamond = behaviour.full_kdamond(damon)
    fd = os.open(kdamond.context.path / "monitoring_attrs/intervals/sample_us", os.O_WRONLY)
    try:
        os.write(fd, b"12")
        os.write(fd, b"34")
    finally:
        os.close(fd)
    assert kdamond.context.read("monitoring_attrs/intervals/sample_us") == "34"


def test_reads_in_pieces(damon: Damon, quiet: None) -> None:
    kdamond = behaviour.full_kdamond(damon)
    with open(kdamond.context.path / "monitoring_attrs/intervals/update_us", "rb", buffering=0) as file:
        assert b"".join(iter(lambda: file.read(1), b"")) == b"60000000\n"

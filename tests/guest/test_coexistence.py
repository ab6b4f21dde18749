# SPDX-License-Identifier: GPL-2.0
"""Ours and the in-tree DAMON in one kernel: neither is in the other's way."""

import os
from pathlib import Path

import pytest

import behaviour
import damon_tree
import status
from damon_tree import AGGREGATION, SYSFS, TRACEFS, Damon, Kdamond
from guest_time import wait_until
from hot_area import good
from trace_events import Trace
from workload import Workload

pytestmark = [pytest.mark.ours, pytest.mark.stock]


@pytest.fixture
def in_tree(clean: None):
    found = damon_tree.in_tree()
    assert found
    found.reset()
    yield found
    found.reset()


def monitor(damon: Damon, workload: Workload) -> Kdamond:
    kdamond = damon.kdamond()
    kdamond.add_targets(workload.pid)
    kdamond.add_stat_schemes()
    kdamond.on()
    return kdamond


def test_names(damon: Damon, in_tree: Damon) -> None:
    assert (damon.name, in_tree.name) == ("damon_rs", "damon")
    assert (SYSFS / "damon").is_dir() and (SYSFS / "damon_rs").is_dir()
    assert (TRACEFS / "events/damon").is_dir() and (TRACEFS / "events/damon_rs").is_dir()
    assert Path("/sys/module/damon_rs").is_dir()


def test_both_monitor(damon: Damon, in_tree: Damon, workload: Workload) -> None:
    """The same process at the same time, and both find its hot area."""
    kdamonds = [monitor(each, workload) for each in (damon, in_tree)]
    for kdamond in kdamonds:
        wait_until(lambda: good(kdamond, workload.hot), "the hot area is found", every=AGGREGATION)
    assert len({kdamond.pid for kdamond in kdamonds}) == 2


def test_other_files_do_not_change(damon: Damon, in_tree: Damon, shared_workload: Workload) -> None:
    before = behaviour.tree(in_tree)
    kdamond = monitor(damon, shared_workload)
    kdamond.snapshot()
    found = {
        str(Path(folder, name).relative_to(in_tree.admin.path))
        for folder, _, names in os.walk(in_tree.admin.path) for name in names
    }  # fmt: skip
    assert found == {name for name, entry in before.items() if len(entry) == 2}
    assert all(Path(in_tree.admin.path, name).read_text() == before[name][1] for name in found)


def test_off_of_one(damon: Damon, in_tree: Damon, shared_workload: Workload) -> None:
    ours, theirs = (monitor(each, shared_workload) for each in (damon, in_tree))
    theirs.off()
    assert ours.running and ours.snapshot()
    theirs.on()
    ours.off()
    assert theirs.running and theirs.snapshot()


def test_pause_of_one(damon: Damon, in_tree: Damon, shared_workload: Workload) -> None:
    ours, theirs = (monitor(each, shared_workload) for each in (damon, in_tree))
    ours.set(pause="Y")
    ours.commit()
    assert theirs.snapshot()
    assert status.kdamond(damon)["state"] == "paused"


def test_events_are_apart(damon: Damon, in_tree: Damon, shared_workload: Workload) -> None:
    ours, theirs = (monitor(each, shared_workload) for each in (damon, in_tree))
    with Trace(damon, "damon_aggregated") as trace, Trace(in_tree, "damon_aggregated") as other:
        assert {event.pid for event in trace.wait()} == {ours.pid}
        assert {event.pid for event in other.wait()} == {theirs.pid}


def test_exclusive_users_do_not_keep_ours_out(damon: Damon, in_tree: Damon, shared_workload: Workload) -> None:
    """DAMON_STAT keeps every other user of the in-tree DAMON out."""
    enabled = Path("/sys/module/damon_stat/parameters/enabled")
    if not enabled.exists():
        pytest.skip("no DAMON_STAT")
    enabled.write_text("Y\n")
    try:
        assert monitor(damon, shared_workload).snapshot()
        assert enabled.read_text() == "Y\n"
    finally:
        enabled.write_text("N\n")

# SPDX-License-Identifier: GPL-2.0
"""What is refused is told as a debug message, with the file and the reason; nothing else is told."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from pathlib import Path

import pytest

import behaviour
from cases import Cases
from damon_tree import Damon, Kdamond
from kernel_log import KernelLog
from kernel_module import Module

pytestmark = pytest.mark.ours

CONTROL = Path("/proc/dynamic_debug/control")
DEBUG = 7
COUNTS = ("targets/0/regions/nr_regions", "schemes/0/filters/nr_filters")
MODULES = ("damon", "damon_rs")


class Told:
    """The messages of our module."""

    def __init__(self) -> None:
        self.log = KernelLog()

    def lines(self) -> list[str]:
        return [text for _, text in self.log.messages(DEBUG) if text.startswith(tuple(f"{name}: " for name in MODULES))]


@pytest.fixture
def told(clean: None) -> Iterator[Told]:
    if not CONTROL.exists():
        pytest.skip("no dynamic debug")
    for name in MODULES:
        CONTROL.write_text(f"module {name} +p\n")
    its = Told()
    yield its
    its.log.close()
    for name in MODULES:
        CONTROL.write_text(f"module {name} -p\n")


@pytest.fixture
def full(damon: Damon, clean: None) -> Kdamond:
    """A kdamond with one of each directory."""
    return behaviour.full_kdamond(damon)


# A file, what is written to it, the answer, and the reason that is told.
VALUES = (
    ("contexts/0/operations", "none", "EINVAL", "invalid value"),
    ("contexts/0/addr_unit", "0", "EINVAL", "invalid value"),
    ("contexts/0/pause", "perhaps", "EINVAL", "invalid value"),
    ("contexts/0/monitoring_attrs/intervals/sample_us", "1s", "EINVAL", "invalid value"),
    ("contexts/0/schemes/0/target_nid", "99999999999", "ERANGE", "too large"),
    ("contexts/0/schemes/0/filters/nr_filters", "2147483647", "ENOMEM", "number too large"),
    ("state", "started", "EINVAL", "invalid value"),
)


def test_value(full: Kdamond, told: Told) -> None:
    """The path of the file, why, and what was written, in a line."""
    with Cases() as cases:
        for file, value, error, reason in VALUES:
            with cases.case(file):
                told.lines()
                assert behaviour.outcome(lambda: full.write(file, value)) == error
                (line,) = told.lines()
                assert f"{str(full.path).removeprefix('/sys')}/{file}: " in line and reason in line and f'"{value}' in line, line


# What is wrong in a context, and the reason that is told.
STARTS: tuple[tuple[dict[str, str], str], ...] = (
    ({"monitoring_attrs/intervals/sample_us": "200000"}, "sample_us is greater than aggr_us"),
    ({"monitoring_attrs/nr_regions/min": "2"}, "nr_regions/min is less than 3 or greater than nr_regions/max"),
    ({"monitoring_attrs/intervals/intervals_goal/aggrs": "1"}, "sample_us is not within [min_sample_us, max_sample_us]"),
    ({"targets/0/pid_target": "2147483646"}, "targets/<T>/pid_target: no process has this PID"),
    ({"operations": "paddr", "targets/nr_targets": "2"}, "targets/nr_targets: physical memory is one target"),
    ({"targets/0/regions/0/start": "4096", "targets/0/regions/0/end": "0"}, "targets/<T>/regions/<R>: not in ascending order"),
    (
        {"schemes/0/filters/0/type": "addr", "schemes/0/filters/0/addr_start": "2", "schemes/0/filters/0/addr_end": "1"},
        "filters/<F>: addr_end is below addr_start",
    ),
    ({"schemes/0/filters/0/type": "memcg", "schemes/0/filters/0/memcg_path": "/none"}, "filters/<F>/memcg_path: no memory cgroup"),
)


def test_start(damon: Damon, told: Told) -> None:
    """What keeps a kdamond from starting is told before that it does not start."""
    with Cases() as cases:
        for files, reason in STARTS:
            with cases.case(reason):
                kdamond = damon.kdamond()
                kdamond.add_targets(1)
                kdamond.add_stat_schemes()
                for name in COUNTS:
                    if any(file.startswith(str(Path(name).with_name("0"))) for file in files):
                        kdamond.context.write(name, 1)
                for file, value in files.items():
                    kdamond.context.write(file, value)
                told.lines()
                assert behaviour.outcome(lambda: kdamond.write("state", "on")) == ("ENOMEM" if "filters" in reason else "EINVAL")
                *before, line = told.lines()
                assert any(reason in its for its in before) and "/state: refused" in line, (before, line)
            damon.reset()


def test_parameter(damon: Damon, told: Told) -> None:
    """A parameter of a module, too."""
    with Module(f"{damon.name}_stat") as stat:
        told.lines()
        assert stat.refuses("enabled", "perhaps") == errno.EINVAL
        # A file object tries again as it is closed.
        (line,) = set(told.lines())
    assert "parameter enabled: refused with error -22" in line and '"perhaps' in line, line


def test_nothing_is_told_of_what_is_taken(kdamond: Kdamond, told: Told) -> None:
    kdamond.add_targets(1)
    kdamond.add_stat_schemes()
    kdamond.on()
    kdamond.commit()
    kdamond.off()
    assert not told.lines()

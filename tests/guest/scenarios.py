# SPDX-License-Identifier: GPL-2.0
"""What each state of a kdamond allows: small stories, each with what every step answered."""

from __future__ import annotations

import os
import subprocess
from typing import Callable, Iterable

import damon_tree
from behaviour import PROBES, TOO_MANY, outcome, write
from damon_tree import Damon, Kdamond
from guest_time import wait_until

Scenario = Callable[[Damon], list[str]]
SCENARIOS: dict[str, Scenario] = {}
COMMANDS = (
    "commit", "update_schemes_stats", "update_schemes_tried_bytes", "update_schemes_tried_regions", "clear_schemes_tried_regions",
    "update_schemes_effective_quotas", "commit_schemes_quota_goals", "update_tuned_intervals",
)  # fmt: skip


def scenario(function: Scenario) -> Scenario:
    SCENARIOS[function.__name__] = function
    return function


def sleeper() -> subprocess.Popen[bytes]:
    return subprocess.Popen(["sleep", "1000"])


def ready(damon: Damon, pid: int | None = None, schemes: int = 1) -> Kdamond:
    """A kdamond that could be turned on, with this process as its target."""
    kdamond = damon.kdamond()
    kdamond.add_targets(os.getpid() if pid is None else pid)
    if schemes:
        kdamond.add_stat_schemes(schemes)
    return kdamond


def turn_on(kdamond: Kdamond) -> list[str]:
    return [outcome(kdamond.on), kdamond.read("state")]


@scenario
def on_without_context(damon: Damon) -> list[str]:
    (kdamond,) = damon.kdamonds(1)
    return turn_on(kdamond)


@scenario
def commands_without_context(damon: Damon) -> list[str]:
    (kdamond,) = damon.kdamonds(1)
    return [outcome(lambda: kdamond.state(command)) for command in ("off", *COMMANDS)]


@scenario
def on_without_targets(damon: Damon) -> list[str]:
    return [outcome(damon.kdamond().on)]


@scenario
def on_physical_without_targets(damon: Damon) -> list[str]:
    """Physical memory does not end: it goes on until it is stopped."""
    kdamond = damon.kdamond()
    kdamond.set(ops="paddr")
    kdamond.add_stat_schemes()
    answers = turn_on(kdamond) + [outcome(lambda: kdamond.state(command)) for command in ("commit", "update_schemes_stats")]
    return answers + [outcome(kdamond.off), kdamond.read("state")]


def dead_pid() -> int:
    process = sleeper()
    process.kill()
    process.wait()
    return process.pid


@scenario
def on_dead_pid(damon: Damon) -> list[str]:
    return turn_on(ready(damon, dead_pid()))


@scenario
def on_pid_zero(damon: Damon) -> list[str]:
    return turn_on(ready(damon, 0))


@scenario
def on_negative_pid(damon: Damon) -> list[str]:
    return turn_on(ready(damon, -5))


@scenario
def on_kernel_thread(damon: Damon) -> list[str]:
    return turn_on(ready(damon, 2))


@scenario
def on_second_target_dead(damon: Damon) -> list[str]:
    kdamond = damon.kdamond()
    kdamond.add_targets(os.getpid(), dead_pid())
    return turn_on(kdamond)


@scenario
def on_twice(damon: Damon) -> list[str]:
    kdamond = ready(damon)
    return turn_on(kdamond) + turn_on(kdamond)


@scenario
def off_never_on(damon: Damon) -> list[str]:
    kdamond = ready(damon)
    return [outcome(kdamond.off), kdamond.read("state"), kdamond.read("pid")]


@scenario
def off_twice(damon: Damon) -> list[str]:
    kdamond = ready(damon)
    return turn_on(kdamond) + [outcome(kdamond.off), kdamond.read("state"), outcome(kdamond.off), kdamond.read("state"), kdamond.read("pid")]


@scenario
def on_again(damon: Damon) -> list[str]:
    kdamond = ready(damon)
    return turn_on(kdamond) + [outcome(kdamond.off)] + turn_on(kdamond) + [outcome(kdamond.off), kdamond.read("state")]


@scenario
def commands_never_on(damon: Damon) -> list[str]:
    kdamond = ready(damon)
    return [f"{command} {outcome(lambda: kdamond.state(command))}" for command in COMMANDS]


@scenario
def commands_while_on(damon: Damon) -> list[str]:
    kdamond = ready(damon)
    return turn_on(kdamond) + [f"{command} {outcome(lambda: kdamond.state(command))}" for command in COMMANDS]


@scenario
def commands_without_schemes(damon: Damon) -> list[str]:
    kdamond = ready(damon, schemes=0)
    return turn_on(kdamond) + [f"{command} {outcome(lambda: kdamond.state(command))}" for command in COMMANDS]


@scenario
def commands_after_off(damon: Damon) -> list[str]:
    kdamond = ready(damon)
    return turn_on(kdamond) + [outcome(kdamond.off)] + [f"{command} {outcome(lambda: kdamond.state(command))}" for command in COMMANDS]


@scenario
def commands_after_target_exit(damon: Damon) -> list[str]:
    process = sleeper()
    kdamond = ready(damon, process.pid)
    answers = turn_on(kdamond)
    process.kill()
    process.wait()
    wait_until(lambda: not kdamond.running, "the kdamond notices")
    answers += [kdamond.read("pid"), outcome(kdamond.off)]
    return answers + [f"{command} {outcome(lambda: kdamond.state(command))}" for command in COMMANDS]


@scenario
def unknown_words(damon: Damon) -> list[str]:
    kdamond = ready(damon)
    words = ("\n", " \n", "x\n", "ON\n", "on on\n", "on x\n", " on\n", "on \n", "onn\n", "o\n", "1\n", "0\n", "x" * 4096)
    return [f"{word[:8]!r} {outcome(write(kdamond, 'state', word))}" for word in words] + [kdamond.read("state")]


@scenario
def on_without_newline(damon: Damon) -> list[str]:
    kdamond = ready(damon)
    return [outcome(write(kdamond, "state", "on")), kdamond.read("state"), outcome(write(kdamond, "state", "off")), kdamond.read("state")]


@scenario
def directories_while_on(damon: Damon) -> list[str]:
    kdamond = ready(damon)
    answers = turn_on(kdamond)
    for name in (
        "targets/0/regions/nr_regions", "targets/nr_targets", "schemes/0/filters/nr_filters", "schemes/nr_schemes", "monitoring_attrs/probes/nr_probes",
    ):  # fmt: skip
        for count in (1, 0):
            if kdamond.context.exists(name):
                answers.append(f"{name} {count} {outcome(lambda: kdamond.context.write(name, count))}")
    answers.append(f"contexts {outcome(lambda: kdamond.write('contexts/nr_contexts', 0))}")
    for count in ("0", "1", "2", "-1", "x"):
        answers.append(f"kdamonds {count} {outcome(lambda: (damon.admin / 'kdamonds').write('nr_kdamonds', count))}")
    return answers + [kdamond.read("state"), outcome(kdamond.off), kdamond.read("state")]


@scenario
def commands_with_context_removed(damon: Damon) -> list[str]:
    kdamond = ready(damon)
    answers = turn_on(kdamond) + [outcome(lambda: kdamond.write("contexts/nr_contexts", 0))]
    answers += [f"{command} {outcome(lambda: kdamond.state(command))}" for command in ("on", *COMMANDS)]
    return answers + [kdamond.read("state"), outcome(kdamond.off), kdamond.read("state")]


@scenario
def commands_with_scheme_removed(damon: Damon) -> list[str]:
    kdamond = ready(damon)
    answers = turn_on(kdamond) + [outcome(lambda: kdamond.context.write("schemes/nr_schemes", 0))]
    return answers + [f"{command} {outcome(lambda: kdamond.state(command))}" for command in COMMANDS if command != "commit"] + [kdamond.read("state")]


@scenario
def commands_with_target_removed(damon: Damon) -> list[str]:
    kdamond = ready(damon)
    answers = turn_on(kdamond) + [outcome(lambda: kdamond.context.write("targets/nr_targets", 0))]
    return answers + [f"{command} {outcome(lambda: kdamond.state(command))}" for command in COMMANDS if command != "commit"] + [kdamond.read("state")]


# Attributes that `on` and `commit` judge together.
ATTRS: dict[str, dict[str, int]] = {
    "min_regions above max": {"min_regions": 20, "max_regions": 19},
    "min_regions equals max": {"min_regions": 20, "max_regions": 20},
    "min_regions of 2": {"min_regions": 2, "max_regions": 19},
    "min_regions of 0": {"min_regions": 0, "max_regions": 19},
    "sample above aggr": {"sample_us": 100001, "aggr_us": 100000},
    "sample equals aggr": {"sample_us": 100000, "aggr_us": 100000},
    "sample of 0": {"sample_us": 0},
    "sample and aggr of 0": {"sample_us": 0, "aggr_us": 0},
    "all intervals of 0": {"sample_us": 0, "aggr_us": 0, "update_us": 0},
    "update of 0": {"update_us": 0},
    "update below sample": {"update_us": 1},
    "largest aggr": {"aggr_us": 2**64 - 1},
    "largest update": {"update_us": 2**64 - 1},
    "largest max_regions": {"max_regions": 2**64 - 1},
    "largest min_regions": {"min_regions": 2**64 - 1, "max_regions": 2**64 - 1},
    "2^32 samples in an aggregation": {"sample_us": 1, "aggr_us": 2**32},
    "2^32 + 1 samples in an aggregation": {"sample_us": 1, "aggr_us": 2**32 + 1},
}


def on_with(damon: Damon, names: Iterable[str], change: Callable[[Kdamond, str], object]) -> list[str]:
    """What `on` answers after each of these changes to a kdamond that could be turned on, and what the state is then."""
    answers = []
    for name in names:
        kdamond = ready(damon)
        change(kdamond, name)
        answers.append(f"{name}: {outcome(kdamond.on)} {kdamond.read('state')}")
        kdamond.stop()
    return answers


def commit_with(
    damon: Damon, names: Iterable[str], change: Callable[[Kdamond, str], object], ask: Callable[[Kdamond], object] = lambda its: outcome(its.commit)
) -> list[str]:
    """What `commit`, or what else is asked, answers after each of these changes to a kdamond that is on, and what the state is then."""
    answers = []
    for name in names:
        kdamond = ready(damon)
        kdamond.on()
        change(kdamond, name)
        answers.append(f"{name}: {ask(kdamond)} {kdamond.read('state')}")
        kdamond.stop()
    return answers


def set_attrs(kdamond: Kdamond, name: str) -> None:
    kdamond.set(**ATTRS[name])


@scenario
def on_with_attrs(damon: Damon) -> list[str]:
    return on_with(damon, ATTRS, set_attrs)


@scenario
def commit_with_attrs(damon: Damon) -> list[str]:
    return commit_with(damon, ATTRS, set_attrs)


PAGE = 4096
INIT_REGIONS: dict[str, list[tuple[int, int]]] = {
    "one": [(PAGE, 2 * PAGE)],
    "start above end": [(2 * PAGE, PAGE)],
    "empty": [(PAGE, PAGE)],
    "unaligned": [(PAGE + 1, 3 * PAGE + 5)],
    "less than a page": [(PAGE + 1, PAGE + 2)],
    "overlap": [(PAGE, 3 * PAGE), (2 * PAGE, 4 * PAGE)],
    "adjacent": [(PAGE, 2 * PAGE), (2 * PAGE, 3 * PAGE)],
    "unsorted": [(4 * PAGE, 5 * PAGE), (PAGE, 2 * PAGE)],
    "same": [(PAGE, 2 * PAGE), (PAGE, 2 * PAGE)],
    "whole address space": [(0, 2**64 - 1)],
    "at the top": [(2**64 - PAGE, 2**64 - 1)],
    "kernel space": [(2**63, 2**63 + PAGE)],
}


def set_regions(kdamond: Kdamond, name: str) -> None:
    kdamond.set_init_regions(INIT_REGIONS[name])


@scenario
def on_with_init_regions(damon: Damon) -> list[str]:
    return on_with(damon, INIT_REGIONS, set_regions)


@scenario
def commit_with_init_regions(damon: Damon) -> list[str]:
    return commit_with(damon, INIT_REGIONS, set_regions)


PATTERNS = {
    "sz": {"size": (2, 1)},
    "nr_accesses": {"nr_accesses": (2, 1)},
    "age": {"age": (2, 1)},
    "all zero": {"size": (0, 0), "nr_accesses": (0, 0), "age": (0, 0)},
    "nr_accesses of 2^32": {"nr_accesses": (2**32, 2**32)},
}


@scenario
def on_with_pattern(damon: Damon) -> list[str]:
    return on_with(damon, PATTERNS, lambda kdamond, name: damon_tree.set_pattern(kdamond.schemes[0], **PATTERNS[name]))


BAD_SCHEMES: dict[str, dict[str, object]] = {
    "range that ends before it starts": {"filters/nr_filters": 1, "filters/0/type": "addr", "filters/0/addr_start": 2, "filters/0/addr_end": 1},
    "sizes from 2 to 1": {"filters/nr_filters": 1, "filters/0/type": "hugepage_size", "filters/0/min": 2, "filters/0/max": 1},
    "filter for no group": {"filters/nr_filters": 1, "filters/0/type": "memcg", "filters/0/memcg_path": "/none"},
    "goal of no group": {
        "quotas/goals/nr_goals": 1, "quotas/goals/0/target_metric": "node_memcg_used_bp", "quotas/goals/0/target_value": 1,
        "quotas/goals/0/path": "/none",
    },
}  # fmt: skip


def write_scheme(kdamond: Kdamond, files: dict[str, object]) -> None:
    for file, value in files.items():
        kdamond.schemes[0].write(file, value)


def set_scheme(kdamond: Kdamond, name: str) -> None:
    write_scheme(kdamond, BAD_SCHEMES[name])


@scenario
def on_with_bad_schemes(damon: Damon) -> list[str]:
    return on_with(damon, BAD_SCHEMES, set_scheme)


@scenario
def commit_with_bad_schemes(damon: Damon) -> list[str]:
    def ask(kdamond: Kdamond) -> dict[str, str]:
        return {command: outcome(lambda: kdamond.state(command)) for command in ("commit", "commit_schemes_quota_goals")}

    return commit_with(damon, BAD_SCHEMES, set_scheme, ask)


@scenario
def commit_bad_targets(damon: Damon) -> list[str]:
    answers = []
    for pid in (dead_pid(), 0, -5):
        kdamond = ready(damon)
        kdamond.on()
        kdamond.targets[0].write("pid_target", pid)
        answers += [outcome(kdamond.commit), kdamond.read("state")]
        kdamond.stop()
    return answers


@scenario
def commit_without_targets(damon: Damon) -> list[str]:
    kdamond = ready(damon)
    answers = turn_on(kdamond)
    kdamond.context.write("targets/nr_targets", 0)
    return answers + [outcome(kdamond.commit)]


@scenario
def commit_obsolete_only(damon: Damon) -> list[str]:
    kdamond = ready(damon)
    answers = turn_on(kdamond)
    kdamond.targets[0].write("obsolete_target", "Y")
    return answers + [outcome(kdamond.commit)]


@scenario
def on_obsolete_target(damon: Damon) -> list[str]:
    kdamond = ready(damon)
    kdamond.targets[0].write("obsolete_target", "Y")
    return turn_on(kdamond)


@scenario
def on_eligible_memory_of_processes(damon: Damon) -> list[str]:
    kdamond = ready(damon)
    goal = {"quotas/goals/nr_goals": 1, "quotas/goals/0/target_metric": "node_eligible_mem_bp", "quotas/goals/0/target_value": 5000}
    write_scheme(kdamond, goal)
    return turn_on(kdamond)


@scenario
def commands_while_paused(damon: Damon) -> list[str]:
    kdamond = ready(damon)
    kdamond.set(pause="Y")
    answers = turn_on(kdamond) + [f"{command} {outcome(lambda: kdamond.state(command))}" for command in COMMANDS]
    return answers + [kdamond.read("state"), outcome(kdamond.on), outcome(kdamond.off), kdamond.read("state")]


@scenario
def kdamond_counts(damon: Damon) -> list[str]:
    folder = damon.admin / "kdamonds"
    answers = []
    for text in PROBES:
        if text not in TOO_MANY:
            answers.append(f"{text[:24]!r} {outcome(write(folder, 'nr_kdamonds', text))} {folder.read('nr_kdamonds')}")
    return answers


def run_scenario(damon: Damon, name: str) -> list[str]:
    damon.reset()
    try:
        return SCENARIOS[name](damon)
    finally:
        damon.reset()

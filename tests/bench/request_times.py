# SPDX-License-Identifier: GPL-2.0
"""How long a write into the tree takes that asks something of a kdamond."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cost
from damon_tree import Damon, Kdamond
from figures import Figure, Goal
from single import Monitored, session_of
from single import anywhere as unsupported  # noqa: F401
from single import undoubted as doubts  # noqa: F401
from workload import MIB

NAME = "request_times"
TITLE = "Time of requests"
SETTINGS = "64 MiB, 10 regions, an aggregation interval of 20 samples, one scheme that counts regions."
NOTES = """\
The time of the machine from the beginning to the end of the write, in the median of several at different times of a sampling
interval. In the machine an instruction takes a nanosecond."""

COMMANDS = ["commit", "pause", "resume", "stats", "tried regions", "off"]
FIGURES = [Figure(f"time of {name}", "ms", False, 3, 0.01, ratio=True) for name in COMMANDS]
# Of each command.
TIMES = 3
HUNG_TASKS = Path("/proc/sys/kernel/hung_task_timeout_secs")


@dataclass(frozen=True)
class Case:
    name: str
    sample_us: int

    @property
    def goals(self) -> dict[str, Goal]:
        return {figure.name: Goal(1, of_in_tree=False) for figure in FIGURES}

    def about(self) -> str:
        return f"A sampling interval of {self.sample_us / 1000:g} ms."


CASES = [Case(f"{us / 1000:g} ms", us) for us in (5000, 500_000, 10_000_000)]


# ---- in the guest ----


def timed(action: Callable[[], object]) -> float:
    begin = time.monotonic_ns()
    action()
    return (time.monotonic_ns() - begin) / 1e6


class Session(Monitored):
    def start(self, damon: Damon) -> Kdamond:
        kdamond = cost.start(damon, self.targets, 10, sample_us=self.case.sample_us, aggr_us=20 * self.case.sample_us, schemes=1, most_regions=19)
        # There are results, and it is some time since the last sample.
        time.sleep(self.case.sample_us * 21.3 / 1e6)
        return kdamond

    def measure(self, damon: Damon) -> dict[str, Any]:
        found: dict[str, list[float]] = {name: [] for name in COMMANDS}
        for number in range(TIMES):
            kdamond = self.start(damon)
            for name in COMMANDS:
                if name in ("pause", "resume"):
                    kdamond.set(pause="Y" if name == "pause" else "N")
                word = {"stats": "update_schemes_stats", "tried regions": "update_schemes_tried_regions", "off": "off"}.get(name, "commit")
                found[name].append(timed(lambda word=word: kdamond.state(word)))  # type: ignore[misc]
                time.sleep(self.case.sample_us * (1.2 + number / TIMES) / 1e6)
            damon.reset()
        return found


@contextmanager
def session(case: Case) -> Iterator[Session]:
    # The in-tree one may have a writer wait for as long as an aggregation takes.
    before = HUNG_TASKS.read_text()
    HUNG_TASKS.write_text("0\n")
    with session_of(Session, case, 64 * MIB) as its:
        yield its
    HUNG_TASKS.write_text(before)


# ---- on the host ----


def figures(case: Case, record: dict[str, Any]) -> dict[str, float]:
    return {figure.name: sorted(record[name])[len(record[name]) // 2] for figure, name in zip(FIGURES, COMMANDS)}

# SPDX-License-Identifier: GPL-2.0
"""How well what DAMON reports agrees with what was accessed, for access patterns that are known.

Precision and recall are by bytes, over the aggregations from `SETTLE` after each change on. Judged is the memory of the
process that makes the accesses, nothing else.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cost
import trace_events
import truth
from damon_tree import Damon, Kdamond
from figures import Figure
from guest_time import wait_until
from processes import system_ram
from truth import Range
from workload import MIB, Program

NAME = "accuracy"
TITLE = "Accuracy"

PROGRAM = Path(__file__).with_name("patterns")

SAMPLE_US, AGGR_US, UPDATE_US = 5000, 100000, 1000000
MIN_REGIONS, MAX_REGIONS = 10, 1000
SAMPLES = AGGR_US // SAMPLE_US
PACE_US = 4000  # less than a sampling interval: what is accessed in every round is accessed in every sample
SETTLE = 20  # aggregations after a change that do not count
TRACE_KB = 16384

PRECISION = Figure("precision", "", True, 3, 0.01)
RECALL = Figure("recall", "", True, 3, 0.01)
FOUND = Figure("time until found", "s", False, 2, AGGR_US / 1e6)
RATE_ERROR = Figure("error of the rate", "", False, 3, 0.01)
FIGURES = [PRECISION, RECALL, FOUND, RATE_ERROR]

SETTINGS = (
    f"Sampling, aggregation and update intervals of {SAMPLE_US / 1000:g} ms, {AGGR_US / 1000:g} ms and {UPDATE_US / 1e6:g} s, "
    f"{MIN_REGIONS} to {MAX_REGIONS} regions. The process goes through its pattern every {PACE_US / 1000:g} ms."
)

NOTES = f"""\
A region, or a page, is hot from the given number of accesses in {SAMPLES} samples on. Precision is the share of hot memory in
what was found hot, recall the share of what is hot that was found; both by bytes, over all aggregations but the first
{SETTLE} after the start and, in "phased", after each change. The time until found ends with the first aggregation in which both
precision and recall reach the given level; where none does, it is the whole time. The error of the rate is what was
counted too much and what was missed, as a share of all accesses that there were."""


@dataclass(frozen=True)
class Part:
    """Of the area, in MiB. Accessed in one round of `every`, one page in `stride`, or `pick` pages of it at random."""

    offset: float
    size: float
    every: int = 1
    stride: int = 1
    pick: int = 0

    def option(self) -> str:
        return f"{int(self.offset * MIB)}:{int(self.size * MIB)}:{self.every}:{self.stride}:{self.pick}"


@dataclass(frozen=True)
class Case:
    name: str
    text: str
    phases: list[tuple[float, list[Part]]]  # seconds, and what is accessed meanwhile
    size: int = 256  # MiB
    populate: bool = True
    threshold: int = 5  # accesses in SAMPLES that make something hot
    level: float = 0.9  # of precision and recall at which the hot memory counts as found
    hunts: bool = False  # whether it has to be found again in each phase
    ops: str = "vaddr"
    options: list[str] = field(init=False)

    def __post_init__(self) -> None:
        options = ["--size", f"{self.size}M", "--pace-us", str(PACE_US)]
        options += [] if self.populate else ["--no-populate"]
        options += ["--physical"] if self.ops == "paddr" else []
        for seconds, parts in self.phases:
            options += ["--phase", str(round(seconds * 1000))]
            for part in parts:
                options += ["--part", part.option()]
        object.__setattr__(self, "options", options)

    @property
    def seconds(self) -> float:
        return sum(seconds for seconds, _ in self.phases)

    def about(self) -> str:
        return f"{self.text} Hot from {self.threshold} of {SAMPLES} on, found at {self.level:g}."


def moving(steps: int, seconds: float, step: int) -> list[tuple[float, list[Part]]]:
    return [(seconds, [Part(96 + index * step, 16)]) for index in range(steps)]


PATTERNS: list[dict[str, Any]] = [
    dict(
        name="static",
        text="16 of 256 MiB, always the same.",
        phases=[(8, [Part(120, 16)])],
    ),
    dict(
        name="moving",
        text="16 of 256 MiB, moving on by 2 MiB every 400 ms.",
        phases=moving(25, 0.4, 2),
        level=0.8,
    ),
    dict(
        name="phased",
        text="16 MiB, then 24 MiB in two places, then nothing, then the first again; 4 s each, 2 s nothing; of 256 MiB.",
        phases=[(4, [Part(32, 16)]), (4, [Part(128, 16), Part(208, 8)]), (2, []), (4, [Part(32, 16)])],
        hunts=True,
    ),
    dict(
        name="sparse",
        text="Every 8th page of 64 of 256 MiB.",
        phases=[(8, [Part(96, 64, stride=8)])],
        threshold=1,
        level=0.8,
    ),
    dict(
        name="small",
        text="16 MiB of 8 GiB; the rest is not populated.",
        phases=[(15, [Part(5000, 16)])],
        size=8192,
        populate=False,
    ),
    dict(
        name="many",
        text="32 places of 1 MiB, 8 MiB apart, in 256 MiB.",
        phases=[(10, [Part(8 * index + 3, 1) for index in range(32)])],
        level=0.8,
    ),
    dict(
        name="stairs",
        text="Five steps of 16 MiB side by side, in each, second, 4th, 8th and 16th round; of 256 MiB.",
        phases=[(8, [Part(64 + 16 * index, 16, every=1 << index) for index in range(5)])],
        level=0.8,
    ),
    dict(
        name="random",
        text="4,096 pages a round, at random, of 64 of 256 MiB.",
        phases=[(8, [Part(96, 64, pick=4096)])],
        threshold=2,
    ),
]

# Physical memory is what the guest has.
CASES = [Case(**its) for its in PATTERNS] + [
    Case(**{**its, "name": f"{its['name']} paddr", "ops": "paddr"}) for its in PATTERNS if its["name"] != "small"
]


# ---- in the guest ----


def unsupported(case: Case, damon: Damon) -> str | None:
    return cost.unsupported(case.ops, damon)


def lost_events(trace: trace_events.Trace) -> int:
    counters = ("overrun", "commit overrun", "dropped events")
    stats = [line.split(": ") for path in trace.folder.glob("per_cpu/cpu*/stats") for line in path.read_text().splitlines()]
    return sum(int(value) for name, value in stats if name in counters)


class Session:
    """A process that goes through a case's pattern as often as it is asked to."""

    def __init__(self, case: Case, program: Program) -> None:
        self.case, self.program = case, program
        physical = program.events("physical")
        self.runs: list[list[int]] | None = physical[0]["runs"] if physical else None

    def judged(self) -> list[tuple[int, int]]:
        """The process's memory, as addresses of the monitored space."""
        if self.runs is None:
            return [self.program.area]
        return [(physical, physical + size) for _, physical, size in self.runs]

    def prepare(self, damon: Damon) -> tuple[Kdamond, int]:
        """A kdamond that is ready to start, and the address up to which regions start that are reported in any case."""
        kdamond = damon.kdamond()
        kdamond.set(
            ops=self.case.ops, sample_us=SAMPLE_US, aggr_us=AGGR_US, update_us=UPDATE_US,
            min_regions=MIN_REGIONS, max_regions=MAX_REGIONS,
        )  # fmt: skip
        if self.case.ops == "vaddr":
            kdamond.add_targets(self.program.pid)
            return kdamond, self.program.area[0] - 1
        kdamond.context.write("targets/nr_targets", 1)
        # All memory that is contiguous in the way most of the process's is.
        assert self.runs
        longest = max(self.runs, key=lambda run: run[2])[1]
        ram = next(its for its in system_ram() if its[0] <= longest < its[1])
        kdamond.set_init_regions([ram])
        return kdamond, ram[0]

    def measure(self, damon: Damon) -> dict[str, Any]:
        kdamond, floor = self.prepare(damon)
        with trace_events.Trace(damon, "damon_aggregated") as trace:
            (trace.folder / "buffer_size_kb").write_text(f"{TRACE_KB}\n")
            # What has no accesses needs no report, but for the lowest, which tells that there was an aggregation.
            folder = trace.folder / "events" / damon.name / "damon_aggregated"
            (folder / "filter").write_text(f"nr_accesses > 0 || start <= {floor}\n")
            before = len(self.program.events())
            kdamond.on()
            began, pid = time.monotonic_ns(), kdamond.pid
            assert self.program.process.stdin
            self.program.process.stdin.write("go\n")
            self.program.process.stdin.flush()
            # Nothing of ours runs meanwhile.
            time.sleep(self.case.seconds + 0.02)
            wait_until(lambda: self.program.events()[-1]["event"] == "done", "the pattern ends")
            kdamond.off()
            lost = lost_events(trace)
            assert not lost, f"{lost} trace events are lost"
            return {
                "pid": pid,
                "began_ns": began,
                "log": self.program.events()[before:],
                "judged": self.judged(),
                "runs": self.runs,
                "trace": (trace.folder / "trace").read_text(),
            }


@contextmanager
def session(case: Case) -> Iterator[Session]:
    with Program(PROGRAM, "ready", *case.options) as program:
        yield Session(case, program)


# ---- on the host ----


def snapshots(record: dict[str, Any]) -> list[truth.Snapshot]:
    found: list[truth.Snapshot] = []
    last_start = last_time = 0.0
    since = record["began_ns"]
    for event in trace_events.parse(record["trace"]):
        if event.pid != record["pid"]:
            continue
        fields = event.fields()
        at = round(event.time * 1e9)
        # A target's regions come in ascending order, all at once.
        if not found or fields["start"] <= last_start or event.time - last_time > AGGR_US / 2e6:
            if found:
                since = found[-1].end
            found.append(truth.Snapshot(since, at, []))
        found[-1].regions.append(Range(fields["start"], fields["end"], fields["nr_accesses"] / SAMPLES))
        last_start, last_time = fields["start"], event.time
    return found


def figures(case: Case, record: dict[str, Any]) -> dict[str, float]:
    """What a record says."""
    log = record["log"]
    phases = truth.phases(log, 4096, PACE_US, SAMPLE_US)
    judged = [Range(start, end, 1.0) for start, end in record["judged"]]
    if record["runs"] is not None:
        physical = truth.Physical([tuple(run) for run in record["runs"]])
        phases = [phase._replace(ranges=physical.ranges(phase.ranges)) for phase in phases]
        judged = truth.joined(sorted(judged))
    taken = [its for its in snapshots(record) if phases[0].start < its.end <= phases[-1].end]
    if not taken:
        raise ValueError(f"{case.name}: no aggregation in {case.seconds} s")
    hot = case.threshold / SAMPLES
    hunts = [phase for phase in phases if phase.ranges] if case.hunts else [phases[0]._replace(end=phases[-1].end)]
    starts = [phase.start for phase in (phases if case.hunts else phases[:1])]
    total, times = truth.Agreement(), [(hunt.end - hunt.start) / 1e9 for hunt in hunts]
    open_hunts = list(enumerate(hunts))
    for snapshot in taken:
        true = truth.mean(phases, snapshot.start, snapshot.end)
        now = truth.Agreement()
        now.add(snapshot, true, judged, hot)
        begun = max(start for start in starts if start < snapshot.end)
        if snapshot.end - begun > SETTLE * AGGR_US * 1000:
            total.add(snapshot, true, judged, hot)
        for index, hunt in open_hunts:
            if hunt.start < snapshot.end <= hunt.end and min(now.precision, now.recall) >= case.level:
                times[index] = (snapshot.end - hunt.start) / 1e9
                open_hunts.remove((index, hunt))
                break
    return {
        PRECISION.name: total.precision,
        RECALL.name: total.recall,
        FOUND.name: sum(times) / len(times),
        RATE_ERROR.name: total.rate_error,
    }


def doubts(case: Case, record: dict[str, Any]) -> str | None:
    """Why the ground truth of a record may be false."""
    gap = record["log"][-1]["max_gap_us"]
    return f"{case.name}: {gap / 1000:g} ms between two rounds" if gap > SAMPLE_US else None

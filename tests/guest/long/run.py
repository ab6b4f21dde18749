#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""A day of monitoring: what must stay the same does, and what must grow grows by as much as it should. Runs in the guest.

Two kdamonds: one monitors a workload whose hot part moves, the other memory of a process that is stopped. Of the latter everything is known
beforehand: each aggregation makes each region older by one, and is one snapshot of all of its memory. The day has rounds: monitoring
with commits, a pause, some seconds at the shortest intervals. At the end of each round memory is looked at. Quarters of the day are
compared, the first after a warm-up.

On a machine whose clock counts instructions (vm.py --icount) the time in between costs next to nothing, and times are exact.

What was done is counted by kind (see KINDS), and a day in which too little was done has failed: where the planned rounds are over and
that is so, others follow, for --more seconds at most. The line before the last says what was done, for a script: `did: KIND=N KIND=N …`.

exit status: 0 if everything held, 1 if something did not or too little was done, 2 if the arguments are wrong.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import os
import signal
import statistics
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import damon_tree  # noqa: E402
import status  # noqa: E402
from damon_tree import Damon, Kdamond  # noqa: E402
from guest_time import advance, wait_until  # noqa: E402
from least import Counts  # noqa: E402
from supervise import supervised  # noqa: E402
from workload import Workload  # noqa: E402

# Snapshots until the numbers of regions are what they will be.
WARM_UP = 4

FAST = {"sample_us": 5000, "aggr_us": 100_000}

# Of memory of the kernel's, between quarters: 128 bytes that each kdamond loses in each aggregation of 100 s are more in a day.
MEMORY_TOLERANCE_KIB = 128
# The mean number of regions, between halves. It is a matter of chance by up to a fifth from round to round.
REGIONS_TOLERANCE = 0.35

# What is counted, and how much of it there must be if nothing else is asked for.
KINDS = {
    "hours": 1, "rounds": 1, "commits": 1, "pauses": 1, "paused-minutes": 1, "sprints": 1, "shown-snapshots": 1, "samples": 1,
    "aggregations": 1,
}  # fmt: skip

# Seconds without anything are a hang. The longest sleep is that from one commit to the next.
PATIENCE = 4 * 3600

# Limits on the number of regions, which commits change to and fro.
LIMITS = ((10, 100), (10, 200))


def kernel_memory() -> dict[str, int]:
    """KiB of what the kernel has for itself, after giving back what it can."""
    os.sync()
    Path("/proc/sys/vm/drop_caches").write_text("3\n")
    for cache in Path("/sys/kernel/slab").iterdir():
        if not cache.is_symlink():
            (cache / "shrink").write_text("1\n")
    lines = (line.split() for line in Path("/proc/meminfo").read_text().splitlines())
    memory = {words[0].rstrip(":"): int(words[1]) for words in lines}
    found = {name: memory[name] for name in ("SUnreclaim", "SReclaimable", "KernelStack", "VmallocUsed", "PageTables", "Percpu")}
    found["sum"] = sum(found.values())
    return found


def stopped() -> Workload:
    """A process that does nothing."""
    process = Workload("--size", "8M", "--hot", "1M")
    os.kill(process.pid, signal.SIGSTOP)
    wait_until(lambda: "\nState:\tT" in Path(f"/proc/{process.pid}/status").read_text(), "the process is stopped")
    return process


def quieten() -> None:
    """Less of what the kernel does by itself, twice a second all day long."""
    Path("/proc/sys/vm/compaction_proactiveness").write_text("0\n")


def resident(pid: int) -> int:
    """KiB of a process that are in memory."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024


def runtime_ns(pid: int) -> int:
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0])


def wakeups(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("voluntary_ctxt_switches:"))


@dataclass(frozen=True)
class View:
    """What a kdamond knows at one moment."""

    seconds: float
    passed: int
    snapshots: int
    sz_tried: int
    nr_tried: int
    ages: tuple[int, ...]
    size: int

    @staticmethod
    def of(damon: Damon, index: int) -> View:
        context = status.kdamond(damon, index)["context"]
        regions = [region for target in context["targets"] for region in target["regions"]]
        stats = context["schemes"][0]["stats"]
        return View(
            time.monotonic(), context["passed_sample_intervals"], stats["nr_snapshots"], stats["sz_tried"], stats["nr_tried"],
            tuple(region["age"] for region in regions), sum(region["end"] - region["start"] for region in regions),
        )  # fmt: skip


@dataclass
class Round:
    """Figures of one round."""

    memory: dict[str, int]
    regions: list[int]
    # Nanoseconds a sample, of each kdamond.
    cost: list[float]
    rss: list[int]


@dataclass
class Day:
    """The whole run."""

    damon: Damon
    kdamonds: list[Kdamond]
    workload: Workload
    idle: int
    slow: dict[str, int]
    counts: Counts
    rounds: list[Round] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    # Which limits are in force.
    limits: int = 0

    def check(self, held: bool, text: str) -> None:
        if not held:
            self.problems.append(f"round {len(self.rounds)}: {text}")

    def commit(self, **values: object) -> None:
        for kdamond in self.kdamonds:
            if values:
                kdamond.set(**values)
            kdamond.commit()
            self.counts.add("commits")

    def still(self) -> View:
        """The idle process, as its kdamond sees it."""
        view = View.of(self.damon, 1)
        self.check(len(set(view.ages)) == 1, f"nothing was accessed, and ages differ: {sorted(set(view.ages))}")
        return view

    def compare(self, before: View, after: View, intervals: dict[str, int], what: str) -> None:
        """Checks what a time of monitoring with the same intervals has added."""
        passed, snapshots = after.passed - before.passed, after.snapshots - before.snapshots
        sample, aggr = intervals["sample_us"], intervals["aggr_us"]
        elapsed = (after.seconds - before.seconds) * 1e6
        self.counts.add("samples", passed)
        self.counts.add("aggregations", snapshots)
        # Each sample is late by the time that the last one took.
        in_time = 0.95 * elapsed - 2 * sample <= passed * sample <= elapsed + 2 * sample
        self.check(in_time, f"{what}: {passed} samples in {elapsed / 1e6:.1f} s")
        self.check(abs(snapshots - passed * sample / aggr) <= 1, f"{what}: {snapshots} aggregations of {passed} samples")
        if before.ages and after.ages:
            grown = after.ages[0] - before.ages[0] == snapshots
            self.check(grown, f"{what}: {snapshots} aggregations made {before.ages[0]} to {after.ages[0]}")
        self.check(before.size == after.size, f"{what}: {before.size} bytes became {after.size}")
        tried = after.sz_tried - before.sz_tried
        self.check(tried == snapshots * after.size, f"{what}: {tried} bytes tried in {snapshots} snapshots")
        self.check(after.nr_tried - before.nr_tried >= snapshots, f"{what}: nr_tried {before.nr_tried} became {after.nr_tried}")

    def monitor(self, seconds: float, every: float) -> tuple[list[int], list[float]]:
        """Monitors for a while, with commits. Returns numbers of regions, and nanoseconds a sample of each kdamond."""
        regions: list[int] = []
        pids = [kdamond.pid for kdamond in self.kdamonds]
        costs = [runtime_ns(pid) for pid in pids]
        first = [View.of(self.damon, index).passed for index in range(2)]
        before = self.still()
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            # The day's own schedule.
            advance(max(0.0, min(every, end - time.monotonic())))
            low, high = LIMITS[self.limits]
            found = len(status.regions(self.damon, 0))
            # Merging to a lower limit takes an aggregation.
            self.check(3 <= found <= LIMITS[1][1], f"{found} regions, and the limits are {low} and {high}")
            regions.append(found)
            self.limits = 1 - self.limits
            self.commit(min_regions=LIMITS[self.limits][0], max_regions=LIMITS[self.limits][1])
            after = self.still()
            self.compare_with_commit(before, after)
            before = after
        spent = [runtime_ns(pid) - cost for pid, cost in zip(pids, costs)]
        passed = [View.of(self.damon, index).passed - start for index, start in enumerate(first)]
        return regions, [ns / max(1, number) for ns, number in zip(spent, passed)]

    def compare_with_commit(self, before: View, after: View) -> None:
        """As `compare`, where a commit began the aggregation interval anew: the last samples are not of a whole one."""
        per = self.slow["aggr_us"] // self.slow["sample_us"]
        passed, snapshots = after.passed - before.passed, after.snapshots - before.snapshots
        sample = self.slow["sample_us"]
        elapsed = (after.seconds - before.seconds) * 1e6
        self.counts.add("samples", passed)
        self.counts.add("aggregations", snapshots)
        in_time = 0.95 * elapsed - 2 * sample <= passed * sample <= elapsed + 2 * sample
        self.check(in_time, f"{passed} samples in {elapsed / 1e6:.1f} s")
        self.check(abs(snapshots - passed // per) <= 1, f"{snapshots} aggregations of {passed} samples")
        self.check(after.ages[0] - before.ages[0] == snapshots, f"{snapshots} aggregations made {before.ages[0]} to {after.ages[0]}")
        self.check(before.size == after.size, f"{before.size} bytes became {after.size}")
        tried = after.sz_tried - before.sz_tried
        self.check(tried == snapshots * after.size, f"{tried} bytes tried in {snapshots} snapshots")

    def pause(self, seconds: float) -> None:
        self.commit(pause="Y")
        pids = [kdamond.pid for kdamond in self.kdamonds]
        before = self.damon.status.read_text()
        woken, spent = [wakeups(pid) for pid in pids], [runtime_ns(pid) for pid in pids]
        # In which no kdamond is to do anything.
        advance(seconds)
        more = [wakeups(pid) - count for pid, count in zip(pids, woken)]
        self.check(max(more) <= seconds + 2, f"woken {max(more)} times in a pause of {seconds:.0f} s")
        spent = [runtime_ns(pid) - count for pid, count in zip(pids, spent)]
        self.check(max(spent) < 1e6 * seconds, f"a pause of {seconds:.0f} s took {max(spent)} ns")
        self.check(self.damon.status.read_text() == before, "something has changed in a pause")
        self.commit(pause="N")
        self.counts.add("pauses")
        self.counts.add("paused-minutes", int(seconds / 60))

    def sprint(self, seconds: float) -> None:
        """The shortest intervals for a while: ages are converted to them and back."""
        slow, before = self.slow["aggr_us"], self.still()
        self.commit(**FAST)
        start = self.still()
        factor = slow // FAST["aggr_us"]
        converted = before.ages[0] * factor <= start.ages[0] <= (before.ages[0] + 1) * factor + 1
        self.check(converted, f"age {before.ages[0]} was converted to {start.ages[0]}")
        # The day's own schedule.
        advance(seconds)
        end = self.still()
        self.compare(start, end, FAST, "at the shortest intervals")
        self.commit(**self.slow)
        after = self.still()
        self.check(abs(after.ages[0] - end.ages[0] // factor) <= 1, f"age {end.ages[0]} was converted to {after.ages[0]}")
        self.counts.add("sprints")

    def show_regions(self) -> None:
        """Directories of regions come and go."""
        for kdamond in self.kdamonds:
            found = kdamond.count_regions()
            self.check(found >= 3, f"{found} regions are shown")
            kdamond.state("clear_schemes_tried_regions")
            self.counts.add("shown-snapshots")

    def run_round(self, seconds: float, every: float, pause: float, fast: float) -> None:
        number = len(self.rounds)
        self.workload.move_hot((number * 5 << 20) % (24 << 20))
        regions, cost = self.monitor(seconds - pause - fast, every)
        self.pause(pause)
        self.sprint(fast)
        self.show_regions()
        self.rounds.append(Round(kernel_memory(), regions, cost, [resident(self.workload.pid), resident(self.idle)]))
        self.counts.add("rounds")
        self.report(number)

    def report(self, number: int) -> None:
        its = self.rounds[number]
        print(
            f"{number + 1:4}. {its.memory['sum']:8} KiB of the kernel's, {statistics.mean(its.regions):6.1f} regions, "
            f"{its.cost[0]:8.0f} and {its.cost[1]:8.0f} ns a sample, RSS {its.rss[0]} and {its.rss[1]} KiB", flush=True,
        )  # fmt: skip

    def conclude(self) -> None:
        """Compares the first quarter with the last, and halves where chance has its part."""
        quarter = max(1, (len(self.rounds) - 1) // 4)
        # The first round is the warm-up.
        first, last = self.rounds[1 : 1 + quarter], self.rounds[-quarter:]

        def medians(values: list[list[float]]) -> tuple[float, float]:
            return statistics.median(values[0]), statistics.median(values[1])

        for name in first[0].memory:
            a, b = medians([[its.memory[name] for its in part] for part in (first, last)])
            print(f"      {name}: {a:.0f} KiB, {b - a:+.0f} KiB in the last quarter")
            self.check(b - a <= MEMORY_TOLERANCE_KIB, f"{name} is {a:.0f} KiB in the first quarter and {b:.0f} in the last")
        half = max(1, len(self.rounds) // 2)
        halves = self.rounds[1 : 1 + half], self.rounds[-half:]
        a, b = (statistics.mean(itertools.chain.from_iterable(its.regions for its in part)) for part in halves)
        print(f"      regions: {a:.1f}, {b:.1f} in the last half")
        self.check(abs(b - a) <= REGIONS_TOLERANCE * a, f"{a:.1f} regions in the first half, {b:.1f} in the last")
        for index in range(2):
            a, b = medians([[its.cost[index] for its in part] for part in (first, last)])
            print(f"      kdamond {index}: {a:.0f} ns a sample, {b:.0f} in the last quarter")
            sizes = {its.rss[index] for its in self.rounds}
            self.check(max(sizes) - min(sizes) <= 64, f"RSS of process {index}: {sorted(sizes)} KiB")


def start(damon: Damon, workload: Workload, idle: Workload, slow: dict[str, int]) -> list[Kdamond]:
    damon.reset()
    kdamonds = damon.kdamonds(2)
    for kdamond, process in zip(kdamonds, (workload, idle)):
        kdamond.write("contexts/nr_contexts", 1)
        kdamond.add_targets(process.pid)
        kdamond.add_stat_schemes(1)
        kdamond.set(**slow, update_us=60 * 10**6, min_regions=LIMITS[0][0], max_regions=LIMITS[0][1])
    # The pages that a process has of the kernel's, its vdso, look accessed all the time.
    kdamonds[1].set(ops="fvaddr")
    kdamonds[1].set_init_regions([idle.area])
    for kdamond in kdamonds:
        kdamond.on()
    aggregation = slow["aggr_us"] / 1e6

    def is_warm() -> bool:
        return all(View.of(damon, index).snapshots >= WARM_UP for index in range(2))

    wait_until(is_warm, "there are snapshots", timeout=10 * WARM_UP * aggregation, every=aggregation)
    return kdamonds


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hours", type=float, default=24, help="of guest time (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=12, help="in how many parts (default: %(default)s)")
    parser.add_argument("--sample-us", type=int, default=10_000_000, help="sampling interval (default: %(default)s)")
    parser.add_argument("--aggr-us", type=int, default=100_000_000, help="aggregation interval (default: %(default)s)")
    for name, seconds, text in (
        ("--commit", 1200, "from one commit to the next"),
        ("--pause", 600, "length of the pause in each part"),
        ("--fast", 1, "how long at 5 ms / 100 ms in each part"),
    ):
        parser.add_argument(name, type=float, default=seconds, metavar="SECONDS", help=f"{text} (default: %(default)s)")
    parser.add_argument("--least", default="", metavar="KIND=N[,KIND=N…]", help=f"what must have been done; kinds: {', '.join(KINDS)}")
    parser.add_argument(
        "--more", type=float, default=6 * 3600, metavar="SECONDS", help="how much longer it goes on until that is done (default: %(default)s)"
    )
    arguments = parser.parse_args()
    counts = Counts(KINDS)
    try:
        if arguments.least:
            counts.ask(arguments.least)
    except ValueError as problem:
        parser.error(f"--least: {problem}")
    damon = damon_tree.ours()
    if not damon:
        parser.error("load the module first")
    damon_tree.free_in_tree()
    slow = {"sample_us": arguments.sample_us, "aggr_us": arguments.aggr_us}
    pace = arguments.sample_us // 2
    quieten()
    idle = stopped()
    damon.reset()
    # Dropping caches also brings pages to the lists on which DAMON finds them.
    empty = kernel_memory()
    began = time.monotonic()
    with Workload("--size", "32M", "--hot", "1M", "--pace-us", str(pace)) as workload:
        day = Day(damon, start(damon, workload, idle, slow), workload, idle.pid, slow, counts)
        planned = began + arguments.hours * 3600
        while len(day.rounds) < arguments.rounds or (counts.few() and time.monotonic() < planned + arguments.more):
            day.run_round(arguments.hours * 3600 / arguments.rounds, arguments.commit, arguments.pause, arguments.fast)
            counts.did["hours"] = int((time.monotonic() - began) / 3600)
        day.conclude()
    damon.reset()
    idle.kill()

    def more_than_before() -> int:
        return kernel_memory()["sum"] - empty["sum"]

    # Some of it only after a grace period. What is there then is checked below.
    with contextlib.suppress(TimeoutError):
        wait_until(lambda: more_than_before() <= MEMORY_TOLERANCE_KIB, "the kernel's memory is given back", 60, every=1)
    left = more_than_before()
    print(f"      afterwards: {left:+} KiB of the kernel's, compared to before")
    day.check(left <= MEMORY_TOLERANCE_KIB, f"{left} KiB of the kernel's are not given back")
    for problem in day.problems[:50]:
        print(f"broken: {problem}")
    few = counts.tell()
    problems = [*([f"{len(day.problems)} things did not hold"] if day.problems else []), *([f"too little of {few} kinds"] if few else [])]
    print(f"long run: {counts.text()}, 2 kdamonds; {' and '.join(problems) or 'everything held'}")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(supervised(main, PATIENCE))

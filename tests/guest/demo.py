#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""The main job, end to end: monitor a process with damo, look at what it found, pause, go on, unload.

Runs in the guest of `make demo`, on a kernel as its distribution made it. Ends with a list of what held and what did not.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import damon_tree
import ground_truth
import status
from damon_tree import TRACEFS, Damon, Kdamond
from guest_time import wait_until
from kernel_log import WARNING, KernelLog
from trace_events import Trace
from workload import MIB, Score, Workload

WIDTH = 94
COLUMNS, ROWS = 40, 12
SAMPLES = 20  # in an aggregation
PHASE = 35  # aggregations that the hot area stays where it is
SETTLE = 20  # aggregations after a move that do not count
THRESHOLD = 5  # accesses of 20 samples make a region hot
OFFSETS = [30 * MIB, 210 * MIB, 90 * MIB]
PAUSE = 4.0

RECORD = Path("/tmp/damon.data")

# damo knows only the names of the in-tree DAMON.
DAMO = ["/damon-rs/scripts/as-damon", "damo"]


class Report:
    """What is printed, and what held."""

    def __init__(self) -> None:
        self.results: list[tuple[bool, str]] = []
        self.began = time.monotonic()

    def title(self, text: str) -> None:
        print(f"\n── {text} {'─' * (WIDTH - len(text) - 4)}", flush=True)

    def command(self, text: str) -> None:
        print(f"  # {text}", flush=True)

    def say(self, text: str = "") -> None:
        print(f"  {text}" if text else "", flush=True)

    def check(self, held: bool, text: str) -> None:
        self.results.append((held, text))

    def summary(self) -> int:
        self.title("what held")
        for held, text in self.results:
            self.say(f"{'✓' if held else '✗ NOT'} {text}")
        failed = sum(not held for held, _ in self.results)
        self.say()
        self.say(f"{len(self.results) - failed} held, {failed} did not, in {time.monotonic() - self.began:.0f} seconds of the guest's time")
        return 1 if failed else 0


def damo(*arguments: str) -> str:
    result = subprocess.run([*DAMO, *arguments], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if result.returncode:
        raise SystemExit(f"damo {' '.join(arguments)}: status {result.returncode}\n{result.stdout}{result.stderr}")
    return result.stdout


def indented(text: str, report: Report) -> None:
    for line in text.rstrip().splitlines():
        report.say(f"  {line[: WIDTH - 4].rstrip()}")


class Activity:
    """How often a thread woke up, and how long it ran."""

    def __init__(self, pid: int) -> None:
        self.pid, self.began = pid, time.monotonic()
        self.wakes, self.ran = self._now()

    def _now(self) -> tuple[int, int]:
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        wakes = sum(int(line.split()[1]) for line in lines if line.startswith("voluntary_ctxt_switches"))
        return wakes, int(Path(f"/proc/{self.pid}/schedstat").read_text().split()[0])

    def rates(self) -> tuple[float, float, bool]:
        """Wake-ups and milliseconds of running, for each second; and whether it never woke up twice in a second."""
        wakes, ran = self._now()
        seconds = time.monotonic() - self.began
        return (wakes - self.wakes) / seconds, (ran - self.ran) / 1e6 / seconds, wakes - self.wakes <= seconds + 1


def load(report: Report) -> Damon:
    module = os.environ.get("DAMON_RS_MODULE") or str(next(Path("/damon-rs/modules").glob("damon*.ko")))
    report.title("load")
    report.say(f"Linux {os.uname().release}, as Debian built it")
    report.command(f"insmod {Path(module).name}")
    subprocess.run(["insmod", module], check=True)
    damon = damon_tree.ours()
    assert damon
    report.say(f"{damon.root} is there")
    if damon.name != "damon":
        report.say("and for damo, in a mount namespace of its own, in the place of /sys/kernel/mm/damon")
    return damon


def start(report: Report, workload: Workload) -> None:
    report.title("monitor")
    size = (workload.area[1] - workload.area[0]) // MIB
    hot = (workload.hot[1] - workload.hot[0]) // MIB
    report.say(f"a process of {size} MiB reads {hot} MiB of them again and again")
    report.command(f"damo start {workload.pid}")
    damo("start", str(workload.pid))
    time.sleep(1)
    report.command("damo report access --sz_region 1M max")
    indented(damo("report", "access", "--sz_region", "1M", "max", "--format_snapshot_head", ""), report)


def wait_aggregations(damon: Damon, count: int) -> None:
    """By DAMON's own count: a busy machine samples less often than it should."""

    def passed() -> int:
        return status.kdamond(damon)["context"]["passed_sample_intervals"]

    end = passed() + count * SAMPLES
    wait_until(lambda: passed() >= end, "DAMON samples")


def record(report: Report, damon: Damon, workload: Workload) -> list[ground_truth.Phase]:
    """Records while the hot area moves."""
    report.title("record")
    report.say("the hot part moves through the process's memory, and damo records it")
    report.command("damo record ongoing")
    (TRACEFS / "trace_clock").write_text("mono\n")
    recorder = subprocess.Popen(
        [*DAMO, "record", "ongoing", "--do_record", "access", "--damon_tracer", "trace-cmd", "--exclude_child_tasks", "--out", str(RECORD)],
        stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    enable = damon.events / "damon_aggregated/enable"
    wait_until(lambda: recorder.poll() is not None or enable.read_text().strip() == "1", "damo records")
    time.sleep(0.5)
    for offset in OFFSETS:
        workload.move_hot(offset)
        wait_aggregations(damon, PHASE)
    recorder.send_signal(signal.SIGINT)
    recorder.wait()
    moves = workload.events("phase")
    ends = [move["t_ns"] for move in moves[1:]] + [time.monotonic_ns()]
    return [ground_truth.Phase(move["t_ns"], end, tuple(move["hot"])) for move, end in zip(moves, ends)]


def compare(report: Report, workload: Workload, phases: list[ground_truth.Phase]) -> None:
    if not RECORD.exists():
        report.check(False, "damo recorded")
        return
    taken = ground_truth.snapshots(RECORD)
    times = taken[0].start, taken[-1].end
    report.command("damo report heatmap                          beside what the process says it did")
    heatmap = damo(
        "report", "heatmap", "--input", str(RECORD), "--resol", str(ROWS), str(COLUMNS),
        "--time_range", *map(str, times), "--address_range", *map(str, workload.area), "--stdout_skip_colorset_example",
    )  # fmt: skip
    found = ground_truth.damo_rows(heatmap)
    truth = ground_truth.truth_rows(phases, times, workload.area, ROWS, COLUMNS)
    seconds = (times[1] - times[0]) / 1e9
    report.say()
    for row, (left, right) in enumerate(zip(found, truth)):
        report.say(f"{seconds * row / ROWS:5.1f} s {left:{COLUMNS}}   {right}")
    size = (workload.area[1] - workload.area[0]) // MIB
    foot = f"0 MiB{'address'.center(COLUMNS - 12)}{size} MiB"
    report.say(f"        {foot:{COLUMNS}}   {foot}")
    report.say()
    moved = phases[1:]  # not the one before the record began
    judged = [ground_truth.judge(taken, phase, THRESHOLD, SETTLE) for phase in moved]
    for phase, (its, after) in zip(moved, judged):
        where = f"hot at {(phase.hot[0] - workload.area[0]) // MIB} MiB"
        report.say(f"{where:15} {its}   {f'found after {after:.1f} s' if after else 'not found'}")
    worst = Score(min(its.precision for its, _ in judged), min(its.recall for its, _ in judged))
    report.say(f"by bytes, from the {SETTLE}th aggregation after each move on; hot: {THRESHOLD} accesses in {SAMPLES} samples")
    report.check(min(worst) >= 0.95, f"damo finds the hot area wherever it moves: at worst {worst}")


def oldest(regions: list[dict[str, int]]) -> int:
    return max(region["age"] for region in regions)


def pause_and_resume(report: Report, damon: Damon, kdamond: Kdamond) -> None:
    report.title("pause")
    pid = kdamond.pid
    running = Activity(pid)
    time.sleep(1)
    wakes_running, ran_running, _ = running.rates()
    with Trace(damon, "damon_aggregated") as trace:
        trace.wait()
        report.command("echo Y >…/contexts/0/pause; echo commit >…/state")
        kdamond.set(pause="Y")
        kdamond.commit()
        before = status.kdamond(damon)
        paused = Activity(pid)
        trace.clear()
        time.sleep(PAUSE)
        events = len(trace.events())
        wakes, ran, asleep = paused.rates()
        after = status.kdamond(damon)
        kdamond.state("update_schemes_stats")
        walk = "read"
        try:
            kdamond.update_regions()
        except OSError as error:
            walk = os.strerror(error.errno or 0)
        regions = [region for target in before["context"]["targets"] for region in target["regions"]]
        report.say(f"for {PAUSE:.0f} seconds                running      paused")
        report.say(f"kdamond wakes up         {wakes_running:6.0f}/s    {wakes:6.1f}/s")
        report.say(f"kdamond runs           {ran_running:6.1f} ms/s {ran:6.3f} ms/s")
        report.say(f"trace events of aggregation              {events}")
        report.say(f"regions in debugfs: {len(regions)}, the oldest {oldest(regions)} aggregations old; the same {len(regions)} {PAUSE:.0f} seconds later")
        report.check(before["state"] == after["state"] == "paused" and events == 0, "paused: no aggregation, no trace event")
        report.check(asleep, f"paused: the kdamond sleeps, {wakes:.1f} wake-ups a second instead of {wakes_running:.0f}")
        report.check(before == after, "paused: every region, count and age stays, byte for byte")
        report.check(walk == "Operation canceled", "paused: state and statistics can be read, a walk is refused at once")

        report.command("echo N >…/contexts/0/pause; echo commit >…/state")
        trace.clear()
        kdamond.set(pause="N")
        kdamond.commit()
        wait_until(trace.events, "aggregation goes on", timeout=20)
        first = trace.events()
        ages = [event.fields()["age"] for event in first[: first[0].fields()["nr_regions"]]]
        report.say(f"the first aggregation: the oldest region is {max(ages)} aggregations old")
        report.check(oldest(regions) - 1 <= max(ages) <= oldest(regions) + 2, f"resumed: ages go on from where they were, {oldest(regions)} to {max(ages)}")
        report.check(bool(first), "resumed: trace events come again")


def unload(report: Report, damon: Damon, log: KernelLog, in_tree: str | None) -> None:
    report.title("unload")
    report.command("damo stop")
    damo("stop")
    report.command(f"rmmod {damon.module}")
    subprocess.run(["rmmod", str(damon.module)], check=True)
    report.check(damon_tree.ours() is None and not damon.root.exists() if damon.name != "damon" else damon_tree.ours() is None, "unloaded: nothing is left")
    if in_tree is not None:
        report.check(in_tree_state() == in_tree, "the in-tree DAMON, which ran all the time, was not disturbed")
    messages = log.messages(WARNING)
    for message in messages:
        report.say(f"kernel: {message.text[: WIDTH - 10]}")
    report.check(not messages, "the kernel log has no warning")


def in_tree_state() -> str | None:
    """The state of the in-tree DAMON, where there is one; outside of our mount namespace it is what /proc/1 sees."""
    enabled = Path("/proc/1/root/sys/module/damon_stat/parameters/enabled")
    return enabled.read_text() if enabled.exists() else None


def main() -> int:
    report = Report()
    log = KernelLog()
    in_tree = in_tree_state()
    damon = load(report)
    with Workload("--size", "256M", "--hot", "16M", "--cpu", "0", "--pace-us", "2000") as workload:
        report.check(True, "the module runs on the kernel as it comes")
        start(report, workload)
        phases = record(report, damon, workload)
        compare(report, workload, phases)
        pause_and_resume(report, damon, damon.kdamonds()[0])
        unload(report, damon, log, in_tree)
    return report.summary()


if __name__ == "__main__":
    sys.exit(main())

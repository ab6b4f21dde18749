#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Lets allocations fail, one by one, in everything that the module does. Runs in the guest, on a kernel with fault injection.

Each operation is tried with its first allocation failing, then with its second, until it is done before it comes to that one; with --most
some of them fail, chosen by the seed. Each time it must be refused with ENOMEM and leave everything as it was, or succeed without what it
had no memory for; after refusals it must succeed. What the kernel says about that, and what leaks, is for who runs the guest to see.

What was done is counted by kind (see KINDS), and a run in which too little was done has failed: where all operations were tried once and
that is so, they are tried again, with other allocations failing, for --more seconds at most. The line before the last says what was done,
for a script: `did: KIND=N KIND=N …`.

The module must not be loaded; $DAMON_RS_MODULE is loaded and unloaded. Start the kernel with kunit.enable=0, so that loading does not run
the module's own tests each time.

exit status: 0 if nothing broke, 1 if something did or too little was done, 2 if the arguments are wrong.
"""

from __future__ import annotations

import argparse
import errno
import math
import os
import random
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Callable, Iterator

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).resolve().parent.parent)]

import damon_tree  # noqa: E402
import kdamond_faults  # noqa: E402
import status  # noqa: E402
import tree_faults  # noqa: E402
from damon_tree import Damon, Kdamond  # noqa: E402
from exhaust import Operation, Total  # noqa: E402
from guest_time import wait_until  # noqa: E402
from injector import NEVER, Broken, Injector, Task, configure, set_share  # noqa: E402
from kdamond_faults import World  # noqa: E402
from least import Counts  # noqa: E402
from supervise import supervised  # noqa: E402
from workload import Workload  # noqa: E402

# What is counted, and how much of it there must be if nothing else is asked for. All but the last five are operations, and allocations that
# failed one by one: all, those of them that were refused or skipped, those in kdamonds, and those of each group of operations.
KINDS = {
    "operations": 1, "failed": 1, "refused": 1, "skipped": 1, "repeated": 1, "in-kdamonds": 1,
    "tree": 1, "starts": 1, "first-steps": 1, "commits": 1, "updates": 1, "walks": 1, "status": 1, "own-steps": 1, "loads": 1,
    "samples": 1, "aggregations": 1, "storm-seconds": 1, "storm-writes": 1, "storm-refused": 1,
}  # fmt: skip

SAMPLES_PER_AGGREGATION = 20
# Seconds without anything are a hang. What the helper program waits for is looked after by itself, see `injector`.
PATIENCE = 600

# In so many samples, and the aggregations that they are, no allocation is to be made.
SAMPLES = 400

MODULE = Path(os.environ.get("DAMON_RS_MODULE", ""))


def load() -> Damon:
    subprocess.run(["insmod", str(MODULE)], check=True)
    damon = damon_tree.ours()
    assert damon
    return damon


def unload(damon: Damon) -> None:
    subprocess.run(["rmmod", damon.name], check=True)


# ---- load and unload ----


def allocations(injector: Injector) -> tuple[int, int]:
    """How many allocations loading makes until the module gets to run, and all in all.

    The kernel's own handling of failures before that is not ours to test, and has warnings. A few allocations are counted twice by the
    events, so that the first number is rather too small.
    """
    trace = damon_tree.TRACEFS
    names = ("kmem/kmalloc", "kmem/kmem_cache_alloc", "kmem/mm_page_alloc", "module/module_load")
    events = [trace / "events" / name / "enable" for name in names]
    (trace / "trace").write_text("")
    (trace / "set_event_pid").write_text(f"{injector.process.pid}\n")
    for event in events:
        event.write_text("1\n")
    outcome = injector.do("insmod", NEVER, MODULE)
    for event in events:
        event.write_text("0\n")
    (trace / "set_event_pid").write_text("\n")
    lines = (trace / "trace").read_text().splitlines()
    loaded = next(number for number, line in enumerate(lines) if " module_load: " in line)
    return max(0, outcome.allocations - (len(lines) - loaded - 1)), outcome.allocations


def loading(injector: Injector, number: int) -> Iterator[Operation]:
    """With about this number of insmod's allocations; all for 0. The module is there with all that belongs to it, or nothing of it is."""
    name = MODULE.stem
    places = [damon_tree.SYSFS / name, damon_tree.DEBUGFS / "damon_rs", Path("/sys/module") / name]

    def picture() -> str:
        return str([place.exists() for place in places]) + str(name in damon_tree.loaded_modules())

    def absent() -> None:
        if name in damon_tree.loaded_modules():
            subprocess.run(["rmmod", name], check=True)

    def present() -> None:
        if name not in damon_tree.loaded_modules():
            load()

    def verify() -> None:
        damon = damon_tree.ours()
        if not damon:
            raise Broken("it is not loaded")
        if not (damon.admin.exists("kdamonds/nr_kdamonds") and damon.status.exists()):
            raise Broken("it is loaded, and files are missing")

    def is_gone() -> None:
        if any(place.exists() for place in places):
            raise Broken("it is unloaded, and something of it is left")

    absent()
    before, all_of_them = allocations(injector)
    absent()
    step = max(1, math.ceil((all_of_them - before) / number)) if number else 1
    print(f"         insmod makes {before} allocations before it calls the module and {all_of_them - before} after that", flush=True)
    insmod = lambda nth: injector.do("insmod", nth, MODULE)  # noqa: E731
    yield Operation("insmod", insmod, picture, prepare=absent, verify=verify, first=before + 1, step=step)
    present()
    yield Operation("rmmod", lambda nth: injector.do("rmmod", nth, name), picture, prepare=present, verify=is_gone, always=True)


# ---- what must not allocate at all ----


def count_allocations(world: World, counts: Counts) -> list[str]:
    """Sampling, aggregation, adjustment of regions, schemes and repeated calls take no memory."""
    kdamond = world.kdamond(aggr_us=SAMPLES_PER_AGGREGATION * 5000, sample_us=5000, min_regions=10, max_regions=1000)
    kdamond.write("refresh_ms", 1)
    kdamond.on()
    task = Task(kdamond.pid)
    stats = kdamond.schemes[0] / "stats"

    def wait_for_samples() -> None:
        # What the kdamond writes to the file by itself: a question to it could make allocations.
        end = stats.number("nr_snapshots") + SAMPLES // SAMPLES_PER_AGGREGATION
        wait_until(lambda: stats.number("nr_snapshots") >= end, f"{SAMPLES} samples are taken")

    # Until the number of regions is what it will be.
    wait_for_samples()
    before = status.kdamond(world.damon)["context"]
    task.set(NEVER)
    wait_for_samples()
    found = task.count()
    task.set(0)
    after = status.kdamond(world.damon)["context"]
    samples = after["passed_sample_intervals"] - before["passed_sample_intervals"]
    snapshots = after["schemes"][0]["stats"]["nr_snapshots"] - before["schemes"][0]["stats"]["nr_snapshots"]
    regions = len(after["targets"][0]["regions"])
    # The count is worth something only if it counts what does allocate.
    task.set(NEVER)
    kdamond.commit()
    commit = task.count()
    task.set(0)
    kdamond.stop()
    print(
        f"         {samples} samples of {regions} regions, {snapshots} aggregations, each with schemes: {found} allocations; "
        f"one commit: {commit}"
    )
    counts.add("samples", samples)
    counts.add("aggregations", snapshots)
    complaints = [f"{samples} samples made {found} allocations"] if found else []
    if not samples or not snapshots or not commit:
        complaints.append(f"nothing was counted: {samples} samples, {snapshots} aggregations, {commit} in a commit")
    return complaints


# ---- a share of all ----

# What it is called.
STORM = "storm"


def storm(world: World, counts: Counts, seconds: float, percent: int, seed: int) -> list[str]:
    """Some of all allocations fail, of those who use the tree and of the kdamonds, for a while."""
    world.damon.reset()
    for kdamond in world.damon.kdamonds(2):
        kdamond.write("contexts/nr_contexts", 1)
        prepare_for_storm(world, kdamond)
    kdamonds = world.damon.kdamonds()
    done: dict[int, int] = {}
    problems: list[str] = []
    begin = time.monotonic()
    # The storm's own schedule.
    end = begin + seconds

    def use(kdamond: Kdamond, rng: random.Random) -> None:
        context = kdamond.context.path
        writes: list[tuple[Path, Callable[[], object]]] = [
            (kdamond.path / "state", lambda: rng.choice(("on", "off", "commit", *kdamond_faults.UPDATES, "commit", "on"))),
            (context / "schemes/nr_schemes", lambda: rng.randint(0, 2)),
            (context / "targets/nr_targets", lambda: 1),
            (context / "targets/0/pid_target", lambda: world.workload.pid),
            (context / "monitoring_attrs/nr_regions/max", lambda: rng.choice((100, 1000, 10_000))),
            (context / "pause", lambda: rng.choice("YNN")),
            (kdamond.path / "refresh_ms", lambda: rng.choice((0, 1))),
        ]
        with Injector() as injector:
            injector.set_prone(True)
            while time.monotonic() < end:
                try:
                    Task(kdamond.pid).set_prone(True)
                except (OSError, ValueError):
                    pass
                file, value = rng.choice(writes)
                outcome = injector.do("write", 0, file, value())
                done[outcome.error] = done.get(outcome.error, 0) + 1
                injector.do("read", 0, world.damon.status)

    def guarded(kdamond: Kdamond, number: int) -> None:
        try:
            use(kdamond, random.Random(seed + number))
        except (Broken, OSError) as problem:
            problems.append(f"under failing allocations: {problem}")

    set_share(percent)
    users = [threading.Thread(target=guarded, args=(kdamond, number)) for number, kdamond in enumerate(kdamonds * 2)]
    for user in users:
        user.start()
    for user in users:
        user.join()
    set_share(0)
    counts.add("storm-seconds", int(time.monotonic() - begin))
    counts.add("storm-writes", sum(done.values()))
    counts.add("storm-refused", done.get(errno.ENOMEM, 0))
    # It works as if nothing had happened.
    kdamond = world.kdamond(aggr_us=100_000, sample_us=5000)
    kdamond.on()
    wait_until(lambda: kdamond.snapshot(), "there are results")
    kdamond.stop()
    answers = ", ".join(f"{count} {os.strerror(error) if error else 'done'}" for error, count in sorted(done.items()))
    print(f"         {percent} % of all allocations failed for {seconds:.0f} s, seed {seed}: {sum(done.values())} writes, {answers}")
    return problems


def prepare_for_storm(world: World, kdamond: Kdamond) -> None:
    kdamond.add_targets(world.workload.pid)
    kdamond.add_stat_schemes(1)
    kdamond.set(sample_us=1000, aggr_us=5000, update_us=10_000)


def long_enough(world: World, total: Total, arguments: argparse.Namespace) -> None:
    """Storms, until enough was done in them or --more is over. That alone is no reason to try all operations again."""
    end = time.monotonic() + arguments.more
    while True:
        total.complain(*storm(world, total.counts, arguments.storm, arguments.percent, total.rng.randrange(10**6)))
        short = any(kind.startswith(STORM) for kind in total.counts.few())
        if total.broken or not short or time.monotonic() >= end:
            return


# ---- all of it ----


def chosen(operations: Iterator[Operation], only: str) -> Iterator[Operation]:
    return (operation for operation in operations if only in operation.name)


def try_all(injector: Injector, total: Total, arguments: argparse.Namespace) -> None:
    """Loads the module, tries each operation, and unloads it."""

    def run(group: str, operations: Iterator[Operation]) -> None:
        for operation in chosen(operations, arguments.only):
            total.run(group, operation)

    damon = load()
    run("tree", tree_faults.tree_operations(damon, injector))
    with Workload("--size", "32M", "--hot", "4M") as workload, Workload("--size", "16M", "--hot", "4M") as other:
        world = World(damon, injector, workload, other)
        run("starts", kdamond_faults.starts(world))
        run("first-steps", kdamond_faults.first_steps(world))
        run("commits", kdamond_faults.commits(world, True))
        run("commits", kdamond_faults.commits(world, False))
        run("updates", kdamond_faults.updates(world))
        run("walks", kdamond_faults.walks(world))
        run("status", kdamond_faults.reading(world))
        run("own-steps", kdamond_faults.own_steps(world))
        if not arguments.only:
            total.complain(*count_allocations(world, total.counts))
        if arguments.only in ("", STORM):
            long_enough(world, total, arguments)
        damon.reset()
    unload(damon)
    run("loads", loading(injector, arguments.insmod if not arguments.most else 0))
    if MODULE.stem in damon_tree.loaded_modules():
        unload(damon)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", metavar="TEXT", help=f"the operations whose name has this in it, or {STORM}")
    parser.add_argument(
        "--most", type=int, default=0, metavar="N", help="so many allocations of an operation fail at most (default: all)"
    )
    parser.add_argument(
        "--insmod", type=int, default=60, metavar="N",
        help="about so many allocations of insmod fail where --most says nothing; 0: all (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--storm", type=float, default=5, metavar="SECONDS", help="how long a share of all allocations fails (default: %(default)s)"
    )
    parser.add_argument("--percent", type=int, default=1, help="which share (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), help="of all choices")
    parser.add_argument("--least", default="", metavar="KIND=N[,KIND=N…]", help=f"what must have been done; kinds: {', '.join(KINDS)}")
    parser.add_argument(
        "--more", type=float, default=1800, metavar="SECONDS", help="how much longer it goes on until that is done (default: %(default)s)"
    )
    arguments = parser.parse_args()
    # Of some operations it may be asked for what they do.
    counts = Counts(dict.fromkeys(KINDS, 0) if arguments.only else KINDS)
    try:
        if arguments.least:
            counts.ask(arguments.least)
    except ValueError as problem:
        parser.error(f"--least: {problem}")
    start = time.monotonic()
    print(f"seed {arguments.seed}; faults in slabs of {configure()} kinds and in pages", flush=True)
    total = Total(counts, arguments.most, random.Random(arguments.seed))
    with Injector() as injector:
        try_all(injector, total, arguments)
        planned = time.monotonic()
        while counts.few() and not total.broken and time.monotonic() < planned + arguments.more:
            print(f"once more, since there is too little: {', '.join(counts.few())}", flush=True)
            try_all(injector, total, arguments)
    # It is no use to scan for leaks with a detector that has given up.
    try:
        Path("/sys/kernel/debug/kmemleak").write_text("scan=off\n")
    except OSError as error:
        total.complain(f"kmemleak is not at work any more: {error}")
    if not any(counts.did.values()):
        total.complain("nothing was tried")
    few = counts.tell()
    problems = [*([f"{len(total.broken)} broke"] if total.broken else []), *([f"too little of {few} kinds"] if few else [])]
    print(
        f"faults: {counts.text()}, {time.monotonic() - start:.0f} s, seed {arguments.seed}; {' and '.join(problems) or 'nothing broke'}"
    )
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(supervised(main, PATIENCE))

# SPDX-License-Identifier: GPL-2.0
"""Operations of a kdamond: start, commits, updates, the end; the faults in who asks, or in the kdamond."""

from __future__ import annotations

import errno
import json
from dataclasses import dataclass
from typing import Any, Callable, Iterator

import status
from damon_tree import Damon, Kdamond
from exhaust import Operation
from guest_time import wait_until
from injector import (
    NEVER, Broken, FailedAllocations, Injector, Outcome, Task, chosen_caches, set_interval, set_share,
)  # fmt: skip
from workload import MIB, Workload

KTHREADD = 2

# What changes by itself while monitoring goes on.
LEARNED = ("passed_sample_intervals", "regions", "stats")

# Of a kdamond that does nothing but what it is asked for.
QUIET = {"sample_us": 10_000, "aggr_us": 3600 * 10**6, "update_us": 3600 * 10**6}


@dataclass
class World:
    """What the operations work on."""

    damon: Damon
    injector: Injector
    workload: Workload
    other: Workload

    def kdamond(self, **values: object) -> Kdamond:
        """A new kdamond for the workload, with two schemes, not running."""
        self.damon.reset()
        kdamond = self.damon.kdamond()
        kdamond.add_targets(self.workload.pid)
        kdamond.add_stat_schemes(2)
        kdamond.set(**{**QUIET, **values})
        return kdamond

    def write(self, kdamond: Kdamond, command: str) -> Callable[[int], Outcome]:
        """The command as an attempt, the faults in who gives it."""
        return lambda nth: self.injector.do("write", nth, kdamond.path / "state", command)

    def within(self, kdamond: Kdamond, command: str) -> Callable[[int], Outcome]:
        """The command as an attempt, the faults in the kdamond."""

        def attempt(nth: int) -> Outcome:
            task = Task(kdamond.pid)
            task.set(nth)
            outcome = self.injector.do("write", 0, kdamond.path / "state", command)
            return task.outcome(nth, outcome)

        return attempt

    def parameters(self) -> str:
        """Of all contexts, as text to compare."""
        return json.dumps(without(status.read(self.damon), LEARNED), indent=1)

    def everything(self) -> str:
        return self.damon.status.read_text()

    def threads(self) -> int:
        """The kdamonds that exist, whatever the tree says."""
        return self.injector.count_tasks("kdamond.")

    def states(self) -> str:
        """What the tree says about all kdamonds."""
        return str([(kdamond.read("state"), kdamond.pid) for kdamond in self.damon.kdamonds()])

    def results(self) -> str:
        """The files that the kdamonds' results are in."""
        contexts = [kdamond.context.path for kdamond in self.damon.kdamonds()]
        kinds = ("schemes/*/stats", "schemes/*/tried_regions")
        places = [place for context in contexts for kind in kinds for place in sorted(context.glob(kind))]
        places += [context / "monitoring_attrs/intervals" for context in contexts]
        return "".join(f"{place}:\n{self.injector.tree(place)}" for place in places)


def without(value: Any, names: tuple[str, ...]) -> Any:
    """The value without these members of objects in it."""
    if isinstance(value, dict):
        return {name: without(member, names) for name, member in value.items() if name not in names}
    return [without(member, names) for member in value] if isinstance(value, list) else value


# ---- start and end ----


def starts(world: World) -> Iterator[Operation]:
    kdamond = world.kdamond(pause="Y")

    def is_off() -> None:
        wait_until(lambda: not world.threads(), "no kdamond is left")

    def ready() -> None:
        kdamond.stop()
        is_off()

    def is_on() -> None:
        if not kdamond.running or kdamond.pid <= 0 or world.threads() != 1:
            raise Broken(f"it says that it runs, and there are {world.threads()} threads")
        if status.kdamond(world.damon)["state"] != "paused":
            raise Broken("it is not paused")

    picture = lambda: world.states() + world.parameters() + str(world.threads())  # noqa: E731
    yield Operation("on", world.write(kdamond, "on"), picture, prepare=ready, verify=is_on)

    def faults_in_kthreadd(nth: int) -> Outcome:
        task = Task(KTHREADD)
        task.set(nth)
        outcome = world.injector.do("write", 0, kdamond.path / "state", "on")
        return task.outcome(nth, outcome)

    # The kernel says EAGAIN where it has no memory for a number of a process.
    yield Operation(
        "on, faults in the thread's creation", faults_in_kthreadd, picture, prepare=ready, verify=is_on,
        errors=(errno.ENOMEM, errno.EAGAIN),
    )  # fmt: skip

    def to_be_on() -> None:
        if not kdamond.running:
            kdamond.on()

    def faults_at_the_end(nth: int) -> Outcome:
        outcome = world.injector.do("write", nth, kdamond.path / "state", "off")
        if not outcome.error:
            is_off()
        return outcome

    yield Operation("off", faults_at_the_end, lambda: world.states() + world.parameters(), prepare=to_be_on)
    ready()


# So many faults must hit a kdamond in its first steps, of at most so many attempts.
FIRST_STEPS = 6
ATTEMPTS = 60


def first_steps(world: World) -> Iterator[Operation]:
    """What a kdamond allocates before anybody knows its number: it inherits from its maker to be prone to faults.

    The maker's own allocations come first. Which one fails is as good as random, and the trace tells whose it was.
    """
    kdamond = world.kdamond(update_us=100_000)
    maker = Task(KTHREADD)
    failed = FailedAllocations()
    makers = 0

    def ready() -> None:
        kdamond.stop()

    def inject(interval: int) -> Outcome:
        failed.clear()
        maker.set_prone(True)
        set_interval(interval, 1)
        set_share(100)
        outcome = world.injector.do("write", 0, kdamond.path / "state", "on")
        # It is served when the first steps are done, and takes no memory of the kdamond's.
        world.injector.do("write", 0, kdamond.path / "state", "update_tuned_intervals")
        set_share(0)
        maker.set_prone(False)
        set_interval(1, -1)
        return outcome

    def attempt(nth: int) -> Outcome:
        nonlocal makers
        if not nth or nth > FIRST_STEPS:
            return world.injector.do("write", 0, kdamond.path / "state", "on")
        before = world.states()
        for number in range(ATTEMPTS):
            outcome = inject(2 + number % 5)
            if failed.places("kdamond."):
                return Outcome(outcome.error, True, outcome.result)
            if outcome.error:
                makers += 1
                if outcome.error not in (errno.ENOMEM, errno.EAGAIN) or world.states() != before or world.threads():
                    raise Broken(f"without memory for the thread: {outcome}")
            ready()
        raise Broken(f"none of {ATTEMPTS} faults hit the kdamond")

    def verify() -> None:
        if not kdamond.running:
            raise Broken("it does not run")
        # What it had no memory for comes with the next update.
        wait_until(lambda: status.regions(world.damon), "there are regions")
        check_regions(world)

    with failed, chosen_caches("kmalloc"):
        yield Operation(
            "on, faults in the kdamond", attempt, lambda: world.states() + str(world.threads()),
            prepare=ready, verify=verify, counted=False, always=True, in_kdamond=True,
        )  # fmt: skip
    print(f"         {makers} more faults hit the thread's creation")
    kdamond.stop()


def check_regions(world: World) -> None:
    for kdamond in status.read(world.damon)["kdamonds"]:
        if "context" not in kdamond:
            continue
        for target in kdamond["context"]["targets"]:
            regions = target["regions"]
            bad = [r for r in regions if r["start"] >= r["end"]] + [a for a, b in zip(regions, regions[1:]) if a["end"] > b["start"]]
            if bad:
                raise Broken(f"regions that cannot be: {bad}")


# ---- commits ----


def wanted_sets(world: World, kdamond: Kdamond) -> list[Callable[[], None]]:
    """Two sets of parameters of which one is larger than the other in everything."""
    pid, other = world.workload.pid, world.other.pid
    start, end = world.workload.area

    def small() -> None:
        kdamond.add_targets(pid)
        kdamond.set(min_regions=10, max_regions=100, sample_us=10_000)
        kdamond.add_stat_schemes(1)

    def large() -> None:
        kdamond.add_targets(pid, other, pid)
        kdamond.set_init_regions([(start + i * MIB, start + (i + 1) * MIB) for i in range(0, (end - start) // MIB, 2)], target=2)
        kdamond.set(min_regions=20, max_regions=50_000, sample_us=20_000)
        kdamond.add_stat_schemes(3)

    return [small, large]


def commits(world: World, pause: bool) -> Iterator[Operation]:
    kdamond = world.kdamond(pause="Y" if pause else "N")
    kdamond.on()
    sets = wanted_sets(world, kdamond)
    turn = 0

    def prepare() -> None:
        nonlocal turn
        turn += 1
        sets[turn % 2]()

    def picture() -> str:
        return world.everything() if pause else world.parameters()

    def verify() -> None:
        context = status.kdamond(world.damon)["context"]
        sizes = (len(context["targets"]), len(context["schemes"]), context["attrs"]["max_nr_regions"])
        if sizes != [(1, 1, 100), (3, 3, 50_000)][turn % 2]:
            raise Broken(f"after the commit there are {sizes}")
        check_regions(world)

    name = f"commit, {'paused' if pause else 'running'}"
    yield Operation(name, world.write(kdamond, "commit"), picture, prepare=prepare, verify=verify)
    within = world.within(kdamond, "commit")
    yield Operation(f"{name}, faults in the kdamond", within, picture, prepare=prepare, verify=verify, in_kdamond=True)
    kdamond.stop()


# ---- results ----

UPDATES = (
    "update_schemes_stats", "update_schemes_tried_bytes", "update_schemes_tried_regions", "clear_schemes_tried_regions",
    "update_schemes_effective_quotas", "commit_schemes_quota_goals", "update_tuned_intervals",
)  # fmt: skip


def updates(world: World) -> Iterator[Operation]:
    """Results come in whole or not at all."""
    kdamond = world.kdamond(sample_us=2000, aggr_us=10_000, min_regions=3, max_regions=6)
    kdamond.on()
    kdamond.update_regions()

    def cleared(before: str) -> list[str]:
        return [without_tried(before)]

    for command in UPDATES:

        def prepare() -> None:
            if command.startswith("clear"):
                kdamond.update_regions()

        yield Operation(command, world.write(kdamond, command), world.results, cleared, prepare)
        within = world.within(kdamond, command)
        yield Operation(f"{command}, faults in the kdamond", within, world.results, cleared, prepare, in_kdamond=True)
    kdamond.stop()


def walks(world: World) -> Iterator[Operation]:
    """As updates of tried regions, where the next interval of a scheme is waited for."""
    kdamond = world.kdamond(sample_us=2000, aggr_us=10_000, min_regions=3, max_regions=6)
    # What it last found is no answer where schemes do more than to show it.
    for scheme in kdamond.schemes:
        scheme.write("action", "willneed")
    kdamond.on()
    kdamond.update_regions()

    for command in ("update_schemes_tried_bytes", "update_schemes_tried_regions"):
        name = f"{command}, by a walk"
        yield Operation(name, world.write(kdamond, command), world.results, lambda before: [without_tried(before)])
        within = world.within(kdamond, command)
        yield Operation(f"{name}, faults in the kdamond", within, world.results, lambda before: [without_tried(before)], in_kdamond=True)
    kdamond.stop()


def without_tried(results: str) -> str:
    """The results as they are when no scheme shows what it was tried on."""
    kept = []
    in_tried = False
    for line in results.splitlines(keepends=True):
        if line.endswith(":\n") and line.startswith("/"):
            in_tried = line.endswith("/tried_regions:\n")
        elif in_tried and line[0].isdecimal():
            continue
        elif in_tried and line.startswith("total_bytes="):
            line = "total_bytes=0\n"
        kept.append(line)
    return "".join(kept)


def reading(world: World) -> Iterator[Operation]:
    """The status file: whole, or an error."""
    kdamond = world.kdamond(pause="Y", min_regions=300)
    kdamond.on()
    file = world.damon.status
    whole = world.injector.do("read", 0, file).result

    def check(outcome: Outcome) -> Outcome:
        if not outcome.error and outcome.result != whole:
            raise Broken(f"{outcome.result} of {whole} bytes are read, and no error")
        return outcome

    def within(nth: int) -> Outcome:
        task = Task(kdamond.pid)
        task.set(nth)
        outcome = world.injector.do("read", 0, file)
        return check(task.outcome(nth, outcome))

    yield Operation("open status", lambda nth: world.injector.do("open", nth, file, "r"), world.everything)
    yield Operation("read status", lambda nth: check(world.injector.do("read", nth, file)), world.everything)
    yield Operation("read status, faults in the kdamond", within, world.everything, in_kdamond=True)
    kdamond.stop()


# ---- what a kdamond does of itself ----

# So many samples are seven updates of what is mapped, and fifteen aggregations after a commit: what has made no allocation by then, makes none.
SAMPLES_FOR_UPDATES = 30
SAMPLES_FOR_SPLITS = 60


def own_steps(world: World) -> Iterator[Operation]:
    """Steps without memory are left out, and made up for."""
    kdamond = world.kdamond(sample_us=5000, aggr_us=20_000, update_us=20_000)
    kdamond.on()
    mapped = False

    def change() -> None:
        """A mapping at the edge of the monitored range comes or goes."""
        nonlocal mapped
        if mapped:
            world.workload.command("unmap", "unmap")
        else:
            world.workload.command("map 4M", "map")
        mapped = not mapped

    def sizes() -> tuple[int, int]:
        target = status.kdamond(world.damon)["context"]["targets"][0]
        return (
            sum(region["end"] - region["start"] for region in target["regions"]),
            sum(end - start for start, end in world.workload.three_regions()),
        )

    def covers() -> bool:
        found, wanted = sizes()
        return found == wanted

    def attempt(nth: int) -> Outcome:
        task = Task(kdamond.pid)
        task.set(nth)
        change()
        task.wait_for_fault(SAMPLES_FOR_UPDATES)
        outcome = task.outcome(nth, Outcome(0, False))
        check_regions(world)
        return outcome

    def verify() -> None:
        wait_until(covers, "the regions cover what is mapped")

    # So many updates happen meanwhile that the number never comes to an end: a few are enough.
    yield Operation(
        "update of what is mapped", lambda nth: attempt(nth if nth <= 12 else 0), lambda: "",
        verify=verify, always=True, counted=False, in_kdamond=True,
    )  # fmt: skip
    if mapped:
        change()
    kdamond.stop()

    yield from growth(world)


def growth(world: World) -> Iterator[Operation]:
    """Room is made for 2^16 regions at once, a share for each target. Here one target comes to need more than its share."""
    start, _ = world.workload.area
    targets, wanted = 64, 3000
    share = (1 << 16) // targets
    few = {"min_regions": 10, "max_regions": 1 << 16}
    kdamond = world.kdamond(ops="fvaddr", sample_us=5000, aggr_us=20_000, **few)
    kdamond.add_targets(*[world.workload.pid] * targets)
    for number in range(targets):
        kdamond.set_init_regions([(start, start + (16 * MIB if number == 0 else 4096))], target=number)
    assert wanted > share

    def restart() -> None:
        kdamond.stop()
        kdamond.set(**few)
        kdamond.on()
        kdamond.set(min_regions=wanted)

    def commit(nth: int) -> Outcome:
        task = Task(kdamond.pid)
        task.set(nth)
        outcome = world.injector.do("write", 0, kdamond.path / "state", "commit")
        if nth and not outcome.error:
            task.wait_for_fault(SAMPLES_FOR_SPLITS)
        outcome = task.outcome(nth, outcome)
        check_regions(world)
        return outcome

    def has_grown() -> None:
        wait_until(lambda: len(status.kdamond(world.damon)["context"]["targets"][0]["regions"]) > share, "there are more regions")
        check_regions(world)

    restart()
    task = Task(kdamond.pid)
    task.set(NEVER)
    kdamond.commit()
    for_commit = task.count()
    yield Operation(
        "more regions than there is room for", commit, world.parameters,
        prepare=restart, verify=has_grown, first=max(1, for_commit - 3), in_kdamond=True,
    )  # fmt: skip
    kdamond.stop()

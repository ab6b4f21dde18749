# SPDX-License-Identifier: GPL-2.0
"""Programs in the guest that try to break the module, each with what it must have done at least.

A trial counts what it does, by kind, and prints it in a line `did: KIND=N …`. A run that did less than its minima has failed, even
if nothing broke. The program knows the minima and goes on until they are met; the comparison is made here.
"""

import random
import re
from collections.abc import Mapping
from dataclasses import dataclass

from progress import Step

from in_guest import COUNTED, STOCK, TEST, Target, in_guest
from results import Counts


@dataclass(frozen=True)
class Trial:
    """A program that checks by itself. Its last line is what it did, in words."""

    name: str
    target: Target
    command: str
    least: Mapping[str, int]
    options: tuple[str, ...] = ()
    # Whether the module is loaded before it starts.
    load: bool = True

    def __post_init__(self) -> None:
        if not self.least or min(self.least.values()) < 1:
            raise ValueError(f"{self.title}: a trial without minima passes whatever it does")

    @property
    def title(self) -> str:
        return f"{self.name} on {self.target}"

    def run(self, step: Step) -> Counts:
        least = ",".join(f"{kind}={number}" for kind, number in self.least.items())
        result = in_guest(step, self.target, f"{self.command} --least {least}", *self.options, load=self.load)
        lines = [line for line in result.output if line.strip()]
        missing = below(lines, self.least)
        counts = Counts(int(not (result.failed or missing)), int(bool(missing)), lines[-1] if lines else "", missing)
        return counts.judged(result)


def below(lines: list[str], least: Mapping[str, int]) -> list[str]:
    """Each minimum that the output of a trial does not show to be met."""
    did: dict[str, int] = {}
    for line in lines:
        if line.startswith("did: "):
            did = {kind: int(number) for kind, number in re.findall(r"([\w-]+)=(\d+)", line)}
    return [f"too little: {kind} {did.get(kind, 0)} of at least {number}" for kind, number in least.items() if did.get(kind, 0) < number]


# The seed of `make test` and `make test-all`, which leave nothing to chance that need not be. `make stress` takes another one each time.
SEED = 1


def another() -> int:
    return random.randrange(10**6)


def fuzz(target: Target, steps: int, seed: int | None = None, seconds: int | None = None) -> Trial:
    """Random changes of the tree, `steps` of them or for `seconds` of guest time. On stock the model's rules are broken as well."""
    command = f"fuzz/fuzz --steps {steps} --seed {another() if seed is None else seed}"
    command += f" --seconds {seconds}" if seconds else ""
    least = {"steps": 5_000 if seconds else steps, "changed-directories": 500, "impossible-tries": 40}
    least |= {"ons": 20, "offs": 15, "commits": 30, "walks": 5, "kills": 5, "ends": 2, "opens-kept": 30, "uses-of-gone-files": 140}
    # All kinds of files that there are, and that can be written and refuse something.
    least |= {"kinds-read": 104, "kinds-written": 93, "kinds-refused": 99}
    if target.kind == "stock":
        command += " --self-test"
        least |= {"rules-refuted": 15, "rules-again": 15}
    return Trial("fuzz", target, command, least, (COUNTED, "--append=kunit.enable=0"))


def faults(most: int, storm: int, seed: int | None = None) -> Trial:
    """Every allocation fails in turn, or `most` of an operation's; then a share of all for `storm` seconds."""
    command = f"faults/run.py --most {most} --storm {storm} --seed {another() if seed is None else seed}"
    least = {"operations": 240, "failed": 400, "refused": 350, "in-kdamonds": 20, "tree": 250, "starts": 10, "first-steps": 5}
    least |= {"commits": 15, "updates": 20, "walks": 15, "status": 15, "own-steps": 8, "loads": 10}
    least |= {"samples": 350, "aggregations": 15, "storm-seconds": storm, "storm-writes": 300, "storm-refused": 30}
    return Trial("faults", TEST, command, least, (COUNTED, "--append=kunit.enable=0"), load=False)


def day(*arguments: str) -> Trial:
    """24 hours of guest time."""
    least = {"hours": 24, "commits": 240, "pauses": 12, "sprints": 12, "shown-snapshots": 24, "samples": 10_000, "aggregations": 900}
    return Trial("a day", STOCK, " ".join(("long/run.py", *arguments)), least, (COUNTED,))


# Unit tests at each load would be most of the time. The kernel's messages in passing go to its log only: releases of kobjects that
# are put off, thousands a minute. A zone for movable memory is what memory blocks can be taken offline from.
STRESS_KERNEL = "kunit.enable=0 loglevel=5 movablecore=1G"


def stress(target: Target, seconds: int, seed: int | None = None) -> Trial:
    """Everything at once for `seconds`, with two processors: races need them."""
    command = f'stress/stress --module "$DAMON_RS_MODULE" --seconds {seconds} --seed {another() if seed is None else seed}'
    least = {"on": 20, "off": 10, "commits": 15, "walks": 6, "bytes": 1, "regions": 3, "values": 300, "directories": 50, "reads": 200}
    least |= {"killed-callers": 10, "caught-signals": 1, "unloads": 2, "loads": 2, "offline": 1, "compactions": 1, "killed-targets": 10}
    return Trial("stress", target, command, least, (f"--append={STRESS_KERNEL}",), load=False)

#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Measures this DAMON and the in-tree one side by side: what they cost; then, which takes longer, whether they see and do the same:
`make bench`.

Both run one after the other, in turn, several times each, in the same boot of the unmodified kernel, at equal settings.
The virtual machine has one processor and counts instructions (QEMU's icount): an instruction takes a nanosecond of its
time, so that nothing depends on what else the host does. There are as many machines as the host has processors, and 4 GiB of
memory for each; the cases are dealt out among them.

Prints tables and a verdict, those of the cost as soon as they are there; leaves bench.json and bench.txt. --write-docs puts
each group's tables, and a picture of them, into Documentation/.
Exit status: 0 if nothing is worse, or other than it has to be, beyond noise; 2 if something is. With --quick: 0 if all goals are
met, 2 if one is missed.
"""

import argparse
import fnmatch
import json
import os
import shutil
import sys
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import build
import image
import kernel
import toolchain
import vm
from cache import LOGS, OWN, REPO
from demo import prepare
from progress import Failure, run_main, say, step

BENCH = REPO / "tests/bench"
sys.path += [str(BENCH), str(REPO / "tests/guest")]

import figures  # noqa: E402
import groups  # noqa: E402
import plot  # noqa: E402

GUEST_BENCH = "/damon-rs/tests/bench"
DOCUMENTS = REPO / "Documentation/mm/damon"
TABLES = REPO / "Documentation/bench"
STATUS_WORSE = 2
REPETITIONS = 3
# Gibibytes of the host for a guest.
GUEST_GIB = 4


def stage(folder: Path) -> Path:
    """What the guest needs beyond the tests: the bench, its programs compiled."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(BENCH, folder, ignore=shutil.ignore_patterns("__pycache__", "*.c"))
    with step("programs of the bench", LOGS / "bench-programs.log") as current:
        image.compile_programs(current, sorted(BENCH.glob("*.c")), folder, image.TESTS)
    return folder


def wanted(names: list[str], patterns: list[str]) -> list[str]:
    """The cases asked for, as GROUP/CASE."""
    unknown = set(names) - set(groups.GROUPS)
    if unknown:
        raise Failure(f"no such group: {', '.join(sorted(unknown))}; there is {', '.join(groups.GROUPS)}")
    found = [
        f"{name}/{case.name}"
        for name, group in groups.GROUPS.items()
        if not names or name in names
        for case in group.CASES
        if not patterns or any(fnmatch.fnmatchcase(case.name, pattern) for pattern in patterns)
    ]
    if not found:
        raise Failure("no such case; --list shows those that there are")
    return found


def parts(cases: list[str]) -> list[list[str]]:
    """What is measured at once, first what it costs."""
    of_cost = [case for case in cases if group_of(case) in {module.NAME for module in groups.COST}]
    others = [case for case in cases if case not in of_cost]
    return [part for part in (of_cost, others) if part]


def most_guests() -> int:
    """As many as there are processors and memory for."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 30
    return max(1, min(os.cpu_count() or 1, memory // GUEST_GIB))


def measure(cases: list[str], options: list[str], its: kernel.Kernel, folder: Path, timeout: float, guests: int) -> None:
    """Leaves a folder of records for each case. They are dealt out to so many guests, each to one of them."""
    modules = build.module(its.kind, its.series)
    overlay = stage(OWN / "bench/stage")
    script = f'insmod "$DAMON_RS_MODULE" && exec python3 {GUEST_BENCH}/run.py "$@"'

    def run(number: int, part: list[str]) -> int:
        machine = vm.Machine(
            kernel=its,
            icount=True,
            # Each kind of objects has slabs of its own, so that they can be counted.
            append="slab_nomerge",
            timeout=timeout,
            modules=modules,
            overlays=[(overlay, GUEST_BENCH)],
            log=LOGS / f"bench-kernel-{number}.log",
            out=folder,
        )
        return vm.run(machine, ["sh", "-c", script, "run.py", *options, *part])

    begin = time.monotonic()
    hands = [cases[first::guests] for first in range(min(guests, len(cases)))]
    with ThreadPoolExecutor(len(hands)) as pool:
        statuses = list(pool.map(run, range(len(hands)), hands))
    say(f"{time.monotonic() - begin:7.1f} s  bench in {len(hands)} guest{'s' if len(hands) > 1 else ''}")
    if any(statuses):
        raise Failure(f"the bench ended with status {max(statuses)}")


def evaluate(folder: Path, name: str, cases: list[str]) -> figures.Results:
    """Figures of a group from its records."""
    group = groups.GROUPS[name]
    results = figures.Results(name, group.FIGURES, {}, {})
    for case in group.CASES:
        records = folder / name / case.name
        if f"{name}/{case.name}" not in cases:
            continue
        if (records / "skipped").exists():
            results.skipped[case.name] = (records / "skipped").read_text(encoding="utf-8")
            continue
        values: dict[str, list[dict[str, float]]] = {}
        for side in (figures.IN_TREE, figures.OURS):
            values[side] = []
            for path in sorted(records.glob(f"*-{side}.json")):
                record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
                values[side].append(group.figures(case, record))
                if doubt := group.doubts(case, record):
                    say(f"  … doubtful, {side}: {doubt}")
        results.compared[case.name] = [
            figures.Comparison(
                figure,
                [one[figure.name] for one in values[figures.IN_TREE]],
                [one[figure.name] for one in values[figures.OURS]],
                getattr(case, "goals", {}).get(figure.name),
                explained=figure.name in getattr(case, "known", ()),
                once=getattr(case, "once", False),
            )
            for figure in group.FIGURES
            if all(figure.name in one for side in values.values() for one in side)
        ]
    results.settle_goals()
    return results


def command(name: str, repetitions: int) -> str:
    """What makes a group's document."""
    options = f"--repetitions {repetitions} " if repetitions != REPETITIONS else ""
    return f"scripts/bench.py {name} {options}--write-docs"


def head(release: str, repetitions: int) -> str:
    return f"Linux {release}, {repetitions} repetitions each, in turn, in one boot; QEMU's icount, one processor."


def write_document(name: str, results: figures.Results, release: str, repetitions: int) -> Path:
    group = groups.GROUPS[name]
    stem = getattr(group, "DOCUMENT", name)
    rule = "=" * len(group.TITLE)
    known = [case for case in group.CASES if case.name in results.compared]
    lines = [
        ".. SPDX-License-Identifier: GPL-2.0",
        f".. Made by {command(name, repetitions)}; what is changed by hand is lost.",
        "",
        rule, group.TITLE, rule,
        "",
        *(f"* {line}" for line in figures.verdict(results)),
        "",
        f".. figure:: {stem}.svg",
        f"   :alt: {group.TITLE}, in the medians of the tables",
        "",
        "   Medians; the scale is logarithmic where they are compared by ratio.",
        "",
        "This module and the in-tree DAMON side by side. Made by::",
        "",
        f"    {command(name, repetitions)}",
        "",
        head(release, repetitions),
        group.SETTINGS,
        "",
        *group.NOTES.splitlines(),
        "",
        "In brackets the lowest and the highest repetition. " + figures.RULE,
        f"The full tables are in ``Documentation/bench/{stem}.txt``.",
        "",
        "Cases",
        "-----",
        "",
        *(line for case in known for line in (case.name, f"    {case.about()}")),
        "",
        figures.rst(results).rstrip(),
        "",
    ]  # fmt: skip
    path = DOCUMENTS / f"{stem}.rst"
    path.write_text("\n".join(lines), encoding="utf-8")
    path.with_suffix(".svg").write_text(plot.draw(group.TITLE, results), encoding="utf-8")
    TABLES.mkdir(exist_ok=True)
    (TABLES / f"{stem}.txt").write_text(figures.text(results), encoding="utf-8")
    return path


def group_of(case: str) -> str:
    return case.partition("/")[0]


def report(
    folder: Path, cases: list[str], repetitions: int, its: kernel.Kernel, docs: bool, out: Path, goals: bool, before: frozenset[str]
) -> int:
    """Leaves the results of all cases, and prints them but for the groups that were printed before."""
    all_results = {name: evaluate(folder, name, cases) for name in dict.fromkeys(map(group_of, cases))}
    tables = {
        name: f"{groups.GROUPS[name].TITLE}\n{groups.GROUPS[name].SETTINGS}\n\n{figures.text(results)}"
        for name, results in all_results.items()
    }
    content: dict[str, Any] = {"kernel": its.release, "repetitions": repetitions, "rule": figures.RULE, "groups": {}}
    for name, results in all_results.items():
        content["groups"][name] = {"settings": groups.GROUPS[name].SETTINGS, **results.json()}

    def text(names: Iterable[str]) -> str:
        return "\n".join([head(its.release, repetitions) + "\n", *(tables[name] for name in names)])

    new = [name for name in all_results if name not in before]
    out.mkdir(parents=True, exist_ok=True)
    (out / "bench.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    (out / "bench.txt").write_text(text(all_results), encoding="utf-8")
    print(text(new))
    say(f"results: {out}/bench.json, {out}/bench.txt")
    if docs:
        for name in new:
            say(f"written: {write_document(name, all_results[name], its.release, repetitions).relative_to(REPO)}")
    compared = [its for results in all_results.values() for all_its in results.compared.values() for its in all_its]
    if goals:
        missed = [its for its in compared if its.goal and not its.goal.met(*its.medians)]
        say(f"{sum(its.goal is not None for its in compared) - len(missed)} goals met, {len(missed)} missed")
        return STATUS_WORSE if missed else 0
    return STATUS_WORSE if any(its.verdict in ("worse", "differs") for its in compared) else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("groups", nargs="*", metavar="GROUP", help=f"of {', '.join(groups.GROUPS)} (default: all)")
    parser.add_argument("--case", action="append", default=[], metavar="PATTERN", help="only cases of this name, as in the shell: 'st*'")
    parser.add_argument("--repetitions", type=int, default=REPETITIONS, help="of each case with each DAMON (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="a few cases, once; a goal that is missed makes it fail")
    parser.add_argument("--list", action="store_true", help="print the cases and end")
    parser.add_argument("--series", default=kernel.SERIES)
    parser.add_argument("--timeout", type=float, default=3600, help="seconds that the guest may take (default: %(default)s)")
    parser.add_argument("--guests", type=int, default=0, help="at once (default: one for each processor and 4 GiB of memory; with --quick one)")
    parser.add_argument("--out", type=Path, default=OWN / "bench", metavar="DIR", help="gets the results (default: %(default)s)")
    parser.add_argument("--again", action="store_true", help="evaluate what the last run recorded, without a new one")
    parser.add_argument("--against-itself", action="store_true", help="both are the in-tree DAMON: shows what noise alone does")
    parser.add_argument("--write-docs", action="store_true", help="put tables and pictures into Documentation/; takes all cases")
    arguments = parser.parse_args()
    if arguments.list:
        for name, group in groups.GROUPS.items():
            for case in group.CASES:
                print(f"{name}/{case.name}: {case.about()}")
        return 0
    if arguments.repetitions < 1 or arguments.guests < 0:
        raise Failure("at least one repetition, and one guest")
    if arguments.write_docs and (arguments.case or arguments.against_itself or arguments.repetitions < figures.FEWEST_REPETITIONS):
        raise Failure(f"what goes into Documentation/ has all cases of both, and {figures.FEWEST_REPETITIONS} repetitions at least")
    records = OWN / "bench/records"
    plan = OWN / "bench/plan.json"
    prepare(("stock",))
    its = kernel.ensure("stock", arguments.series)

    def show(cases: list[str], repetitions: int, before: Iterable[str] = ()) -> int:
        printed = frozenset(map(group_of, before))
        return report(records, cases, repetitions, its, arguments.write_docs, arguments.out, arguments.quick, printed)

    if arguments.again:
        try:
            cases, repetitions = json.loads(plan.read_text(encoding="utf-8"))
        except OSError as error:
            raise Failure("there are no records of an earlier run") from error
        if arguments.write_docs and cases != wanted(sorted(set(map(group_of, cases))), []):
            raise Failure("what goes into Documentation/ has all cases")
        return show(cases, repetitions)
    cases, repetitions = wanted(arguments.groups, arguments.case), arguments.repetitions
    if arguments.quick:
        cases, repetitions = list(groups.QUICK), 1
    plan.unlink(missing_ok=True)
    shutil.rmtree(records, ignore_errors=True)
    options = ["--against-itself"] if arguments.against_itself else []
    number = arguments.guests or (1 if arguments.quick else most_guests())
    status, measured = 0, list[str]()
    for part in parts(cases):
        measure(part, [*options, "/out", str(repetitions)], its, records, arguments.timeout, number)
        before, measured = measured, measured + part
        if not arguments.against_itself:
            plan.write_text(json.dumps([measured, repetitions]), encoding="utf-8")
        status = show(measured, repetitions, before)
    return status


if __name__ == "__main__":
    run_main(main)

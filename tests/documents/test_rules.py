# SPDX-License-Identifier: GPL-2.0
"""Rules that the tests themselves keep: python3 -m unittest discover -s tests/documents"""

from __future__ import annotations

import ast
import contextlib
import io
import re
import sys
import tempfile
import unittest
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

REPO = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPO / "tests"))

import in_guest  # noqa: E402
import klog  # noqa: E402
import plan  # noqa: E402
import run  # noqa: E402
import trials  # noqa: E402
import vm  # noqa: E402
from results import Counts, Result  # noqa: E402
from steps import Test  # noqa: E402

GUEST = REPO / "tests/guest"
# The only callers of time.sleep(): one waits for a condition, the other lets time pass in which something must not happen.
CLOCK = "guest_time.py"
# Options and plug-ins of pytest that try a failed test again, and what such code is usually called.
RETRY = re.compile(r"--lf\b|--last-failed|--ff\b|reruns?\b|flaky|\bretry\b|\bretries\b|second attempt", re.IGNORECASE)


def imports(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
    return names


def sleeps(text: str) -> list[int]:
    """The lines on which time.sleep() is called or imported."""
    found = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and node.module == "time" and any(alias.name == "sleep" for alias in node.names):
            found.append(node.lineno)
        elif isinstance(node, ast.Attribute) and node.attr == "sleep" and isinstance(node.value, ast.Name) and node.value.id == "time":
            found.append(node.lineno)
    return found


def planned(name: str) -> Iterator[in_guest.Suite | trials.Trial]:
    """The guest runs of `make test`, `make test-all` or `make stress`."""
    for phase in plan.SETS[name]():
        for test in phase:
            owner = getattr(test.run, "__self__", None)
            if isinstance(owner, in_guest.Suite | trials.Trial):
                yield owner


class Files(unittest.TestCase):
    def test_no_import_from_another_test_file(self) -> None:
        files = sorted((REPO / "tests").rglob("test_*.py"))
        self.assertGreater(len(files), 30)
        modules = {path.stem for path in files}
        for path in files:
            self.assertFalse(imports(path) & modules, f"{path.name}: what tests share belongs into a helper file")

    def test_no_sleep(self) -> None:
        files = [*GUEST.glob("*.py")]
        self.assertTrue(sleeps((GUEST / CLOCK).read_text(encoding="utf-8")), "the check finds none")
        # The demo is no test.
        for path in files:
            if path.name not in (CLOCK, "demo.py"):
                self.assertEqual(sleeps(path.read_text(encoding="utf-8")), [], f"{path.name}: use {CLOCK}")

    def test_no_retry(self) -> None:
        files = [path for path in (REPO / "tests").rglob("*.py") if path != Path(__file__).resolve()]
        self.assertGreater(len(files), 60)
        for path in files:
            for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
                self.assertIsNone(RETRY.search(line), f"{path.name}:{number}: {line.strip()}")
        self.assertIsNotNone(RETRY.search("pytest --lf"))


class Sources(unittest.TestCase):
    def test_width_of_comments(self) -> None:
        """rustfmt wraps code only."""
        lines = [(path, line) for path in (REPO / "src").rglob("*.rs") for line in path.read_text(encoding="utf-8").splitlines()]
        comments = [(path, line) for path, line in lines if line.lstrip().startswith("//")]
        self.assertGreater(len(comments), 5000)
        for path, line in comments:
            self.assertLessEqual(len(line), 100, f"{path.relative_to(REPO)}: {line.strip()}")


class Plan(unittest.TestCase):
    def test_each_file_in_one_group(self) -> None:
        grouped = Counter(name for files in plan.GROUPS.values() for name in files)
        of_their_own = {name.partition("::")[0] for name in (*plan.NODES, *plan.CHECKS)}
        self.assertEqual(set(grouped.values()), {1})
        self.assertEqual(set(grouped) | of_their_own, {path.name for path in GUEST.glob("test_*.py")})

    def test_no_guest_depends_on_the_host(self) -> None:
        """Each guest of `make test` counts instructions."""
        found = list(planned("test"))
        self.assertGreater(len(found), 5)
        for its in found:
            if isinstance(its, trials.Trial):
                self.assertIn(in_guest.COUNTED, its.options, its.title)

    def test_names_of_steps(self) -> None:
        """Each step has a log of its own."""
        for name, phases in plan.SETS.items():
            names = [test.name for phase in phases() for test in phase]
            self.assertEqual(len(names), len(set(names)), name)


class Trials(unittest.TestCase):
    def test_each_has_minima(self) -> None:
        found = {its.title for name in plan.SETS for its in planned(name) if isinstance(its, trials.Trial) and its.least}
        for title in ("fuzz on stock", "fuzz on test", "faults on test", "stress on test", "stress on kasan", "a day on stock"):
            self.assertIn(title, found)

    def test_none_without(self) -> None:
        for least in ({}, {"on": 0}):
            with self.assertRaises(ValueError):
                trials.Trial("idle", in_guest.STOCK, "true", least)

    def test_below(self) -> None:
        least = {"on": 2, "kinds-read": 10}
        self.assertEqual(trials.below(["did: on=2 kinds-read=10 off=0", "all is well"], least), [])
        self.assertEqual(trials.below(["did: on=1 kinds-read=10"], least), ["too little: on 1 of at least 2"])
        self.assertEqual(len(trials.below(["all is well"], least)), 2)


class Verdict(unittest.TestCase):
    """What fails a step."""

    def test_options_of_the_kernel_are_no_complaint(self) -> None:
        """The options that every guest with the host's time gets are on its command line; a report behind them is still found."""
        options = f"[    0.000000] Command line: {vm.NO_WATCHDOGS}\n[    0.000000] Kernel command line: {vm.NO_WATCHDOGS}\n"
        options += "[    0.100000] \tRCU CPU stall warnings suppressed (rcu_cpu_stall_suppress).\n"
        self.assertEqual(klog.complaints(options), [])
        self.assertEqual(len(klog.complaints(options + "[    9.000000] rcu: INFO: rcu_preempt detected stalls on CPUs\n")), 1)

    def run_test(self, counts: Counts) -> Counts:
        with tempfile.TemporaryDirectory() as folder, mock.patch.object(run, "LOGS", Path(folder)), mock.patch.object(run, "CACHE", Path(folder)):
            with contextlib.redirect_stdout(io.StringIO()):
                return run.run_test(Test("a step", lambda step: counts)).counts

    def test_no_test_was_run(self) -> None:
        self.assertEqual(self.run_test(Counts()).failed, 1)
        self.assertEqual(self.run_test(Counts(1)).failed, 0)

    def test_a_command_that_failed(self) -> None:
        for problem, complaints in (("status 1", []), ("", ["WARNING: …"])):
            self.assertGreater(Counts(5).judged(Result(problem, complaints, [])).failed, 0)
        self.assertEqual(Counts(5).judged(Result("", [], [])).failed, 0)
        self.assertEqual(Counts(0).judged(Result("", [], [])).failed, 1)


if __name__ == "__main__":
    unittest.main()

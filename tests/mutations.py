#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Measures what the tests find: puts one fault at a time into the module, and runs tests until one fails.

The faults are tests/mutations/NAME.diff. In front of the diff each says in words what is wrong and what a user sees, and behind
`Tests:` which tests are the nearest to it. These run first, as most faults are found by them:

  host:damon       a package of tests/host
  kunit            the module's unit tests, in a guest with the test kernel
  test_x.py        a file of tests/guest, in a guest with the stock kernel; `test:test_x.py` with the test kernel, `nodes:test_x.py` in
                   one with two nodes

What they do not find goes through the steps of tests/run.py that --step names, by default all steps. The first failure ends it. A fault
that does not apply, or with which the module or its host tests do not build, is an error and not found.

All runs in a copy of the checkout in the cache, where a build is incremental. First that copy, without a fault, must pass the same
tests. What was judged is kept there, and judged again only if the tree, the fault or the tests are others.

exit status: 0 if all faults could be judged and enough were found (--at-least)
"""

import argparse
import contextlib
import io
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "scripts"))

from cache import CACHE, REPO, digest, lock, tree_files  # noqa: E402
from progress import Failure, Step, run_main, step  # noqa: E402

FAULTS = REPO / "tests/mutations"
# What is tested. With --tests-of the rest of the checkout is another revision's.
PRODUCT = ("src/", "samples/", "Kbuild", "Makefile")
# How failed tests are named by pytest, by cargo, by KUnit and by the steps of tests/run.py.
FAILED = re.compile(
    r"^ *(?:(?:FAILED|ERROR) (?P<pytest>\S+\.py::\S+)|test (?P<cargo>\S+)(?: - should panic)? \.\.\. FAILED"
    r"|(?:\[[ \d.]+\])? *not ok \d+ (?P<kunit>[^\n]*?)|[\d.]+ s  (?P<step>[^\n:]+): \d+ passed, [1-9]\d* failed[^\n]*)$",
    re.MULTILINE,
)
SHOWN = 3
# Stands for the modules in a command, which are built later. The first is loaded as tests/run.py does it.
MODULES = "MODULES"
LOAD = 'insmod "$DAMON_RS_MODULE" || exit'


@dataclass(frozen=True)
class Fault:
    """A fault that was made by hand."""

    name: str
    text: str
    tests: tuple[str, ...]
    diff: Path

    @staticmethod
    def read(diff: Path) -> "Fault":
        head = diff.read_text(encoding="utf-8").partition("\n--- ")[0]
        lines = head.splitlines()
        tests = [line.removeprefix("Tests: ") for line in lines if line.startswith("Tests: ")]
        text = " ".join(line for line in lines if line and not line.startswith("Tests: "))
        if len(tests) != 1 or not text:
            raise Failure(f"{diff.name}: says in front of the diff neither what is wrong nor which tests are near")
        return Fault(diff.stem, text, tuple(tests[0].split()), diff)


@dataclass(frozen=True)
class Check:
    """A command that fails if it finds the fault."""

    name: str
    argv: tuple[str, ...]
    # What the module has to be built for before it.
    kernel: str = "stock"


@dataclass(frozen=True)
class Verdict:
    """What became of a fault. `by` is empty if nothing has found it."""

    by: str
    failed: tuple[str, ...]
    seconds: float


class Broken(Exception):
    """The fault cannot be judged."""


class Tree:
    """The copy of the checkout that faults are put into."""

    def __init__(self, name: str):
        self.path = CACHE / "mutations" / name
        self.verdicts = CACHE / "mutations" / f"{name}.json"

    def fill(self, files: dict[str, tuple[bytes, int]]) -> str:
        """Makes it these files, and returns a hash of them. What does not change keeps its time, so that it is not built again."""
        self.path.mkdir(parents=True, exist_ok=True)
        if not (self.path / ".git").exists():
            self.git("init", "--quiet")
        for name in self.git("ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0"):
            if name and name not in files:
                (self.path / name).unlink(missing_ok=True)
        for name, (content, mode) in files.items():
            path = self.path / name
            if not path.is_file() or path.read_bytes() != content:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
            path.chmod(mode)
        self.git("add", "--all")
        # What judges is not what is judged.
        return digest([line for line in self.git("ls-files", "--stage").splitlines() if "\ttests/mutations" not in line])

    def git(self, *arguments: str) -> str:
        """Runs git there."""
        output: str = subprocess.run(["git", *arguments], cwd=self.path, capture_output=True, text=True, check=True).stdout
        return output

    @contextlib.contextmanager
    def with_fault(self, fault: Fault | None) -> Iterator[None]:
        """Has the fault in it meanwhile."""
        if fault is None:
            yield
            return
        try:
            self.git("apply", str(fault.diff))
        except subprocess.CalledProcessError as error:
            raise Broken(f"does not apply: {error.stderr.strip().splitlines()[0]}") from error
        try:
            yield
        finally:
            self.git("apply", "--reverse", str(fault.diff))


def checkout() -> dict[str, tuple[bytes, int]]:
    """The files of this checkout, with what is not committed."""
    return {str(path.relative_to(REPO)): (path.read_bytes(), path.stat().st_mode & 0o777) for path in tree_files()}


def revision(name: str) -> dict[str, tuple[bytes, int]]:
    """The files of a revision."""
    archive = subprocess.run(["git", "archive", name], cwd=REPO, capture_output=True, check=False)
    if archive.returncode:
        raise Failure(archive.stderr.decode().strip())
    files = {}
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as members:
        for member in members:
            if content := members.extractfile(member) if member.isfile() else None:
                files[member.name] = (content.read(), 0o755 if member.mode & 0o100 else 0o644)
    return files


# What cargo says where there is nothing to be tested.
NOT_COMPILED = "error: could not compile"
# What the compiler has kept in a tree. A build that was killed may leave there what later ones do not link with.
FORGET = (
    "import sys; sys.path.insert(0, 'scripts'); import shutil; from cache import OWN; "
    "shutil.rmtree(OWN / 'host/debug/incremental', ignore_errors=True)"
)


def cargo(package: str, *options: str) -> tuple[str, ...]:
    """The command that tests a package of tests/host, or all of them, in the toolchain root and with the cases of tests/run.py."""
    argv = ["cargo", "test", "--locked", "--no-fail-fast", *options, *(["-p", package] if package else ["--workspace"])]
    code = f"""
import os, sys
sys.path.insert(0, "scripts")
import toolchain
from cache import OWN, REPO
env = {{"CARGO_TARGET_DIR": str(OWN / "host"), "PROPTEST_RNG_SEED": "1", "PROPTEST_CASES": "1000"}}
line = toolchain.command({argv}, cwd=REPO / "tests/host")
os.execvpe(line[0], line, toolchain.environment(env))
"""
    return (sys.executable, "-c", code)


@dataclass(frozen=True)
class Runner:
    """Puts faults into a tree and runs checks there."""

    tree: Tree
    prefix: tuple[str, ...]
    timeout: float
    # Guests in which an instruction takes a nanosecond.
    icount: bool

    def near(self, tests: Sequence[str]) -> list[Check]:
        """The checks that `Tests:` of a fault names: those without a guest first, then a guest for each kind of machine."""
        checks = [Check(test, cargo(test.removeprefix("host:"))) for test in tests if test.startswith("host:")]
        if "kunit" in tests:
            script = f"{LOAD}; ! dmesg | grep -E '^\\[[ 0-9.]+\\] +not ok '"
            checks.append(self.guest("kunit", "test", script))
        files: dict[str, list[str]] = {}
        for test in tests:
            machine, _, file = test.rpartition(":")
            if machine != "host" and file != "kunit":
                files.setdefault(machine or "stock", []).append(file)
        for machine, names in files.items():
            pytest = f"python3 -m pytest -o cache_dir=/tmp/pytest -q -ra {shlex.join(names)}"
            nodes = ("--nodes=2",) if machine == "nodes" else ()
            kind = "stock" if machine == "nodes" else machine
            script = f"{LOAD}; dmesg -n 5; cd /damon-rs/tests/guest; {pytest}"
            append = "kunit.enable=0" + (" psi=1" if nodes else "")
            icount = ("--icount",) if self.icount else ()
            title = f"{' '.join(names)} on {machine}"
            checks.append(self.guest(title, kind, script, *nodes, *icount, f"--append={append}"))
        return checks

    @staticmethod
    def step(name: str) -> Check:
        """Steps of tests/run.py whose names begin with this; all of them if it is empty."""
        return Check(name or "all steps", (sys.executable, "tests/run.py", *([name] if name else [])))

    def guest(self, name: str, kind: str, script: str, *options: str) -> Check:
        timeout = f"--timeout={self.timeout - 60:.0f}"
        vm = (sys.executable, "scripts/vm.py", "run", "--kernel", kind, timeout, *options, MODULES, "--", "sh", "-c", script)
        return Check(name, vm, kind)

    def run(self, current: Step, argv: Sequence[str]) -> tuple[int, str]:
        """Runs a command in the tree: its exit status, or -1 if it took too long, and what it printed."""
        with open(current.log, "a+", encoding="utf-8", errors="replace") as log:
            begin = log.tell()
            log.write(f"+ {shlex.join(argv).strip()}\n")
            log.flush()
            process = subprocess.Popen(
                [*self.prefix, *argv], cwd=self.tree.path, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
            try:
                status = process.wait(self.timeout)
            except subprocess.TimeoutExpired:
                status = -1
            finally:
                # Also what a command leaves behind, and all of it if this is interrupted.
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            log.seek(begin)
            return status, log.read()

    def attempt(self, current: Step, argv: Sequence[str]) -> tuple[int, str]:
        """As `run`, where what does not compile is no result."""
        status, output = self.run(current, argv)
        if status and NOT_COMPILED in output:
            self.run(current, (sys.executable, "-c", FORGET))
            status, output = self.run(current, argv)
        if status and NOT_COMPILED in output:
            raise Broken(f"does not build on the host, see {current.log}")
        return status, output

    def build(self, current: Step, kind: str) -> list[str]:
        """Builds the modules for a kernel: what is broken by that is not found by a test."""
        status, output = self.run(current, (sys.executable, "scripts/build.py", kind, "--tests"))
        if status:
            raise Broken(f"does not build for the {kind} kernel, see {current.log}")
        return [line for line in output.splitlines() if line.startswith("/") and line.endswith(".ko")]

    def judge(self, current: Step, fault: Fault | None, checks: Sequence[Check]) -> Verdict:
        """Runs checks until one fails."""
        with self.tree.with_fault(fault):
            modules = {kind: self.build(current, kind) for kind in sorted({"stock", *(its.kernel for its in checks)})}
            if self.attempt(current, cargo("", "--no-run"))[0]:
                raise Broken(f"cannot be built on the host, see {current.log}")
            # What is built is built once for all faults that follow.
            begin = time.monotonic()
            for check in checks:
                options = [f"--module={path}" for path in modules[check.kernel]]
                argv = [word for its in check.argv for word in (options if its == MODULES else [its])]
                status, output = self.attempt(current, argv)
                if status:
                    failed = tuple(dict.fromkeys(next(filter(None, its.groups())) for its in FAILED.finditer(output)))
                    return Verdict(check.name, ("it took too long",) if status == -1 else failed, time.monotonic() - begin)
            return Verdict("", (), time.monotonic() - begin)


def judged(runner: Runner, key: str, title: str, fault: Fault | None, checks: Sequence[Check], again: bool) -> Verdict:
    """The verdict on a fault, of an earlier run if nothing has changed since."""
    key = digest(key, fault.diff if fault else "", [(its.name, its.argv) for its in checks], runner.icount)
    path = runner.tree.verdicts
    known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    if key in known and not again:
        return Verdict(known[key]["by"], tuple(known[key]["failed"]), known[key]["seconds"])
    with step(title, CACHE / "mutations/logs" / runner.tree.path.name / f"{title}.log") as current:
        verdict = runner.judge(current, fault, checks)
        current.note = f"{'found' if verdict.by else 'not found'}, {verdict.seconds:.0f} s for the tests"
    known[key] = {"title": title, "by": verdict.by, "failed": verdict.failed, "seconds": verdict.seconds}
    temporary = path.with_suffix(".new")
    temporary.write_text(json.dumps(known, indent=1), encoding="utf-8")
    temporary.replace(path)
    return verdict


def told(verdict: Verdict) -> str:
    """A verdict in words."""
    if not verdict.by:
        return f"not found ({verdict.seconds:.0f} s)"
    more = f" and {len(verdict.failed) - SHOWN} more" if len(verdict.failed) > SHOWN else ""
    which = f": {', '.join(verdict.failed[:SHOWN])}{more}" if verdict.failed else ""
    return f"found by {verdict.by}{which} ({verdict.seconds:.0f} s)"


def arguments_of() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="only the faults whose name begins with one of these")
    parser.add_argument("--list", action="store_true", help="print the faults, and run nothing")
    parser.add_argument("--step", action="append", metavar="NAME", help="steps of tests/run.py for what the nearest tests do not find, "
        "in the order given; an empty one is all of them (default: all of them)")  # fmt: skip
    parser.add_argument("--command", metavar="CMD", help="run this in the tree in place of all tests")
    parser.add_argument("--near", action="store_true", help="only the nearest tests")
    parser.add_argument("--no-near", action="store_true", help="without them")
    parser.add_argument("--build", action="store_true", help="only apply and build: says which faults cannot be judged")
    parser.add_argument("--tests-of", metavar="REV", help="judge the tests of another revision: all of it but what is tested")
    parser.add_argument("--tree-of", metavar="REV", help="as --tests-of, with that revision's module too")
    parser.add_argument("--host-time", action="store_true", help="guests for the nearest tests in which time is the host's: for revisions "
        "whose tests were made for that")  # fmt: skip
    parser.add_argument("--no-baseline", action="store_true", help="do not ask that the tests pass without a fault")
    parser.add_argument("--again", action="store_true", help="do not use what earlier runs have found")
    parser.add_argument("--timeout", type=float, default=5400, metavar="S", help="for each command, in seconds (default: %(default)s)")
    parser.add_argument("--prefix", default="", metavar="CMD", help="in front of each command, for example `nice -n 10`")
    parser.add_argument("--at-least", type=int, default=0, metavar="N", help="fail if less are found")
    return parser.parse_args()


def main() -> int:
    # The fault goes out of the tree, and the command under way ends.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    arguments = arguments_of()
    faults = [Fault.read(path) for path in sorted(FAULTS.glob("*.diff"))]
    names = tuple(arguments.names)
    faults = [fault for fault in faults if not names or fault.name.startswith(names)]
    if not faults:
        raise Failure("there is no such fault")
    if arguments.list:
        for fault in faults:
            print(f"{fault.name}: {fault.text}\n    nearest tests: {' '.join(fault.tests)}")
        return 0

    rev = arguments.tree_of or arguments.tests_of
    tree = Tree(f"{'tree' if arguments.tree_of else 'tests'}-of-{rev}" if rev else "checkout")
    runner = Runner(tree, tuple(shlex.split(arguments.prefix)), arguments.timeout, not arguments.host_time)
    if arguments.command:
        far = [Check("the command", ("sh", "-c", arguments.command))]
    else:
        far = [] if arguments.near or arguments.build else [runner.step(name) for name in arguments.step or [""]]
    with_near = not (arguments.command or arguments.no_near or arguments.build)

    def checks(tests: Sequence[str]) -> list[Check]:
        return [*(runner.near(tests) if with_near else []), *far]

    errors: dict[str, str] = {}
    verdicts: dict[str, Verdict] = {}
    with lock(f"mutations-{tree.path.name}"):
        files = revision(rev) if rev else checkout()
        if arguments.tests_of:
            files = {name: its for name, its in files.items() if not name.startswith(PRODUCT)}
            files |= {name: its for name, its in checkout().items() if name.startswith(PRODUCT)}
        key = tree.fill(files)
        if not arguments.no_baseline:
            needed = checks(sorted({test for fault in faults for test in fault.tests}))
            verdict = judged(runner, key, "without a fault", None, needed, arguments.again)
            if verdict.by:
                raise Failure(f"the tests fail without a fault, {told(verdict)}")
        for fault in faults:
            try:
                verdicts[fault.name] = judged(runner, key, fault.name, fault, checks(fault.tests), arguments.again)
            except Broken as error:
                errors[fault.name] = str(error)

    width = max(map(len, (fault.name for fault in faults)))
    for name, problem in errors.items():
        print(f"{name:{width}}  error: {problem}")
    if arguments.build:
        print(f"{len(verdicts)} of {len(faults)} faults apply and build")
        return 1 if errors else 0
    for name, verdict in verdicts.items():
        print(f"{name:{width}}  {told(verdict)}")
    found = sum(bool(verdict.by) for verdict in verdicts.values())
    print(f"{found} of {len(faults)} faults found" + (f", {len(errors)} could not be judged" if errors else ""), flush=True)
    return 1 if errors or found < arguments.at_least else 0


if __name__ == "__main__":
    run_main(main)

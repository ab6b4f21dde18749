# SPDX-License-Identifier: GPL-2.0
"""The steps of the tests: what each does, and how its result is read."""

import os
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "scripts"))

import build  # noqa: E402
import panics  # noqa: E402
import toolchain  # noqa: E402
import unsafe  # noqa: E402
from cache import OWN, REPO, tree_files  # noqa: E402
from progress import Failure, Step  # noqa: E402

import trials  # noqa: E402
from in_guest import STOCK, TEST, Suite, Target  # noqa: E402
from results import Counts  # noqa: E402

HOST = REPO / "tests/host"
FUZZ = REPO / "tests/guest/fuzz"


@dataclass(frozen=True)
class Test:
    """A step: its name, and what it does."""

    name: str
    run: Callable[[Step], Counts]
    # Makes something ready that says itself how far it is, and runs no test.
    prepares: bool = False


def prepared(name: str, ensure: Callable[[], object]) -> Test:
    def run(_: Step) -> Counts:
        ensure()
        return Counts()

    return Test(name, run, prepares=True)


def in_one_guest(what: Suite | trials.Trial) -> Test:
    return Test(what.title, what.run)


def passed_if_quiet(name: str, complaints: list[str]) -> Counts:
    """One test that passes without complaints."""
    return Counts(int(not complaints), int(bool(complaints)), name, complaints)


def counted(step: Step, pattern: str) -> Counts:
    """The tests passed and, if the pattern has a second group, failed: those of its last match in the log."""
    found = re.findall(pattern, step.log.read_text(encoding="utf-8", errors="replace"), re.MULTILINE)
    if not found:
        return Counts(0, 1, "no test was run")
    passed, failed = found[-1] if isinstance(found[-1], tuple) else (found[-1], 0)
    return Counts(int(passed), int(failed))


# ---- sources ----


def rustfmt(fix: bool) -> Callable[[Step], Counts]:
    def run(step: Step) -> Counts:
        files = tree_files("*.rs")
        toolchain.run(step, ["rustfmt", *([] if fix else ["--check", "--color=never"]), *files], cwd=REPO, what="formatting")
        return Counts(1, 0, f"{len(files)} files")

    return run


def shellcheck(step: Step) -> Counts:
    files = [path for path in tree_files() if re.match(rb"#!\s*/(usr/)?bin/(env )?(ba)?sh\b", path.read_bytes()[:40])]
    toolchain.run(step, ["shellcheck", *files], cwd=REPO, what="shell scripts")
    return Counts(1, 0, f"{len(files)} files")


def unsafe_audit(step: Step) -> Counts:
    results = [unsafe.audit(path) for path in unsafe.sources()]
    complaints = [line for lines, _ in results for line in lines]
    return passed_if_quiet(f"{sum(count for _, count in results)} unsafe blocks", complaints)


def python_tests(folder: str) -> Callable[[Step], Counts]:
    """Python tests that need neither a toolchain nor a guest."""

    def run(step: Step) -> Counts:
        # Without site packages: a bare machine has none.
        step.run([sys.executable, "-S", "-m", "unittest", "discover", "-s", REPO / folder])
        return counted(step, r"^Ran (\d+) tests")

    return run


# ---- on the host ----


def cargo_tests(manifest: Path, cases: int, seed: int | None = trials.SEED) -> Callable[[Step], Counts]:
    """The tests of a Rust package or workspace, with `cases` of each property from this seed or another one each time."""

    def run(step: Step) -> Counts:
        env = {"CARGO_TARGET_DIR": str(OWN / manifest.name), "PROPTEST_CASES": str(cases)}
        env |= {} if seed is None else {"PROPTEST_RNG_SEED": str(seed)}
        problem = ""
        try:
            toolchain.run(step, ["cargo", "test", "--locked", "--workspace", "--no-fail-fast"], cwd=manifest, env=env)
        except Failure as failure:
            problem = str(failure)
        text = step.log.read_text(encoding="utf-8", errors="replace")
        results = re.findall(r"^test result: \w+\. (\d+) passed; (\d+) failed", text, re.MULTILINE)
        counts = Counts(sum(int(passed) for passed, _ in results), sum(int(failed) for _, failed in results))
        if problem or not results:
            counts.failed = max(counts.failed, 1)
            counts.details = problem.splitlines() or ["no test was run"]
        return counts

    return run


def host_tests(cases: int, seed: int | None = trials.SEED) -> Callable[[Step], Counts]:
    """Unit tests, properties, and the model of the mailbox."""
    return cargo_tests(HOST, cases, seed)


def rustdoc(step: Step) -> Counts:
    step.run([sys.executable, REPO / "scripts/rustdoc.py"])
    return Counts(1, 0)


# ---- builds ----


def module(target: Target) -> Test:
    def run(step: Step) -> Counts:
        paths = build.build(step, target.kernel())
        # modpost and objtool complain without failing.
        log = step.log.read_text(encoding="utf-8", errors="replace")
        warnings = re.findall(r"^.*\bwarning: .*$", log, re.MULTILINE | re.IGNORECASE)
        return passed_if_quiet(", ".join(path.name for path in paths), warnings)

    return Test(f"module for {target}", run)


def clippy(step: Step) -> Counts:
    build.build(step, TEST.kernel(), clippy=True)
    return Counts(1, 0)


def panic_entries(step: Step) -> Counts:
    """None is allowed. Each is named with the functions that refer to it."""
    counts = Counts()
    notes = []
    for path in build.build(step, STOCK.kernel()):
        found = panics.references(path)
        counts.details += [f"{path.name}: {entry}: {', '.join(sorted(users))}" for entry, users in sorted(found.items())]
        counts.passed += int(not found)
        counts.failed += int(bool(found))
        notes.append(f"{path.name} refers to {len(found)} panic entry points")
    counts.note = ", ".join(notes)
    return counts


# ---- with a guest of their own ----


def cost(step: Step) -> Counts:
    """The bench's quick form: instructions, which do not depend on the host."""
    step.run([sys.executable, REPO / "scripts/bench.py", "--quick"])
    return counted(step, r"(\d+) goals met, (\d+) missed")


def package(step: Step) -> Counts:
    """The package of `make deb`, installed, loaded and removed again."""
    step.run([sys.executable, REPO / "tests/package.py"])
    return counted(step, r"\b(\d+) passed")


def machine(options: Sequence[str]) -> Callable[[Step], Counts]:
    """A machine boots, and what a program there prints at once comes back whole: more than a virtio port takes of a write, and than the
    pipes on the way hold while it is read late.
    """
    length = 1_000_000
    late = 'exec "$@" | { dd bs=1 count=1 2>/dev/null; sleep 5; cat; }'
    command = ["python3", "-c", f"print('x' * {length})"]
    vm = [sys.executable, REPO / "scripts/vm.py", "run", "--kernel", STOCK.kind, *options, "--", *command]

    def run(step: Step) -> Counts:
        step.run(["bash", "-o", "pipefail", "-c", late, "late", *vm])
        whole = sum(len(line) == length for line in step.log.read_text(encoding="utf-8", errors="replace").splitlines())
        return passed_if_quiet("", [] if whole == 1 else ["what is printed does not come back whole"])

    return run


def demo(step: Step) -> Counts:
    """What `make demo` shows."""
    step.run([sys.executable, REPO / "scripts/demo.py"])
    return counted(step, r"^ *(\d+) held, (\d+) did not")


def most_at_once() -> int:
    """Steps that run at the same time: each has one busy thread for most of its time."""
    return max(2, os.cpu_count() or 1)

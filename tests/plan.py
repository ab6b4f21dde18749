# SPDX-License-Identifier: GPL-2.0
"""Which steps `make test`, `make test-all` and `make stress` consist of."""

import os

import image
import kernel
import toolchain

import steps
from in_guest import COUNTED, KASAN, KCSAN, OF_TESTS, STOCK, TEST, Suite, Target
from steps import Test, in_one_guest, prepared
from trials import SEED, day, faults, fuzz, stress

# Guest tests that share a boot, what takes longest first. Each file is in one group (tests/documents).
GROUPS = {
    "damo": ("test_damo.py", "test_heatmap.py"),
    "selftests": ("test_clients.py",),
    "schemes": (
        "test_actions_physical.py", "test_actions_virtual.py", "test_effects.py", "test_goals.py", "test_limits.py", "test_reclaim.py",
        "test_stat_scheme.py", "test_tried_regions.py",
    ),
    "monitoring": (
        "test_monitoring.py", "test_regions.py", "test_fvaddr.py", "test_paddr.py", "test_page_flags.py", "test_hugetlb.py", "test_probes.py",
        "test_several.py", "test_sharing.py", "test_tuning.py", "test_two_kdamonds.py",
    ),
    "files and commands": (
        "test_abi.py", "test_tree.py", "test_bad_input.py", "test_reasons.py", "test_lifecycle.py", "test_signals.py", "test_status.py", "test_commit.py",
        "test_commit_parameters.py",
    ),
    "modules": ("test_modules.py", "test_unload.py", "test_notifier.py", "test_watchdog.py", "test_coexistence.py"),
    "pause": ("test_pause.py", "test_trace.py"),
}  # fmt: skip
# These need more than one node, and those of pressure a kernel that measures it.
NODES = ("test_actions_nodes.py", "test_goals.py::test_pressure")
# These need a kernel with unit tests and with lockdep.
CHECKS = ("test_lockdep.py", "test_doctests.py", "test_unload.py::test_in_use", "test_unload.py::test_over_and_over")

# The search for leaks is half of the test kernel's time. CHECKS and the trials have it.
NO_SEARCH_FOR_LEAKS = "kmemleak=off"

# What the KASAN kernel is for: use after free, releases that come late, and pages without an idle flag. Tests of that flag are skipped
# there; those that do the same time and again are left out, as they would take minutes.
KASAN_TESTS = ("test_unload.py", "test_page_flags.py", "test_reclaim.py", "test_monitoring.py")
KASAN_CHOICE = ("-k", "not over_and_over and not at_once and not moves and not two_processes")

# Series of the kernel besides the one that everything is tested on.
OTHER_SERIES = tuple(series for series in ("7.2", "7.3") if series != kernel.SERIES)

# How long stress, fuzz and the storm of failing allocations last in `make stress`.
SECONDS = int(os.environ.get("DAMON_RS_STRESS_SECONDS") or 1800)


def suites(target: Target, append: str = "") -> list[Test]:
    return [in_one_guest(Suite(name, target, files, append=append)) for name, files in GROUPS.items()]


def nodes(target: Target) -> Test:
    return in_one_guest(Suite("nodes and pressure", target, NODES, append="psi=1", options=("--nodes=2",)))


def checks() -> Test:
    """Unit tests in the kernel, and what only a kernel that checks itself finds."""
    return in_one_guest(Suite("KUnit, locks and leaks", TEST, CHECKS, kunit=True))


def ready(*targets: Target) -> list[Test]:
    """Everything that is kept from run to run."""

    def kernels(target: Target) -> Test:
        return prepared(f"{target} kernel", lambda: target.kernel())

    return [prepared("toolchain root", toolchain.ensure), prepared("guest image", image.ensure), *map(kernels, targets)]


def everything_once() -> list[Test]:
    """Each behaviour once, what takes longest first."""
    return [
        steps.module(STOCK),
        steps.module(TEST),
        *suites(STOCK),
        Test("host tests", steps.host_tests(cases=1000)),
        nodes(STOCK),
        checks(),
        in_one_guest(fuzz(STOCK, 20_000, SEED)),
        Test("cost", steps.cost),
        # The fuzzer's own tests: whether it counts and chooses as it should needs no guest.
        Test("fuzz package", steps.cargo_tests(steps.FUZZ, cases=1)),
        Test("clippy", steps.clippy),
        Test("rustdoc", steps.rustdoc),
        Test("panics", steps.panic_entries),
        # The tests count instructions; `make demo`, `make shell` and stress have machines with the host's clock and two processors.
        Test("machine", steps.machine(OF_TESTS)),
        Test("machine without icount", steps.machine([its for its in OF_TESTS if its != COUNTED])),
        Test("rustfmt", steps.rustfmt(fix=False)),
        Test("shellcheck", steps.shellcheck),
        Test("unsafe code", steps.unsafe_audit),
        Test("bench evaluation", steps.python_tests("tests/bench")),
        Test("documents", steps.python_tests("tests/documents")),
    ]


def test() -> list[list[Test]]:
    return [ready(STOCK, TEST), everything_once()]


def test_all() -> list[list[Test]]:
    others = [Target("stock", series) for series in OTHER_SERIES]
    return [
        ready(STOCK, TEST, KASAN, *others),
        [
            *everything_once(),
            steps.module(KASAN),
            in_one_guest(stress(KASAN, 60, SEED)),
            in_one_guest(stress(TEST, 60, SEED)),
            in_one_guest(faults(12, 5, SEED)),
            *suites(TEST, NO_SEARCH_FOR_LEAKS),
            nodes(TEST),
            *(test for target in others for test in (steps.module(target), *suites(target))),
            in_one_guest(Suite("unloading and monitoring", KASAN, (*KASAN_CHOICE, *KASAN_TESTS))),
            in_one_guest(fuzz(TEST, 5_000, SEED)),
            in_one_guest(day()),
            Test("package", steps.package),
            Test("demo", steps.demo),
        ],
    ]


def hours() -> list[list[Test]]:
    """`make stress`: with other seeds each time."""
    return [
        ready(STOCK, TEST, KASAN, KCSAN),
        [
            Test("properties", steps.host_tests(cases=20_000, seed=None)),
            *(in_one_guest(stress(target, SECONDS)) for target in (TEST, KASAN, KCSAN)),
            in_one_guest(fuzz(STOCK, 10**9, seconds=SECONDS)),
            in_one_guest(fuzz(TEST, 10**9, seconds=SECONDS)),
            in_one_guest(faults(0, SECONDS)),
            in_one_guest(day("--sample-us", "5000", "--aggr-us", "100000")),
            *suites(TEST),
            in_one_guest(Suite("unloading and monitoring", KASAN, (*KASAN_TESTS, "test_paddr.py"))),
        ],
    ]


SETS = {"test": test, "test-all": test_all, "stress": hours}

# SPDX-License-Identifier: GPL-2.0
"""Modules that are built on the crate's Rust API: loaded, set, turned on and off, and unloaded, beside the tree in sysfs."""

from __future__ import annotations

import errno
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from stat import filemode

import pytest

import status
import vmstat
from actions import swap  # noqa: F401
from cases import Cases
from damon_tree import Damon, Kdamond
from guest_time import wait_until
from iomem import memory
from kernel_log import INFO, KernelLog
from kernel_module import Module
from workload import MIB, Workload

pytestmark = pytest.mark.ours


Make = Callable[..., Module]


@pytest.fixture
def make(damon: Damon, clean: None) -> Iterator[Make]:
    """Makes a module of this DAMON."""
    yield lambda name, *parameters: Module(f"{damon.name}_{name}", *parameters)


def context(damon: Damon) -> dict[str, object]:
    """The only one that runs."""
    (running,) = (its for its in status.read(damon)["kdamonds"] if its["state"] == "running")
    found: dict[str, object] = running["context"]
    return found


# ---- damon_stat ----


def test_stat_files(make: Make) -> None:
    with make("stat") as stat:
        modes = {path.name: path.stat().st_mode & 0o777 for path in stat.file("enabled").parent.iterdir()}
        assert modes == {
            "enabled": 0o600,
            "estimated_memory_bandwidth": 0o400,
            "memory_idle_ms_percentiles": 0o400,
            "aggr_interval_us": 0o400,
            "kdamond_pid": 0o400,
        }
        assert (stat.read("enabled"), stat.pid) == ("N", -1)
        assert stat.read("memory_idle_ms_percentiles") == ",".join(["0"] * 101)


def test_stat_on_and_off(make: Make, damon: Damon) -> None:
    with make("stat") as stat:
        for _ in range(3):
            stat.write("enabled", "Y")
            assert stat.read("enabled") == "Y"
            pid = stat.pid
            assert Path(f"/proc/{pid}/comm").read_text().startswith("kdamond.")
            stat.write("enabled", "yes")
            assert stat.pid == pid, "it was started anew"
            stat.write("enabled", "0")
            assert (stat.read("enabled"), stat.pid) == ("N", -1)
            wait_until(lambda: not Path(f"/proc/{pid}").exists(), "the thread is gone")


def test_stat_bad_input(make: Make) -> None:
    with make("stat") as stat:
        for bad in ("", "2", "maybe"):
            assert stat.refuses("enabled", bad) == errno.EINVAL
        assert stat.read("enabled") == "N"


def test_stat_enabled_at_load(make: Make, damon: Damon) -> None:
    """It monitors all of physical memory, at intervals that tune themselves, until it is unloaded."""
    with make("stat", "enabled=Y") as stat:
        pid = stat.pid
        assert stat.read("enabled") == "Y" and pid > 0
        monitored = context(damon)
        assert monitored["ops"] == "paddr"
        (target,) = monitored["targets"]  # type: ignore[misc]
        ram = memory()
        assert target["regions"][0]["start"] == ram[0][0] and target["regions"][-1]["end"] == ram[-1][1]
    wait_until(lambda: not Path(f"/proc/{pid}").exists(), "the thread is gone")


def large_workload() -> Workload:
    """A process whose hot part is a good share of the machine's memory, in huge pages, of which each is touched once a round."""
    return Workload("--size", "512M", "--hot", "256M", "--thp", "all", "--stride", "512")


@pytest.mark.slow(300)
def test_stat_tells(make: Make) -> None:
    """Memory that is accessed makes bandwidth, and the rest gets idle; the percentiles ascend."""
    with make("stat", "enabled=Y") as stat, large_workload():
        wait_until(lambda: int(stat.read("estimated_memory_bandwidth")) > MIB, "accesses are counted", 240, every=1)

        def percentiles() -> list[int]:
            return [int(number) for number in stat.read("memory_idle_ms_percentiles").split(",")]

        wait_until(lambda: percentiles()[0] < 0 < percentiles()[100], "some memory is accessed, some is idle", 240, every=1)
        its = percentiles()
        assert its == sorted(its) and len(its) == 101
        assert 100_000 <= int(stat.read("aggr_interval_us")) <= 200_000_000


# As long is some memory idle that the two are compared, in milliseconds.
STAT_IDLE_MS = 10_000


@pytest.mark.stock
@pytest.mark.slow(400)
def test_stat_tells_what_the_in_tree_one_tells(make: Make) -> None:
    """Of the same workload, one after the other: about the same idle times after about the same time. Bandwidth is by what an aggregation
    that has just begun has seen in-tree, which may be little: both see some."""

    def told(parameters: Path) -> dict[str, float]:
        def idle() -> list[int]:
            return [int(number) for number in (parameters / "memory_idle_ms_percentiles").read_text().split(",")]

        (parameters / "enabled").write_text("Y\n")
        began = time.monotonic()
        wait_until(lambda: idle()[90] >= STAT_IDLE_MS, "memory is idle", every=1)
        found = {"bandwidth": int((parameters / "estimated_memory_bandwidth").read_text()), "median": idle()[50]}
        found["seconds"] = time.monotonic() - began
        (parameters / "enabled").write_text("N\n")
        return found

    with large_workload(), make("stat") as ours:
        theirs = told(Path("/sys/module/damon_stat/parameters"))
        its = told(ours.file("enabled").parent)
    print(f"in-tree {theirs}, ours {its}")
    assert theirs["median"] > 0 and theirs["bandwidth"] > MIB and its["bandwidth"] > MIB
    for name in ("median", "seconds"):
        assert theirs[name] / 3 <= its[name] <= 3 * theirs[name], (theirs, its)


def test_stat_is_alone(make: Make, damon: Damon, kdamond: Kdamond, shared_workload: Workload) -> None:
    """While it runs no other kdamond does, and it is not started while one runs."""
    kdamond.add_targets(shared_workload.pid)
    with make("stat") as stat:
        kdamond.on()
        assert stat.refuses("enabled", "Y") == errno.EBUSY
        assert stat.read("enabled") == "N"
        kdamond.off()
        stat.write("enabled", "Y")
        with pytest.raises(OSError) as refused:
            kdamond.on()
        assert refused.value.errno == errno.EBUSY and not kdamond.running
        stat.write("enabled", "N")
        kdamond.on()


def test_stat_refused_at_load(make: Make, kdamond: Kdamond, shared_workload: Workload) -> None:
    """What cannot be enabled is not loaded."""
    kdamond.add_targets(shared_workload.pid)
    kdamond.on()
    with pytest.raises(subprocess.CalledProcessError):
        with make("stat", "enabled=Y"):
            pass
    with make("stat", "enabled=N"):
        pass


# ---- damon_reclaim ----


@pytest.mark.chatty
def test_switches_without_value(make: Make) -> None:
    """A switch that is named when the module is loaded is on. A number must have a value."""
    with make("reclaim", "skip_anon", "enabled") as reclaim:
        assert reclaim.read("skip_anon") == "Y" and reclaim.read("enabled") == "Y" and reclaim.pid > 0
    with pytest.raises(subprocess.CalledProcessError):
        with make("reclaim", "min_age"):
            pass


def test_reclaim_files(make: Make) -> None:
    """Names, defaults and modes are those of the in-tree one."""
    with make("reclaim") as reclaim:
        assert {path.name for path in reclaim.file("enabled").parent.iterdir()} == {
            *("enabled", "commit_inputs", "min_age", "quota_ms", "quota_sz", "quota_reset_interval_ms", "quota_mem_pressure_us"),
            *("quota_autotune_feedback", "autotune_monitoring_intervals", "wmarks_interval", "wmarks_high", "wmarks_mid", "wmarks_low"),
            *("sample_interval", "aggr_interval", "min_nr_regions", "max_nr_regions", "monitor_region_start", "monitor_region_end"),
            *("addr_unit", "skip_anon", "kdamond_pid", "nr_reclaim_tried_regions", "bytes_reclaim_tried_regions"),
            *("nr_reclaimed_regions", "bytes_reclaimed_regions", "nr_quota_exceeds"),
        }
        defaults = {"min_age": 120000000, "quota_ms": 10, "quota_sz": 128 << 20, "quota_reset_interval_ms": 1000, "wmarks_high": 500}
        assert {name: int(reclaim.read(name)) for name in defaults} == defaults
        assert reclaim.refuses("addr_unit", 0) == errno.EINVAL
        assert reclaim.refuses("commit_inputs", "Y") == errno.EINVAL
        reclaim.write("commit_inputs", "N")


def resident(workload: Workload) -> int:
    lines = Path(f"/proc/{workload.pid}/status").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith("VmRSS:")).split()[1])


def swapped_out() -> int:
    """Bytes since the machine was started."""
    return 4096 * vmstat.counters()["pswpout"]


@pytest.mark.slow(300)
def test_reclaim_pages_out(make: Make, swap: None) -> None:
    """Memory that is not accessed goes, really; how much is told. What a process accesses stays."""
    with Workload("--size", "128M", "--hot", "16M") as workload:
        before = swapped_out()
        values = {"min_age": 2_000_000, "quota_ms": 0, "quota_sz": 0, "wmarks_high": 1000, "wmarks_mid": 999, "wmarks_low": 0}
        with make("reclaim", *(f"{name}={value}" for name, value in values.items()), "enabled=Y") as reclaim:
            ram = memory()
            assert int(reclaim.read("monitor_region_start")) == ram[0][0]
            assert int(reclaim.read("monitor_region_end")) == ram[-1][1]
            # Of whom it is depends on where in physical memory it is, and beside what.
            wait_until(lambda: int(reclaim.read("bytes_reclaimed_regions")) > 4 * MIB, "memory that is not accessed goes", 240)
            assert int(reclaim.read("nr_reclaim_tried_regions")) >= int(reclaim.read("nr_reclaimed_regions")) > 0
            wait_until(lambda: swapped_out() > before + 2 * MIB, "it is swapped out")
            assert resident(workload) > 16 * MIB


def test_reclaim_commits_inputs(make: Make, damon: Damon) -> None:
    """Parameters are taken over when that is asked for, and bad ones change nothing."""
    with make("reclaim", "wmarks_high=1000", "wmarks_mid=999", "enabled=Y") as reclaim:

        def sampling() -> object:
            return context(damon)["attrs"]["sample_us"]  # type: ignore[index]

        reclaim.write("sample_interval", 7000)
        assert sampling() == 5000
        reclaim.write("commit_inputs", "Y")
        assert (sampling(), reclaim.read("commit_inputs")) == (7000, "N")
        reclaim.write("min_nr_regions", 2000)
        assert reclaim.refuses("commit_inputs", "Y") == errno.EINVAL
        assert sampling() == 7000 and reclaim.read("enabled") == "Y"


# ---- damon_lru_sort ----


@pytest.mark.slow(300)
def test_lru_sort_sorts(make: Make) -> None:
    """Hot regions are moved up, cold ones down."""
    marks = ("quota_ms=0", "wmarks_high=1000", "wmarks_mid=999", "wmarks_low=0")
    with Workload("--size", "128M", "--hot", "32M"), make("lru_sort", "cold_min_age=1000000", *marks, "enabled=Y") as sort:
        for kind in ("hot", "cold"):
            wait_until(lambda: int(sort.read(f"bytes_lru_sorted_{kind}_regions")) > MIB, f"{kind} memory is moved", 240)
            assert int(sort.read(f"nr_lru_sort_tried_{kind}_regions")) >= int(sort.read(f"nr_lru_sorted_{kind}_regions")) > 0
        sort.write("active_mem_bp", 10_001)
        assert sort.refuses("commit_inputs", "Y") == errno.EINVAL
        sort.write("active_mem_bp", 5_000)
        sort.write("filter_young_pages", "Y")
        sort.write("commit_inputs", "Y")


def test_lru_sort_shares_its_quota(make: Make, damon: Damon) -> None:
    """Each of the two schemes has half of the time, in whole milliseconds. A limit never becomes 0, which is no limit."""
    with make("lru_sort", "enabled=Y") as sort:
        for quota, half in ((30, 15), (3, 1), (1, 1), (0, 0)):
            sort.write("quota_ms", quota)
            sort.write("commit_inputs", "Y")
            assert [scheme["quota"]["ms"] for scheme in context(damon)["schemes"]] == [half, half], quota  # type: ignore[attr-defined]


# ---- both ----

# Free memory never makes these schemes rest.
ALWAYS = ("wmarks_high=1000", "wmarks_mid=999", "wmarks_low=0")


@pytest.mark.parametrize(("name", "least"), [("reclaim", "min_age"), ("lru_sort", "cold_min_age")])
def test_least_age_is_a_time(make: Make, damon: Damon, name: str, least: str) -> None:
    """While the aggregation interval is tuned, the least age stays the same number of microseconds."""

    def now() -> tuple[int, int]:
        its = context(damon)
        return its["attrs"]["aggr_us"], its["schemes"][-1]["access_pattern"]["age"][0]  # type: ignore[index]

    with make(name, f"{least}=30000000", "autotune_monitoring_intervals=Y", *ALWAYS, "enabled=Y"):
        wait_until(lambda: now()[0] != 100_000, "the intervals are tuned")
        aggr, age = now()
        assert age == 30_000_000 // aggr, (aggr, age)


@pytest.mark.parametrize("name", ["reclaim", "lru_sort"])
def test_sizes_are_in_bytes(make: Make, damon: Damon, name: str) -> None:
    """The smallest region and the quota are the same in bytes with any unit of addresses, and never less than a unit."""
    with make(name, "enabled=Y") as its:
        for unit in (1, 512, 4096, 8192):
            for parameter, value in (("addr_unit", unit), ("monitor_region_start", 0), ("monitor_region_end", 0), ("commit_inputs", "Y")):
                its.write(parameter, value)
            for scheme in context(damon)["schemes"]:  # type: ignore[attr-defined]
                assert scheme["access_pattern"]["sz"] == [max(4096 // unit, 1), 2**64 - 1], unit
                if name == "reclaim":
                    assert scheme["quota"]["bytes"] == (128 << 20) // unit


COUNTED = {
    "reclaim": ("nr_reclaim_tried_regions", "bytes_reclaim_tried_regions", "nr_reclaimed_regions", "bytes_reclaimed_regions"),
    "lru_sort": (
        *("nr_lru_sort_tried_cold_regions", "bytes_lru_sort_tried_cold_regions"),
        *("nr_lru_sorted_cold_regions", "bytes_lru_sorted_cold_regions"),
    ),
}


@pytest.mark.parametrize(("name", "least", "unit"), [("reclaim", "min_age", 4096), ("lru_sort", "cold_min_age", 1)])
def test_statistics_go_on(make: Make, damon: Damon, name: str, least: str, unit: int) -> None:
    """Sizes are in bytes. What was counted stays when it is turned off and on, up to the last application before it is turned off."""
    # One application of 1 to 4 MiB, about half a second before the next sample.
    once = ("sample_interval=500000", "aggr_interval=1000000", "quota_ms=1", "quota_reset_interval_ms=3600000", f"{least}=0")
    with make(name, *ALWAYS, *once, f"addr_unit={unit}", *(["quota_sz=1048576"] if name == "reclaim" else [])) as its:
        expected = [0, 0, 0, 0]
        for _ in range(3):
            its.write("enabled", "Y")

            def done() -> list[int]:
                stats = context(damon)["schemes"][-1]["stats"]  # type: ignore[index]
                return [stats["nr_tried"], stats["sz_tried"] * unit, stats["nr_applied"], stats["sz_applied"] * unit]

            wait_until(lambda: done()[0] > 0, "the scheme is applied", every=0.05)
            expected = [before + more for before, more in zip(expected, done(), strict=True)]
            its.write("enabled", "N")
            assert [int(its.read(counted)) for counted in COUNTED[name]] == expected


# ---- all of them ----

# What is another on purpose: the in-tree DAMON_STAT can be on from the start.
AT_LOAD = ("enabled", "kdamond_pid", "aggr_interval_us", "estimated_memory_bandwidth", "memory_idle_ms_percentiles")


@pytest.mark.stock
def test_parameters_are_the_in_tree_ones(make: Make) -> None:
    """Names, modes and values at load."""

    def parameters(folder: Path) -> dict[str, tuple[str, str | None]]:
        return {
            path.name: (filemode(path.stat().st_mode), path.read_text() if path.name not in AT_LOAD else None)
            for path in folder.iterdir()
        }

    with Cases() as cases:
        for name in ("reclaim", "lru_sort", "stat"):
            with cases.case(name), make(name) as its:
                assert parameters(its.file("enabled").parent) == parameters(Path(f"/sys/module/damon_{name}/parameters"))


@pytest.mark.parametrize(("name", "interval"), [("reclaim", "aggr_interval"), ("lru_sort", "sample_interval")])
def test_interval_of_zero(make: Make, name: str, interval: str) -> None:
    """Is refused, also where intervals are tuned; as is what is asked of one that is off, by whether it ever was on."""
    with make(name, "autotune_monitoring_intervals=Y") as its:
        assert its.refuses("commit_inputs", "Y") == errno.EINVAL
        before = its.read(interval)
        its.write(interval, 0)
        assert its.refuses("enabled", "Y") == errno.EINVAL and its.read("enabled") == "N"
        its.write(interval, before)
        for _ in range(3):
            its.write("enabled", "Y")
            its.write(interval, 0)
            assert its.refuses("commit_inputs", "Y") == errno.EINVAL and its.read("enabled") == "Y"
            its.write(interval, before)
            its.write("enabled", "N")
            assert its.refuses("commit_inputs", "Y") == errno.ECANCELED


# Parameters of damon_reclaim, each with what it is by default and another value.
OTHERWISE = {
    "skip_anon": ("N", "Y"),
    "quota_autotune_feedback": (0, 1000),
    "quota_mem_pressure_us": (0, 1000),
    "autotune_monitoring_intervals": ("N", "Y"),
}


def test_what_reclaim_does_otherwise(make: Make, damon: Damon) -> None:
    """Each parameter shows in what the kdamond is given, by a commit, at the start and at load; and each only in its own."""

    def given() -> dict[str, object]:
        its = context(damon)
        scheme = its["schemes"][0]  # type: ignore[index]
        return {
            "skip_anon": len(scheme["filters"]),
            "quota_autotune_feedback": [goal["metric"] for goal in scheme["quota"]["goals"] if goal["metric"] == "user_input"],
            "quota_mem_pressure_us": [goal["metric"] for goal in scheme["quota"]["goals"] if goal["metric"] == "some_mem_psi_us"],
            "autotune_monitoring_intervals": its["attrs"]["intervals_goal"]["aggrs"],  # type: ignore[index]
        }

    changed: dict[str, object] = {}
    with make("reclaim", "enabled=Y") as reclaim, Cases() as cases:
        before = given()
        for name, (default, value) in OTHERWISE.items():
            with cases.case(name):
                assert reclaim.read(name) == str(default)
                reclaim.write(name, value)
                reclaim.write("commit_inputs", "Y")
                after = given()
                assert {key for key in before if before[key] != after[key]} == {name}
                changed[name] = after[name]
                reclaim.write("enabled", "N")
                reclaim.write("enabled", "Y")
                assert given() == after
                reclaim.write(name, default)
                reclaim.write("commit_inputs", "Y")
                assert given() == before
    with make("reclaim", *(f"{name}={value}" for name, (_, value) in OTHERWISE.items()), "enabled=Y"):
        assert given() == changed


def test_users_keep_it_loaded(make: Make, damon: Damon) -> None:
    with make("stat", "enabled=Y"):
        assert subprocess.run(["rmmod", str(damon.module)], stderr=subprocess.DEVNULL).returncode != 0


# ---- samples ----


def test_sample_wsse(make: Make, clean: None) -> None:
    """The working set of a process is its hot part, about."""
    log = KernelLog()
    with Workload("--size", "64M", "--hot", "16M") as workload, make("sample_wsse", f"target_pid={workload.pid}", "enabled=Y"):
        sizes: list[int] = []

        def close() -> bool:
            sizes.extend(int(size) for size in re.findall(r"wss: (\d+)", "\n".join(text for _, text in log.messages(INFO))))
            return any(8 * MIB <= size <= 32 * MIB for size in sizes)

        wait_until(close, f"the working set is found: {sizes}")
    log.close()


@pytest.mark.slow(300)
def test_sample_prcl(make: Make, swap: None) -> None:
    with Workload("--size", "128M", "--hot", "16M") as workload, make("sample_prcl", f"target_pid={workload.pid}", "enabled=Y"):
        wait_until(lambda: resident(workload) < 96 * MIB, "memory that is not accessed goes", 240)
        assert resident(workload) > 16 * MIB


def test_sample_mtier_wants_nodes(make: Make) -> None:
    """Two ways between two nodes; without their addresses, or with a goal of zero, there is none."""
    with make("sample_mtier") as tiers:
        assert tiers.refuses("enabled", "Y") == errno.EINVAL
        for name, value in (("node0_start_addr", 0), ("node0_end_addr", 1 << 30), ("node1_start_addr", 1 << 30)):
            tiers.write(name, value)
        tiers.write("node1_end_addr", 1 << 31)
        tiers.write("node0_mem_free_bp", 0)
        assert tiers.refuses("enabled", "Y") == errno.EINVAL
        assert tiers.read("enabled") == "N"


def test_sample_without_a_process(make: Make) -> None:
    with make("sample_wsse") as wsse:
        wsse.write("target_pid", 2**22 + 1)
        assert wsse.refuses("enabled", "Y") == errno.EINVAL
        assert wsse.refuses("target_pid", "x") == errno.EINVAL
        assert wsse.read("target_pid") == str(2**22 + 1)


def test_sample_modes(make: Make, damon: Damon) -> None:
    """One of the two kdamonds is paused, and what it knows stays."""
    with Workload("--size", "32M", "--hot", "4M") as workload, make("sample_modes", f"target_pid={workload.pid}") as modes:

        def contexts() -> list[dict[str, object]]:
            return [its["context"] for its in status.read(damon)["kdamonds"] if "context" in its]

        assert modes.refuses("foreground", "N") == errno.EINVAL
        modes.write("enabled", "Y")
        assert modes.read("foreground") == "Y"
        assert [its["pause"] for its in contexts()] == [False, True]
        wait_until(lambda: int(str(contexts()[0]["passed_sample_intervals"])) > 50, "the first one works")
        modes.write("foreground", "N")
        assert modes.read("foreground") == "N"
        paused = contexts()[0]
        wait_until(lambda: int(str(contexts()[1]["passed_sample_intervals"])) > 50, "the second one works")
        assert contexts()[0] == paused
        modes.write("foreground", "Y")
        wait_until(lambda: contexts()[0] != paused, "the first one goes on")
        modes.write("enabled", "N")
        assert modes.refuses("foreground", "N") == errno.EINVAL


def test_sample_custom(make: Make, damon: Damon) -> None:
    """An address space that only the module knows is monitored as any other; users cannot name its operations."""
    with make("sample_custom", "hot=128", "enabled=Y") as custom:
        for hot in (128, 300, 0, 64):
            custom.write("hot", hot)
            # Within the smallest regions on both sides of the border.
            wait_until(lambda: abs(int(custom.read("found")) - hot) <= 24, lambda: f"{hot} MiB are found: {custom.read('found')}")
        its = context(damon)
        assert its["ops"] == "custom"
        (target,) = its["targets"]  # type: ignore[misc]
        assert (target["regions"][0]["start"], target["regions"][-1]["end"]) == (0, 1024 * MIB)
        with pytest.raises(OSError):
            custom.write("found", 1)
    kdamond = damon.kdamond()
    assert "custom" not in kdamond.context.read("avail_operations").split()
    with pytest.raises(OSError):
        kdamond.set(ops="custom")

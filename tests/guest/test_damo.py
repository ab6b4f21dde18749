# SPDX-License-Identifier: GPL-2.0
"""damo, unmodified: each of its commands does with ours what it does with the in-tree DAMON, and what it prints is true.

Documentation/admin-guide/mm/damon/damo.rst has the table.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import damon_tree
import ground_truth
from clients import command, environment, run
from damon_tree import Damon, Kdamond, Region
from guest_time import wait_until
from kernel_module import Module
from setting import setting
from workload import MIB, Score, Workload, score

DOCUMENT = Path("/damon-rs/Documentation/admin-guide/mm/damon/damo.rst")
SPECIAL_PURPOSE = ("stat", "reclaim", "lru_sort")

# For as long perf records: it takes some seconds until it begins.
PERF_SECONDS = 10

# A region is hot from this share of samples on.
HOT_PERCENT = 25

Damo = Callable[..., str]

pytestmark = pytest.mark.slow(600)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where damo leaves its files, and what it takes for the user's home."""
    if not shutil.which("damo"):
        pytest.skip("the guest has no damo")
    before = os.environ["HOME"]
    os.environ["HOME"] = str(tmp_path_factory.mktemp("home"))
    yield tmp_path_factory.mktemp("damo")
    os.environ["HOME"] = before


@pytest.fixture(scope="module", autouse=True)
def profiling_rate() -> Iterator[None]:
    """damo has perf profile the processors where nothing else is asked for, and an emulated one does nothing else than what it is asked
    for 4,000 times a second."""
    with setting(Path("/proc/sys/kernel/perf_event_max_sample_rate"), "1000"):
        yield


@pytest.fixture(scope="module")
def modules(damon: Damon) -> Iterator[None]:
    """The special-purpose modules are there."""
    with contextlib.ExitStack() as stack:
        for name in SPECIAL_PURPOSE if damon.is_ours else ():
            stack.enter_context(Module(f"{damon.name}_{name}"))
        yield


@pytest.fixture
def damo(damon: Damon, modules: None, folder: Path, clean: None) -> Damo:
    def call(*words: str, status: int = 0) -> str:
        result = run(damon, "damo", *words, cwd=folder)
        assert result.returncode == status, result.stdout
        return result.stdout

    return call


@pytest.fixture
def started(damon: Damon, damo: Damo, shared_workload: Workload) -> Kdamond:
    """damo monitors the shared workload."""
    damo("start", str(shared_workload.pid))
    (kdamond,) = damon.kdamonds()
    assert kdamond.running
    return kdamond


def amount(text: str) -> float:
    """A size as damo prints it, in bytes."""
    value, unit = text.replace(",", "").split()[:2]
    return float(value) * {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}[unit]


def seen(damo: Damo) -> list[Region]:
    """What `report access` shows; its percents stand for accesses."""
    formats = ("record_head", "record_tail", "snapshot_head", "snapshot_tail")
    empty = [word for name in formats for word in (f"--format_{name}", "")]
    text = damo("report", "access", "--raw_number", *empty, "--format_region", "<start address> <end address> <access rate>")
    rows = re.findall(r"^(\d+) (\d+) ([\d.]+)", text.replace(",", ""), re.MULTILINE)
    assert rows, text
    return [Region(int(start), int(end), int(float(percent)), 0) for start, end, percent in rows]


def good(its: Score) -> bool:
    return its.precision >= 0.6 and its.recall >= 0.6


def find_hot(damo: Damo, workload: Workload) -> None:
    """Waits until damo shows the hot area."""
    last: list[Score] = []

    def found() -> bool:
        last.append(score(seen(damo), workload.hot, HOT_PERCENT))
        return good(last[-1])

    wait_until(found, lambda: f"damo shows what is hot: {last[-1]}", timeout=300)


def recorded(damon: Damon, folder: Path, workload: Workload, seconds: int, tracer: str, *what: str, name: str = "damon.data") -> Path:
    """A file that `damo record` has made of a workload whose hot area was known."""

    def call(*words: str) -> str:
        result = run(damon, "damo", *words, cwd=folder)
        assert result.returncode == 0, result.stdout
        return result.stdout

    damon.reset()
    call("start", str(workload.pid))
    find_hot(call, workload)
    options = ("--timeout", str(seconds), "--exclude_child_tasks", "--damon_tracer", tracer, "--out", name)
    call("record", "ongoing", *options, "--do_record", *what)
    damon.reset()
    return folder / name


@pytest.fixture(scope="module")
def record(damon: Damon, modules: None, folder: Path, shared_workload: Workload) -> Path:
    """One that has everything, by trace-cmd."""
    return recorded(damon, folder, shared_workload, 4, "trace-cmd", "access", "mem_footprint", "vmas", "proc_stats")


# ---- control ----


def test_start_report_tune_stop(damon: Damon, damo: Damo, started: Kdamond, shared_workload: Workload) -> None:
    """What is hot is found; parameters change while it runs; it is paused, goes on and stops."""
    pid = str(shared_workload.pid)
    assert started.context.read("targets/0/pid_target") == pid
    find_hot(damo, shared_workload)

    damo("tune", pid, "--monitoring_intervals", "10ms", "200ms", "1s")
    assert started.attrs.number("intervals/aggr_us") == 200000
    assert "sample 10 ms, aggr 200 ms, update 1 s" in damo("report", "damon", "--damon_params")

    damo("tune", pid, "--pause_ctx", "0")
    assert started.context.read("pause") == "Y"
    assert "Operation canceled" in damo("report", "access", status=1)
    shown = damo("report", "damon")
    assert f"state: on, pid: {started.pid}" in shown and f"pid: {pid}" in shown
    assert json.loads(damo("report", "damon", "--json"))

    damo("tune", pid)
    assert started.context.read("pause") == "N"
    assert seen(damo)
    assert "No probe" in damo("report", "attrs")
    damo("stop")
    assert not Kdamond(started.path).running


def test_schemes_and_their_statistics(damon: Damon, damo: Damo, shared_workload: Workload) -> None:
    damo("start", str(shared_workload.pid), "--damos_action", "stat")
    (kdamond,) = damon.kdamonds()
    wait_until(lambda: kdamond.stats()["nr_tried"] > 0, "the scheme is tried")
    stats = dict(re.findall(r"^(\w+): (\S+)", damo("report", "damon", "--damos_stats"), re.MULTILINE))
    assert int(stats["nr_tried"].replace(",", "")) > 0 and stats["nr_applied"] == "0", stats
    assert "on" in damo("report", "damon", "--kdamonds_summary")


def test_schemes(damon: Damon, damo: Damo, folder: Path) -> None:
    """`damo schemes` ends with its target, and leaves nothing running."""
    with Workload("--size", "2M", "--hot", "4K") as workload:
        words = command(damon, "damo", "schemes", str(workload.pid), "--damos_action", "stat")
        with subprocess.Popen(words, cwd=folder, env=environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as its:
            # Not before damo has seen that the kdamond runs: it waits for that for as long as it takes.
            assert its.stdout and its.stdout.readline() == "Press Ctrl+C to stop\n"
            (kdamond,) = damon.kdamonds()
            assert [scheme.read("action") for scheme in kdamond.schemes] == ["stat"]
            workload.kill()
            output = its.communicate(timeout=120)[0]
    assert its.returncode == 0, output
    assert not any(kdamond.running for kdamond in damon.kdamonds())


def test_monitor(damon: Damon, damo: Damo, shared_workload: Workload) -> None:
    output = damo("monitor", str(shared_workload.pid), "--count", "1", "--delay", str(PERF_SECONDS), "--report_type", "wss")
    assert re.search(r"^# avr:\s+[\d.]+ [KM]iB", output, re.MULTILINE), output
    assert not any(kdamond.running for kdamond in damon.kdamonds())


# ---- records ----


def test_record(record: Path, shared_workload: Workload) -> None:
    """The recorded trace events say what is hot."""
    taken = ground_truth.snapshots(record)
    assert len(taken) >= 3
    assert any(good(score(snapshot.regions, shared_workload.hot, 5)) for snapshot in taken)


def test_report_record_info(record: Path, damo: Damo) -> None:
    output = damo("report", "record_info")
    assert "kdamond_idx: 0" in output and re.search(r"^region\s+2: \[", output, re.MULTILINE), output


def test_report_heatmap(record: Path, damo: Damo, shared_workload: Workload) -> None:
    """The brightest place is in the hot area."""
    start, end = shared_workload.area
    columns = 32
    picture = damo(
        "report", "heatmap", "--resol", "3", str(columns), "--address_range", str(start), str(end), "--stdout_skip_colorset_example",
    )  # fmt: skip
    rows = ground_truth.damo_rows(picture)
    assert len(rows) == 3 and {len(row) for row in rows} == {columns}
    heat = [sum(ground_truth.SHADES.find(row[column]) for row in rows) for column in range(columns)]
    brightest = start + (end - start) * (2 * heat.index(max(heat)) + 1) // (2 * columns)
    assert shared_workload.hot[0] <= brightest < shared_workload.hot[1], picture


def test_report_wss(record: Path, damo: Damo, shared_workload: Workload) -> None:
    output = damo("report", "wss")
    (average,) = re.findall(r"^# avr:\s+(\S+ \S+)", output, re.MULTILINE)
    hot = shared_workload.hot[1] - shared_workload.hot[0]
    assert hot / 2 <= amount(average) <= 4 * hot, output


def test_report_nr_regions(record: Path, damo: Damo) -> None:
    output = damo("report", "nr_regions")
    (average,) = re.findall(r"^# avr:\s+(\S+)", output, re.MULTILINE)
    assert 3 <= float(average) <= 1000, output


def test_report_footprints(record: Path, damo: Damo, shared_workload: Workload) -> None:
    output = damo("report", "footprints")
    averages = re.findall(r"^# <percentile> <(\w+)>\n# avr:\s+(\S+ \S+)", output, re.MULTILINE)
    size = shared_workload.area[1] - shared_workload.area[0]
    assert size <= amount(dict(averages)["rss"]) <= size + 16 * MIB, output


def test_report_times(record: Path, damo: Damo) -> None:
    """Of what was accessed at all: within the time that was recorded."""
    taken = ground_truth.snapshots(record)
    found = re.findall(r"^([\d.]+)-([\d.]+)$", damo("report", "times"), re.MULTILINE)
    assert found
    for start, end in found:
        assert taken[0].start / 1e9 - 1 <= float(start) < float(end) <= taken[-1].end / 1e9 + 1


def test_report_holistic(record: Path, damo: Damo) -> None:
    output = damo("report", "holistic")
    assert "# Heatmap" in output and output.count("# target 0, address range") == 3, output


def test_adjust(record: Path, damo: Damo) -> None:
    """Four aggregation intervals become one."""
    damo("adjust", "--aggregate_interval", "400000", "--skip", "1")
    before, after = (ground_truth.snapshots(path) for path in (record, record.with_name("damon.adjusted.data")))
    assert 0 < len(after) < len(before)


def test_convert_record_format(record: Path, damo: Damo) -> None:
    damo("convert_record_format", "--format", "json", "--output_file", "converted")
    (target,) = json.loads(record.with_name("converted").read_text())
    assert len(target["snapshots"]) == len(ground_truth.snapshots(record))


def test_validate(record: Path, damo: Damo) -> None:
    damo("validate", "--aggr", "1", str(10**9))
    assert "nr_regions" in damo("validate", "--aggr", "1", str(10**9), "--nr_regions", "1", "2", status=1)


def test_replay(record: Path, damo: Damo) -> None:
    assert "all snapshots are replayed" in damo("replay")


def test_record_snapshots(damon: Damon, damo: Damo, started: Kdamond, folder: Path) -> None:
    """By the files of tried regions, without a trace."""
    damo("record", "ongoing", "--snapshot", "1s", "2", "--out", "snapshots.data")
    assert len(ground_truth.snapshots(folder / "snapshots.data")) == 2


def have(program: str) -> None:
    if not shutil.which(program):
        pytest.skip(f"the guest has no {program}")


@pytest.fixture(scope="module")
def perf_record(damon: Damon, modules: None, folder: Path, shared_workload: Workload) -> Path:
    """As `record`, by perf."""
    have("perf")
    return recorded(damon, folder, shared_workload, PERF_SECONDS, "perf", "access", name="perf.data")


@pytest.fixture(scope="module")
def profile(damon: Damon, modules: None, folder: Path, shared_workload: Workload) -> Path:
    """As `record`, and what the processors did meanwhile, by perf."""
    have("perf")
    return recorded(damon, folder, shared_workload, PERF_SECONDS, "trace-cmd", "access", "cpu_profile", name="profiled.data")


def test_record_by_perf(perf_record: Path, shared_workload: Workload) -> None:
    """The recorded trace events say what is hot."""
    taken = ground_truth.snapshots(perf_record)
    assert len(taken) >= 3
    assert any(good(score(snapshot.regions, shared_workload.hot, 5)) for snapshot in taken)


def test_report_wss_by_perf(perf_record: Path, damo: Damo, shared_workload: Workload) -> None:
    output = damo("report", "wss", "--input", str(perf_record))
    (average,) = re.findall(r"^# avr:\s+(\S+ \S+)", output, re.MULTILINE)
    hot = shared_workload.hot[1] - shared_workload.hot[0]
    assert hot / 2 <= amount(average) <= 4 * hot, output


def test_report_profile(profile: Path, damo: Damo) -> None:
    """Where the processors were while there was access: in the workload too."""
    output = damo("report", "profile", "--inputs", str(profile), f"{profile}.profile")
    assert re.search(r"^ +[\d.]+% +\S+ +workload +\[\.\] ", output, re.MULTILINE), output


def end(process: subprocess.Popen[str], tracer: str) -> None:
    """Interrupts damo as a user does. Where its tracer does not end by that, which is between these two, both are ended otherwise."""
    try:
        os.killpg(process.pid, signal.SIGINT)
        process.communicate(timeout=20)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        if tracer == "trace-cmd":
            subprocess.run(["trace-cmd", "reset"], check=True)


# Where no event comes there is no use in waiting for as long as others take.
@pytest.mark.slow(150)
@pytest.mark.parametrize("tracer", ["trace-cmd", "perf"])
def test_report_trace(damon: Damon, damo: Damo, shared_workload: Workload, folder: Path, tracer: str) -> None:
    """It shows events as they come, of our kdamond."""
    have(tracer)
    # Not more events than damo can show: it is an interpreter in an emulated machine.
    damo("start", str(shared_workload.pid), "--monitoring_intervals", "10ms", "500ms", "1s", "--monitoring_nr_regions_range", "10", "20")
    (started,) = damon.kdamonds()
    words = command(damon, "damo", "report", "trace", "--event", "damon:damon_aggregated", "--tracer", tracer)
    with subprocess.Popen(
        words, cwd=folder, env=environment(), text=True, start_new_session=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    ) as its:  # fmt: skip
        assert its.stdout
        try:
            lines = [its.stdout.readline() for _ in range(20)]
        finally:
            end(its, tracer)
    shown = [line for line in lines if re.search(rf"[-/]{started.pid} ", line) and "damon:damon_aggregated" in line]
    assert len(shown) >= 10, lines


# ---- what there is ----


def supported(text: str) -> set[str]:
    return set(re.findall(r"^(?:interface|lru_sort|reclaim|stat|sysfs|trace)/\w+$", text, re.MULTILINE))


def test_features(damon: Damon, damo: Damo, folder: Path) -> None:
    """At least the 73 of the in-tree DAMON of 7.2; and beside it, each of its own."""
    ours = supported(damo("features", "supported"))
    assert len(ours) >= 73
    if not damon.is_ours:
        return
    assert len(ours) >= 74 and "sysfs/probe_weights" in ours
    if damon_tree.in_tree():
        home = folder / "another-home"
        home.mkdir()
        result = subprocess.run(["damo", "features", "supported"], env=os.environ | {"HOME": str(home)}, capture_output=True, text=True, check=True)
        theirs = supported(result.stdout)
        # The one that ours has in addition is in-tree since 7.3.
        assert len(theirs) >= 73 and (theirs < ours or (theirs == ours and "sysfs/probe_weights" in theirs))


def test_diagnose(damon: Damon, damo: Damo, started: Kdamond) -> None:
    output = damo("diagnose", "--verbose")
    report = json.loads(output[output.index("{") :])
    (kdamond,) = report["sysfs"]["kdamonds"]
    assert kdamond["state"] == "on" and str(started.pid) in json.dumps(kdamond)
    assert report["damon_reclaim_status"]["enabled"] == report["damon_lru_sort_status"]["enabled"] == "N"


def test_report_sysinfo(damon: Damon, damo: Damo) -> None:
    output = damo("report", "sysinfo")
    assert f"kernel version: {os.uname().release}" in output
    assert not damon.is_ours or "DAMON version: 7.3" in output


# ---- modules ----


@pytest.mark.parametrize("name", ["reclaim", "lru_sort"])
def test_module(damon: Damon, damo: Damo, name: str) -> None:
    """The command turns ours on and off, and not the in-tree one beside it."""
    parameters = Path(f"/sys/module/{damon.name}_{name}/parameters")
    beside = Path(f"/sys/module/damon_{name}/parameters")
    others = {path.name: path.read_text() for path in beside.iterdir() if path.stat().st_mode & 0o400} if damon.name != "damon" else {}
    damo(name, "enable", "--wmarks", "1000000", "999", "998", "0")
    assert (parameters / "enabled").read_text() == "Y\n"
    assert (parameters / "wmarks_high").read_text() == "999\n"
    assert f"kdamond_pid: {(parameters / 'kdamond_pid').read_text().strip()}" in damo(name, "status")
    damo(name, "disable")
    assert (parameters / "enabled").read_text() == "N\n"
    assert (parameters / "kdamond_pid").read_text() == "-1\n"
    assert all((beside / file).read_text() == text for file, text in others.items())


def test_module_stat(damon: Damon, damo: Damo) -> None:
    enabled = Path(f"/sys/module/{damon.name}_stat/parameters/enabled")
    damo("module", "stat", "write", "enabled", "Y")
    try:
        assert enabled.read_text() == "Y\n"
        assert "enabled: Y" in damo("module", "stat", "read")
        percentiles = re.findall(r"^ *\d+ -?[\d.]+ ", damo("module", "stat", "read", "idle_time_percentiles"), re.MULTILINE)
        assert len(percentiles) == 11
    finally:
        damo("module", "stat", "write", "enabled", "N")
    assert enabled.read_text() == "N\n"


# ---- as-damon ----


@pytest.mark.ours
@pytest.mark.stock
def test_in_tree_is_not_touched(damon: Damon, damo: Damo, started: Kdamond, folder: Path) -> None:
    """Neither its directory, nor its events, nor what damo knows of it."""
    in_tree = damon_tree.in_tree()
    assert in_tree and not in_tree.kdamonds()
    assert not Path(os.environ["HOME"], ".damo.sysinfo").read_text()
    assert "sysfs/probe_weights" in Path(os.environ["HOME"], ".damo.sysinfo.damon_rs").read_text()
    events = Path("/sys/kernel/tracing/available_events").read_text().splitlines()
    assert "damon_rs:damon_aggregated" in events and "damon:damon_aggregated" in events
    assert str(damon.root) not in Path("/proc/self/mountinfo").read_text()


@pytest.mark.ours
def test_as_damon_says_what_is_wrong(damon: Damon, folder: Path) -> None:
    result = run(damon, "no-such-command")
    assert result.returncode == 1 and "no-such-command: No such file" in result.stdout
    assert run(damon, "sh", "-c", "exit 7").returncode == 7


# ---- the table ----


def commands(help_text: str) -> set[str]:
    """Those that damo's help lists."""
    return set(re.findall(r"^ {4}(\w+) {2,}\S", help_text, re.MULTILINE)) | set(re.findall(r"^ {4}(\w{18,})$", help_text, re.MULTILINE))


def test_table(damo: Damo) -> None:
    """Each command of damo is in the document, and no other."""
    every = commands(damo("--help")) - {"report"} | {f"report {name}" for name in commands(damo("report", "--help"))}
    assert len(every) > 30
    assert set(re.findall(r"^   \* - ``([\w ]+)``$", DOCUMENT.read_text(), re.MULTILINE)) == every

# SPDX-License-Identifier: GPL-2.0
"""scripts/heatmap.py shows what is hot, and leaves nothing behind."""

from __future__ import annotations

import re
import signal
import subprocess
from pathlib import Path

import pytest

import status
from damon_tree import Damon, Kdamond
from guest_time import wait_until
from workload import Workload

pytestmark = pytest.mark.ours

SCRIPT = "/damon-rs/scripts/heatmap.py"
SHADES = "·░▒▓█"
COLUMNS = 64


def heatmap(*words: object) -> subprocess.CompletedProcess[str]:
    command = ["python3", SCRIPT, *map(str, words)]
    return subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def picture(text: str) -> list[str]:
    return re.findall(rf"^ *[\d.]+ s ([{SHADES}]+)(?: paused)?$", text, re.MULTILINE)


def hot_columns(workload: Workload, text: str) -> range:
    """Those that the hot area is in, or touches, by the areas that the picture says it is of."""
    areas = [(int(start, 16), int(end, 16)) for start, end in re.findall(r"(0x[0-9a-f]+)-(0x[0-9a-f]+)", text)]
    whole = sum(end - start for start, end in areas)
    first, last = (COLUMNS * sum(min(max(at - start, 0), end - start) for start, end in areas) / whole for at in workload.hot)
    return range(int(first), int(last) + 1)


def test_of_what_is_monitored(damon: Damon, monitoring: Kdamond, shared_workload: Workload) -> None:
    """The hottest column is in the hot area. The kdamond is somebody else's, and goes on."""
    pid = monitoring.pid
    last = ""

    def found() -> bool:
        nonlocal last
        result = heatmap(shared_workload.pid, "--rows", 3, "--every", 0.1, "--columns", COLUMNS)
        assert result.returncode == 0, result.stdout
        last = result.stdout
        rows = picture(last)
        assert len(rows) == 3 and {len(row) for row in rows} == {COLUMNS}, last
        heat = [sum(SHADES.find(row[column]) for row in rows) for column in range(COLUMNS)]
        return max(heat) > 3 and heat.index(max(heat)) in hot_columns(shared_workload, last)

    wait_until(found, lambda: f"the hot area is shown: {last}", timeout=200)
    assert monitoring.running and monitoring.pid == pid


def test_of_what_is_paused(monitoring: Kdamond, shared_workload: Workload) -> None:
    monitoring.snapshot()
    monitoring.set(pause="Y")
    monitoring.commit()
    assert heatmap(shared_workload.pid, "--rows", 1).stdout.rstrip().endswith(" paused")


def test_by_itself(damon: Damon, shared_workload: Workload) -> None:
    """It starts a kdamond if there is none, and takes it away."""
    result = heatmap(shared_workload.pid, "--rows", 2, "--columns", COLUMNS)
    assert result.returncode == 0 and len(picture(result.stdout)) == 2, result.stdout
    assert damon.kdamonds() == [] and status.read(damon)["kdamonds"] == []


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM])
def test_interrupted(damon: Damon, shared_workload: Workload, by: signal.Signals) -> None:
    with subprocess.Popen(["python3", SCRIPT, str(shared_workload.pid)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as its:
        assert its.stdout and its.stdout.readline() and its.stdout.readline()
        its.send_signal(by)
        its.communicate(timeout=60)
    assert its.returncode == 0
    assert damon.kdamonds() == []


def test_end_of_the_process(damon: Damon) -> None:
    with Workload("--size", "2M", "--hot", "4K") as workload:
        with subprocess.Popen(["python3", SCRIPT, str(workload.pid)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as its:
            assert its.stdout and its.stdout.readline() and its.stdout.readline()
            workload.kill()
            rest = its.communicate(timeout=120)[0]
    assert its.returncode == 0 and ("ended" in rest or "not monitored" in rest)
    assert damon.kdamonds() == []


def test_refused(kdamond: Kdamond, shared_workload: Workload) -> None:
    """It takes no directories away from others."""
    result = heatmap(shared_workload.pid)
    assert result.returncode == 1 and "somebody else" in result.stdout
    assert kdamond.exists()


def test_no_such_process(damon: Damon) -> None:
    """No directories stay behind."""
    result = heatmap(2**22 + 1)
    assert result.returncode == 1 and "Invalid argument" in result.stdout
    assert damon.kdamonds() == [] and not Path(f"/proc/{2**22 + 1}").exists()

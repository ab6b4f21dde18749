# SPDX-License-Identifier: GPL-2.0
"""The stress program finds a caller that waits for ever, and shows where."""

import subprocess
from pathlib import Path

import pytest

from damon_tree import Damon
from kernel_module import module_file

STRESS = Path(__file__).with_name("stress") / "stress"

pytestmark = pytest.mark.ours


def test_stuck_caller(damon: Damon) -> None:
    command = [STRESS, "--stuck", "--module", module_file(), "--patience", "2", "--seconds", "120"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=150)
    assert run.returncode == 1
    assert "waiter 0 is stuck for 2 s: update_schemes_tried_regions to 0/state" in run.stdout
    caller, _, others = run.stdout.partition("kdamond.0, process ")
    assert "its stack:" in caller and f"[{damon.module}]" in caller
    assert "its stack:" in others and f"[{damon.module}]" in others

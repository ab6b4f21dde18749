# SPDX-License-Identifier: GPL-2.0
"""The examples in the documentation of the crate compile, and do what they say."""

import re
from pathlib import Path

import pytest

from damon_tree import Damon
from kernel_log import INFO, KernelLog
from kernel_module import Module

pytestmark = pytest.mark.ours

NAME = "damon_doctests"


def test_examples(damon: Damon, clean: None) -> None:
    """They run as unit tests when their module is loaded."""
    if not Path("/sys/module/kunit").is_dir():
        pytest.skip("this kernel runs no unit tests")
    if not Path(f"/damon-rs/modules/{NAME}.ko").exists():
        pytest.skip("the examples were not built")
    log = KernelLog()
    with Module(NAME):
        said = [message.text.strip() for message in log.messages(INFO)]
    log.close()
    assert not [line for line in said if line.startswith("not ok")], said
    assert len([line for line in said if re.fullmatch(r"ok \d+ src_\w+", line)]) >= 3, said
    assert [line for line in said if re.fullmatch(rf"ok \d+ {NAME}", line)], said

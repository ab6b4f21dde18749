# SPDX-License-Identifier: GPL-2.0
"""Kernel modules: the DAMON under test, and those that are built on its Rust API."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest


def module_file() -> str:
    """The file of the DAMON under test."""
    given = os.environ.get("DAMON_RS_MODULE")
    return given or str(next(Path("/damon-rs/modules").glob("damon*.ko")))


class Module:
    """A module, loaded as long as this is used as a context manager."""

    def __init__(self, name: str, *parameters: str) -> None:
        self.name = name
        self._parameters = parameters

    def __enter__(self) -> Module:
        subprocess.run(["insmod", f"/damon-rs/modules/{self.name}.ko", *self._parameters], check=True, timeout=60, stderr=subprocess.PIPE)
        return self

    def __exit__(self, *_: object) -> None:
        subprocess.run(["rmmod", self.name], check=True, timeout=60)

    def file(self, name: str) -> Path:
        return Path("/sys/module", self.name, "parameters", name)

    def read(self, name: str) -> str:
        return self.file(name).read_text().rstrip("\n")

    def write(self, name: str, value: object) -> None:
        self.file(name).write_text(f"{value}\n")

    def refuses(self, name: str, value: object) -> int:
        with pytest.raises(OSError) as refused:
            self.write(name, value)
        return refused.value.errno or 0

    @property
    def pid(self) -> int:
        return int(self.read("kdamond_pid"))

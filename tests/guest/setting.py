# SPDX-License-Identifier: GPL-2.0
"""A setting of the machine that is changed for a while."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Iterator


@contextlib.contextmanager
def setting(file: Path, value: str) -> Iterator[None]:
    """The file has this value inside, and then again the one that it had before."""
    before = file.read_text()
    file.write_text(value)
    try:
        yield
    finally:
        file.write_text(before)

# SPDX-License-Identifier: GPL-2.0
"""Access to DAMON's sysfs tree: which DAMON is under test, and its files as they are.

Nothing here hides an error: a write that the kernel refuses is an OSError with the kernel's errno.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Iterator, NamedTuple

from guest_time import wait_until

SYSFS = Path("/sys/kernel/mm")
TRACEFS = Path("/sys/kernel/tracing")
DEBUGFS = Path("/sys/kernel/debug")

ULONG_MAX = 2**64 - 1
UINT_MAX = 2**32 - 1

# The intervals of a new context, in seconds.
SAMPLE = 0.005
AGGREGATION = 0.1
UPDATE = 1.0


class Region(NamedTuple):
    start: int
    end: int
    nr_accesses: int
    age: int

    @property
    def size(self) -> int:
        return self.end - self.start


def read_number(path: str) -> int:
    fd = os.open(path, os.O_RDONLY)
    try:
        return int(os.read(fd, 64))
    finally:
        os.close(fd)


class Dir:
    """A directory of the tree."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)

    def __truediv__(self, name: str | int) -> Dir:
        return Dir(self.path / str(name))

    def __repr__(self) -> str:
        return f"Dir({self.path})"

    def read(self, name: str) -> str:
        """The file's contents as the kernel gives them, without the final newline."""
        fd = os.open(f"{self.path}/{name}", os.O_RDONLY)
        try:
            return os.read(fd, 65536).decode().removesuffix("\n")
        finally:
            os.close(fd)

    def number(self, name: str) -> int:
        return int(self.read(name))

    def write(self, name: str, value: object) -> None:
        """One write(2), as `echo` does it: with a newline. Bytes are written as they are."""
        data = value if isinstance(value, bytes) else f"{value}\n".encode()
        fd = os.open(f"{self.path}/{name}", os.O_WRONLY)
        try:
            os.write(fd, data)
        finally:
            os.close(fd)

    def numbered(self) -> list[Dir]:
        """The subdirectories 0, 1, 2, …, in this order."""
        names = [name for name in os.listdir(self.path) if name.isdecimal()]
        return [self / name for name in sorted(names, key=int)]

    def files(self) -> Iterator[str]:
        """Every file below, as a path relative to this directory, sorted."""
        for folder, folders, names in os.walk(self.path):
            folders.sort()
            for name in sorted(names):
                yield str((Path(folder) / name).relative_to(self.path))

    def exists(self, name: str = ".") -> bool:
        return (self.path / name).exists()


class Kdamond(Dir):
    """kdamonds/N, with at most the one context that DAMON allows."""

    @property
    def context(self) -> Dir:
        return self / "contexts/0"

    @property
    def attrs(self) -> Dir:
        return self.context / "monitoring_attrs"

    @property
    def schemes(self) -> list[Dir]:
        return (self.context / "schemes").numbered()

    @property
    def targets(self) -> list[Dir]:
        return (self.context / "targets").numbered()

    @property
    def pid(self) -> int:
        return self.number("pid")

    @property
    def running(self) -> bool:
        return self.read("state") == "on"

    def state(self, command: str) -> None:
        self.write("state", command)

    def commit(self) -> None:
        self.state("commit")

    def on(self) -> None:
        self.state("on")

    def off(self) -> None:
        self.state("off")

    def stop(self) -> None:
        """Off, whether it runs or not."""
        try:
            self.off()
        except OSError:
            pass
        wait_until(lambda: not self.running, "the kdamond ends")

    def set(self, **values: object) -> None:
        """Monitoring attributes: sample_us, aggr_us, update_us, min_regions, max_regions; pause."""
        files = {
            "sample_us": "monitoring_attrs/intervals/sample_us",
            "aggr_us": "monitoring_attrs/intervals/aggr_us",
            "update_us": "monitoring_attrs/intervals/update_us",
            "min_regions": "monitoring_attrs/nr_regions/min",
            "max_regions": "monitoring_attrs/nr_regions/max",
            "pause": "pause",
            "ops": "operations",
        }
        for name, value in values.items():
            self.context.write(files[name], value)

    def add_targets(self, *pids: int) -> None:
        self.context.write("targets/nr_targets", len(pids))
        for target, pid in zip(self.targets, pids):
            target.write("pid_target", pid)

    def set_init_regions(self, ranges: list[tuple[int, int]], target: int = 0) -> None:
        regions = self.targets[target] / "regions"
        regions.write("nr_regions", len(ranges))
        for folder, (start, end) in zip(regions.numbered(), ranges):
            folder.write("start", start)
            folder.write("end", end)

    def add_stat_schemes(self, count: int = 1) -> None:
        """Schemes that apply to every region and do nothing but count them."""
        self.context.write("schemes/nr_schemes", count)
        for scheme in self.schemes:
            scheme.write("action", "stat")
            set_pattern(scheme)

    def update_regions(self, command: str = "update_schemes_tried_regions") -> None:
        self.state(command)

    def _tried_folders(self, scheme: int) -> list[str]:
        """Plain names: there can be a thousand of these folders, with four files each."""
        root = f"{self.path}/contexts/0/schemes/{scheme}/tried_regions"
        return [f"{root}/{name}" for name in sorted(filter(str.isdecimal, os.listdir(root)), key=int)]

    def tried_regions(self, scheme: int = 0) -> list[Region]:
        """What the last update left, whenever that was."""
        return [Region(*(read_number(f"{folder}/{name}") for name in Region._fields)) for folder in self._tried_folders(scheme)]

    def count_regions(self, scheme: int = 0) -> int:
        self.update_regions()
        return len(self._tried_folders(scheme))

    def oldest(self, scheme: int = 0) -> int:
        """The highest age of a region, which is a quarter of the files of a snapshot."""
        self.update_regions()
        return max(read_number(f"{folder}/age") for folder in self._tried_folders(scheme))

    def snapshot(self, scheme: int = 0) -> list[Region]:
        self.update_regions()
        return self.tried_regions(scheme)

    def nr_snapshots(self, scheme: int = 0) -> int:
        """How often a scheme was applied."""
        self.state("update_schemes_stats")
        return self.context.number(f"schemes/{scheme}/stats/nr_snapshots")

    def stats(self, scheme: int = 0, update: bool = True) -> dict[str, int]:
        if update:
            self.state("update_schemes_stats")
        folder = self.schemes[scheme] / "stats"
        return {name: folder.number(name) for name in folder.files()}


def set_pattern(
    scheme: Dir,
    size: tuple[int, int] = (0, ULONG_MAX),
    nr_accesses: tuple[int, int] = (0, UINT_MAX),
    age: tuple[int, int] = (0, UINT_MAX),
) -> None:
    for name, limits in (("sz", size), ("nr_accesses", nr_accesses), ("age", age)):
        for end, value in zip(("min", "max"), limits):
            scheme.write(f"access_pattern/{name}/{end}", value)


@dataclass(frozen=True)
class Damon:
    """One DAMON of this kernel and its names."""

    name: str  # of the sysfs directory, the trace system and the debugfs directory
    module: str | None  # None: it is part of the kernel

    @property
    def root(self) -> Path:
        return SYSFS / self.name

    @property
    def admin(self) -> Dir:
        return Dir(self.root / "admin")

    @property
    def events(self) -> Path:
        return TRACEFS / "events" / self.name

    @property
    def status(self) -> Path:
        """Only ours has it. Not in debugfs/damon, which `damo` takes for the interface of old kernels."""
        return DEBUGFS / "damon_rs/status" if (DEBUGFS / "damon_rs").exists() else DEBUGFS / self.name / "status"

    @property
    def is_ours(self) -> bool:
        return self.module is not None

    def kdamonds(self, count: int | None = None) -> list[Kdamond]:
        """The kdamond directories; with a number, so many new ones."""
        folder = self.admin / "kdamonds"
        if count is not None:
            folder.write("nr_kdamonds", count)
        return [Kdamond(kdamond.path) for kdamond in folder.numbered()]

    def kdamond(self) -> Kdamond:
        """A single new kdamond with a context."""
        (kdamond,) = self.kdamonds(1)
        kdamond.write("contexts/nr_contexts", 1)
        return kdamond

    def reset(self) -> None:
        """No kdamond, and none of their directories."""
        for kdamond in self.kdamonds():
            kdamond.stop()
        self.kdamonds(0)


def loaded_modules() -> set[str]:
    return {line.split()[0] for line in Path("/proc/modules").read_text().splitlines()}


def in_tree() -> Damon | None:
    """The DAMON that is built into this kernel."""
    if "damon" in loaded_modules() or not (SYSFS / "damon").is_dir():
        return None
    return Damon("damon", None)


def has_idle_flag() -> bool:
    """Whether pages have the flags young and idle (CONFIG_PAGE_IDLE_FLAG). All that uses them in these kernels shows itself."""
    return Path("/sys/kernel/mm/page_idle").is_dir() or in_tree() is not None


def ours() -> Damon | None:
    """The DAMON that was loaded as a module."""
    for name in ("damon", "damon_rs"):
        if name in loaded_modules():
            return Damon(name, name)
    return None


def free_in_tree() -> None:
    """Ends DAMON_STAT, which many kernels start at boot and which keeps all other users of the in-tree DAMON out."""
    enabled = Path("/sys/module/damon_stat/parameters/enabled")
    if enabled.exists() and enabled.read_text().strip() == "Y":
        enabled.write_text("N\n")

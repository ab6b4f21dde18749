# SPDX-License-Identifier: GPL-2.0
"""The cache outside the repository, and what makes a thing in it trustworthy.

Everything that is slow to make is an `Entry`: a folder that is valid only while it carries a stamp. The stamp is written
last, so an interrupted build has none and starts over. It holds a hash of what went in, so a changed recipe rebuilds, and the
size of every file that came out, so that a damaged entry is noticed and rebuilt too.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from progress import Failure, Step, say, step

REPO = Path(__file__).resolve().parent.parent
CACHE = Path(os.environ.get("DAMON_RS_CACHE") or Path.home() / ".cache" / "damon-rs").resolve()


def digest(*inputs: Any) -> str:
    """A short hash of JSON-able values and of the contents of files (given as paths)."""
    state = hashlib.sha256()
    for item in inputs:
        content = item.read_bytes() if isinstance(item, Path) else json.dumps(item, sort_keys=True).encode()
        state.update(hashlib.sha256(content).digest())
    return state.hexdigest()[:16]


# What is made of this checkout: two that share the cache must not meet in one folder.
OWN = CACHE / "checkouts" / f"{REPO.name}-{digest(str(REPO))[:8]}"
LOGS = OWN / "logs"


@contextlib.contextmanager
def lock(name: str) -> Iterator[None]:
    """Keeps two runs, or two threads of one run, from building the same thing."""
    path = CACHE / "locks" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", encoding="utf-8") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if threading.current_thread() is threading.main_thread():
                say(f"  … waiting: something else is at work on {name} in {CACHE}")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def remove_tree(path: Path) -> None:
    """Removes a folder of the cache, but never follows a mount that a killed run left in it."""
    if not path.is_relative_to(CACHE):
        raise Failure(f"refusing to remove {path}: it is not in the cache")
    for line in Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines():
        mounted = line.split()[1].replace("\\040", " ")
        if Path(mounted).is_relative_to(path):
            raise Failure(f"{mounted} is still mounted: `umount -R {mounted}` and try again")
    if path.exists():
        # Python's own takes five times as long for a kernel tree.
        subprocess.run(["rm", "-rf", "--one-file-system", path], check=True)


def manifest(root: Path, skip: frozenset[str]) -> dict[str, int]:
    """The size of every regular file under `root`; the top-level folders in `skip` may change."""
    sizes: dict[str, int] = {}
    pending = [str(root)]
    prefix = len(str(root)) + 1
    while pending:
        with os.scandir(pending.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    if entry.path[prefix:] not in skip:
                        pending.append(entry.path)
                elif entry.is_file(follow_symlinks=False):
                    sizes[entry.path[prefix:]] = entry.stat(follow_symlinks=False).st_size
    return sizes


class Entry:
    """A folder of the cache, made by `build` when it is missing, damaged or made from other inputs."""

    def __init__(self, name: str, title: str, skip: frozenset[str] = frozenset(), resumable: bool = False):
        self.name = name
        self.title = title
        self.path = CACHE / name
        self._stamp = CACHE / "stamps" / f"{name.replace('/', '-')}.json"
        self._skip = skip
        # Whether an interrupted build goes on where it was: only where the build itself tells whole files from half ones.
        self._begun = CACHE / "stamps" / f"{name.replace('/', '-')}.begun" if resumable else None
        self._checked = False

    def info(self) -> dict[str, Any]:
        """What `build` said of its result; empty if there is no valid result."""
        try:
            info: dict[str, Any] = json.loads(self._stamp.read_text(encoding="utf-8"))["info"]
            return info
        except (OSError, ValueError, KeyError):
            return {}

    def ensure(self, key: str, build: Callable[[Step, Path], dict[str, Any]], quick: bool = False) -> dict[str, Any]:
        """Returns what `build` returned, now or in an earlier run. `quick` trusts the stamp without a look at the files."""
        if (quick or self._checked) and self._problem(key, quick=True) is None:
            return self.info()
        with lock(self.name.replace("/", "-")):
            problem = self._problem(key, quick=False)
            if problem is None:
                self._checked = True
                return self.info()
            if problem:
                say(f"  … {self.title}: made again, because {problem}")
            self._stamp.unlink(missing_ok=True)
            if problem or not self._interrupted(key):
                remove_tree(self.path)
            self.path.mkdir(parents=True, exist_ok=True)
            if self._begun:
                self._begun.parent.mkdir(parents=True, exist_ok=True)
                self._begun.write_text(key, encoding="utf-8")
            with step(self.title, LOGS / f"{self.name.replace('/', '-')}.log") as current:
                info = build(current, self.path)
                self._write_stamp(key, info)
            self._checked = True
            return info

    def _interrupted(self, key: str) -> bool:
        """Whether the folder is what an interrupted build with the same inputs left."""
        return bool(self._begun and self._begun.exists() and self._begun.read_text(encoding="utf-8") == key)

    def forget(self) -> None:
        """Makes the next `ensure` build it again."""
        self._stamp.unlink(missing_ok=True)
        self._checked = False

    def _problem(self, key: str, quick: bool) -> str | None:
        """Why the entry can't be used: None if it can, an empty string if there was none to begin with."""
        if not self._stamp.exists():
            return ""
        try:
            stamp = json.loads(self._stamp.read_text(encoding="utf-8"))
            if stamp["key"] != key:
                return "what it is made from has changed"
            if quick:
                return None if self.path.is_dir() else "it is gone"
            sizes: dict[str, int] = stamp["files"]
        except (OSError, ValueError, KeyError):
            return "its stamp is damaged"
        now = manifest(self.path, self._skip) if self.path.is_dir() else {}
        for name, size in sizes.items():
            if now.get(name) != size:
                return f"{name} is damaged" if name in now else f"{name} is missing"
        return None

    def _write_stamp(self, key: str, info: dict[str, Any]) -> None:
        self._stamp.parent.mkdir(parents=True, exist_ok=True)
        temporary = self._stamp.with_suffix(".new")
        content = {"key": key, "info": info, "files": manifest(self.path, self._skip)}
        temporary.write_text(json.dumps(content), encoding="utf-8")
        # Stamp and files must reach the disk in this order: a crash must not leave the one without the other.
        os.sync()
        temporary.replace(self._stamp)
        if self._begun:
            self._begun.unlink()


def copy(source: Path, target: Path) -> None:
    """Copies a file or a symbolic link, making the folders it needs."""
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(source, target, follow_symlinks=False)


def tree_files(*patterns: str) -> list[Path]:
    """The files of the tree, committed or about to be; not what a build has left there."""
    git = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *patterns]
    names = subprocess.run(git, cwd=REPO, capture_output=True, text=True, check=True).stdout.split("\0")
    return [path for path in (REPO / name for name in sorted(set(names)) if name) if path.is_file()]

#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""The toolchain root: a folder with Debian 13's compilers, kernel build tools and QEMU.

Kernel modules must be built with the compilers that the kernel was built with, whatever this machine has. Nothing of the root
is installed into the machine; commands enter it with a mount namespace of their own and see the repository, the
cache and /tmp under the paths that they have outside.
"""

import argparse
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import archive
from cache import CACHE, REPO, Entry, digest
from progress import Failure, Step, run_main

PACKAGES = (
    # Rust, in the very versions that Debian's kernels are built with
    "rustc rust-src rust-clippy rustfmt cargo bindgen "
    # C, and LLVM for the KASAN kernel
    "gcc libc6-dev clang lld llvm "
    # the kernel's build system
    "make bc bison flex libelf-dev libssl-dev libdw-dev pahole kmod cpio rsync zstd xz-utils perl python3 "
    # linux-config and linux-headers of backports want a newer one than the suite has
    "linux-base/trixie-backports "
    # guest image and virtual machine
    "busybox-static qemu-system-x86 python3-pip "
    # checks of the tree
    "shellcheck ca-certificates git"
).split()

# Folders of the root that change when it is used.
VOLATILE = frozenset(("var", "tmp", "run", "root", "etc", "dev", "proc", "sys", "mnt", "usr/share/doc", "usr/share/man"))

ENTRY = Entry("toolchain", "toolchain root", skip=VOLATILE)

# What of the caller's environment is meant for commands in the root: how to reach registries, and switches of builds and tests.
PASSED_ON = re.compile(
    r"(https?|ftp|all|no)_proxy|PIP_(INDEX_URL|EXTRA_INDEX_URL|TRUSTED_HOST|DEFAULT_TIMEOUT)|CARGO_(HTTP|NET|REGISTR)\w*"
    r"|TERM|COLUMNS|LINES|CI|SOURCE_DATE_EPOCH|RUST_BACKTRACE|(KBUILD|KUNIT|DAMON_RS|PROPTEST|LOOM|TEST)_\w+|V|W|C",
    re.IGNORECASE,
)

CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")


def build(step: Step, root: Path) -> dict[str, Any]:
    options = [f"--aptopt={option}" for option in archive.APT_OPTIONS + archive.proxy_options()]
    # Manuals are never read here, and unpacking them takes a tenth of the time.
    options += [f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in ("man", "doc", "locale", "info")]
    step.run(
        [
            "mmdebstrap", "--mode=root", "--variant=minbase", "--skip=check/empty,cleanup/apt/lists",
            f"--keyring={archive.KEYRING}", f"--include={','.join(PACKAGES)}", "--dpkgopt=force-unsafe-io",
            *options, archive.SUITE, root, *archive.sources(),
        ]  # fmt: skip
    )
    rustc = subprocess.run(
        ["chroot", root, "rustc", "--version"], capture_output=True, text=True, check=True
    ).stdout.split()[1]
    step.note = f"rustc {rustc}"
    return {"rustc": rustc}


def key() -> str:
    return digest(PACKAGES, archive.SUITE, "1")


def ensure(quick: bool = False) -> Path:
    """The root's folder, built if need be. `quick` does without the look at each file."""
    if os.geteuid() != 0:
        raise Failure("only root may make and enter the toolchain root: run this as root")
    ENTRY.ensure(key(), build, quick)
    return ENTRY.path


def environment(extra: dict[str, str] | None = None) -> dict[str, str]:
    """The environment of a command in the root."""
    env = {name: value for name, value in os.environ.items() if PASSED_ON.fullmatch(name)}
    env |= {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": "/root",
        "LANG": "C.UTF-8",
        "CARGO_HOME": str(CACHE / "cargo"),
        "DAMON_RS_CACHE": str(CACHE),
        "PYTHONDONTWRITEBYTECODE": "1",
        # /tmp is shared with namespaces in which others have the same process ids, and make names its pipes after them.
        "TMPDIR": "/var/tmp",
    }
    if CERTIFICATES.exists():
        env |= {name: str(CERTIFICATES) for name in ("SSL_CERT_FILE", "CARGO_HTTP_CAINFO", "PIP_CERT")}
    return env | (extra or {})


def command(argv: Sequence[str | Path], *, cwd: Path | None = None, writable: bool = False) -> list[str]:
    """The command line that runs `argv` in the root; its environment must be `environment()`.

    The root is read-only inside, so that no command can damage what the next one relies on.
    """
    root = ensure(quick=True)
    shared = {REPO, CACHE, Path("/tmp"), Path("/dev"), Path("/sys"), Path("/proc")}
    inside = (cwd or Path.cwd()).resolve()
    if not any(inside.is_relative_to(path) for path in shared):
        if inside in (Path("/"), Path("/root"), Path("/etc"), Path("/usr")):
            raise Failure(f"{inside} would hide the toolchain root's own: call this from another folder")
        shared.add(inside)
    files = [path for path in (Path("/etc/resolv.conf"), Path("/etc/hosts"), CERTIFICATES) if path.exists()]
    lines = ["set -e", f"root={shlex.quote(str(root))}", 'mount --bind "$root" "$root"']
    # First these: the repository or the cache may be inside of them.
    lines.append('for name in root run var/tmp; do mount -t tmpfs tmpfs "$root/$name"; done')
    for path in sorted(shared):
        name = shlex.quote(str(path))
        lines.append(f'mkdir -p "$root"{name}; mount --rbind {name} "$root"{name}')
    for path in files:
        name = shlex.quote(str(path))
        lines.append(f'[ -e "$root"{name} ] || : >"$root"{name}; mount --bind {name} "$root"{name}')
    if not writable:
        lines.append('mount -o remount,bind,ro "$root" "$root"')
    # The shell stays: it is the namespace's init, and reaps what the command leaves behind.
    lines.append(
        'status=0; chroot "$root" /bin/sh -c \'cd "$1" && shift && exec "$@"\' sh '
        f'{shlex.quote(str(inside))} "$@" || status=$?; exit $status'
    )
    return [
        "unshare", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child", "--propagation", "private",
        "sh", "-c", "\n".join(lines), "toolchain", *map(str, argv),
    ]  # fmt: skip


def run(
    step: Step,
    argv: Sequence[str | Path],
    *,
    cwd: Path | None = None,
    env: dict[str, str] | None = None,
    what: str = "",
) -> None:
    """Runs `argv` in the root, with its output in the step's log."""
    step.run(
        command(argv, cwd=cwd),
        env=environment(env),
        what=what or f"{Path(argv[0]).name} in the toolchain root",
        shown=shlex.join(map(str, argv)),
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("build", help="make the root, or check that it is whole")
    run_parser = commands.add_parser("run", help="run a command in the root")
    run_parser.add_argument("--writable", action="store_true", help="let the command change the root")
    run_parser.add_argument("argv", nargs=argparse.REMAINDER, metavar="[--] CMD …")
    commands.add_parser("path", help="print the root's folder")
    arguments = parser.parse_args()
    if arguments.command == "build":
        ensure()
    elif arguments.command == "path":
        print(ensure(quick=True))
    else:
        argv = arguments.argv[1:] if arguments.argv[:1] == ["--"] else arguments.argv
        if not argv:
            raise Failure("run what? For example: toolchain.py run -- rustc --version")
        line = command(argv, writable=arguments.writable)
        sys.stdout.flush()
        os.execvpe(line[0], line, environment())
    return 0


if __name__ == "__main__":
    run_main(main)

#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""The guest: a small Debian 13 with Python, pytest, trace-cmd, perf and damo, as an initramfs.

The base is made once. What differs from run to run (modules, tests, the command) is a second archive that the kernel
unpacks over it, see `make_initrd` in vm.py.
"""

import argparse
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import archive
import kernel
import toolchain
from cache import CACHE, OWN, REPO, Entry, digest, lock
from progress import Step, run_main

PACKAGES = (
    "python3 python3-pytest kmod procps mount util-linux iproute2 trace-cmd busybox-static file "
    # One for any kernel: it asks the kernel what it can.
    "linux-perf/trixie-backports"
).split()
GUEST = REPO / "scripts/guest"
TESTS = REPO / "tests/guest"

# Not compressed: under emulation unpacking costs more than reading.
BASE = "base.cpio"

# Left out by dpkg, and left out of the archive: what no test reads costs boot time.
EXCLUDED = ("man", "doc", "locale", "info", "lintian")
PRUNED = (
    "./usr/share/zoneinfo", "./usr/lib/x86_64-linux-gnu/gconv", "./usr/share/perl5", "./usr/share/bash-completion",
    "./usr/share/common-licenses", "./usr/share/doc", "./usr/share/pixmaps", "./var/lib/dpkg", "./var/cache", "./usr/bin/perl*",
    "./usr/lib/x86_64-linux-gnu/perl*", "./usr/lib/x86_64-linux-gnu/libperl*", "./usr/share/perl",
    "./usr/lib/perf-core", "./usr/lib/python3/dist-packages/perf*", "./usr/lib/python3.*/test",
    "./usr/lib/python3.*/idlelib", "./usr/lib/python3.*/ensurepip", "./usr/lib/python3.*/lib2to3",
)  # fmt: skip

# Scripts for a machine that has the module loaded.
SCRIPTS = ("as-damon", "heatmap.py")


def build(step: Step, folder: Path) -> dict[str, Any]:
    root = folder / "root"
    options = [f"--aptopt={option}" for option in archive.APT_OPTIONS + archive.proxy_options()]
    options += [f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in EXCLUDED]
    step.run(
        [
            "mmdebstrap", "--mode=root", "--variant=essential", "--skip=check/empty",
            f"--keyring={archive.KEYRING}", f"--include={','.join(PACKAGES)}", "--dpkgopt=force-unsafe-io",
            *options, archive.SUITE, root, *archive.sources(),
        ],
        what="guest packages",
    )  # fmt: skip
    toolchain.ensure()
    target = root / "usr/local/lib/damo"
    toolchain.run(
        step,
        [
            "python3", "-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes", "--only-binary=:all:",
            "--root-user-action=ignore", "--no-cache-dir", "--target", target, "-r", GUEST / "requirements.txt",
        ],
        what="damo from PyPI",
    )  # fmt: skip
    damo = root / "usr/local/bin/damo"
    damo.write_text('#!/bin/sh\nexport PYTHONPATH=/usr/local/lib/damo\nexec /usr/bin/python3 /usr/local/lib/damo/bin/damo "$@"\n')
    damo.chmod(0o755)
    for name in ("out", "damon-rs"):
        (root / name).mkdir()
    pack(step, root, folder / BASE)
    shutil.rmtree(root)
    step.note = f"{(folder / BASE).stat().st_size >> 20} MiB"
    return {}


def pack(step: Step, root: Path, target: Path) -> None:
    """Packs a folder as an archive that the kernel can unpack into its first root."""
    prune = " -o ".join(f"-path '{path}'" for path in PRUNED)
    pipeline = f"""cd "$1" && find . -mindepth 1 \\( {prune} \\) -prune -o -print0 | LC_ALL=C sort -z"""
    pipeline += " | cpio --null --quiet --owner=+0:+0 --reproducible -o -H newc"
    toolchain.run(step, ["bash", "-o", "pipefail", "-c", f'{pipeline} >"$2"', "pack", root, target], what="packing the guest")


def ensure() -> Path:
    """The base archive, made if need be."""
    key = digest(PACKAGES, EXCLUDED, PRUNED, GUEST / "requirements.txt", archive.SUITE, "1")
    # One of its own for each recipe: checkouts of different age may share the cache.
    entry = Entry(f"guest-{key}", "guest image")
    entry.ensure(key, build)
    return entry.path / BASE


def selftests(series: str) -> Path:
    """The kernel's own tests of DAMON with their runner, as its own build installs them."""
    source = kernel.source_tree(series) / "tools/testing/selftests"
    entry = Entry(f"kselftest-{series}", f"kernel selftests of {series}")

    def build_selftests(step: Step, folder: Path) -> dict[str, Any]:
        toolchain.ensure()
        build = folder / "build"
        make = ["make", "-C", source, f"O={build}", f"KSFT_INSTALL_PATH={folder / 'installed'}", "TARGETS=damon", "FORCE_TARGETS=1"]
        toolchain.run(step, [*make, "install"], what="make install")
        shutil.rmtree(build)
        return {}

    entry.ensure(digest(kernel.packages(series)[1], "1"), build_selftests)
    return entry.path / "installed"


def compile_programs(step: Step, sources: list[Path], target: Path, include: Path) -> None:
    """Compiles each C file to a program that needs nothing of the guest, unless an earlier run did.

    The files of a folder that has the name of one of them are one program, in that folder.
    """
    programs = CACHE / "programs"
    programs.mkdir(parents=True, exist_ok=True)
    for source in sources:
        main = source.parent / f"{source.parent.name}.c"
        parts = [source]
        if main in sources:
            if source != main:
                continue
            parts = sorted(source.parent.glob("*.c"))
        headers = sorted({*include.glob("*.h"), *source.parent.glob("*.h")})
        program = programs / f"{source.stem}-{digest(toolchain.key(), *parts, *headers)}"
        if not program.exists():
            temporary = program.with_suffix(f".{os.getpid()}")
            toolchain.run(
                step, ["gcc", "-O2", "-g0", "-static", "-pthread", "-Wall", f"-I{include}", "-o", temporary, *parts],
                what=f"compiling {source.name}",
            )  # fmt: skip
            temporary.rename(program)
        shutil.copy2(program, (source.parent if main in sources else target) / source.stem)


def compile_packages(step: Step, packages: list[Path], target: Path) -> None:
    """Compiles each Rust package to a program of its name, as `compile_programs` does with C files."""
    programs = CACHE / "programs"
    programs.mkdir(parents=True, exist_ok=True)
    for package in packages:
        sources = sorted(path.relative_to(package).as_posix() for path in (package / "src").rglob("*.rs"))
        inputs = [package / "Cargo.toml", package / "Cargo.lock", *(package / source for source in sources)]
        program = programs / f"{package.name}-{digest(sources, *inputs, toolchain.key(), '1')}"
        if not program.exists():
            folder = OWN / "programs"
            toolchain.run(
                step,
                ["cargo", "build", "--release", "--locked", "--quiet", "--manifest-path", package / "Cargo.toml"],
                env={"CARGO_TARGET_DIR": str(folder), "RUSTFLAGS": "-C target-feature=+crt-static -C strip=symbols"},
                what=f"compiling {package.name}",
            )
            temporary = program.with_suffix(f".{os.getpid()}")
            shutil.copy2(folder / "release" / package.name, temporary)
            temporary.rename(program)
        (target / package.name).mkdir(parents=True, exist_ok=True)
        shutil.copy2(program, target / package.name / package.name)


def stage_tests(step: Step, stage: Path, series: str) -> None:
    """Puts the tests, their programs and what they look at into an overlay: /damon-rs/{tests/guest,selftests,scripts,Documentation}."""
    shutil.copytree(selftests(series), stage / "damon-rs/selftests", symlinks=True)
    shutil.copytree(REPO / "Documentation", stage / "damon-rs/Documentation")
    (stage / "damon-rs/scripts").mkdir()
    for script in SCRIPTS:
        shutil.copy2(REPO / "scripts" / script, stage / "damon-rs/scripts")
    if TESTS.is_dir():
        target = stage / "damon-rs/tests/guest"
        shutil.copytree(TESTS, target, symlinks=True, ignore=shutil.ignore_patterns("__pycache__", ".pytest_cache", "target"))
        # Guests that one process starts at once would write the same files.
        with lock("programs"):
            compile_programs(step, sorted(target.rglob("*.c")), target, TESTS)
            compile_packages(step, sorted(path.parent for path in TESTS.glob("*/Cargo.toml")), target)


def kernel_modules(its: kernel.Kernel, names: list[str]) -> Path:
    """A root folder with some of the kernel's own modules, and those they depend on, where modprobe finds them."""
    entry = Entry(f"modules-{its.series}", f"modules of {its.release}")
    entry.ensure(digest(its.release, names, "1"), lambda step, folder: stage_modules(step, folder, its, names))
    return entry.path


def stage_modules(step: Step, stage: Path, its: kernel.Kernel, names: list[str]) -> dict[str, Any]:
    tree = Path(its.modules)
    target = stage / "usr/lib/modules" / its.release
    target.mkdir(parents=True)
    files = {path.name.split(".ko")[0].replace("_", "-"): path for path in tree.rglob("*.ko*")}
    pending = [name.replace("_", "-") for name in names]
    done: set[str] = set()
    while pending:
        name = pending.pop()
        if name in done or name not in files:
            continue
        done.add(name)
        copied = target / files[name].relative_to(tree)
        copied.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(files[name], copied)
        modinfo = subprocess.run(
            toolchain.command(["modinfo", "-F", "depends", copied]),
            env=toolchain.environment(), capture_output=True, text=True, check=True,
        )  # fmt: skip
        pending += [depend.replace("_", "-") for depend in modinfo.stdout.strip().split(",") if depend]
    (target / "modules.order").touch()
    (target / "modules.builtin").touch()
    toolchain.run(step, ["depmod", "-b", stage / "usr", "-m", "/lib/modules", its.release], what="depmod")
    return {"modules": sorted(done)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=["build", "path"], help="make the base image, or print where it is")
    arguments = parser.parse_args()
    path = ensure()
    if arguments.command == "path":
        print(path)
    return 0


if __name__ == "__main__":
    run_main(main)

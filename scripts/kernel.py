#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""The kernels that the module is built for and run on, found in the Debian archive by their series.

  stock   the cloud kernel of Debian 13's backports, unmodified. Its headers package lacks the metadata of the Rust crates, so
          they are rebuilt from the same source, and every symbol name is compared with the ones that the kernel exports.
  test    built from the same source for tests: scripts/kernel/test.config.
  kasan   test with KASAN, built by clang: scripts/kernel/kasan.config.
  kcsan   test with KCSAN, built by clang: scripts/kernel/kcsan.config.
"""

import argparse
import json
import os
import platform
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import archive
import toolchain
from cache import REPO, Entry, copy, digest
from progress import Failure, Step, run_main

# The series that the fragments are written for.
DEFAULT_SERIES = "7.2"
SERIES = os.environ.get("DAMON_RS_SERIES") or DEFAULT_SERIES
FRAGMENTS = {"test": ("test",), "kasan": ("test", "kasan"), "kcsan": ("test", "kcsan")}
# With Rust, these need clang.
CLANG = ("kasan", "kcsan")
# The kernel's Rust target knows no KCSAN, and rustc takes its instrumentation, that of a thread sanitizer, only for targets that do.
# This adds it to the target as the kernel's build writes it; the module's own build then asks for it (Kbuild).
RUST_TARGET_WITH_TSAN = (
    "filechk_rust_target=$< < include/config/auto.conf | sed 's/\"kernel-address\"/\"kernel-address\",\"thread\"/'"
)
KINDS = ("stock", *FRAGMENTS)
FLAVOUR = "cloud-amd64"
JOBS = f"-j{os.cpu_count() or 1}"

# What objtool and the module loader leave behind, and what building a module against the tree may touch.
CHANGING = frozenset(("include/config",))


@dataclass(frozen=True)
class Kernel:
    """A kernel that is ready: what `kernel.json` beside it says."""

    kind: str
    series: str
    release: str
    image: str
    build: str
    source: str
    modules: str
    make_flags: tuple[str, ...]

    def symbols(self) -> dict[str, str]:
        """The kernel's configuration."""
        return read_config(Path(self.build) / ".config")


def read_config(path: Path) -> dict[str, str]:
    """The symbols that a .config, or a fragment of one, sets; `n` for those it unsets by name."""
    symbols: dict[str, str] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if match := re.match(r"CONFIG_(\w+)=(.*)$", line):
            symbols[match[1]] = match[2]
        elif match := re.match(r"# CONFIG_(\w+) is not set$", line):
            symbols[match[1]] = "n"
    return symbols


def packages(series: str) -> tuple[Path, dict[str, Any]]:
    """The archive's newest packages of a series, downloaded: folder, and what was found."""
    entry = Entry(f"packages-{series}", f"Debian's kernel packages of {series}")

    def build(step: Step, folder: Path) -> dict[str, Any]:
        backports = archive.Backports(step)
        backports.update()
        source = f"linux-source-{series}"
        versions = backports.versions(rf"{re.escape(source)}|linux-(binary|binary-unsigned|headers)-{re.escape(series)}\.\d+.*")
        if source not in versions:
            raise Failure(f"the archive {archive.mirror()} has no {source}: choose another series with --series")
        version = versions[source]
        # The source exists once per series, so it decides which point release is taken.
        names = [
            name for name, its in versions.items() if its == version and re.fullmatch(rf"linux-headers-.*\+deb\d+-{FLAVOUR}", name)
        ]
        if not names:
            raise Failure(f"the archive has {source} {version}, but no {FLAVOUR} headers of that version: try again later")
        release = names[0].removeprefix("linux-headers-")
        signed, unsigned = f"linux-binary-{release}", f"linux-binary-unsigned-{release}"
        image = signed if versions.get(signed) == version else unsigned
        if versions.get(image) != version:
            raise Failure(f"the archive has the headers of {release}, but neither {signed} nor {unsigned}: try again later")
        wanted = [f"{source}={version}", names[0], image, f"linux-modules-{release}"]
        files = backports.download(wanted, folder)
        step.note = release
        source_file, headers, binary, modules = (path.name for path in files)
        return {
            "version": version, "release": release,
            "source": source_file, "headers": headers, "image": binary, "modules": modules,
        }  # fmt: skip

    return entry.path, entry.ensure(digest(series, FLAVOUR), build)


def source_tree(series: str) -> Path:
    """The kernel's source, unpacked and clean: builds go elsewhere."""
    folder, info = packages(series)
    entry = Entry(f"linux-{series}", f"source of Linux {series}", skip=frozenset(("Documentation",)))

    def build(step: Step, tree: Path) -> dict[str, Any]:
        # Streams the tarball out of the package: the disk never holds it a second time.
        pipeline = (
            f'dpkg-deb --fsys-tarfile "$1" | tar -xO ./usr/src/linux-source-{series}.tar.xz'
            ' | xz -dc -T0 | tar -x --strip-components=1 -C "$2"'
        )
        step.run(["bash", "-o", "pipefail", "-c", pipeline, "unpack", folder / info["source"], tree], what="unpacking")
        return {}

    entry.ensure(digest(info, "1"), build)
    return entry.path


def unpack(step: Step, package: Path, folder: Path) -> None:
    step.run(["dpkg-deb", "-x", package, folder], what=f"unpacking {package.name}")


def make(step: Step, build: Path, source: Path, *targets: str) -> None:
    toolchain.run(step, ["make", "-C", source, f"O={build}", JOBS, *targets], what=f"make {targets[-1]}")


def rust_exports(build: Path) -> set[str]:
    """The symbols that the Rust crates built in `build` export."""
    names: set[str] = set()
    for path in (build / "rust").glob("exports_*_generated.h"):
        names |= set(re.findall(r"EXPORT_SYMBOL_RUST_GPL\((\w+)\)", path.read_text(encoding="utf-8")))
    return names


def check_rust_symbols(build: Path, release: str) -> int:
    """Compares the rebuilt crates with the kernel that is to run: how many symbols there are, all the same."""
    symvers = (build / "Module.symvers").read_text(encoding="utf-8")
    kernel = {line.split("\t")[1] for line in symvers.splitlines()}
    rebuilt = rust_exports(build)
    # A Rust name carries a hash of the crate and its compiler: the same name is the same code.
    mangled = {name for name in kernel if name.startswith("_R")}
    lacking = sorted(rebuilt - kernel) + sorted(mangled - rebuilt)
    if not rebuilt or lacking:
        raise Failure(
            f"the Rust crates built from source are not those of kernel {release}: {len(lacking)} of {len(rebuilt)} exported symbols "
            f"differ{', ' + lacking[0] + ' for example' if lacking else ''}. Debian's kernel was probably built with another rustc than "
            "the toolchain root has: build the root anew (remove its folder in the cache), or choose another series."
        )
    return len(rebuilt)


def prepare_tree(step: Step, source: Path, build: Path, headers: Path, release: str) -> int:
    """Makes in `build` what the headers package of `release` lacks; `headers` is that package's build folder."""
    build.mkdir(parents=True, exist_ok=True)
    copy(headers / ".config", build / ".config")
    base = re.match(r"[\d.]+", release)
    local = f"LOCALVERSION={release.removeprefix(base[0] if base else '')}"
    make(step, build, source, local, "olddefconfig")
    make(step, build, source, local, "modules_prepare")
    made = (build / "include/config/kernel.release").read_text(encoding="utf-8").strip()
    if made != release:
        raise Failure(f"the source calls itself {made}, but the headers are those of {release}: their versions must match")
    for name in ("Module.symvers", "vmlinux"):
        if (headers / name).exists():
            copy(headers / name, build / name)
    return check_rust_symbols(build, release)


def build_stock(step: Step, folder: Path, series: str) -> Kernel:
    packages_folder, info = packages(series)
    source = source_tree(series)
    toolchain.ensure()
    release = info["release"]
    root = folder / "packages"
    for name in ("headers", "image", "modules"):
        unpack(step, packages_folder / info[name], root)
    headers = root / f"usr/src/linux-headers-{release}"
    count = prepare_tree(step, source, folder / "build", headers, release)
    step.note = f"{release}, all {count} Rust symbols match"
    return Kernel(
        kind="stock",
        series=series,
        release=release,
        image=str(root / f"usr/lib/modules/{release}/vmlinuz"),
        build=str(folder / "build"),
        source=str(source),
        modules=str(root / f"usr/lib/modules/{release}"),
        make_flags=(),
    )


def defined_symbols(source: Path, names: set[str]) -> set[str]:
    """Those of `names` that a Kconfig file of `source` defines, for whatever architecture."""
    defined: set[str] = set()
    for path in source.rglob("Kconfig*"):
        if path.is_file():
            defined |= names.intersection(re.findall(r"^\s*(?:menu)?config\s+(\w+)", path.read_text(encoding="utf-8"), re.MULTILINE))
    return defined


def check_fragments(step: Step, source: Path, series: str, config: Path, fragments: list[Path]) -> None:
    """Fails with the names of the symbols that did not take effect.

    A symbol that another series does not know any more (its Kconfig defines none of that name) is passed over there with a line in
    the log. The default series must know all of them, so a misspelt name is found.
    """
    actual = read_config(config)
    wanted: dict[str, str] = {}
    for fragment in fragments:
        wanted |= read_config(fragment)
    lost = {name: value for name, value in wanted.items() if actual.get(name, "n") != value}
    if lost and series != DEFAULT_SERIES:
        defined = defined_symbols(source, set(lost))
        for name in sorted(set(lost) - defined):
            step.write(f"Linux {series} has no symbol CONFIG_{name}: passed over")
            del lost[name]
    if lost:
        lines = [f"CONFIG_{name}={value} (is {actual.get(name, 'n')})" for name, value in lost.items()]
        raise Failure(
            f"the kernel's configuration did not take {len(lost)} symbols of {', '.join(path.name for path in fragments)}:\n    "
            + "\n    ".join(lines)
            + "\n  Their dependencies are not met in this series, or it has no such symbols; see its Kconfig files."
        )


def fragment_files(kind: str) -> list[Path]:
    return [REPO / "scripts/kernel" / f"{name}.config" for name in FRAGMENTS[kind]]


def build_own(step: Step, folder: Path, kind: str, series: str) -> Kernel:
    source = source_tree(series)
    toolchain.ensure()
    build = folder / "build"
    build.mkdir(exist_ok=True)
    flags = ("LLVM=1",) if kind in CLANG else ()
    module_flags = flags
    if kind == "kcsan":
        flags += (RUST_TARGET_WITH_TSAN,)
        module_flags += ("DAMON_KCSAN=y",)
    fragments = fragment_files(kind)
    local = f"LOCALVERSION=-damon-rs-{kind}"
    make(step, build, source, *flags, "tinyconfig")
    merge: list[str | Path] = [source / "scripts/kconfig/merge_config.sh", "-m", "-O", build, build / ".config", *fragments]
    toolchain.run(step, merge, cwd=build, what="merging the fragments")
    make(step, build, source, *flags, "olddefconfig")
    check_fragments(step, source, series, build / ".config", fragments)
    make(step, build, source, *flags, local, "all")
    release = (build / "include/config/kernel.release").read_text(encoding="utf-8").strip()
    image = folder / "bzImage"
    copy(build / "arch/x86/boot/bzImage", image)
    # Nothing reads the objects again, and they are most of the size.
    step.run(["find", build, "-name", "*.o", "-not", "-path", "*/tools/*", "-not", "-path", "*/scripts/*", "-delete"])
    step.note = release
    return Kernel(
        kind=kind, series=series, release=release, image=str(image), build=str(build), source=str(source),
        modules="", make_flags=module_flags,
    )  # fmt: skip


def ensure(kind: str, series: str = SERIES) -> Kernel:
    """The kernel, made ready if it is not."""
    packages_info = packages(series)[1]
    # make itself goes on where it was interrupted.
    entry = Entry(f"kernel-{series}-{kind}", f"{kind} kernel {series}", skip=CHANGING, resumable=kind in FRAGMENTS)
    recipe = [digest(path) for path in fragment_files(kind)] if kind in FRAGMENTS else []
    key = digest(packages_info["version"], toolchain.key(), recipe, "1")

    def build(step: Step, folder: Path) -> dict[str, Any]:
        made = build_stock(step, folder, series) if kind == "stock" else build_own(step, folder, kind, series)
        (folder / "kernel.json").write_text(json.dumps(asdict(made), indent=2) + "\n", encoding="utf-8")
        return asdict(made)

    info = entry.ensure(key, build)
    return Kernel(**{**info, "make_flags": tuple(info["make_flags"])})


def update(series: str) -> None:
    """Forgets which packages are the newest, so that the next run looks again."""
    Entry(f"packages-{series}", "").forget()


# What building a Rust module reads of a kernel's build folder, and headers packages lack.
METADATA = ("rust/*.rmeta", "rust/*.so", "scripts/target.json", "include/generated/rustc_cfg")


def mend(headers: Path) -> None:
    """Adds the Rust metadata to an installed headers package."""
    config = headers / "include/config/kernel.release"
    release = config.read_text(encoding="utf-8").strip() if config.exists() else headers.resolve().name.removeprefix("linux-headers-")
    if list((headers / "rust").glob("*.rmeta")):
        print(f"{headers} has its Rust metadata already: nothing to do")
        return
    if read_config(headers / ".config").get("RUST") != "y":
        raise Failure(f"kernel {release} was built without Rust (CONFIG_RUST): no module in Rust can be loaded into it")
    match = re.match(r"\d+\.\d+", release)
    if not match:
        raise Failure(f"{headers} names no kernel release")
    series = match[0]
    version = packages(series)[1]["version"]
    if not release.startswith(version.partition("-")[0]):
        raise Failure(
            f"this kernel is {release}, but the archive's source is {version}: upgrade the kernel to the newest point release first"
        )
    source = source_tree(series)
    toolchain.ensure()
    entry = Entry(f"metadata-{release}", f"Rust metadata of {release}", skip=CHANGING)
    entry.ensure(
        digest(version, toolchain.key(), "1"),
        lambda step, folder: {"symbols": prepare_tree(step, source, folder, headers, release)},
    )
    added = 0
    for path in (path for pattern in METADATA for path in entry.path.glob(pattern)):
        target = headers / path.relative_to(entry.path)
        if not target.exists():
            copy(path, target)
            added += 1
    print(f"{headers}: {added} files of Rust metadata added")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    prepare = commands.add_parser("prepare", help="make a kernel ready to build modules for and to boot")
    prepare.add_argument("kind", choices=KINDS)
    prepare.add_argument("--series", default=SERIES, help="the kernel series (default: %(default)s)")
    prepare.add_argument("--update", action="store_true", help="look for a newer point release in the archive")
    show = commands.add_parser("show", help="print a ready kernel's build folder, or another of its facts")
    show.add_argument("kind", choices=KINDS)
    show.add_argument("--series", default=SERIES)
    show.add_argument("--field", default="build", choices=sorted(Kernel.__annotations__))
    metadata = commands.add_parser("metadata", help="add the Rust metadata to an installed Debian headers package")
    metadata.add_argument(
        "headers", nargs="?", type=Path, default=Path("/lib/modules", platform.release(), "build"),
        help="its build folder (default: the running kernel's, %(default)s)",
    )  # fmt: skip
    arguments = parser.parse_args()
    if arguments.command == "metadata":
        if not (arguments.headers / ".config").exists():
            raise Failure(f"{arguments.headers} is no kernel build folder: install the kernel's headers package first")
        mend(arguments.headers)
        return 0
    if arguments.command == "prepare" and arguments.update:
        update(arguments.series)
    kernel = ensure(arguments.kind, arguments.series)
    if arguments.command == "show":
        value = getattr(kernel, arguments.field)
        print(" ".join(value) if isinstance(value, tuple) else value)
    return 0


if __name__ == "__main__":
    run_main(main)

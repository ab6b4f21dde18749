#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Makes a Debian package of the module's source, for DKMS, and prints where it is: `make deb`.

Installed, the module is built for each kernel whose headers are there, and again for those that come. --version is the package's;
it defaults to the time of the last commit.
"""

import argparse
import re
import shutil
import subprocess
from pathlib import Path

import toolchain
from cache import LOGS, OWN, REPO, tree_files
from progress import Failure, Step, run_main, step

DEBIAN = REPO / "scripts/debian"
SCRIPTS = ("control", "postinst", "prerm", "postrm")
# What the module is built of, and what its users need.
SOURCE = ("COPYING", "Kbuild", "Makefile", "samples", "scripts/debian/metadata", "src")
PROGRAMS = {"scripts/as-damon": "as-damon", "scripts/heatmap.py": "damon-heatmap"}
DOCUMENTS = ("README.md", "Documentation")


def default_version() -> str:
    """Ascends with the history."""
    git = ["git", "-C", str(REPO), "log", "-1", "--format=%cd", "--date=format:%Y%m%d.%H%M%S"]
    result = subprocess.run(git, capture_output=True, text=True, check=False)
    if result.returncode:
        raise Failure("this is no git checkout: say --version")
    return f"0.{result.stdout.strip()}"


def place(source: Path, target: Path, version: str | None = None) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if version is None:
        shutil.copyfile(source, target)
    else:
        target.write_text(source.read_text(encoding="utf-8").replace("@VERSION@", version), encoding="utf-8")
    # Whatever the umask is.
    target.chmod(0o755 if source.stat().st_mode & 0o100 else 0o644)


def stage(root: Path, version: str) -> None:
    """The package's tree."""
    source = root / f"usr/src/damon-rs-{version}"
    for path in tree_files(*SOURCE):
        place(path, source / path.relative_to(REPO))
    place(DEBIAN / "dkms.conf", source / "dkms.conf", version)
    for script, program in PROGRAMS.items():
        place(REPO / script, root / "usr/sbin" / program)
    documents = root / "usr/share/doc/damon-rs-dkms"
    for path in tree_files(*DOCUMENTS):
        place(path, documents / path.relative_to(REPO))
    place(REPO / "COPYING", documents / "copyright")
    for name in SCRIPTS:
        place(DEBIAN / name, root / "DEBIAN" / name, version)
    for folder in (path for path in root.rglob("*") if path.is_dir()):
        folder.chmod(0o755)
    root.chmod(0o755)


def make(current: Step, version: str) -> Path:
    """Makes the package; its path."""
    if not re.fullmatch(r"[0-9][0-9A-Za-z.+~]*", version):
        raise Failure(f"{version!r} is no version of a package: digits, letters and .+~, beginning with a digit")
    folder = OWN / "deb"
    shutil.rmtree(folder, ignore_errors=True)
    stage(folder / "root", version)
    package = folder / f"damon-rs-dkms_{version}_all.deb"
    toolchain.run(current, ["dpkg-deb", "--root-owner-group", "--build", folder / "root", package], what="dpkg-deb")
    shutil.rmtree(folder / "root")
    return package


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--version", help="of the package")
    arguments = parser.parse_args()
    toolchain.ensure()
    with step("Debian package", LOGS / "deb.log") as current:
        package = make(current, arguments.version or default_version())
        current.note = f"{package.stat().st_size >> 10} KiB"
    print(package)
    return 0


if __name__ == "__main__":
    run_main(main)

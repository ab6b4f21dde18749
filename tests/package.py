#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Installs the package of `make deb` where there are distribution packages only, loads what it has built, and removes it again.

The place is the toolchain root, with all changes beside it, and less what the package does not depend on: Debian 13 with the kernel's
headers and source from its packages, and neither this tree nor its cache inside. What DKMS has built there is loaded in the guest, on
the very kernel that it is for, and some of the guest's tests are run with it.
"""

import argparse
import lzma
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "scripts"))

import archive  # noqa: E402
import deb  # noqa: E402
import kernel  # noqa: E402
import toolchain  # noqa: E402
from cache import LOGS, OWN, REPO, Entry, digest, remove_tree  # noqa: E402
from progress import Failure, Step, run_main, step  # noqa: E402

import in_guest  # noqa: E402

FOLDER = OWN / "package"
# A look at everything, and a module on top of the first one.
GUEST_TESTS = ("test_tree.py", "test_abi.py", "test_modules.py", "-k", "files or described or description or stat_on_and_off")
# What makes the machine one on which modules are built, and signed.
MACHINE = ("dkms", "openssl")

# What the removal may leave or change: what dpkg, apt and DKMS know and log, DKMS's key for signing, and lists that are made anew.
ALLOWED = re.compile(
    r"/var/(lib/(dpkg|apt|dkms/mok\.\w+|systemd)\b|log/|cache/)|/etc/ld\.so\.cache|/usr/lib/modules/[^/]+/modules\.\w+(\.bin)?$"
)

# Runs in a mount namespace of its own. $1: a folder for changes, $2: the toolchain root, $3: a folder that the script sees as /mnt,
# $4: the script. Where changes cannot be kept beside the root on the same disk, they are kept in memory.
ENTER = r"""
set -e
lay() {
	mkdir -p "$1/upper" "$1/work" "$1/root"
	mount -t overlay overlay -o "lowerdir=$2,upperdir=$1/upper,workdir=$1/work" "$1/root"
}
mkdir -p "$1"
lay "$1" "$2" || { mount -t tmpfs tmpfs "$1"; lay "$1" "$2"; }
cd "$1/root"
mount -t proc proc proc
mount --rbind /dev dev
mount -t tmpfs tmpfs tmp
mount --bind "$3" mnt
for file in /etc/resolv.conf /etc/hosts; do
	cat "$file" >"./$file" || :
done
exec chroot . /usr/bin/env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 DEBIAN_FRONTEND=noninteractive \
	http_proxy="$http_proxy" https_proxy="$https_proxy" sh -eux -c "$4"
"""

# The machine: only what Debian installs at any rate, what the package depends on, and what is at $machine.
MAKE_MACHINE = """
apt install /mnt/packages/*.deb
apt-mark showmanual | xargs apt-mark auto
dpkg-query -W -f '${Priority} ${Package}\\n' | sed -n 's/^required //p' | xargs apt-mark manual $machine
apt autoremove --purge -o APT::AutoRemove::RecommendsImportant=false
"""

# The lists of files are of what is there before, with and after the package.
INSTALL_AND_REMOVE = """
files() { find / -xdev -path /tmp -prune -o '(' -type d -printf '%p/\\n' ')' -o -printf '%p %s %m\\n' | sort >/mnt/results/"$1"; }
files before
apt install /mnt/results/damon-rs-dkms_*.deb
dkms status damon-rs | tee /mnt/results/status
modinfo -F signer /usr/lib/modules/$release/updates/dkms/damon_rs.ko* | tee /mnt/results/signer
cp -r /usr/lib/modules/$release/updates/dkms /mnt/results/modules
files with
apt purge damon-rs-dkms
files after
"""


def in_root(current: Step, script: str, what: str, shared: Path, **variables: str) -> None:
    """Runs a script in the toolchain root, which stays as it is: all changes are gone afterwards. `shared` is /mnt there."""
    options = [option.replace('"', "").replace(" ", "=", 1) for option in archive.APT_OPTIONS + archive.proxy_options()]
    apt = shlex.join(word for option in options for word in ("-o", option))
    settings = "".join(f"{name}={shlex.quote(value)}\n" for name, value in variables.items())
    script = f'apt() {{ apt-get -q -y --no-install-recommends {apt} "$@"; }}\n{settings}{script}'
    changes = FOLDER / "changes"
    remove_tree(changes)
    enter = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--propagation", "private", "sh", "-c", ENTER]
    try:
        current.run([*enter, "enter", changes, toolchain.ensure(), shared, script], what=what)
    finally:
        remove_tree(changes)


def depends() -> list[str]:
    """The packages that the package depends on."""
    control = (deb.DEBIAN / "control").read_text(encoding="utf-8")
    (line,) = re.findall(r"^Depends: (.*)$", control, re.MULTILINE)
    return line.split(", ")


def machine(its: kernel.Kernel) -> list[str]:
    """What the machine is made of, with the kernel's headers and source."""
    return [*MACHINE, f"linux-headers-{its.release}", f"linux-source-{its.series}", *depends()]


def packages(current: Step, its: kernel.Kernel) -> Path:
    """What the machine has and the toolchain root has not, downloaded: nothing else is asked of the archive from then on."""
    folder, info = kernel.packages(its.series)
    status = toolchain.ensure() / "var/lib/dpkg/status"
    entry = Entry(f"package-{its.series}", f"Debian packages beside {its.release}")

    def build(_: Step, target: Path) -> dict[str, Any]:
        (target / "packages").mkdir()
        for name in ("headers", "source"):
            shutil.copy2(folder / info[name], target / "packages")
        script = "apt update\napt install --download-only $machine /mnt/packages/*.deb\ncp /var/cache/apt/archives/*.deb /mnt/packages/\n"
        in_root(current, script, "downloading packages", target, machine=" ".join(machine(its)))
        return {}

    entry.ensure(digest(info, machine(its), status, "1"), build)
    return entry.path / "packages"


def install(current: Step, its: kernel.Kernel, package: Path) -> list[Path]:
    """Installs and removes it: the modules that it has built."""
    shared = FOLDER / "shared"
    results = shared / "results"
    results.mkdir(parents=True)
    shutil.copy2(package, results)
    (shared / "packages").mkdir()
    for path in packages(current, its).iterdir():
        os.link(path, shared / "packages" / path.name)
    script = MAKE_MACHINE + INSTALL_AND_REMOVE
    in_root(current, script, "installing and removing the package", shared, machine=" ".join(machine(its)), release=its.release)
    check(its, results)
    return sorted((results / "modules").iterdir())


def check(its: kernel.Kernel, results: Path) -> None:
    """Looks at what was there and what was not."""
    status = (results / "status").read_text(encoding="utf-8")
    if f"{its.release}, x86_64: installed" not in status:
        raise Failure(f"DKMS says: {status}")
    if "DKMS module signing key" not in (results / "signer").read_text(encoding="utf-8"):
        raise Failure("DKMS has not signed the module")
    before, during, after = (set((results / name).read_text(encoding="utf-8").splitlines()) for name in ("before", "with", "after"))
    crate = f"/usr/src/linux-headers-{its.release}/rust/libkernel.rmeta"
    expected = (crate, "/var/lib/damon-rs/", "/usr/sbin/as-damon", "/usr/sbin/damon-heatmap")
    new = {line.partition(" ")[0] for line in during - before}
    for path in expected:
        if path not in new:
            raise Failure(f"the package has not installed {path}")
    left = sorted(line for line in after ^ before if not ALLOWED.match(line.partition(" ")[0]))
    if left:
        raise Failure(f"the removal has left or changed {len(left)} files: {', '.join(left[:20])}")


def unpacked(paths: list[Path]) -> list[Path]:
    """The modules as insmod takes them, the one that the others need first."""
    folder = FOLDER / "modules"
    folder.mkdir()
    found = []
    for path in paths:
        name = path.name.removesuffix(".xz")
        if not name.endswith(".ko"):
            raise Failure(f"{path.name} is no module, or compressed in a way that is not expected")
        content = path.read_bytes()
        (folder / name).write_bytes(lzma.decompress(content) if path.suffix == ".xz" else content)
        found.append(folder / name)
    return sorted(found, key=lambda path: len(path.name))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--series", default=kernel.SERIES, help="the kernel series (default: %(default)s)")
    series = parser.parse_args().series
    its = kernel.ensure("stock", series)
    remove_tree(FOLDER)
    with step("package", LOGS / "package.log") as current:
        modules = unpacked(install(current, its, deb.make(current, deb.default_version())))
        current.note = ", ".join(path.name for path in modules)
    command = f'insmod "$DAMON_RS_MODULE" && cd /damon-rs/tests/guest && {in_guest.pytest(*GUEST_TESTS)}'
    vm = [sys.executable, REPO / "scripts/vm.py", "run", "--kernel", "stock", "--series", series, *in_guest.OF_TESTS]
    argv = [*vm, *(f"--module={path}" for path in modules), "--", "sh", "-c", command]
    status = subprocess.run(argv, check=False).returncode
    remove_tree(FOLDER)
    return status


if __name__ == "__main__":
    run_main(main)

#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Installs the package of `make deb` where there are distribution packages only, loads what it has built, and removes it again.

The place is the toolchain root, with all changes beside it: Debian 13 with the kernel's headers and source from its packages, and
neither this tree nor its cache inside. What DKMS has built there is loaded in the guest, on the very kernel that it is for, and some
of the guest's tests are run with it.
"""

import argparse
import lzma
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "scripts"))

import archive  # noqa: E402
import deb  # noqa: E402
import kernel  # noqa: E402
import toolchain  # noqa: E402
from cache import LOGS, OWN, REPO  # noqa: E402
from progress import Failure, Step, run_main, step  # noqa: E402

FOLDER = OWN / "package"
# A look at everything, and a module on top of the first one.
GUEST_TESTS = 'test_tree.py test_abi.py test_modules.py -k "files or described or description or stat_on_and_off"'
# What the removal may leave: DKMS's own key for signing, and its logs.
ALLOWED = re.compile(r"/var/(lib/dkms/(mok\.\w+)?$|log/|cache/)")

# Runs in a mount namespace of its own. $1: the folder, $2: the toolchain root, $3: the script to be run inside.
ENTER = """
set -e
mkdir -p "$1/upper" "$1/work" "$1/root" "$1/packages"
mount -t overlay overlay -o "lowerdir=$2,upperdir=$1/upper,workdir=$1/work" "$1/root"
cd "$1/root"
mount -t proc proc proc
mount --rbind /dev dev
mount -t tmpfs tmpfs tmp
for file in /etc/resolv.conf /etc/hosts; do cat "$file" >"./$file" || :; done
mkdir tmp/packages
cp "$1"/packages/*.deb tmp/packages/
exec chroot . /usr/bin/env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 DEBIAN_FRONTEND=noninteractive \\
	http_proxy="$http_proxy" https_proxy="$https_proxy" sh -euxc "$3"
"""


def inside(release: str, options: str) -> str:
    """What is done in the root. The file lists are of what is there before, with and after the package."""
    return f"""
apt() {{ apt-get -q -y --no-install-recommends {options} "$@"; }}
files() {{ find / -xdev -path /tmp -prune -o -path /proc -prune -o -path /dev -prune -o -print | sort; }}
apt update
apt install dkms /tmp/packages/linux-*.deb
files >/before
apt install /tmp/packages/damon-rs-dkms_*.deb
dkms status damon-rs | tee /status
[ -n "$(ls /lib/modules/{release}/updates/dkms)" ]
cp -r /lib/modules/{release}/updates/dkms /modules
files >/with
apt purge damon-rs-dkms
files >/after
"""


def packages(series: str) -> list[Path]:
    """The kernel's headers and source, as its distribution has them."""
    folder, info = kernel.packages(series)
    return [folder / info[name] for name in ("headers", "source")]


def install(current: Step, release: str, package: Path) -> list[Path]:
    """Installs and removes it: the modules that it has built."""
    if FOLDER.exists():
        subprocess.run(["rm", "-rf", "--one-file-system", FOLDER], check=True)
    (FOLDER / "packages").mkdir(parents=True)
    for path in [package, *packages(kernel.SERIES)]:
        shutil.copy2(path, FOLDER / "packages")
    options = shlex.join(word for option in archive.APT_OPTIONS + archive.proxy_options() for word in ("-o", option.replace('"', "").replace(" ", "=", 1)))
    root = toolchain.ensure()
    current.run(
        ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--propagation", "private", "sh", "-c", ENTER, "enter", FOLDER, root, inside(release, options)],
        what="installing and removing the package",
    )
    upper = FOLDER / "upper"
    status = (upper / "status").read_text(encoding="utf-8")
    if f"{release}, x86_64: installed" not in status:
        raise Failure(f"DKMS says: {status}")
    before, during, after = (set((upper / name).read_text(encoding="utf-8").splitlines()) for name in ("before", "with", "after"))
    made = {"/before", "/status", "/modules", "/with", "/after"} | {path for path in after if path.startswith("/modules/")}
    left = sorted(path for path in after - before - made if not ALLOWED.match(path))
    if left:
        raise Failure(f"the removal has left {len(left)} files: {', '.join(left[:10])}")
    headers = f"/usr/src/linux-headers-{release}/rust/libkernel.rmeta"
    if not {headers, "/usr/sbin/as-damon"} <= during - before:
        raise Failure("the package has not installed what it should")
    return sorted((upper / "modules").iterdir())


def unpacked(paths: list[Path]) -> list[Path]:
    """The modules as insmod takes them, the one that the others need first."""
    folder = FOLDER / "modules"
    folder.mkdir()
    found = []
    for path in paths:
        name = path.name.removesuffix(".xz")
        content = path.read_bytes()
        (folder / name).write_bytes(lzma.decompress(content) if path.suffix == ".xz" else content)
        found.append(folder / name)
    return sorted(found, key=lambda path: len(path.name))


def main() -> int:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    its = kernel.ensure("stock")
    with step("package", LOGS / "package.log") as current:
        modules = unpacked(install(current, its.release, deb.make(current, deb.default_version())))
        current.note = ", ".join(path.name for path in modules)
    command = f'insmod "$DAMON_RS_MODULE" && cd /damon-rs/tests/guest && python3 -m pytest -q -p no:cacheprovider {GUEST_TESTS}'
    argv = [sys.executable, REPO / "scripts/vm.py", "run", "--kernel", "stock", *(f"--module={path}" for path in modules), "--", "sh", "-c", command]
    status = subprocess.run(argv, check=False).returncode
    subprocess.run(["rm", "-rf", "--one-file-system", FOLDER], check=True)
    return status


if __name__ == "__main__":
    run_main(main)

# SPDX-License-Identifier: GPL-2.0
"""The Debian archive, looked at through apt with a state of its own: the machine's package lists stay as they are."""

import os
import re
import subprocess
from pathlib import Path

from cache import CACHE, lock
from progress import Failure, Step

SUITE = "trixie"
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")

# An archive that is mirrored with a delay has release files past their date.
APT_OPTIONS = ['Acquire::Check-Valid-Until "false"', "Acquire::Retries 3", 'Acquire::Languages "none"']


def machine_sources() -> list[tuple[str, list[str]]]:
    """The archives in the machine's own apt configuration: address and suites, in order."""
    found: list[tuple[str, list[str]]] = []
    folder = Path("/etc/apt/sources.list.d")
    one_line = [Path("/etc/apt/sources.list"), *sorted(folder.glob("*.list"))]
    for path in one_line:
        if not path.is_file():
            continue
        for line in path.read_text(encoding="utf-8").splitlines():
            match = re.match(r"deb\s+(?:\[[^]]*\]\s+)?(\S+)\s+(\S+)", line.strip())
            if match:
                found.append((match[1], [match[2]]))
    for path in sorted(folder.glob("*.sources")):
        text = re.sub(r"^#.*\n", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
        for stanza in re.split(r"\n\s*\n", text):
            fields = {name.lower(): value.split() for name, value in re.findall(r"^([\w-]+):\s*(.*)$", stanza, re.M)}
            if "deb" in fields.get("types", []) and fields.get("enabled") != ["no"]:
                found += [(uri, fields.get("suites", [])) for uri in fields.get("uris", [])]
    return found


def mirror() -> str:
    """The address that Debian packages come from: what the machine itself uses, unless DAMON_RS_MIRROR says otherwise."""
    if chosen := os.environ.get("DAMON_RS_MIRROR"):
        return chosen
    for uri, suites in machine_sources():
        if uri.startswith(("http:", "https:")) and {"bookworm", "trixie", "stable", "oldstable"} & set(suites):
            return uri
    raise Failure(
        "no Debian archive in this machine's apt configuration. Set DAMON_RS_MIRROR to the address of one, "
        "as it stands in a line of /etc/apt/sources.list."
    )


def sources() -> list[str]:
    """The lines of a sources.list for the suite and its backports."""
    return [f"deb {mirror()} {suite} main" for suite in (SUITE, f"{SUITE}-backports")]


def proxy_options() -> list[str]:
    """apt's proxy settings of this machine."""
    dump = subprocess.run(["apt-config", "dump", "Acquire"], capture_output=True, text=True, check=False).stdout
    return [line.rstrip(";") for line in dump.splitlines() if re.match(r'Acquire::\w+::Proxy\S* ".+"', line)]


class Backports:
    """The packages of the suite's backports."""

    def __init__(self, step: Step):
        self._step = step
        self._folder = CACHE / "archive"
        for name in ("lists/partial", "archives/partial"):
            (self._folder / name).mkdir(parents=True, exist_ok=True)
        (self._folder / "status").touch()
        (self._folder / "sources.list").write_text(
            sources()[1].replace("deb ", f"deb [signed-by={KEYRING}] ", 1) + "\n", encoding="utf-8"
        )
        folder = self._folder
        options = [*APT_OPTIONS, *proxy_options()]
        options += [f'Dir::State "{folder}"', f'Dir::State::status "{folder}/status"', f'Dir::Cache "{folder}"']
        options += [f'Dir::Etc::SourceList "{folder}/sources.list"', 'Dir::Etc::SourceParts "/dev/null"']
        options += ['Dir::Etc::Preferences "/dev/null"', 'Dir::Etc::PreferencesParts "/dev/null"']
        options += ['APT::Architecture "amd64"', 'APT::Architectures "amd64"', 'APT::Sandbox::User "root"']
        # The machine's own hooks are for the machine's own packages.
        options += ['#clear APT::Update::Post-Invoke', '#clear APT::Update::Post-Invoke-Success', '#clear DPkg::Post-Invoke']
        config = folder / "apt.conf"
        config.write_text("".join(f"{option};\n" for option in options), encoding="utf-8")
        self._env = {**os.environ, "APT_CONFIG": str(config), "LC_ALL": "C.UTF-8"}

    def update(self) -> None:
        with lock("archive"):
            self._step.run(["apt-get", "update", "-q"], env=self._env, what="package lists")

    def versions(self, pattern: str) -> dict[str, str]:
        """The packages whose name matches `pattern` as a whole, with their versions."""
        dump = subprocess.run(
            ["apt-cache", "dumpavail"], capture_output=True, text=True, check=True, env=self._env
        ).stdout
        found: dict[str, str] = {}
        for stanza in dump.split("\n\n"):
            fields = dict(re.findall(r"^(Package|Version): (.*)$", stanza, re.MULTILINE))
            if re.fullmatch(pattern, fields.get("Package", "")):
                found[fields["Package"]] = fields["Version"]
        return found

    def download(self, names: list[str], folder: Path) -> list[Path]:
        """Downloads packages into `folder` and returns their files in the order of `names`."""
        folder.mkdir(parents=True, exist_ok=True)
        self._step.run(["apt-get", "download", "-q", *names], cwd=folder, env=self._env, what="download")
        files: list[Path] = []
        for name in names:
            matches = sorted(folder.glob(f"{name.partition('=')[0]}_*.deb"))
            if not matches:
                raise Failure(f"apt-get downloaded no file for {name} into {folder}")
            files.append(matches[-1])
        return files

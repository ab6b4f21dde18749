#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Runs a command in a virtual machine.

The command's output is passed on as it comes, its exit status becomes this script's, and files that it leaves in /out come
back with --out. The kernel's console goes to a log. What the kernel complains about there (warnings, lockdep reports,
leaks …) is a failure, whatever the command says.

In the guest: /damon-rs/modules (what --module gives), /damon-rs/tests/guest, /damon-rs/{selftests (the kernel's own of DAMON),scripts,Documentation},
/damon-rs/tests/guest/NAME for each NAME.c below tests/guest, and NAME/NAME for each Rust package and each folder of C files of that name.

exit status: the command's; 124 if it took too long; 125 if the kernel complained or the guest died.
"""

import argparse
import contextlib
import json
import os
import shlex
import shutil
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import image
import kernel
import klog
import toolchain
from cache import CACHE, LOGS, lock
from progress import Failure, Step, run_main, say

STATUS_TIMEOUT = 124
STATUS_BROKEN = 125

# Kernel modules of Debian's that tests use; the test kernels have them built in.
STOCK_MODULES = ["zram", "overlay"]

KIND_OPTIONS = {
    # All checks of the slab allocator but the record of who allocated: it unwinds the stack each time, as kmemleak does already.
    "test": "slab_debug=FZP",
    # While the kernel finds out about its processor, it does not know for a moment that page tables have five levels. An interrupt
    # then, which comes with emulation, looks for KASAN's shadow in the wrong place and is reported.
    "kasan": "no5lvl",
}

# The processor that is emulated. It must not claim fast string instructions: kernel and libc would store and copy memory with them, which
# the emulation does byte by byte.
EMULATED = "max,-erms,-fsrm,-fzrm,-fsrs,-fsrc"

# On a machine that runs against the host's clock, a host that is busy for long is a guest that hangs: its watchdogs would report it.
NO_WATCHDOGS = "nowatchdog rcupdate.rcu_cpu_stall_suppress=1 sysctl.kernel.hung_task_timeout_secs=0"

# How late the guest's output is passed on at most.
OUTPUT_SECONDS = 0.05

# A boot takes two or three where it works.
KVM_TRIAL_SECONDS = 8


@dataclass
class Machine:
    """What to boot, and how."""

    kernel: kernel.Kernel
    memory: str = "3G"
    smp: int = 2
    nodes: int = 1
    icount: bool = False
    seed: int = 1
    append: str = ""
    timeout: float = 600
    modules: list[Path] = field(default_factory=list)
    overlays: list[tuple[Path, str]] = field(default_factory=list)
    interactive: bool = False
    log: Path | None = None
    out: Path | None = None
    monitor: Path | None = None
    stamp: bool = False


def accelerator(machine: Machine) -> list[str]:
    """QEMU's options for the processor."""
    if machine.icount:
        # One instruction is one nanosecond of guest time, and idle time passes at once.
        counted = ["-accel", "tcg", "-icount", "shift=0,sleep=off", "-smp", "1", "-cpu", EMULATED]
        # The random numbers of the processor and the date are the same in each run.
        return [*counted, "-seed", str(machine.seed), "-rtc", "base=2026-01-01,clock=vm"]
    smp = ["-smp", str(machine.smp)]
    if kvm_works(machine.kernel):
        return ["-accel", "kvm", "-cpu", "host", *smp]
    return ["-accel", "tcg,thread=multi", "-cpu", EMULATED, *smp]


@contextlib.contextmanager
def run_folder() -> Iterator[Path]:
    """A folder for the files of one run; what killed runs left goes."""
    runs = CACHE / "vm"
    runs.mkdir(parents=True, exist_ok=True)
    for old in runs.iterdir():
        if not Path("/proc", old.name.partition("-")[0]).exists():
            shutil.rmtree(old, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=runs, prefix=f"{os.getpid()}-") as name:
        yield Path(name)


def kvm_works(its: kernel.Kernel) -> bool:
    """Whether a machine boots under KVM here. The device's presence says nothing: only a boot does. Asked once per boot of the host."""
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return False
    verdict = CACHE / "kvm.json"
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
    with lock("kvm"):
        try:
            known = json.loads(verdict.read_text(encoding="utf-8"))
            if known["boot"] == boot:
                return bool(known["works"])
        except (OSError, ValueError, KeyError):
            pass
        start = time.monotonic()
        with run_folder() as folder:
            machine = Machine(its, memory="1G", timeout=KVM_TRIAL_SECONDS)
            make_initrd(machine, folder, ["true"], tests=False)
            works = boot_machine(machine, folder, ["-accel", "kvm", "-cpu", "host"], quiet=True) == 0
        seconds = time.monotonic() - start
        say(f"{seconds:7.1f} s  trial of KVM: {'works' if works else 'does not work here; software emulation it is'}")
        verdict.write_text(json.dumps({"boot": boot, "works": works}), encoding="utf-8")
    return works


def make_initrd(machine: Machine, folder: Path, argv: list[str], tests: bool = True) -> Path:
    """The guest's base with this run's archive behind it."""
    step = Step("guest archive", folder / "initrd.log")
    stage = folder / "stage"
    run = stage / "damon-rs/run"
    run.mkdir(parents=True)
    names = " ".join(f"/damon-rs/modules/{path.name}" for path in machine.modules[:1])
    (run / "command").write_text(f"export DAMON_RS_MODULE={names}\nexec {shlex.join(argv)}\n", encoding="utf-8")
    if machine.interactive:
        (run / "interactive").touch()
    shutil.copy2(image.GUEST / "init", stage / "init")
    modules = stage / "damon-rs/modules"
    modules.mkdir()
    for path in machine.modules:
        shutil.copy2(path, modules)
    if tests:
        image.stage_tests(step, stage, machine.kernel.series)
    for source, target in machine.overlays:
        place = stage / target.lstrip("/")
        if source.is_dir():
            shutil.copytree(source, place, symlinks=True, dirs_exist_ok=True)
        else:
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, place)
    if machine.kernel.modules and tests:
        shutil.copytree(image.kernel_modules(machine.kernel, STOCK_MODULES), stage, dirs_exist_ok=True)
        (run / "modprobe").write_text("\n".join(STOCK_MODULES) + "\n", encoding="utf-8")
    overlay = folder / "overlay.cpio"
    image.pack(step, stage, overlay)
    initrd = folder / "initrd"
    with open(initrd, "wb") as target_file:
        for path in (image.ensure(), overlay):
            with open(path, "rb") as source_file:
                shutil.copyfileobj(source_file, target_file)
            # The kernel looks for the next archive at a multiple of four.
            target_file.write(b"\0" * (-target_file.tell() % 4))
    return initrd


def numa(machine: Machine) -> list[str]:
    """QEMU's options for the nodes: as much memory on each, all processors on the first."""
    if machine.nodes == 1:
        return []
    unit = machine.memory[-1]
    mib = int(machine.memory[:-1]) << {"M": 0, "G": 10}[unit]
    options = []
    last = 0 if machine.icount else machine.smp - 1
    for node in range(machine.nodes):
        options += ["-object", f"memory-backend-ram,id=node{node},size={mib // machine.nodes}M"]
        options += ["-numa", f"node,nodeid={node},memdev=node{node}" + ("" if node else f",cpus=0-{last}")]
    return options


def qemu_command(machine: Machine, folder: Path, options: list[str]) -> list[str]:
    # A busy host may be too late for the kernel's trial of the timer, and for its comparison of two clocks.
    busy_host = "no_timer_check tsc=reliable"
    options_of_kernel = ["console=ttyS0 loglevel=7 panic=-1 oops=panic mitigations=off", busy_host]
    options_of_kernel += [*([] if machine.icount else [NO_WATCHDOGS]), KIND_OPTIONS.get(machine.kernel.kind, ""), machine.append]
    append = " ".join(filter(None, options_of_kernel))
    # Where idle time passes at once, the interrupts of a timer that nobody needs are most of what it costs.
    board = "q35,hpet=off" if machine.icount else "q35"
    argv = [
        "qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
        "-machine", board, "-m", machine.memory, *numa(machine), *options,
        "-kernel", machine.kernel.image, "-initrd", str(folder / "initrd"), "-append", append,
        "-chardev", f"file,id=console,path={folder}/console", "-serial", "chardev:console",
        "-device", "virtio-serial-pci",
    ]  # fmt: skip
    for port in ("status", "files", "leaks"):
        argv += ["-chardev", f"file,id={port},path={folder}/{port}", "-device", f"virtserialport,chardev={port},name={port}"]
    if machine.monitor:
        argv += ["-monitor", f"unix:{machine.monitor},server=on,wait=off"]
    if machine.interactive:
        return [*argv, "-chardev", "stdio,id=output,signal=off", "-device", "virtconsole,chardev=output"]
    # A file takes all at once. A pipe that is read late would hold back what the guest has written, and what is held back when the guest
    # switches itself off is lost. Where idle time passes at once, the guest cannot wait for the host.
    return [*argv, "-chardev", f"file,id=output,path={folder}/output", "-device", "virtserialport,chardev=output,name=output"]


class Output:
    """Passes the guest's output on as it comes; with `stamp` with the seconds at which each line began."""

    def __init__(self, stamp: bool) -> None:
        self._stamp = stamp
        self._start = time.monotonic()
        self._in_line = False

    def write(self, chunk: bytes) -> None:
        if self._stamp:
            mark = f"{time.monotonic() - self._start:8.1f} ".encode()
            begun = b"" if self._in_line else mark
            self._in_line = not chunk.endswith(b"\n")
            body = chunk if self._in_line else chunk[:-1]
            chunk = begun + body.replace(b"\n", b"\n" + mark) + (b"" if self._in_line else b"\n")
        sys.stdout.buffer.write(chunk)
        sys.stdout.buffer.flush()


def boot_machine(machine: Machine, folder: Path, options: list[str], quiet: bool = False) -> int:
    """Boots and waits for the end: the command's status, or what became of the machine."""
    line = toolchain.command(qemu_command(machine, folder, options), cwd=folder)
    env = toolchain.environment()
    # A guest must not outlive the one who waits for it.
    line = ["setpriv", "--pdeathsig", "KILL", *line]
    standard = None if machine.interactive else subprocess.DEVNULL
    (folder / "output").touch()
    with open(folder / "qemu.log", "wb") as errors, open(folder / "output", "rb") as printed:
        process = subprocess.Popen(line, env=env, stdin=standard, stdout=standard, stderr=errors)
        timed_out = threading.Event()

        def stop() -> None:
            timed_out.set()
            process.kill()

        timer = threading.Timer(machine.timeout, stop)
        if not machine.interactive:
            timer.start()
        output = Output(machine.stamp)
        try:
            while process.returncode is None:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(None if machine.interactive else OUTPUT_SECONDS)
                # What QEMU has written before it ended is read after it has ended.
                while chunk := printed.read(65536):
                    if not quiet:
                        output.write(chunk)
        finally:
            timer.cancel()
            process.kill()
            process.wait()
    if timed_out.is_set():
        return STATUS_TIMEOUT
    try:
        return int((folder / "status").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return STATUS_BROKEN


def finish_log(machine: Machine, folder: Path) -> Path:
    """Keeps the console's log, with what kmemleak found at its end."""
    path = machine.log or LOGS / "vm" / f"{time.strftime('%Y%m%d-%H%M%S')}-{machine.kernel.kind}-{os.getpid()}.log"
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "wb") as target:
        for name in ("console", "leaks", "qemu.log"):
            if (folder / name).exists():
                target.write((folder / name).read_bytes())
    if not machine.log:
        for old in sorted(path.parent.glob("*.log"))[:-40]:
            old.unlink(missing_ok=True)
    return path


def run(machine: Machine, argv: list[str]) -> int:
    """Runs `argv` in the machine. What there is to say beyond its own output goes to stderr."""
    options = accelerator(machine)
    with run_folder() as folder:
        make_initrd(machine, folder, argv)
        status = boot_machine(machine, folder, options)
        log = finish_log(machine, folder)
        if machine.out and (folder / "files").exists() and status != STATUS_TIMEOUT:
            machine.out.mkdir(parents=True, exist_ok=True)
            try:
                with tarfile.open(folder / "files") as files:
                    files.extractall(machine.out, filter="data")
            except tarfile.TarError:
                if status == 0:
                    status = STATUS_BROKEN
        found = klog.complaints(log.read_text(encoding="utf-8", errors="replace"))
    if status == STATUS_TIMEOUT:
        print(f"vm.py: stopped after {machine.timeout:.0f} s; the kernel's log is {log}", file=sys.stderr)
    elif status == STATUS_BROKEN:
        tail = "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-15:])
        print(f"vm.py: the guest ended without the command's status; the end of {log}:\n{tail}", file=sys.stderr)
    if found:
        print(f"vm.py: the kernel complained {len(found)} times, see {log}:", file=sys.stderr)
        print("\n--\n".join(found[:5]), file=sys.stderr)
        status = status or STATUS_BROKEN
    return status


def overlay(text: str) -> tuple[Path, str]:
    source, colon, target = text.partition(":")
    if not colon or not Path(source).exists():
        raise argparse.ArgumentTypeError(f"{text!r} is not an existing DIR:GUESTPATH")
    return Path(source), target


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    run_parser = commands.add_parser("run", help="run a command in the guest", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    shell = commands.add_parser("shell", help="a prompt in the guest; `exit` ends it")
    for each in (run_parser, shell):
        each.add_argument("--kernel", choices=kernel.KINDS, default="stock")
        each.add_argument("--series", default=kernel.SERIES)
        each.add_argument("--module", type=Path, action="append", default=[], metavar="PATH", help="copy to /damon-rs/modules")
        each.add_argument("--overlay", type=overlay, action="append", default=[], metavar="DIR:GUESTPATH")
        each.add_argument("--memory", default="3G")
        each.add_argument("--smp", type=int, default=2)
        each.add_argument("--nodes", type=int, default=1, help="NUMA nodes among which the memory is divided")
        each.add_argument("--icount", action="store_true", help="one processor; an instruction takes one nanosecond")
        each.add_argument("--append", default="", help="more for the kernel's command line")
        each.add_argument("--log", type=Path, help="keep the kernel's log here")
        each.add_argument("--out", type=Path, metavar="DIR", help="gets what the command leaves in /out")
        each.add_argument("--monitor", type=Path, metavar="PATH", help="make a socket of QEMU's monitor there")
    run_parser.add_argument("--stamp", action="store_true", help="put the seconds at which it began before each line of output")
    run_parser.add_argument("--timeout", type=float, default=600, help="seconds (default: %(default)s)")
    run_parser.add_argument("argv", nargs=argparse.REMAINDER, metavar="[--] CMD …")
    arguments = parser.parse_args()
    argv = ["bash", "-l"]
    if arguments.command == "run":
        argv = arguments.argv[1:] if arguments.argv[:1] == ["--"] else arguments.argv
        if not argv:
            raise Failure("run what? For example: vm.py run --kernel stock -- uname -a")
    for path in arguments.module:
        if not path.is_file():
            raise Failure(f"{path}: no such module; build it first")
    toolchain.ensure()
    machine = Machine(
        kernel=kernel.ensure(arguments.kernel, arguments.series),
        memory=arguments.memory,
        smp=arguments.smp,
        nodes=arguments.nodes,
        icount=arguments.icount,
        append=arguments.append,
        timeout=getattr(arguments, "timeout", 0),
        modules=arguments.module,
        overlays=arguments.overlay,
        interactive=arguments.command == "shell",
        log=arguments.log,
        out=arguments.out,
        monitor=arguments.monitor,
        stamp=getattr(arguments, "stamp", False),
    )
    return run(machine, argv)


if __name__ == "__main__":
    run_main(main)

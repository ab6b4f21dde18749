# SPDX-License-Identifier: GPL-2.0
"""What a user sees of a long run: one line a step, with its time.

A step's commands write to a log file of their own. While a step lasts, its last log line is repeated every
half minute, so that nobody wonders whether it hangs. A command that fails ends the step with the tail of that log.
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TextIO

HEARTBEAT_SECONDS = 30
TAIL_LINES = 25

_print_lock = threading.Lock()


class Failure(Exception):
    """Something that the user can read and act on; printed without a traceback."""


def say(line: str, stream: TextIO = sys.stderr) -> None:
    """Prints a whole line: steps that run at the same time must not mix theirs. Standard output is for results."""
    with _print_lock:
        print(line, file=stream, flush=True)


class Step:
    """One step under way: its log, and the commands it runs."""

    def __init__(self, title: str, log: Path):
        self.title = title
        self.log = log
        self.note = ""
        self._start = time.monotonic()

    def seconds(self) -> float:
        return time.monotonic() - self._start

    def write(self, line: str) -> None:
        """Adds a line to the step's log."""
        with open(self.log, "a", encoding="utf-8") as log:
            log.write(f"{line}\n")

    def run(
        self,
        argv: Sequence[str | Path],
        *,
        cwd: Path | None = None,
        env: dict[str, str] | None = None,
        what: str = "",
        shown: str = "",
    ) -> None:
        """Runs `argv` with its output in the step's log; raises `Failure` with the log's tail if it fails.

        `what` names it in that case, `shown` is the command line for the log if `argv` is not fit to be read.
        The command ends when this process does, however it ends: no orphan goes on writing to the cache.
        """
        line = ["setpriv", "--pdeathsig", "KILL", *map(str, argv)]
        with open(self.log, "a", encoding="utf-8") as log:
            log.write(f"+ {shown or ' '.join(map(str, argv))}\n")
            log.flush()
            begin = log.tell()
            status = subprocess.run(
                line, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=cwd, env=env, check=False
            ).returncode
        if status != 0:
            with open(self.log, "rb") as log_bytes:
                log_bytes.seek(begin)
                tail = log_bytes.read().decode(errors="replace").splitlines()[-TAIL_LINES:]
            lines = "\n".join(f"    {line[:300]}" for line in tail)
            raise Failure(
                f"{what or self.title}: failed with status {status}:\n{lines}\n"
                f"  The whole log is {self.log}"
            )

    def _last_line(self) -> str:
        try:
            with open(self.log, "rb") as log:
                log.seek(0, os.SEEK_END)
                log.seek(max(0, log.tell() - 400))
                lines = [line for line in log.read().decode(errors="replace").splitlines() if line.strip()]
        except OSError:
            return ""
        return lines[-1].strip()[:70] if lines else ""

    @contextlib.contextmanager
    def beating(self) -> Iterator[None]:
        """Tells every now and then how far the step is."""
        stop = threading.Event()

        def beat() -> None:
            while not stop.wait(HEARTBEAT_SECONDS):
                say(f"  … {self.title}: {self.seconds():.0f} s so far  [{self._last_line()}]")

        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()


@contextlib.contextmanager
def step(title: str, log: Path) -> Iterator[Step]:
    """Times what happens inside and prints one line when it is done."""
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text("")
    current = Step(title, log)
    try:
        with current.beating():
            yield current
    except BaseException:
        say(f"{current.seconds():7.1f} s  {title}: FAILED")
        raise
    say(f"{current.seconds():7.1f} s  {title}{': ' if current.note else ''}{current.note}")


def run_main(main: Callable[[], int]) -> None:
    """Calls a script's `main` and turns what it raises into an exit status."""
    # At once, whatever threads wait for: the commands die with this process, and half-made things carry no stamp.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(143))
    try:
        sys.exit(main())
    except Failure as failure:
        print(f"{Path(sys.argv[0]).name}: {failure}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)

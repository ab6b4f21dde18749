# SPDX-License-Identifier: GPL-2.0
"""Time in the guest: waiting for what must come, and letting time pass in which something must not happen.

The tests run in a machine whose clock counts instructions: idle time passes at once, and the speed is always the same. What a wait costs
the host is what its condition executes, not how long it lasts.
"""

from __future__ import annotations

import time
from typing import Callable


# A wait spends at most this share of the guest's time on its condition, which may take many instructions; the rest is idle, and free.
SHARE = 0.1


def wait_until(condition: Callable[[], object], what: str | Callable[[], str], timeout: float = 120, every: float = 0.01) -> None:
    """Returns when the condition holds. It is looked at every `every` seconds, or less often if it takes long. The time limit is for a
    machine that is broken, not for one that is slow.
    """
    end = time.monotonic() + timeout
    while True:
        begin = time.monotonic()
        if condition():
            return
        now = time.monotonic()
        if now > end:
            raise TimeoutError(f"waited {timeout} s until {what if isinstance(what, str) else what()}")
        time.sleep(max(every, (now - begin) * (1 / SHARE - 1)))


def advance(seconds: float) -> None:
    """Lets guest time pass in which something must not happen. For what must happen there is `wait_until`."""
    time.sleep(seconds)

"""How tests wait for other processes and threads."""

from __future__ import annotations

import time
from collections.abc import Callable

LIMIT_S = 300
"""When a wait is given up, in seconds. It turns a hang into a failure and says nothing about speed:
nothing that a test waits for takes this long, even on a machine that is busy with other work."""


def until(condition: Callable[[], object], what: str = "a condition") -> None:
    """Wait until the condition holds.

    Looks a few hundred times a second, because a loop that never pauses would take the CPU from
    the process that it waits for.
    """
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < deadline, f"waited {LIMIT_S} s for {what}"
        time.sleep(0.002)

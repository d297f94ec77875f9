"""Owns what capture remembers in this process: the outer run, import waits, hooks, trackers.

Each module of `capture` describes its memory with a class of its own and asks `STATE` for the one
instance of it:

    STATE.part(_ImportWaits).callbacks

So no other module has a mutable global, and a fork is handled in one place. Imports nothing of
provml.
"""

from __future__ import annotations

import os
from typing import Any, Final, TypeVar

_Part = TypeVar("_Part")


class CaptureState:
    """What capture remembers in one process: one instance of each class that its modules ask for.

    A part that defines ``after_fork_in_child()`` has it called in each forked child. Parts survive
    a fork otherwise unchanged.
    """

    def __init__(self) -> None:
        self._parts: dict[type, Any] = {}

    def part(self, kind: type[_Part]) -> _Part:
        """Return the instance of a class, created with no arguments at the first call.

        Costs a dictionary look-up. Safe from any thread: all of them get the same instance.
        """
        try:
            found: _Part = self._parts[kind]
        except KeyError:
            found = self._parts.setdefault(kind, kind())
        return found

    def after_fork_in_child(self) -> None:
        """Tell each part that this process is a new child: locks of other threads stay locked."""
        for part in list(self._parts.values()):
            handler = getattr(part, "after_fork_in_child", None)
            if handler is not None:
                handler()


STATE: Final = CaptureState()
"""The state of this process."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=STATE.after_fork_in_child)

"""Owns the memory of capture in this process: the outer run, import callbacks, hooks, trackers.

Each module of `capture` defines a class for its own memory, and asks `STATE` for the only instance
of that class:

    STATE.part(_ImportFinder).callbacks

So no other module has a mutable global, and forks are handled in one place. Imports nothing else
from provml.
"""

from __future__ import annotations

import os
from typing import Any, Final, TypeVar

_Part = TypeVar("_Part")


class CaptureState:
    """The memory of capture in one process: one instance (a part) of each class asked for.

    In each forked child, the method ``after_fork_in_child()`` of each part that defines it is
    called. A fork does not change the parts in any other way.
    """

    def __init__(self) -> None:
        self._parts: dict[type, Any] = {}

    def part(self, kind: type[_Part]) -> _Part:
        """Return the only instance of a class. The first call creates it, without arguments.

        Costs a dictionary look-up. Safe from any thread: all threads get the same instance.
        """
        try:
            found: _Part = self._parts[kind]
        except KeyError:
            found = self._parts.setdefault(kind, kind())
        return found

    def after_fork_in_child(self) -> None:
        """Tell each part about the fork: a lock that another thread held would stay locked."""
        for part in list(self._parts.values()):
            handler = getattr(part, "after_fork_in_child", None)
            if handler is not None:
                handler()


STATE: Final = CaptureState()
"""The state of this process."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=STATE.after_fork_in_child)

"""Owns the state of capture in this process: the outer run, import callbacks, hooks and trackers.

Each module of `capture` that has state defines a class for the state, and asks `STATE` for the only
instance of that class:

    STATE.part(_ImportFinder).callbacks

So no other module needs a mutable global, and forks are handled in one place. Imports nothing else
from provml.
"""

from __future__ import annotations

import os
from typing import Any, Final, TypeVar

_Part = TypeVar("_Part")


class CaptureState:
    """The state of capture in one process. It has several parts, each the only instance of a class.

    Each forked child calls the method ``after_fork_in_child()`` of every part that has one. A
    fork does not change the parts in any other way.
    """

    def __init__(self) -> None:
        self._parts: dict[type, Any] = {}

    def part(self, kind: type[_Part]) -> _Part:
        """Return the only instance of a class. The first call creates it, without arguments.

        Costs one dictionary look-up. Thread-safe: all threads get the same instance.
        """
        try:
            found: _Part = self._parts[kind]
        except KeyError:
            found = self._parts.setdefault(kind, kind())
        return found

    def after_fork_in_child(self) -> None:
        """Call each part's fork handler, which replaces locks that other threads may have held."""
        for part in list(self._parts.values()):
            handler = getattr(part, "after_fork_in_child", None)
            if handler is not None:
                handler()


STATE: Final = CaptureState()
"""The state of capture in this process."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=STATE.after_fork_in_child)

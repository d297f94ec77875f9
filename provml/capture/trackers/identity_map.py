"""Remembers something about objects of trackers, for as long as they live.

Imports nothing of provml.
"""

from __future__ import annotations

import weakref
from typing import Any, Generic, TypeVar

_Remembered = TypeVar("_Remembered")


class IdentityMap(Generic[_Remembered]):
    """Maps objects to values by identity, not equality. Does not keep the objects alive."""

    def __init__(self) -> None:
        self._entries: dict[int, tuple[weakref.ref[Any], _Remembered]] = {}

    def get(self, key: object) -> _Remembered | None:
        """Return the value of an object; None if it has none."""
        entry = self._entries.get(id(key))
        return entry[1] if entry is not None and entry[0]() is key else None

    def add(self, key: object, value: _Remembered) -> None:
        """Set the value of an object, which must support weak references."""
        entries, number = self._entries, id(key)
        entries[number] = weakref.ref(key, lambda _: entries.pop(number, None)), value

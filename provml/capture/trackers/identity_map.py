"""Stores a value for an object of a tracker, such as a writer, for as long as the object lives.

Imports nothing else from provml.
"""

from __future__ import annotations

import weakref
from typing import Any, Generic, TypeVar

_Remembered = TypeVar("_Remembered")


class IdentityMap(Generic[_Remembered]):
    """Maps objects, by identity, to values. The mapping does not keep the objects alive."""

    def __init__(self) -> None:
        self._entries: dict[int, tuple[weakref.ref[Any], _Remembered]] = {}

    def get(self, key: object) -> _Remembered | None:
        """Return the value stored for an object; None if no value is stored."""
        entry = self._entries.get(id(key))
        return entry[1] if entry is not None and entry[0]() is key else None

    def add(self, key: object, value: _Remembered) -> None:
        """Store a value for an object, which must support weak references."""
        entries, number = self._entries, id(key)
        entries[number] = weakref.ref(key, lambda _: entries.pop(number, None)), value

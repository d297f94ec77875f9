"""A registry of the logged models and datasets, so that later calls can refer to them by name.

The registry keeps no object alive. Imports nothing else from provml.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

Reference = Callable[[], Any]


class ObjectRegistry:
    """The objects that this process logged in a run, by kind (``model``, ``dataset``) and name.

    Attributes:
        changes: the number of registrations so far. If this number has changed since a look-up, the
            result of the look-up may be outdated.
        made: the kind and name of each model and artifact that the run is known to have logged.
    """

    def __init__(self) -> None:
        self.changes = 0
        self.made: set[tuple[str, str]] = set()
        self._objects: dict[tuple[str, str], Reference] = {}

    def register(self, kind: str, name: str, value: object) -> None:
        """Register an object under a name, without keeping the object alive."""
        try:
            reference: Reference = weakref.ref(value)
        except TypeError:
            return  # paths and lists do not support weak references
        self._objects.pop((kind, name), None)
        self._objects[kind, name] = reference
        self.changes += 1

    def get(self, kind: str, name: str) -> Any:
        """Return the object with this name; None if it was not registered or no longer exists."""
        return self._objects.get((kind, name), _dead_reference)()

    def has(self, kind: str, name: str) -> bool:
        """Return whether a name was registered, even if the object no longer exists."""
        return (kind, name) in self._objects

    def name_of(self, kind: str, value: object) -> str | None:
        """Return the name under which an object was last registered, or None."""
        names = (
            name for own, name, known in self._newest_first() if own == kind and known is value
        )
        return next(names, None)

    def latest(self, kind: str, accept: Callable[[Any], bool]) -> Any:
        """Return the newest object of a kind for which `accept` returns True, or None."""
        found = (known for own, _, known in self._newest_first() if own == kind and accept(known))
        return next(found, None)

    def names(self, kind: str) -> list[str]:
        """Return the names of all registered objects of a kind, oldest first."""
        return [name for own, name in self._objects if own == kind]

    def _newest_first(self) -> list[tuple[str, str, Any]]:
        items = [(kind, name, known()) for (kind, name), known in self._objects.items()]
        return [item for item in reversed(items) if item[2] is not None]


def _dead_reference() -> None:
    return None

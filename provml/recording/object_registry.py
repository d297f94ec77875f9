"""The models and datasets that a run's verbs were given, held weakly; later calls name them.

Imports nothing of provml.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

Reference = Callable[[], Any]


class ObjectRegistry:
    """The objects that a process registered in a run, by kind (``model``, ``dataset``) and name.

    Attributes:
        changes: how often something was registered; what was looked up before may have changed.
        made: kind and name of every model and artifact that is known to be logged.
    """

    def __init__(self) -> None:
        self.changes = 0
        self.made: set[tuple[str, str]] = set()
        self._objects: dict[tuple[str, str], Reference] = {}

    def register(self, kind: str, name: str, value: object) -> None:
        """Remember an object under its name, without keeping it alive."""
        try:
            reference: Reference = weakref.ref(value)
        except TypeError:
            return  # a path, a list: nothing that a later call could mean
        self._objects.pop((kind, name), None)
        self._objects[kind, name] = reference
        self.changes += 1

    def get(self, kind: str, name: str) -> Any:
        """The object of a name; None where it is gone, or never was."""
        return self._objects.get((kind, name), _dead_reference)()

    def has(self, kind: str, name: str) -> bool:
        """Whether a name was registered, whatever became of the object."""
        return (kind, name) in self._objects

    def name_of(self, kind: str, value: object) -> str | None:
        """The name that an object was last registered under."""
        names = (
            name for own, name, known in self._newest_first() if own == kind and known is value
        )
        return next(names, None)

    def latest(self, kind: str, accept: Callable[[Any], bool]) -> Any:
        """The object of a kind that was registered last, of those accepted; None without one."""
        found = (known for own, _, known in self._newest_first() if own == kind and accept(known))
        return next(found, None)

    def names(self, kind: str) -> list[str]:
        """The names that were registered."""
        return [name for own, name in self._objects if own == kind]

    def _newest_first(self) -> list[tuple[str, str, Any]]:
        items = [(kind, name, known()) for (kind, name), known in self._objects.items()]
        return [item for item in reversed(items) if item[2] is not None]


def _dead_reference() -> None:
    return None

"""Sorts the settings of a run, so that a short table can leave out the least telling ones.

Imports nothing else from provml.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any, Final, TypeVar

_SETTINGS_READ: Final = "settings read"
_LIBRARIES: Final = frozenset({"torch", "numpy", "python", "cuda", "cudnn", "system"})
_LEAST_TELLING: Final = 3
_UNSET: Final = frozenset({"null", "None", '""', ""})

T = TypeVar("T")


class SettingOrder:
    """The order of a run's settings, from the most to the least telling.

    1. settings that the user gave to the program, for example on the command line
    2. settings whose names have no prefix, such as ``lr``
    3. settings with a prefix, such as ``model.layers``
    4. settings that state a default of a library, such as ``torch.threads``, and empty settings

    Args:
        given: the names of the settings that the user gave to the program.
    """

    def __init__(self, given: Iterable[str] = ()) -> None:
        self._given = frozenset(given)

    def rank(self, name: str, value: str) -> int:
        """Return the rank of a setting, from 0 to 3. A lower rank is more telling.

        Args:
            value: the value as text, for example as JSON.
        """
        if name in self._given:
            return 0
        prefix, dot, _ = name.partition(".")
        if value in _UNSET or (dot and prefix in _LIBRARIES):
            return _LEAST_TELLING
        return 2 if dot else 1

    def is_telling(self, name: str, value: str) -> bool:
        """Return whether a setting has rank 0 or 1. Tables must not leave out such a setting."""
        return self.rank(name, value) < 2

    def sort(self, settings: Iterable[T], describe: Callable[[T], tuple[str, str]]) -> list[T]:
        """Return the settings sorted by rank. Settings of the same rank keep their order.

        Args:
            describe: a function that returns the name and the value of a setting.
        """
        return sorted(settings, key=lambda setting: self.rank(*describe(setting)))


def find_given(label: str, metadata: Any) -> list[str]:
    """Return the names of the settings that the user gave to the program, according to an event.

    Returns [] if the event does not list such settings.

    Args:
        label: the name of the event.
        metadata: the metadata of the event, as a dict or as JSON text.
    """
    if label != _SETTINGS_READ:
        return []
    if isinstance(metadata, str):
        try:
            metadata = json.loads(metadata)
        except ValueError:
            return []
    given = metadata.get("given") if isinstance(metadata, dict) else None
    return [name for name in given if isinstance(name, str)] if isinstance(given, list) else []

"""Finds the formats, commands, collectors and trackers that other packages add to provml.

Imports nothing else from provml.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint


def find_entry_points(group: str) -> dict[str, EntryPoint]:
    """Return the entry points that all installed packages define in a group, keyed by name.

    If two packages use the same name, the package that comes first on Python's import path wins.
    The first call in a process costs about 30 ms.
    """
    from importlib import metadata  # imported here because it is as slow as the rest of provml

    found: dict[str, EntryPoint] = {}
    for point in metadata.entry_points(group=group):
        found.setdefault(point.name, point)
    return found

"""Loads the trackers and integrations that other installed packages register for provml."""

from __future__ import annotations

import os
import sys
from typing import Final

from provml.base.entry_points import find_entry_points
from provml.capture.outer_run import note_missed
from provml.capture.state import STATE
from provml.capture.tool_hooks import Tool

_METADATA_SUFFIXES: Final = (".dist-info", ".egg-info")
_MAX_ENTRY_POINTS_BYTES: Final = 2**20
_OUR_GROUPS: Final = b"[provml."


class _AnnouncementTexts:
    """The ``entry_points.txt`` files that register something for provml.

    Attributes:
        texts: the contents of the files; None if ``sys.path`` has not been searched yet.
    """

    def __init__(self) -> None:
        self.texts: list[bytes] | None = None


def load_announced_tools(group: str, kind: str) -> list[Tool]:
    """Load and return the tools in an entry point group. Skip tools that can't be loaded.

    An event in the run names each tool that can't be loaded. The first call in a process searches
    ``sys.path``, which takes a few milliseconds.

    Args:
        group: the entry point group, such as ``provml.trackers``.
        kind: what the tools are, such as ``tracker``. The event about a failure contains this word.
    """
    known = STATE.part(_AnnouncementTexts)
    if known.texts is None:
        known.texts = _read_announcements()
    if not any(f"[{group}]".encode() in text for text in known.texts):
        return []
    found = []
    for point in find_entry_points(group).values():
        try:
            found.append(point.load())
        except Exception as error:  # the tool's import failed
            note_missed(f"{kind} {point.name}", error)
    return found


def _read_announcements() -> list[bytes]:
    """Return the contents of the ``entry_points.txt`` files that register something for provml.

    Searches the folders in ``sys.path``.
    """
    texts = []
    for folder in sys.path:
        try:
            with os.scandir(folder or os.curdir) as entries:
                packages = [
                    entry.path for entry in entries if entry.name.endswith(_METADATA_SUFFIXES)
                ]
        except OSError:
            continue
        for package in packages:
            try:
                with open(os.path.join(package, "entry_points.txt"), "rb") as file:
                    text = file.read(_MAX_ENTRY_POINTS_BYTES)
            except OSError:
                continue
            if _OUR_GROUPS in text:
                texts.append(text)
    return texts

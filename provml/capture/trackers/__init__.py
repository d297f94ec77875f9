"""Records the calls that a script makes to other experiment trackers, which still work as usual.

Each built-in tracker is a module of this package that implements the protocol `tool_hooks.Tool`.
Other packages register their trackers in the entry point group ``provml.trackers``.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import Final, cast

from provml.base.entry_points import find_entry_points
from provml.capture.outer_run import note_missed
from provml.capture.state import STATE
from provml.capture.tool_hooks import Tool, ToolHooks

TRACKER_ENTRY_POINTS: Final = "provml.trackers"
BUILT_IN_TRACKERS: Final = ("mlflow", "tensorboard", "wandb")
_METADATA_SUFFIXES: Final = (".dist-info", ".egg-info")
_MAX_ENTRY_POINTS_BYTES: Final = 2**20


class _TrackerHooks(ToolHooks):
    """The hooks of all trackers."""


def install() -> None:
    """Start recording the calls to other trackers. Idempotent.

    Costs a few milliseconds, mostly to find other packages that register a tracker.
    """
    hooks = STATE.part(_TrackerHooks)
    if not hooks.installed:
        hooks.install([*_load_built_in(), *_load_announced()])


def uninstall() -> None:
    """Stop recording calls, and restore the original functions of all trackers."""
    STATE.part(_TrackerHooks).uninstall()


def _load_built_in() -> list[Tool]:
    return [cast(Tool, import_module(f"{__name__}.{name}")) for name in BUILT_IN_TRACKERS]


def _load_announced() -> list[Tool]:
    """Load the trackers that other packages register. Note in the run which ones fail to load."""
    if not _has_announcement():
        return []
    found = []
    for point in find_entry_points(TRACKER_ENTRY_POINTS).values():
        try:
            found.append(point.load())
        except Exception as error:  # the tracker's import failed
            note_missed(f"tracker {point.name}", error)
    return found


def _has_announcement() -> bool:
    """Return whether any package on ``sys.path`` registers a tracker. Costs a few milliseconds."""
    section = f"[{TRACKER_ENTRY_POINTS}]".encode()
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
                    if section in file.read(_MAX_ENTRY_POINTS_BYTES):
                        return True
            except OSError:
                continue
    return False

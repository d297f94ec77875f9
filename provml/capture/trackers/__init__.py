"""Records the calls that a script makes to other experiment trackers.

The calls still reach the trackers, which work as usual.

Each built-in tracker is a module of this package that implements the protocol `tool_hooks.Tool`.
Other packages register their trackers in the entry point group ``provml.trackers``.
"""

from __future__ import annotations

from importlib import import_module
from typing import Final, cast

from provml.capture.announced_tools import load_announced_tools
from provml.capture.state import STATE
from provml.capture.tool_hooks import Tool, ToolHooks

TRACKER_ENTRY_POINTS: Final = "provml.trackers"
BUILT_IN_TRACKERS: Final = ("mlflow", "tensorboard", "tf_summary", "wandb")


class _TrackerHooks(ToolHooks):
    """The hooks of all trackers."""


def install() -> None:
    """Start recording the calls to other trackers. Idempotent.

    Takes a few milliseconds, mostly for finding other packages that register a tracker.
    """
    hooks = STATE.part(_TrackerHooks)
    if not hooks.installed:
        hooks.install([*_load_built_in(), *load_announced_tools(TRACKER_ENTRY_POINTS, "tracker")])


def uninstall() -> None:
    """Stop recording calls to other trackers, and restore the trackers' original functions."""
    STATE.part(_TrackerHooks).uninstall()


def _load_built_in() -> list[Tool]:
    return [cast(Tool, import_module(f"{__name__}.{name}")) for name in BUILT_IN_TRACKERS]

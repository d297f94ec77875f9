"""Records the calls that a script makes to other experiment trackers, which still work as usual.

A tracker is a module or object that implements the `Tracker` protocol. Each built-in tracker is a
module of this package. Other packages register their trackers in the entry point group
``provml.trackers``. A tracker does not import the tool whose calls it records: an import hook waits
until the script imports the tool.
"""

from __future__ import annotations

import atexit
import os
import sys
from functools import partial
from importlib import import_module
from types import ModuleType
from typing import Final, Protocol, cast

from provml.base.entry_points import find_entry_points
from provml.capture.import_hooks import ImportCallback, call_on_import, cancel_call_on_import
from provml.capture.outer_run import note_missed
from provml.capture.state import STATE
from provml.capture.trackers.calls import RecordedCalls
from provml.recording import process_hooks

TRACKER_ENTRY_POINTS: Final = "provml.trackers"
BUILT_IN_TRACKERS: Final = ("mlflow", "tensorboard", "wandb")
_METADATA_SUFFIXES: Final = (".dist-info", ".egg-info")
_MAX_ENTRY_POINTS_BYTES: Final = 2**20


class Tracker(Protocol):
    """The protocol of a tracker: a module or object that records the calls to one tool."""

    @property
    def name(self) -> str:
        """The name of the tool, which becomes an agent of the run."""

    @property
    def modules(self) -> tuple[str, ...]:
        """The full names of the modules that contain the functions to record."""

    def patch(self, module: ModuleType, calls: RecordedCalls) -> None:
        """Call ``calls.record`` for each function to record.

        Args:
            module: the module in `modules` that was just imported.
            calls: the wrapped functions of this tracker.
        """


class _TrackerHooks:
    """The wrapped functions of all trackers, and the callbacks that wait for imports."""

    def __init__(self) -> None:
        self.calls: list[RecordedCalls] = []
        self.waits: list[tuple[str, ImportCallback]] = []


def install() -> None:
    """Start recording the calls to other trackers. Idempotent.

    Costs a few milliseconds, mostly to find other packages that register a tracker.
    """
    hooks = STATE.part(_TrackerHooks)
    if hooks.waits:
        return
    # exit handlers run in reverse order, and the run must end after the trackers have finished
    process_hooks.install()
    atexit.register(uninstall)
    for tracker in [*_load_built_in(), *_load_announced()]:
        try:
            calls = RecordedCalls(tracker.name)
            patch = partial(_patch_module, tracker, calls)
            hooks.waits.extend([(name, patch) for name in tracker.modules])
            hooks.calls.append(calls)
        except Exception as error:  # the code of another package may raise anything
            note_missed(f"tracker {tracker!r:.200}", error)
    for name, callback in hooks.waits:
        call_on_import(name, callback)


def uninstall() -> None:
    """Stop recording calls, and restore the original functions of all tools."""
    hooks = STATE.part(_TrackerHooks)
    while hooks.waits:
        cancel_call_on_import(*hooks.waits.pop())
    for calls in hooks.calls:
        calls.restore()
    hooks.calls.clear()
    atexit.unregister(uninstall)


def _patch_module(tracker: Tracker, calls: RecordedCalls, module: ModuleType) -> None:
    tracker.patch(module, calls)


def _load_built_in() -> list[Tracker]:
    return [cast(Tracker, import_module(f"{__name__}.{name}")) for name in BUILT_IN_TRACKERS]


def _load_announced() -> list[Tracker]:
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

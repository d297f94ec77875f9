"""What a script logs to other trackers is recorded too, and they still get what they got.

Each tracker is one file here, or what another package announces by the entry point group
``provml.trackers``: a module or object as `Tracker` says. Nothing of theirs is imported: an import
hook waits until the script does. Imports `imports`, `calls`; each tracker's file at `install`.
"""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Callable
from functools import partial
from importlib import import_module
from types import ModuleType
from typing import Final, Protocol, cast

from provml.capture.import_hooks import call_on_import, cancel_call_on_import
from provml.capture.outer_run import note_missed
from provml.capture.trackers.calls import Calls
from provml.recording import process_hooks

ENTRY_POINTS: Final = "provml.trackers"
BUILT_IN: Final = ("mlflow", "tensorboard", "wandb")
_METADATA: Final = (".dist-info", ".egg-info")
_LONGEST: Final = 2**20


class Tracker(Protocol):
    """What one tracker's file holds."""

    @property
    def name(self) -> str:
        """The tracker's name: becomes an agent."""

    @property
    def modules(self) -> tuple[str, ...]:
        """Full names of the modules that hold the functions to record."""

    def patch(self, module: ModuleType, calls: Calls) -> None:
        """Say by ``calls.record`` which of its functions to record; called after its import."""


_calls: Final[list[Calls]] = []
_waits: Final[list[tuple[str, Callable[[ModuleType], None]]]] = []


def install() -> None:
    """Record other trackers' calls from now on; more than once is once.

    Costs some milliseconds, the most of it to find what other packages announce.
    """
    if _waits:
        return
    process_hooks.install()  # first: the trackers' own ends, at the exit, come before the run's
    atexit.register(remove)
    for tracker in [*_built_in(), *_announced()]:
        try:
            calls = Calls(tracker.name)
            _waits.extend((name, partial(_patch, tracker, calls)) for name in tracker.modules)
            _calls.append(calls)
        except Exception as error:  # another package's
            note_missed(f"tracker {tracker!r:.200}", error)
    for name, call in _waits:
        call_on_import(name, call)


def remove() -> None:
    """Record nothing more, and put everything back as it was."""
    while _waits:
        cancel_call_on_import(*_waits.pop())
    for calls in _calls:
        calls.restore()
    _calls.clear()
    atexit.unregister(remove)


def _patch(tracker: Tracker, calls: Calls, module: ModuleType) -> None:
    tracker.patch(module, calls)


def _built_in() -> list[Tracker]:
    return [cast(Tracker, import_module(f"{__name__}.{name}")) for name in BUILT_IN]


def _announced() -> list[Tracker]:
    """What other packages announce; one that can't be loaded is counted as missed."""
    if not _is_announced():
        return []
    from importlib import metadata  # takes some 30 ms, in each process of the command

    found = []
    for point in metadata.entry_points(group=ENTRY_POINTS):
        try:
            found.append(point.load())
        except Exception as error:  # another package's import
            note_missed(f"tracker {point.name}", error)
    return found


def _is_announced() -> bool:
    """Whether a package on the path has an entry point of the group: some milliseconds."""
    section = f"[{ENTRY_POINTS}]".encode()
    for folder in sys.path:
        try:
            with os.scandir(folder or os.curdir) as entries:
                packages = [entry.path for entry in entries if entry.name.endswith(_METADATA)]
        except OSError:
            continue
        for package in packages:
            try:
                with open(os.path.join(package, "entry_points.txt"), "rb") as file:
                    if section in file.read(_LONGEST):
                        return True
            except OSError:
                continue
    return False

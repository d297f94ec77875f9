"""Notices which runs of a store have changed, without reading what they recorded."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from provml.base.store_files import OpenFolder
from provml.errors import ProvMLError
from provml.journal import layout
from provml.journal.sample_reading import find_records_end
from provml.journal.status import read_run_state

_ENDED_PER_POLL: Final = 500
_LIVE_STATES_PER_POLL: Final = 50
_FULL_LOOK: Final = 5
_CLOCK_TICK_NS: Final = 2_000_000_000
"""If a folder changed this recently, the next look lists it again.

Another change to the folder may get the same modification time.
"""


@dataclass(slots=True)
class Changes:
    """The runs that changed since the last look, by their folders in the store.

    Attributes:
        added: the runs that are new.
        changed: the runs that recorded something, or whose status changed.
        removed: the runs that are gone, because they were removed or renamed.
    """

    added: set[str] = field(default_factory=set)
    changed: set[str] = field(default_factory=set)
    removed: set[str] = field(default_factory=set)

    def __bool__(self) -> bool:
        return bool(self.added or self.changed or self.removed)

    def add(self, later: Changes) -> None:
        """Add later changes."""
        self.added = (self.added - later.removed) | later.added
        self.changed = (self.changed - later.removed) | later.changed
        self.removed = (self.removed - later.added) | later.removed


@dataclass(slots=True)
class _SeenRun:
    """What the last look found out about a run.

    Attributes:
        files: the size and, except for samples files, the modification time of each file.
        ends: the offset at which the records of each samples file end.
        status: the run's status.
    """

    files: dict[str, tuple[int, int]] = field(default_factory=dict)
    ends: dict[str, int] = field(default_factory=dict)
    status: str = ""


class StoreWatch:
    """Compares a store with what the last look found.

    A look lists only the folders of experiments that changed, and reads a few bytes of each run in
    progress. Of the runs that have ended, each look checks the files of the next 500.
    """

    def __init__(self, store: Path) -> None:
        self._store = store
        self._experiments: dict[str, tuple[int, frozenset[str]]] = {}
        self._runs: dict[str, _SeenRun] = {}
        self._next_ended = 0
        self._looks = 0

    def look(self) -> Changes:
        """Return what changed since the last look. The first look returns every run as added."""
        found = Changes()
        self._looks += 1
        keys = self._list_keys()
        for key in self._runs.keys() - keys:
            del self._runs[key]
            found.removed.add(key)
        for key in keys - self._runs.keys():
            self._runs[key] = _SeenRun()
            self._look_at(key, full=True)
            found.added.add(key)
        live = [key for key, run in self._runs.items() if run.status == "running"]
        ended = [key for key, run in self._runs.items() if run.status != "running"]
        start = self._next_ended if self._next_ended < len(ended) else 0
        self._next_ended = start + _ENDED_PER_POLL
        turns = max(_FULL_LOOK, len(live) // _LIVE_STATES_PER_POLL)
        for place, key in enumerate(live):
            is_turn = place % turns == self._looks % turns
            if key not in found.added and self._look_at(key, full=is_turn):
                found.changed.add(key)
        for key in ended[start : self._next_ended]:
            if key not in found.added and self._look_at(key, full=False):
                found.changed.add(key)
        return found

    def _list_keys(self) -> set[str]:
        """Return the keys of all folders that may contain runs."""
        keys: set[str] = set()
        try:
            with OpenFolder(self._store, self._store) as root:
                names = [entry.name for entry in root.list() if entry.is_folder]
                for name in names:
                    if name not in layout.CACHE_FOLDERS:
                        keys.update(self._list_experiment(root, name))
                for gone in self._experiments.keys() - set(names):
                    del self._experiments[gone]
        except OSError:
            pass  # the store itself was removed, so all runs are gone
        return keys

    def _list_experiment(self, root: OpenFolder, name: str) -> frozenset[str]:
        try:
            with root.open_folder(name) as experiment:
                changed_ns = root.read_status(name).st_mtime_ns
                known = self._experiments.get(name)
                if known is not None and known[0] == changed_ns:
                    return known[1]
                keys = frozenset(
                    f"{name}/{entry.name}" for entry in experiment.list() if entry.is_folder
                )
                is_settled = time.time_ns() - changed_ns > _CLOCK_TICK_NS
                self._experiments[name] = (changed_ns if is_settled else -1, keys)
                return keys
        except (ProvMLError, OSError):
            return frozenset()

    def _look_at(self, key: str, *, full: bool) -> bool:
        """Look at a run. Return whether the run has changed.

        Args:
            key: the run's folder in the store.
            full: whether to find the run's status and the end of its samples even if no file seems
                to have changed.
        """
        seen = self._runs[key]
        folder = self._store / key
        try:
            files, has_new = self._look_at_files(folder, seen, full)
        except (ProvMLError, OSError):
            files, has_new = {}, False
        changed = has_new or files != seen.files
        if changed or full:
            status = _read_status(folder)
            changed = changed or status != seen.status
            seen.status = status
        seen.files = files
        return changed

    def _look_at_files(
        self, folder: Path, seen: _SeenRun, full: bool
    ) -> tuple[dict[str, tuple[int, int]], bool]:
        files: dict[str, tuple[int, int]] = {}
        has_new = False
        with OpenFolder(self._store, folder / layout.JOURNAL_FOLDER) as journal:
            for name, status in journal.read_statuses():
                is_samples = name.endswith(layout.SAMPLES_SUFFIX)
                # the system may update the modification time of a mapped file long after the last
                # record was written
                files[name] = (status.st_size, 0 if is_samples else status.st_mtime_ns)
                if is_samples and seen.status in ("running", ""):
                    has_new |= _has_new_samples(journal, name, seen, full)
        return files, has_new


def _has_new_samples(journal: OpenFolder, name: str, seen: _SeenRun, full: bool) -> bool:
    """Return whether a samples file has records after the end that the last look found."""
    end = seen.ends.get(name)
    with journal.open_to_read(name) as file:
        if end is not None and not full:
            file.seek(end)
            if not any(file.read(layout.RECORD_SIZE)):
                return False
        seen.ends[name] = find_records_end(file)
    return seen.ends[name] != end


def _read_status(folder: Path) -> str:
    try:
        return read_run_state(folder).status
    except (ProvMLError, OSError):
        return "unreadable"

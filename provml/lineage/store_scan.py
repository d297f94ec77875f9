"""Finds the runs of a store, and notices which of them have changed.

Imports `journal` and `base`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from provml.base.store_files import OpenFolder
from provml.base.text import printable_path
from provml.errors import StoreError
from provml.journal import layout
from provml.journal.reader import contains_run

_LONGEST_FINGERPRINT: Final = 500


class FoundRun(NamedTuple):
    """A run that `scan` found in the store.

    Attributes:
        run: the run's name in the tables, ``<experiment>/<id>``, formed from the folders' names.
        path: the run's folder.
        fingerprint: the names, sizes and times of the run's files, or a digest of them.
    """

    run: str
    path: str
    fingerprint: str

    @property
    def folder(self) -> Path:
        """The run's folder as a `Path`."""
        return Path(self.path)


def scan(
    store: Path,
    unread: dict[str, str] | None = None,
    known: Mapping[str, FoundRun] | None = None,
) -> dict[str, FoundRun]:
    """Find the runs of a store, and return them keyed by name. Ignores everything else there.

    Listing the names, sizes and times of the runs' files takes about 20 microseconds per run.
    Raises StoreError if the store can't be read.

    Args:
        store: the store's folder.
        unread: a dict in which this function stores the runs and experiments that it can't open,
            such as links, each with the reason.
        known: runs whose files need not be looked at, keyed by name. A run whose folder still
            exists is returned unchanged, which takes a microsecond.
    """
    found: dict[str, FoundRun] = {}
    unread = {} if unread is None else unread
    known = {} if known is None else known
    try:
        root = OpenFolder(store, store)
    except OSError as error:
        raise StoreError(f"the store {store} can't be read: {error.strerror or error}") from None
    with root:
        for experiment in _open_visible_folders(root, unread):
            own_name = experiment.name
            for name in _list_visible(experiment):
                run = _name_in_tables(own_name, name)
                found_run = known.get(run) or _look_at_run(experiment, name, run, unread)
                if found_run is not None:
                    found[run] = found_run
    return found


def _look_at_run(
    experiment: OpenFolder, name: str, run: str, unread: dict[str, str]
) -> FoundRun | None:
    folder = _try_to_open(experiment, name, unread)
    if folder is None:
        return None
    with folder:
        fingerprint = fingerprint_run(folder)
    return None if fingerprint is None else FoundRun(run, folder.place, fingerprint)


def _open_visible_folders(folder: OpenFolder, unread: dict[str, str]) -> Iterator[OpenFolder]:
    """Open and yield each visible folder in a folder; close it before opening the next.

    Adds the folders that can't be opened to ``unread``, each with the reason.
    """
    for name in _list_visible(folder):
        inner = _try_to_open(folder, name, unread)
        if inner is not None:
            with inner:
                yield inner


def _list_visible(folder: OpenFolder) -> list[str]:
    """Return the names of the visible entries that are not files."""
    try:
        entries = folder.list()
    except OSError:
        return []
    return [entry.name for entry in entries if not (entry.is_file or entry.name[0] == ".")]


def _try_to_open(folder: OpenFolder, name: str, unread: dict[str, str]) -> OpenFolder | None:
    """Open a folder inside a folder; return None if that fails.

    Adds the reason to ``unread``, unless the folder was removed.
    """
    try:
        return folder.open_folder(name)
    except FileNotFoundError:
        pass  # the folder was removed in the meantime
    except OSError as error:
        unread[_name_in_tables(folder.name, name)] = str(error)
    return None


def _name_in_tables(experiment: str, folder: str) -> str:
    run = f"{experiment}/{folder}"
    return run if run.isascii() else printable_path(run)


def fingerprint_run(folder: OpenFolder) -> str | None:
    """Return a text that changes when a run's files change; None if the folder is not a run."""
    facts: list[str] = []
    is_run = False
    try:
        described = folder.read_status(layout.RUN_FILE)
        facts.append(f"{layout.RUN_FILE} {described.st_size} {described.st_mtime_ns}")
        is_run = True
    except OSError:
        pass
    try:
        with folder.open_folder(layout.JOURNAL_FOLDER) as journal:
            for name, status in journal.read_statuses():
                facts.append(f"{name} {status.st_size} {status.st_mtime_ns}")
            is_run = True
    except StoreError:
        is_run = contains_run(folder)
    except OSError:
        pass
    if not is_run:
        return None
    fingerprint = ";".join(sorted(facts))
    if len(fingerprint) > _LONGEST_FINGERPRINT or not fingerprint.isascii():
        return short_hash(fingerprint)
    return fingerprint


def short_hash(text: str) -> str:
    """Return a digest of a text, as 24 hexadecimal digits."""
    return hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=12).hexdigest()

"""Lists the runs in a store, and finds a run by its name.

Imports only `journal`, `base` and `errors` from provml.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from provml.base.settings import default_store
from provml.base.store_files import OpenFolder, store_root
from provml.errors import JournalError, ProvMLError, RunNotFoundError, StoreError
from provml.journal import layout
from provml.journal.description import RunReference, read_reference, read_run_file
from provml.journal.journal_folder import list_writers_in
from provml.journal.reader import (
    contains_run,
    describe_damage,
    describe_error,
    is_run_folder,
    open_run,
    refuse_linked_run,
)
from provml.journal.status import RunState, determine_state, find_first_start_ns

_MAX_NAMED_RUNS: Final = 5


@dataclass(frozen=True, slots=True)
class RunEntry:
    """A run in a store, with its folder, its name and its state.

    Attributes:
        damage: a note about the parts of the journal that can't be read; None if all can be read.
        parent: the run that this run is a child of; None if this run has no parent.
    """

    path: Path
    id: str
    experiment: str
    project: str | None
    owner: str | None
    state: RunState
    damage: str | None = None
    parent: RunReference | None = None


@dataclass(frozen=True, slots=True)
class UnreadRun:
    """A run or an experiment that can't be read, with its folder and the reason."""

    path: Path
    reason: str


def list_run_folders(
    store: str | os.PathLike[str], unread: list[UnreadRun] | None = None
) -> list[Path]:
    """Return the folders of all runs in a store, oldest first; [] if the store does not exist.

    Ignores everything else in the store, and follows no links in it. Costs a few system calls per
    folder. Raises OSError if the store can't be read.

    Args:
        store: the store's folder.
        unread: a list that receives each run or experiment that can't be opened, for example
            because it is a link.
    """
    runs = [
        (_find_created_ns(run), run.path.name, run.path)
        for run in _open_runs(Path(store), [] if unread is None else unread)
        if contains_run(run)
    ]
    return [path for *_, path in sorted(runs)]


def scan_runs(store: str | os.PathLike[str]) -> list[RunEntry | UnreadRun]:
    """Read every run in a store, and return the runs, oldest first.

    The list begins with an `UnreadRun` for each run that can't be read, and for each link to a run
    or experiment. Raises OSError if the store can't be read.
    """
    unread: list[UnreadRun] = []
    entries: list[RunEntry] = []
    for run in _open_runs(Path(store), unread):
        try:
            if contains_run(run):
                entries.append(_read_entry(run))
        except (ProvMLError, OSError) as error:
            unread.append(UnreadRun(run.path, str(error)))
    return [*unread, *sorted(entries, key=lambda run: (run.state.started_ns, run.path.name))]


def _read_entry(folder: OpenFolder) -> RunEntry:
    with open_run(folder) as files:
        state = determine_state(files.writers)
        damage = files.damage()
    description = files.description
    return RunEntry(
        path=folder.path,
        id=str(description["id"]),
        experiment=str(description["experiment"]),
        project=description.get("project"),
        owner=description.get("owner"),
        state=state,
        damage=describe_damage(damage),
        parent=read_reference(description.get("parent")),
    )


def list_child_folders(folder: Path, description: dict[str, Any]) -> list[Path]:
    """Return the folders of a run's children in the same store, oldest first.

    Reads the ``run.json`` of every run in the store, which takes about 50 microseconds per run.

    Args:
        folder: the run's folder.
        description: the content of the run's ``run.json``.
    """
    children: list[tuple[int, str, Path]] = []
    for run in _open_runs(store_root(folder), []):
        try:
            content = read_run_file(run).content or {}
        except JournalError:
            continue  # a newer version of provml recorded the run
        parent = read_reference(content.get("parent"))
        if parent is not None and parent.is_run(description):
            created = content.get("created")
            children.append((created if isinstance(created, int) else 0, run.path.name, run.path))
    return [path for *_, path in sorted(children)]


def read_store_stamp(store: Path) -> list[tuple[str, int]] | None:
    """Return the name and modification time of each experiment's folder in a store.

    The result changes if a run is added or removed. Returns None if the store can't be read.
    """
    try:
        with OpenFolder(store, store) as held:
            return sorted((name, status.st_mtime_ns) for name, status in held.read_statuses())
    except OSError:
        return None


def _open_runs(store: Path, unread: list[UnreadRun]) -> Iterator[OpenFolder]:
    """Open and yield each folder that may contain a run; close it before yielding the next.

    Adds links, special files and unreadable folders to ``unread`` instead of yielding them.
    """
    try:
        root = OpenFolder(store, store)
    except FileNotFoundError:
        return
    with root:
        for experiment in _open_folders(root, unread):
            if experiment.path.name not in layout.CACHE_FOLDERS:
                yield from _open_folders(experiment, unread)


def _open_folders(folder: OpenFolder, unread: list[UnreadRun]) -> Iterator[OpenFolder]:
    try:
        entries = folder.list()
    except OSError as error:
        unread.append(UnreadRun(folder.path, describe_error(error)))
        return
    for entry in entries:
        if entry.is_file or (entry.name.startswith(".") and not entry.is_folder):
            continue
        try:
            inner = folder.open_folder(entry.name)
        except FileNotFoundError:
            continue  # removed in the meantime
        except OSError as error:
            unread.append(UnreadRun(folder.path / entry.name, describe_error(error)))
            continue
        with inner:
            yield inner


def _find_created_ns(run: OpenFolder) -> int:
    """Return when a run's first writer started, or 0 if the journal can't be read."""
    try:
        with run.open_folder(layout.JOURNAL_FOLDER) as journal:
            return find_first_start_ns(list_writers_in(journal))
    except OSError:
        return 0


def find_run(name: str | os.PathLike[str], store: str | os.PathLike[str] | None = None) -> Path:
    """Find the folder of a run by name.

    Args:
        name: the run's folder, its id, a unique prefix of its id, or ``latest``. If several
            experiments contain a run with this id, write ``<experiment's folder>/<id>``.
        store: the store to search; by default the store that ``PROVML_STORE`` names, or
            ``provenance`` if that variable is not set.

    Raises:
        RunNotFoundError: the name matches no run, or more than one.
        StoreError: the name is a path that leads to a run through a link.
    """
    path = Path(name)
    try:
        if is_run_folder(path):
            return path
        refuse_linked_run(path)
    except StoreError:
        raise
    except (OSError, ValueError):
        pass  # not a valid path, but it may still be an id
    text = os.fspath(name)
    place = default_store() if store is None else store
    folders = list_run_folders(place)
    if not folders:
        raise RunNotFoundError(f"run {text!r} not found: {os.fspath(place)!r} contains no runs")
    if text == "latest":
        return folders[-1]
    names = {folder: _qualify_name(folder) if "/" in text else folder.name for folder in folders}
    exact = [folder for folder in folders if names[folder] == text]
    matching = exact or [folder for folder in folders if text and names[folder].startswith(text)]
    if len(matching) == 1:
        return matching[0]
    if not matching:
        raise RunNotFoundError(
            f"run {text!r} not found in {os.fspath(place)!r}; the latest run is {folders[-1].name}"
        )
    several = ", ".join(map(_qualify_name, matching[:_MAX_NAMED_RUNS]))
    more = f" and {len(matching) - _MAX_NAMED_RUNS} more" if len(matching) > _MAX_NAMED_RUNS else ""
    error = RunNotFoundError(
        f"{text!r} matches {len(matching)} runs ({several}{more}): give a full name or a folder"
    )
    error.candidates = {str(folder): _qualify_name(folder) for folder in matching}
    raise error


def find_runs(
    name: str | os.PathLike[str], store: str | os.PathLike[str] | None = None
) -> tuple[list[Path], bool]:
    """Find the folders of the runs that a name refers to: one run, or all runs of a store.

    Args:
        name: the name of a run, as for `find_run`, or the folder of a store.
        store: the store to search for a run, as for `find_run`.

    Returns:
        The folders, oldest run first, and whether the name refers to a store.

    Raises:
        RunNotFoundError: the name refers neither to exactly one run nor to a store with runs.
        StoreError: the name is a path that leads to a run through a link.
    """
    try:
        return [find_run(name, store)], False
    except RunNotFoundError:
        try:
            folders = list_run_folders(name)
        except (OSError, ValueError):
            folders = []  # not the path of a folder
        if not folders:
            raise
        return folders, True


def _qualify_name(folder: Path) -> str:
    """Return a name for a run that is unique within its store."""
    return f"{folder.parent.name}/{folder.name}"

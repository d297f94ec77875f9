"""Lists the runs in a store, and finds a run by its name.

Imports only `journal`, `base.settings` and `errors` from provml.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from provml.base.settings import default_store
from provml.errors import JournalError, RunNotFoundError
from provml.journal.reader import Journal, is_run_folder
from provml.journal.status import RunState, find_created_ns

_MAX_NAMED_RUNS: Final = 5


@dataclass(frozen=True, slots=True)
class RunEntry:
    """A run in a store, with its folder, its name and its state."""

    path: Path
    id: str
    experiment: str
    project: str | None
    owner: str | None
    state: RunState


@dataclass(frozen=True, slots=True)
class UnreadRun:
    """A run that can't be read, with its folder and the reason."""

    path: Path
    reason: str


def list_run_folders(store: str | os.PathLike[str]) -> list[Path]:
    """Return the folders of all runs in a store, oldest first; none if the store does not exist.

    Ignores everything else in the store. Costs a few system calls per folder. Raises OSError if the
    store can't be read.
    """
    found: list[Path] = []
    try:
        experiments = [entry for entry in os.scandir(store) if entry.is_dir()]
    except FileNotFoundError:
        return []
    for experiment in experiments:
        try:
            runs = [Path(entry.path) for entry in os.scandir(experiment) if entry.is_dir()]
        except OSError:
            continue
        found += [run for run in runs if is_run_folder(run)]
    return sorted(found, key=lambda run: (find_created_ns(run), run.name))


def scan_runs(store: str | os.PathLike[str]) -> Iterator[RunEntry | UnreadRun]:
    """Yield every run in a store, oldest first. Yields an `UnreadRun` if a run can't be read."""
    for folder in list_run_folders(store):
        try:
            journal = Journal(folder)
            state = journal.state()
        except JournalError as error:
            yield UnreadRun(folder, str(error))
            continue
        except RunNotFoundError:
            continue  # the run was removed in the meantime
        description = journal.description
        yield RunEntry(
            path=folder,
            id=str(description["id"]),
            experiment=str(description["experiment"]),
            project=description.get("project"),
            owner=description.get("owner"),
            state=state,
        )


def find_run(name: str | os.PathLike[str], store: str | os.PathLike[str] | None = None) -> Path:
    """Find the folder of a run by name.

    Args:
        name: the run's folder, its id, a unique prefix of its id, or ``latest``. If several
            experiments contain a run with this id, write ``<experiment's folder>/<id>``.
        store: the store to search; by default the store that ``PROVML_STORE`` names, or
            ``provenance`` if that variable is not set.

    Raises:
        RunNotFoundError: the name matches no run, or more than one.
    """
    path = Path(name)
    try:
        if is_run_folder(path):
            return path
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
    raise RunNotFoundError(
        f"{text!r} matches {len(matching)} runs ({several}{more}): give a full name or a folder"
    )


def _qualify_name(folder: Path) -> str:
    """Return a name for a run that is unique within its store."""
    return f"{folder.parent.name}/{folder.name}"

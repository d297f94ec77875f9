"""Reads a whole run: its description, its state and the journal files of all its writers.

Imports only `journal`, `base` and `errors` from provml.
"""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from provml.base.store_files import OpenFolder, store_root
from provml.base.text import is_unicode, printable_path
from provml.errors import JournalError, RunNotFoundError, StoreError
from provml.journal import layout
from provml.journal.description import read_description_in
from provml.journal.files import Record, WriterFiles, list_writers_in
from provml.journal.status import RunState, read_run_state

_MAX_CACHED_RECORDS: Final = 20_000
_MAX_CACHED_BYTES: Final = 64 * 2**20


class Journal:
    """A run's journal. You can read it while the run is still being recorded.

    Attributes:
        folder: the run's folder.
        description: the contents of ``run.json``. If the id or the experiment is missing, the
            folder's name or its parent's name takes its place.
        writers: the files of all writers that had started when the journal was opened, ordered by
            start time.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        """Open the journal in a run's folder.

        Raises:
            RunNotFoundError: the folder contains no run.
            StoreError: the folder, or the folder that contains it, is a link to a run.
            JournalError: the run has a newer format version, or its files can't be read.
        """
        self.folder = Path(folder)
        self._damage: Counter[str] = Counter()
        try:
            with OpenFolder(store_root(folder), Path(os.path.abspath(folder))) as held:
                self.description = _complete_description(
                    self.folder, read_description_in(held, self._damage)
                )
                self.writers = self._list_writers(held)
        except JournalError:
            raise
        except (FileNotFoundError, NotADirectoryError):
            raise RunNotFoundError(f"no run found in {self.folder}") from None
        except OSError as error:
            refuse_linked_run(self.folder)
            raise JournalError(describe_error(error)) from None
        self._cached: list[tuple[WriterFiles, int, Record]] | None = None

    def _list_writers(self, folder: OpenFolder) -> list[WriterFiles]:
        try:
            with folder.open_folder(layout.JOURNAL_FOLDER) as held:
                return list_writers_in(held)
        except FileNotFoundError:
            folder.read_status(layout.RUN_FILE)  # without either, the folder contains no run
            return []

    def state(self) -> RunState:
        """Read the run's current state."""
        return read_run_state(self.folder)

    def records(self) -> Iterator[tuple[WriterFiles, int, Record]]:
        """Yield the writer, offset and record of every line except samples and series.

        Yields all lines of one writer before the lines of the next. A journal with up to 20,000
        such lines and 64 MiB is cached, so later passes do not read it again.
        """
        if self._cached is not None:
            yield from self._cached
            return
        kept: list[tuple[WriterFiles, int, Record]] | None = []
        if sum(files.events_size() for files in self.writers) > _MAX_CACHED_BYTES:
            kept = None
        for files in self.writers:
            for offset, record in files.records():
                if record.get("record") in ("sample", "series"):
                    continue
                if kept is not None:
                    kept.append((files, offset, record))
                    if len(kept) > _MAX_CACHED_RECORDS:
                        kept = None
                yield files, offset, record
        self._cached = kept

    def damage(self) -> Counter[str]:
        """Return how many pieces of content all passes so far have skipped, by reason."""
        total = Counter(self._damage)
        for files in self.writers:
            total.update(files.damage)
        return total


def describe_damage(damage: Mapping[str, int]) -> str | None:
    """Return a note for the user about skipped content; None if nothing was skipped."""
    if not damage:
        return None
    reasons = ", ".join(f"{reason}: {count:,}" for reason, count in sorted(damage.items()))
    return f"parts of the journal can't be read and are left out ({reasons})"


def is_run_folder(folder: Path) -> bool:
    """Return whether a folder contains a run that provml recorded.

    Returns False if the folder, or the folder that contains it, is a link.
    """
    try:
        with OpenFolder(store_root(folder), Path(os.path.abspath(folder))) as held:
            return contains_run(held)
    except OSError:
        return False


def contains_run(folder: OpenFolder) -> bool:
    """Return whether an open folder contains a run, even if provml can't read the run."""
    for name, is_other in ((layout.JOURNAL_FOLDER, stat.S_ISREG), (layout.RUN_FILE, stat.S_ISDIR)):
        try:
            if not is_other(folder.read_status(name).st_mode):
                return True
        except OSError:
            continue
    return False


def refuse_linked_run(folder: Path) -> None:
    """Raise StoreError if a path leads to a run through a link below the run's store."""
    links = [path for path in (folder, Path(os.path.abspath(folder)).parent) if path.is_symlink()]
    if links and any(
        map(os.path.lexists, (folder / layout.JOURNAL_FOLDER, folder / layout.RUN_FILE))
    ):
        raise StoreError(
            f"{folder} is not the run's own folder, because {links[0]} is a symbolic link: "
            f"name the folder that it leads to, {os.path.realpath(folder)}"
        )


def describe_error(error: OSError) -> str:
    """Return the message of an error from reading a store, as one line."""
    if isinstance(error, StoreError) or error.filename is None:
        return str(error)
    return f"{error.filename} can't be read: {error.strerror}"


def _complete_description(folder: Path, known: dict[str, Any] | None) -> dict[str, Any]:
    fallback: dict[str, Any] = {
        "id": printable_path(folder.name),
        "experiment": printable_path(folder.parent.name),
    }
    texts = {
        key: value
        for key, value in (known or {}).items()
        if (isinstance(value, str) and is_unicode(value))
        or (key == "created" and isinstance(value, int))
    }
    return fallback | texts

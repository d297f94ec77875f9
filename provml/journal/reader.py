"""Reads a whole run: its description, its state and the journal files of all its writers.

Imports only `journal`, `base` and `errors` from provml.
"""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from provml.base.store_files import OpenFolder, store_root
from provml.base.text import is_unicode, printable_path
from provml.errors import JournalError, RunNotFoundError, StoreError
from provml.journal import layout
from provml.journal.description import read_description_in
from provml.journal.files import Record, WriterFiles, hold_writers_in
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
            StoreError: the folder, or the folder that contains it, is a link to a run; or a link
                or special file is in the place of the journal.
            JournalError: the run has a newer format version, or its folder can't be read.
        """
        self.folder = Path(folder)
        try:
            own = Path(os.path.abspath(folder))
            with OpenFolder(store_root(folder), own) as held, open_run(held) as files:
                self._files = files
        except (FileNotFoundError, NotADirectoryError):
            raise RunNotFoundError(f"no run found in {self.folder}") from None
        except StoreError:
            refuse_linked_run(self.folder)
            raise
        except OSError as error:
            raise JournalError(describe_error(error)) from None
        self.description = self._files.description
        self.writers = self._files.writers
        self._cached: list[tuple[WriterFiles, int, Record]] | None = None

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
        return self._files.damage()


def describe_damage(damage: Mapping[str, int]) -> str | None:
    """Return a note for the user about skipped content; None if nothing was skipped."""
    if not damage:
        return None
    reasons = ", ".join(f"{reason}: {count:,}" for reason, count in sorted(damage.items()))
    return f"parts of the journal can't be read and are left out ({reasons})"


@dataclass(frozen=True, slots=True)
class RunFiles:
    """The files of a run, as `open_run` finds them.

    Attributes:
        description: as in `Journal`.
        writers: as in `Journal`.
        unread: how many of the run's files can't be read, by reason.
    """

    description: dict[str, Any]
    writers: list[WriterFiles]
    unread: Counter[str]

    def damage(self) -> Counter[str]:
        """Return how many pieces of content were skipped so far, by reason."""
        total = Counter(self.unread)
        for files in self.writers:
            total.update(files.damage)
        return total


@contextmanager
def open_run(folder: OpenFolder) -> Iterator[RunFiles]:
    """Give the files of the run in an open folder, and hold its journal folder open.

    Raises:
        FileNotFoundError: the folder contains no run.
        StoreError: a link or special file is in the place of the journal folder, or no journal
            file is a regular file.
        JournalError: the run has a newer format version.
    """
    unread: Counter[str] = Counter()
    description = _complete_description(folder.path, read_description_in(folder, unread))
    try:
        journal = folder.open_folder(layout.JOURNAL_FOLDER)
    except FileNotFoundError:
        folder.read_status(layout.RUN_FILE)
        yield RunFiles(description, [], unread)
        return
    with hold_writers_in(journal) as writers:
        yield RunFiles(description, writers, unread)


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

"""Reads a whole run: its description, its state and the journal files of all its writers.

Imports only `journal` and `errors` from provml.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from provml.errors import RunNotFoundError
from provml.journal import layout
from provml.journal.description import read_description
from provml.journal.files import Record, WriterFiles, list_writer_files
from provml.journal.status import RunState, read_run_state

_MAX_CACHED_RECORDS: Final = 20_000


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
            JournalError: the run has a newer format version.
        """
        self.folder = Path(folder)
        if not is_run_folder(self.folder):
            raise RunNotFoundError(f"no run found in {self.folder}")
        self.description = _load_description(self.folder)
        self.writers = list_writer_files(self.folder)
        self._cached: list[tuple[WriterFiles, int, Record]] | None = None

    def state(self) -> RunState:
        """Read the run's current state."""
        return read_run_state(self.folder)

    def records(self) -> Iterator[tuple[WriterFiles, int, Record]]:
        """Yield the writer, offset and record of every line except samples and series.

        Yields all lines of one writer before the lines of the next. A journal with up to 20,000
        such lines is cached, so later passes do not read it again.
        """
        if self._cached is not None:
            yield from self._cached
            return
        kept: list[tuple[WriterFiles, int, Record]] | None = []
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
        total: Counter[str] = Counter()
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
    """Return whether a folder contains a run that provml recorded."""
    return (folder / layout.JOURNAL_FOLDER).is_dir() or (folder / layout.RUN_FILE).is_file()


def _load_description(folder: Path) -> dict[str, Any]:
    fallback: dict[str, Any] = {"id": folder.name, "experiment": folder.parent.name}
    texts = {
        key: value
        for key, value in (read_description(folder) or {}).items()
        if isinstance(value, str) or (key == "created" and isinstance(value, int))
    }
    return fallback | texts

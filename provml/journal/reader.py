"""Read a run's journal as a whole: its description, its state, its writers' files.

Imports `description`, `files`, `status`, `layout`, `errors`.
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
        description: the content of ``run.json``; if it can't be read, the id and the experiment
            according to the folders' names.
        writers: the writers' files at the time of opening, ordered by start.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        """Open a run's folder.

        Raises:
            RunNotFoundError: the folder holds no run.
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
        """Yield every line except samples and series, with its writer and offset.

        The lines of one writer follow those of another. Caches up to 20,000 lines for the next
        pass; each pass reads a longer journal again.
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
        """Return the counts of the content that the passes so far have skipped, by reason."""
        total: Counter[str] = Counter()
        for files in self.writers:
            total.update(files.damage)
        return total


def describe_damage(damage: Mapping[str, int]) -> str | None:
    """Describe the skipped content in a note for the user; None if nothing was skipped."""
    if not damage:
        return None
    reasons = ", ".join(f"{reason}: {count:,}" for reason, count in sorted(damage.items()))
    return f"parts of the journal can't be read and are left out ({reasons})"


def is_run_folder(folder: Path) -> bool:
    """Return whether a folder holds a run recorded by provml."""
    return (folder / layout.JOURNAL_FOLDER).is_dir() or (folder / layout.RUN_FILE).is_file()


def _load_description(folder: Path) -> dict[str, Any]:
    fallback: dict[str, Any] = {"id": folder.name, "experiment": folder.parent.name}
    texts = {
        key: value
        for key, value in (read_description(folder) or {}).items()
        if isinstance(value, str) or (key == "created" and isinstance(value, int))
    }
    return fallback | texts

"""Reads a whole run: its description, its state and the journal files of all its writers.

Imports only `journal`, `base.results` and `errors` from provml.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from provml.base.results import Damage
from provml.errors import RunNotFoundError
from provml.journal import layout
from provml.journal.description import RunFile, read_run_file
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

    def __init__(
        self,
        folder: str | os.PathLike[str],
        on_damage: Callable[[Damage], None] | None = None,
    ) -> None:
        """Open the journal in a run's folder.

        Args:
            folder: the run's folder.
            on_damage: a function that receives each damage when it is found.

        Raises:
            RunNotFoundError: the folder contains no run.
            JournalError: the run has a newer format version.
        """
        self.folder = Path(folder)
        if not is_run_folder(self.folder):
            raise RunNotFoundError(f"no run found in {self.folder}")
        run_file = read_run_file(self.folder)
        self.writers = list_writer_files(self.folder)
        for files in self.writers:
            files.on_damage = on_damage
        self._on_damage = on_damage
        self._own_damage: list[Damage] = []
        if self._may_be_replaced(run_file):
            run_file = self._check_run_file(run_file)
        self.description = _build_description(self.folder, run_file)
        self._cached: list[tuple[WriterFiles, int, Record]] | None = None

    def state(self) -> RunState:
        """Read the run's current state."""
        state = read_run_state(self.folder)
        if self._on_damage is not None:
            for found in state.damage:
                self._on_damage(found)
        return state

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
        total = Counter({str(found): found.count for found in self._own_damage})
        for files in self.writers:
            total.update(files.damage)
        return total

    def list_damage(self) -> list[Damage]:
        """Return the damage that all passes so far have found."""
        found = list(self._own_damage)
        for files in self.writers:
            for reason, count in files.damage.items():
                found.append(files.located.get(reason) or Damage(files.name, reason, count))
        return found

    def verify(self) -> list[Damage]:
        """Read everything, and return the damage in the journal and in ``run.json``.

        Costs one pass over all files, about 40 ms for a million samples. Afterwards, `unchecked` is
        the number of samples that could not be checked.
        """
        for files in self.writers:
            for _ in files.records():
                pass
            for _ in files.chunks():
                pass
        self._own_damage = []
        self._check_run_file(read_run_file(self.folder))
        self._own_damage += self._find_lost_writers()
        return self.list_damage()

    @property
    def unchecked(self) -> int:
        """The number of samples that no checksum covers, in the files read completely so far."""
        return sum(files.unchecked for files in self.writers)

    def _may_be_replaced(self, run_file: RunFile) -> bool:
        """Return whether to compare ``run.json`` with the journal, which costs a read per writer.

        This is so if the file does not prove by itself that it belongs to this folder.
        """
        content = run_file.content or {}
        experiment = content.get("experiment")
        return (
            not run_file.is_intact
            or content.get("id") != self.folder.name
            or not isinstance(experiment, str)
            or layout.encode_folder_name(experiment) != self.folder.parent.name
        )

    def _check_run_file(self, run_file: RunFile) -> RunFile:
        """Compare ``run.json`` with the checksums in the journal.

        Notes damage, and returns an empty description, if the file is missing or another one.
        """
        recorded = {
            checksum
            for files in self.writers
            for record in (files.first_record(), files.closed_record())
            if isinstance(checksum := record.get("run_file"), str)
        }
        if run_file.checksum is None and recorded:
            problem = "the file is missing"
        elif run_file.is_intact is False:
            problem = "the file is damaged"
        elif recorded and run_file.checksum not in recorded:
            problem = "the file is not the one that was recorded"
        else:
            return run_file
        found = Damage(layout.RUN_FILE, problem)
        self._own_damage.append(found)
        if self._on_damage is not None:
            self._on_damage(found)
        return RunFile()

    def _find_lost_writers(self) -> Iterator[Damage]:
        """Yield the writers whose files are gone, although another writer names them."""
        named: set[str] = set()
        for files in self.writers:
            names = files.closed_record().get("writers")
            if isinstance(names, list):
                named.update(name for name in names if isinstance(name, str))
        for name in sorted(named.difference(files.name for files in self.writers)):
            yield Damage(name + layout.EVENTS_SUFFIX, "both files of this writer are missing")


def describe_damage(damage: Mapping[str, int]) -> str | None:
    """Return a note for the user about skipped content; None if nothing was skipped."""
    if not damage:
        return None
    reasons = ", ".join(f"{reason}: {count:,}" for reason, count in sorted(damage.items()))
    return f"parts of the journal can't be read and are left out ({reasons})"


def is_run_folder(folder: Path) -> bool:
    """Return whether a folder contains a run that provml recorded."""
    return (folder / layout.JOURNAL_FOLDER).is_dir() or (folder / layout.RUN_FILE).is_file()


def _build_description(folder: Path, run_file: RunFile) -> dict[str, Any]:
    fallback: dict[str, Any] = {"id": folder.name, "experiment": folder.parent.name}
    texts = {
        key: value
        for key, value in (run_file.content or {}).items()
        if isinstance(value, str) or (key == "created" and isinstance(value, int))
    }
    return fallback | texts

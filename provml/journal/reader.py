"""Reads a whole run: its description, its state and the journal files of all its writers.

Imports only `journal`, `base` and `errors` from provml.
"""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

from provml.base.results import Damage
from provml.base.store_files import OpenFolder, store_root
from provml.base.text import is_unicode, printable_path
from provml.errors import JournalError, RunNotFoundError, StoreError
from provml.journal import layout
from provml.journal.description import RunFile, read_reference, read_run_file
from provml.journal.files import WriterFiles
from provml.journal.journal_folder import hold_writers_in
from provml.journal.layout import Record
from provml.journal.status import RunState, read_run_state

_MAX_CACHED_RECORDS: Final = 20_000
_MAX_CACHED_BYTES: Final = 64 * 2**20


class Journal:
    """A run's journal. You can read it while the run is still being recorded.

    Attributes:
        folder: the run's folder.
        description: the contents of ``run.json``. If the id is missing, the name of the run's
            folder replaces it. If the experiment is missing, the name of the parent folder replaces
            it.
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
            on_damage: a function that receives each piece of damage when it is found. If you pass
                a function, ``run.json`` is always compared with the journal.

        Raises:
            RunNotFoundError: the folder contains no run.
            StoreError: the folder or its parent is a link that leads to a run, or the journal
                folder is a link or a special file.
            JournalError: the run's format is newer than the installed provml can read, or the run's
                folder can't be read.
        """
        self.folder = Path(folder)
        try:
            own = Path(os.path.abspath(folder))
            is_strict = on_damage is not None
            with OpenFolder(store_root(folder), own) as held, open_run(held, is_strict) as files:
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
        self._on_damage = on_damage
        for one in self.writers:
            one.on_damage = on_damage
        self._report(self._files.own_damage)
        self._cached: list[tuple[WriterFiles, int, Record]] | None = None

    def state(self) -> RunState:
        """Return the run's current state. Each call reads the journal again."""
        state = read_run_state(self.folder)
        self._report(state.damage)
        return state

    def _report(self, damage: Iterable[Damage]) -> None:
        if self._on_damage is not None:
            for found in damage:
                self._on_damage(found)

    def records(self) -> Iterator[tuple[WriterFiles, int, Record]]:
        """Yield the writer, offset and record of every line except samples and series.

        Yields all lines of one writer before the lines of the next. A journal of up to 64 MiB
        with up to 20,000 such lines is cached, so later passes do not read it again.
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

    @property
    def holds_records(self) -> bool:
        """Whether the records are cached. If so, every pass yields the same records."""
        return self._cached is not None

    def damage(self) -> Counter[str]:
        """Return how many pieces of content have been skipped so far, keyed by reason."""
        return self._files.damage()

    def list_damage(self) -> list[Damage]:
        """Return the damage that has been found so far."""
        found = list(self._files.own_damage)
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
        self._files.verify_ownership()
        return self.list_damage()

    @property
    def unchecked(self) -> int:
        """The number of samples without a checksum in the files that have been read completely."""
        return sum(files.unchecked for files in self.writers)


def read_events_stamp(folder: Path) -> list[tuple[str, int, int]] | None:
    """Return the name, size and modification time of each events file of a run.

    The result changes whenever a record is written. Returns None if the journal can't be listed.
    """
    return read_journal_stamp(folder, layout.EVENTS_SUFFIX)


def read_journal_stamp(folder: Path, suffix: str = "") -> list[tuple[str, int, int]] | None:
    """Return the name, size and modification time of each file of a run's journal.

    The modification time of a samples file may stay the same while the file is being written.
    Returns None if the journal can't be listed.

    Args:
        folder: the run's folder.
        suffix: look only at the files whose names end in this text.
    """
    path = Path(os.path.abspath(folder), layout.JOURNAL_FOLDER)
    try:
        with OpenFolder(store_root(folder), path) as held:
            return sorted(
                (name, status.st_size, status.st_mtime_ns)
                for name, status in held.read_statuses()
                if name.endswith(suffix)
            )
    except OSError:
        return None


def describe_damage(damage: Mapping[str, int]) -> str | None:
    """Return a note for the user about skipped content; None if nothing was skipped."""
    if not damage:
        return None
    reasons = ", ".join(
        # a reason that contains ": " names the damaged range, so it already shows the count
        reason if ": " in reason else f"{reason}: {count:,}"
        for reason, count in sorted(damage.items())
    )
    return f"parts of the journal can't be read and are left out ({reasons})"


class RunFiles(NamedTuple):
    """The files of a run, as `open_run` finds them.

    Attributes:
        folder: the run's folder.
        description: see `Journal`.
        writers: see `Journal`.
        run_file: the content of ``run.json``, and the result of checking it.
        own_damage: the damage in files that do not belong to a writer.
    """

    folder: Path
    description: dict[str, Any]
    writers: list[WriterFiles]
    run_file: RunFile
    own_damage: list[Damage]

    def damage(self) -> Counter[str]:
        """Return how many pieces of content have been skipped so far, keyed by reason."""
        total = Counter({str(found): found.count for found in self.own_damage})
        for files in self.writers:
            total.update(files.damage)
        return total

    def verify_ownership(self) -> None:
        """Check that ``run.json`` and all writers belong to the run, and that no writer is missing.

        Adds the damage that is found to `own_damage`.
        """
        found = {
            *_check_run_file(self.run_file, self.writers),
            *_find_lost_writers(self.writers),
            *_find_foreign_writers(self.run_file, self.writers),
        }
        self.own_damage.extend(sorted(found.difference(self.own_damage), key=str))


@contextmanager
def open_run(folder: OpenFolder, is_strict: bool = False) -> Iterator[RunFiles]:
    """Provide the files of the run in an open folder, and keep the run's journal folder open.

    Args:
        folder: the run's folder.
        is_strict: whether to compare ``run.json`` with the journal even if ``run.json`` matches its
            own checksum and names the run in this folder. The comparison reads the first line of
            at least one events file.

    Raises:
        FileNotFoundError: the folder contains no run.
        StoreError: the journal folder is a link or a special file, or no journal file is a regular
            file.
        JournalError: the run's format is newer than the installed provml can read.
    """
    run_file = read_run_file(folder)
    try:
        journal = folder.open_folder(layout.JOURNAL_FOLDER)
    except FileNotFoundError:
        folder.read_status(layout.RUN_FILE)
        yield _build_run_files(folder.path, run_file, [], is_strict)
        return
    with hold_writers_in(journal) as writers:
        yield _build_run_files(folder.path, run_file, writers, is_strict)


def _build_run_files(
    folder: Path, run_file: RunFile, writers: list[WriterFiles], is_strict: bool
) -> RunFiles:
    damage: list[Damage] = []
    if is_strict or not _is_at_home(folder, run_file):
        damage = list(_check_run_file(run_file, writers))
        damage += _find_foreign_writers(run_file, writers)
    known = None if any(own.file == layout.RUN_FILE for own in damage) else run_file.content
    return RunFiles(folder, _complete_description(folder, known), writers, run_file, damage)


def _is_at_home(folder: Path, run_file: RunFile) -> bool:
    """Return whether ``run.json`` proves by itself that it is intact and belongs to its folder."""
    content = run_file.content or {}
    experiment = content.get("experiment")
    return (
        run_file.is_verified
        and content.get("id") == folder.name
        and isinstance(experiment, str)
        and layout.encode_folder_name(experiment) == folder.parent.name
    )


def _check_run_file(run_file: RunFile, writers: list[WriterFiles]) -> Iterator[Damage]:
    """Compare ``run.json`` with the checksums in the journal, and yield the damage.

    Usually reads the first line of one events file. Costs a pass over the events files if
    ``run.json`` is not the file that the writers found when they started.
    """
    if run_file.problem is not None:
        yield Damage(layout.RUN_FILE, run_file.problem)
        return
    has_checksums = False
    for files in writers:
        found = files.first_record().get("run_file")
        if found == run_file.checksum is not None:
            return
        has_checksums = has_checksums or found is not None
    if not has_checksums:
        return  # recorded by an early version of provml
    if run_file.checksum is None:
        yield Damage(layout.RUN_FILE, "the file is missing")
    elif all(files.closed_record().get("run_file") != run_file.checksum for files in writers):
        yield Damage(layout.RUN_FILE, "the file is not the one that was recorded")


def _find_foreign_writers(run_file: RunFile, writers: list[WriterFiles]) -> Iterator[Damage]:
    """Yield the damage for each writer whose files were copied from the journal of another run.

    Each writer records the checksum of its run's ``run.json``, which never changes. Reads the first
    line of each events file if there are several.
    """
    if len(writers) < 2 or run_file.checksum is None:
        return
    recorded = [files.first_record().get("run_file") for files in writers]
    if run_file.checksum not in recorded:
        return  # `_check_run_file` reports this
    for files, checksum in zip(writers, recorded, strict=True):
        is_other = checksum not in (None, run_file.checksum)
        if is_other and files.closed_record().get("run_file") != run_file.checksum:
            yield Damage(files.events_path.name, "the file belongs to another run")


def _find_lost_writers(writers: list[WriterFiles]) -> Iterator[Damage]:
    """Yield the damage for each writer whose files are missing although the journal names it."""
    named: set[str] = set()
    for files in writers:
        names = files.closed_record().get("writers")
        if isinstance(names, list):
            named.update(name for name in names if isinstance(name, str))
    for name in named.difference(files.name for files in writers):
        yield Damage(name + layout.EVENTS_SUFFIX, "both files of this writer are missing")


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
            f"use the folder that the link leads to, {os.path.realpath(folder)}"
        )


def describe_error(error: OSError) -> str:
    """Return a one-line message for an error that occurred while reading a store."""
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
    parent = read_reference((known or {}).get("parent"))
    return fallback | texts | ({} if parent is None else {"parent": parent.to_json()})

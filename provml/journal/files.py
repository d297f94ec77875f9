"""Reads one writer's pair of journal files, during the run or after it.

Skips and counts torn, unwritten and damaged content. Opens only regular files, follows no links,
and limits the size of each read. Imports only `base.store_files`, `layout`, `description` and
`errors` from provml, and imports numpy only to read samples.
"""

from __future__ import annotations

import errno
import json
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

from provml.base.store_files import OpenFolder, open_to_read, store_root
from provml.errors import StoreError
from provml.journal import layout
from provml.journal.description import check_format_version
from provml.journal.layout import Record as Record

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CHUNK_RECORDS: Final = 131_072
_END_SEARCH_BYTES: Final = (2**16, 2**20)
"""How many bytes to search for the end line at the end of the file: first few, then more.

The line is long if it contains a long traceback.
"""
_IRREGULAR_FILES: Final = {
    layout.SAMPLES_SUFFIX: "samples file that is not a regular file",
    layout.EVENTS_SUFFIX: "events file that is not a regular file",
}
"""The reason for the damage if a journal file is a link or a special file, by its suffix."""
_PIECE_BYTES: Final = 2**16
_FIRST_BLOCK_BYTES: Final = 64 * layout.RECORD_SIZE
_BLOCK_BYTES: Final = 2**20
_MAX_HOLE_BYTES: Final = 2**30
_MAX_SLOTS: Final = 2**63 // layout.RECORD_SIZE
"""The number of records that the largest possible file contains."""


@dataclass(frozen=True, slots=True)
class Header:
    """The header of a samples file. All fields are zero if the header can't be read."""

    created_ns: int = 0
    dropped_samples: int = 0
    dropped_events: int = 0
    ended_ns: int = 0
    status_code: int = 0

    @property
    def status(self) -> str | None:
        """How the writer ended, such as ``finished``; None if it has not ended."""
        names = {code: name for name, code in layout.STATUS_CODES.items()}
        return names.get(self.status_code)


@dataclass(frozen=True, slots=True)
class Series:
    """A series, as declared in its writer's events file."""

    number: int
    kind: str
    name: str
    context: tuple[str, ...] | None
    storage: str
    unit: str | None
    target: Record | None
    role: str | None = None


@dataclass(slots=True)
class WriterFiles:
    """One writer's pair of files: a samples file and an events file.

    Attributes:
        folder: the run's journal folder.
        name: the name that both files share, without a suffix.
        index: the writer's position among the run's writers, ordered by start time.
        damage: how many pieces of content were skipped, by reason.
    """

    folder: Path
    name: str
    index: int
    damage: Counter[str] = field(default_factory=Counter)
    _held_folder: OpenFolder | None = field(default=None, repr=False, compare=False)

    @property
    def samples_path(self) -> Path:
        """The path of the samples file, which may not exist."""
        return self.folder / (self.name + layout.SAMPLES_SUFFIX)

    @property
    def events_path(self) -> Path:
        """The path of the events file, which may not exist."""
        return self.folder / (self.name + layout.EVENTS_SUFFIX)

    def open_samples(self) -> BinaryIO:
        """Open the samples file for reading. Raises OSError if it can't be opened.

        Raises StoreError and notes damage if the path is a link or a special file.
        """
        return self._open(self.samples_path, _IRREGULAR_FILES[layout.SAMPLES_SUFFIX])

    def open_events(self) -> BinaryIO:
        """Open the events file for reading. Raises the same exceptions as `open_samples`."""
        return self._open(self.events_path, _IRREGULAR_FILES[layout.EVENTS_SUFFIX])

    def _open(self, path: Path, damage: str) -> BinaryIO:
        try:
            if self._held_folder is not None:
                return self._held_folder.open_to_read(path.name)
            return open_to_read(store_root(self.folder.parent), path)
        except StoreError:
            self._note_damage(Counter({damage: 1}))
            raise

    def find_samples_end(self) -> int:
        """Return the offset, in bytes, at which the last written record of the samples file ends.

        Reads backwards from the end of the file, so a closed file costs only one small read. Skips
        the holes of a sparse file. Raises OSError if the file can't be opened.
        """
        with self.open_samples() as file:
            size = _FIRST_BLOCK_BYTES
            for first, last in reversed(_list_extents(file)):
                end = last
                while end > first:
                    start = max(first, end - size)
                    file.seek(start)
                    used = _count_used_bytes(file.read(end - start))
                    if used:
                        return start + used
                    end, size = start, _BLOCK_BYTES
        return layout.HEADER_SIZE

    def count_data_slots(self) -> int:
        """Return the number of records in the samples file that are not in a sparse file's hole.

        Returns 0 if the file can't be opened.
        """
        try:
            with self.open_samples() as file:
                return sum(
                    (end - start) // layout.RECORD_SIZE for start, end in _list_extents(file)
                )
        except OSError:
            return 0

    def digest_samples(self) -> tuple[str | None, int]:
        """Return the SHA-256 digest and the size of the samples file. Costs 1 s per GB.

        The digest is None if holes make up more than 1 GiB of the file. Raises OSError if the file
        can't be opened.
        """
        import hashlib

        with self.open_samples() as file:
            size = os.fstat(file.fileno()).st_size
            if size - sum(end - start for start, end in _list_extents(file)) > _MAX_HOLE_BYTES:
                return None, size
            file.seek(0)
            digest = hashlib.sha256()
            while block := file.read(_BLOCK_BYTES):
                digest.update(block)
            return digest.hexdigest(), size

    def events_size(self) -> int:
        """Return the size of the events file in bytes; 0 if it can't be opened."""
        try:
            with self.open_events() as file:
                return os.fstat(file.fileno()).st_size
        except OSError:
            return 0

    def header(self) -> Header:
        """Read the header of the samples file. Each call reads the file again.

        Raises JournalError if the file has a newer format version.
        """
        try:
            with self.open_samples() as file:
                content = file.read(layout.HEADER_SIZE)
        except OSError:
            return Header()
        if len(content) < layout.HEADER_SIZE:
            return Header()
        magic, version, record_size, header_size, *rest = layout.HEADER.unpack(content)
        if magic != layout.MAGIC:
            return Header()
        check_format_version(self.samples_path, version)
        if (record_size, header_size) != (layout.RECORD_SIZE, layout.HEADER_SIZE):
            return Header()
        return Header(*rest)

    def first_record(self) -> Record:
        """Return the record in the ``writer`` line, or an empty dict if the line can't be read.

        Raises JournalError if the file has a newer format version.
        """
        try:
            with self.open_events() as file:
                record = _parse_line(file.readline(layout.MAX_EVENT_LINE_BYTES + 1))
        except OSError:
            return {}
        if record is None or record.get("record") != "writer":
            return {}
        check_format_version(self.events_path, record.get("format"))
        return record

    def end_record(self) -> Record:
        """Return the record in the ``end`` line, or an empty dict if the line can't be found.

        Searches only the last MiB of the file.
        """
        for size in _END_SEARCH_BYTES:
            try:
                with self.open_events() as file:
                    length = os.fstat(file.fileno()).st_size
                    file.seek(max(0, length - size))
                    lines = file.read(size).split(b"\n")
            except OSError:
                return {}
            for line in reversed(lines):
                record = _parse_line(line + b"\n")
                if record is not None and record.get("record") == "end":
                    return record
            if length <= size:
                break
        return {}

    def records(self) -> Iterator[tuple[int, Record]]:
        """Yield the offset and the record of each readable line, in the order written.

        Counts unreadable lines in `damage`.
        """
        try:
            file = self.open_events()
        except OSError:
            return
        damaged: Counter[str] = Counter()
        with file:
            offset = 0
            while line := file.readline(layout.MAX_EVENT_LINE_BYTES + 1):
                record = _parse_line(line)
                if record is not None:
                    yield offset, record
                elif not line.endswith(b"\n") and len(line) <= layout.MAX_EVENT_LINE_BYTES:
                    damaged["torn last line"] += 1
                elif line != b"\n":
                    damaged["unreadable line"] += 1
                    if not line.endswith(b"\n"):
                        offset = _skip_line(file)
                        continue
                offset += len(line)
        self._note_damage(damaged)

    def records_at(self, offsets: list[int]) -> Iterator[Record | None]:
        """Yield the record of the line at each offset, or None if the line can't be read."""
        try:
            file = self.open_events()
        except OSError:
            yield from (None for _ in offsets)
            return
        with file:
            length = os.fstat(file.fileno()).st_size
            for offset in offsets:
                if not 0 <= offset < length:
                    yield None
                    continue
                file.seek(offset)
                yield _parse_line(file.readline(layout.MAX_EVENT_LINE_BYTES + 1))

    def _note_damage(self, damaged: Counter[str]) -> None:
        for reason, count in damaged.items():
            self.damage[reason] = max(self.damage[reason], count)  # each pass finds the same damage

    def series(self) -> dict[int, Series]:
        """Return the series that this writer has declared so far, keyed by number."""
        declared: dict[int, Series] = {}
        damaged: Counter[str] = Counter()
        for _, record in self.records():
            if record.get("record") == "series":
                series = _parse_series(record)
                if series is None:
                    damaged["unreadable series"] += 1
                elif declared.setdefault(series.number, series) != series:
                    damaged["series with a number already in use"] += 1
        self._note_damage(damaged)
        return declared

    def chunks(self, records: int = CHUNK_RECORDS) -> Iterator[NDArray[np.void]]:
        """Yield the samples as structured arrays of up to ``records`` records, without holes.

        The fields are ``time``, ``step``, ``value`` (as f64; use `to_int64` for other storages),
        ``epoch`` and ``series``. Needs 64 bytes of memory for each record of a chunk.
        """
        try:
            file = self.open_samples()
        except OSError:
            return
        with file:
            if self.header().created_ns == 0:
                self._note_damage(Counter({"unreadable samples header": 1}))
                return
            length = os.fstat(file.fileno()).st_size
            if length <= layout.HEADER_SIZE:
                return
            import numpy as np

            is_sparse = _is_sparse(file)
            file.seek(layout.HEADER_SIZE)
            # zeros after the last record are unused space, not holes
            holes = unused = 0
            while True:
                skipped, count = _find_data(file, records) if is_sparse else (0, records)
                unused += skipped
                chunk = np.fromfile(file, _record_dtype(), count)
                written = chunk["series"] != 0
                if not written.any():
                    unused += len(chunk)
                else:
                    used = len(chunk) - int(written[::-1].argmax())
                    holes += unused + used - int(np.count_nonzero(written))
                    unused = len(chunk) - used
                    written &= chunk["series"] != layout.ABANDONED_SLOT
                    yield chunk if written.all() else chunk[written]
                if len(chunk) < max(count, 1):
                    break
            slots, torn = divmod(length - layout.HEADER_SIZE, layout.RECORD_SIZE)
            expected = self.end_record().get("slots")
            missing = expected - slots if isinstance(expected, int) else 0
            if missing >= _MAX_SLOTS:
                missing = 1  # no file has that many records, so the count itself is damaged
            damage = {"hole": holes, "torn last record": int(torn > 0), "record cut off": missing}
            self._note_damage(+Counter(damage))


def _is_sparse(file: BinaryIO) -> bool:
    """Return whether a file has holes. A preallocated file has none, so it is read as a whole."""
    status = os.fstat(file.fileno())
    return hasattr(os, "SEEK_DATA") and status.st_blocks * 512 < status.st_size - _PIECE_BYTES


def _find_data(file: BinaryIO, records: int) -> tuple[int, int]:
    """Move to the next record that is not in a hole of a sparse samples file.

    Returns the number of records skipped, and the number of records to read, at most ``records``.
    The number is 0 at the end of the file.
    """
    position = file.tell()
    try:
        start = file.seek(position, os.SEEK_DATA)
        end = file.seek(start, os.SEEK_HOLE)
    except OSError as error:
        file.seek(position)
        return 0, 0 if error.errno == errno.ENXIO else records
    skipped = (start - position) // layout.RECORD_SIZE
    first = file.seek(position + skipped * layout.RECORD_SIZE)
    return skipped, min(records, -(-(end - first) // layout.RECORD_SIZE))


def _list_extents(file: BinaryIO) -> list[tuple[int, int]]:
    """Return the offsets of the records in a samples file, as pairs of start and end.

    There is one pair, unless the file is sparse.
    """
    length = os.fstat(file.fileno()).st_size
    whole = length - (length - layout.HEADER_SIZE) % layout.RECORD_SIZE
    if not _is_sparse(file):
        return [(layout.HEADER_SIZE, whole)]
    found: list[tuple[int, int]] = []
    position = file.seek(layout.HEADER_SIZE)
    while position < whole:
        skipped, count = _find_data(file, _MAX_SLOTS)
        if not count:
            break
        start = position + skipped * layout.RECORD_SIZE
        position = file.seek(min(start + count * layout.RECORD_SIZE, whole))
        found.append((start, position))
    return found


def _count_used_bytes(block: bytes) -> int:
    """Return the offset at which a block's last written record ends; 0 if there is no record."""
    records = -(-len(block.rstrip(b"\0")) // layout.RECORD_SIZE)
    for number in range(records, 0, -1):
        place = (number - 1) * layout.RECORD_SIZE + layout.SERIES_OFFSET
        if any(block[place : place + 4]):
            return number * layout.RECORD_SIZE
    return 0


def _skip_line(file: BinaryIO) -> int:
    """Move to the end of a line that is too long to read, and return the offset of the end.

    Skips the holes of a sparse file.
    """
    is_sparse = _is_sparse(file)
    while (piece := file.readline(_PIECE_BYTES)) and not piece.endswith(b"\n"):
        if is_sparse and not piece.strip(b"\0"):
            try:
                file.seek(file.tell(), os.SEEK_DATA)
            except OSError:
                file.seek(0, os.SEEK_END)
    return file.tell()


def _record_dtype() -> np.dtype[np.void]:
    import numpy as np

    return np.dtype(
        [("time", "<i8"), ("step", "<i8"), ("value", "<f8"), ("epoch", "<i4"), ("series", "<u4")]
    )


def to_int64(chunk: NDArray[np.void]) -> NDArray[np.int64]:
    """Return a chunk's values as int64: numbers for ``i64`` series, offsets for ``text`` series."""
    import numpy as np

    # reinterpret the eight bytes; the field is not contiguous, so copy it first
    return np.ascontiguousarray(chunk["value"]).view(np.int64)


def _parse_line(line: bytes) -> Record | None:
    if not line.endswith(b"\n"):
        return None
    try:
        record = json.loads(line.decode())  # decode first: json would guess the encoding of bytes
        if b"\\ud" in line.lower():  # reject escaped surrogates without a partner
            json.dumps(record, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) and isinstance(record.get("record"), str) else None


def _parse_series(record: Record) -> Series | None:
    number, context, storage = record.get("series"), record.get("context"), record.get("storage")
    if not isinstance(number, int) or not 0 < number < layout.ABANDONED_SLOT:
        return None
    if not isinstance(storage, str) or storage not in layout.STORAGES:
        return None
    path = record_context(record)
    if path is None and context is not None:
        return None
    kind, name, unit = record.get("kind"), record.get("name"), record.get("unit")
    if not isinstance(kind, str) or not isinstance(name, str):
        return None
    if not isinstance(unit, str | None):
        return None
    target, role = record.get("target"), record.get("role")
    own_target = target if isinstance(target, dict) else None
    own_role = role if isinstance(role, str) else None
    return Series(number, kind, name, path, storage, unit, own_target, own_role)


def series_number(record: Record) -> int | None:
    """Return the ``id`` that a record shares with the later record that completes it, or None."""
    number = record.get("id")
    return number if isinstance(number, int) else None


def record_context(record: Record) -> tuple[str, ...] | None:
    """Return a record's context as a path; None if the record has no valid context."""
    context = record.get("context")
    if not isinstance(context, list) or not context:
        return None
    return tuple(context) if all(isinstance(name, str) for name in context) else None


def list_writer_files(run_folder: Path) -> list[WriterFiles]:
    """Return the files of every writer of a run, ordered by start time.

    Returns an empty list if the journal folder can't be read, for example because it is a link.
    """
    try:
        with open_writer_files(run_folder) as writers:
            return writers
    except OSError:
        return []


@contextmanager
def open_writer_files(run_folder: Path) -> Iterator[list[WriterFiles]]:
    """Give the files of every writer of a run, ordered by start time, and hold their folder open.

    Opening one of the files costs less in the ``with`` block than after it.

    Raises:
        FileNotFoundError: the run has no journal folder.
        StoreError: the journal folder, the run's folder or its experiment is a link, or no journal
            file is a regular file.
        OSError: the journal folder can't be read for another reason.
    """
    folder = Path(os.path.abspath(run_folder), layout.JOURNAL_FOLDER)
    with hold_writers_in(OpenFolder(store_root(run_folder), folder)) as writers:
        yield writers


@contextmanager
def hold_writers_in(folder: OpenFolder) -> Iterator[list[WriterFiles]]:
    """Give the files of every writer in an open journal folder; close the folder at the end."""
    with folder:
        writers = list_writers_in(folder)
        for files in writers:
            files._held_folder = folder
        try:
            yield writers
        finally:
            for files in writers:
                files._held_folder = None


def list_writers_in(folder: OpenFolder) -> list[WriterFiles]:
    """Return the files of every writer in a run's open journal folder, ordered by start time.

    A link or special file in the place of a journal file counts as damage. Raises StoreError if
    no journal file is a regular file.
    """
    found: dict[str, Counter[str]] = {}
    irregular: str | None = None
    regular = 0
    for entry in folder.list():
        for suffix, damage in _IRREGULAR_FILES.items():
            if entry.name.endswith(suffix):
                of_writer = found.setdefault(entry.name.removesuffix(suffix), Counter())
                regular += entry.is_file
                if not entry.is_file:
                    of_writer[damage] = 1
                    irregular = entry.name
    if irregular is not None and not regular:
        folder.open_to_read(irregular).close()  # raises StoreError, which says what the entry is
    return [
        WriterFiles(folder.path, name, index, damage)
        for index, (name, damage) in enumerate(sorted(found.items()))
    ]

"""Reads one writer's pair of journal files, during the run or after it.

Skips and counts torn, unwritten and damaged content. Opens only regular files, follows no links,
and limits the size of each read. Checks lines and samples against their checksums, and leaves out
damaged ones. Imports only `journal`, `base` and `errors` from provml, and imports numpy only to
read samples.
"""

from __future__ import annotations

import errno
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

from provml.base.results import Damage
from provml.base.sparse_files import is_sparse, skip_line
from provml.base.store_files import OpenFolder, open_to_read, store_root
from provml.errors import StoreError
from provml.journal import checksums, layout
from provml.journal.checksums import BLOCK_BYTES
from provml.journal.description import check_format_version
from provml.journal.layout import Record as Record
from provml.journal.line_verification import LineChecker, find_seals
from provml.journal.sample_verification import (
    BlockChecksums,
    BlockFindings,
    SampleChecker,
    check_ahead,
)
from provml.journal.writer_lock import is_lock_held

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CHUNK_RECORDS: Final = 131_072
_END_SEARCH_BYTES: Final = (2**16, 2**20)
"""How many bytes at the end of an events file to search for the end line, in order of attempts.

The second attempt is for end lines that contain a long traceback.
"""
_IRREGULAR_FILES: Final = {
    layout.SAMPLES_SUFFIX: "samples file that is not a regular file",
    layout.EVENTS_SUFFIX: "events file that is not a regular file",
}
"""The damage to report if a journal file is a link or special file, keyed by the file's suffix."""
_PIECE_BYTES: Final = 2**16
_FIRST_BLOCK_BYTES: Final = 64 * layout.RECORD_SIZE
_BLOCK_BYTES: Final = 2**20
_MAX_HOLE_BYTES: Final = 2**30
_MAX_SLOTS: Final = 2**63 // layout.RECORD_SIZE
"""The number of records that the largest possible file contains."""
_CHECKSUM_RECORDS: Final = ("checksums", "closed")


@dataclass(frozen=True, slots=True)
class Header:
    """The header of a samples file. All fields are zero if the header can't be read.

    Attributes:
        is_damaged: whether the header does not match its checksum. If so, all numbers except
            ``created_ns`` are zero.
    """

    created_ns: int = 0
    dropped_samples: int = 0
    dropped_events: int = 0
    ended_ns: int = 0
    status_code: int = 0
    is_damaged: bool = False

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
        damage: how many pieces of content were skipped, keyed by reason.
        located: the damage whose place in the files is known, keyed by reason, like ``damage``.
        unchecked: the number of samples for which the last pass found no checksum.
        on_damage: a function that receives each piece of damage whose place is known.
    """

    folder: Path
    name: str
    index: int
    damage: Counter[str] = field(default_factory=Counter)
    located: dict[str, Damage] = field(default_factory=dict)
    unchecked: int = 0
    on_damage: Callable[[Damage], None] | None = field(default=None, repr=False, compare=False)
    _sums: BlockChecksums | None = field(default=None, repr=False, compare=False)
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
        """Return the number of records in the samples file that are not in a hole of a sparse file.

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

        Raises JournalError if the file's format is newer than the installed provml can read.
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
        if checksums.check_header(content) is False:
            self._note_located(Damage(self.samples_path.name, "the header is damaged"))
            return Header(rest[0], is_damaged=True)
        return Header(*rest)

    def _find_seals(self, file: BinaryIO) -> bool:
        """Return whether the lines of the open events file have checksums.

        If the file was cut off within its first line, looks at the header of the samples file.
        """
        if find_seals(file):
            return True
        is_cut = not file.readline(_PIECE_BYTES).endswith(b"\n")
        file.seek(0)
        if not is_cut:
            return False
        try:
            with self.open_samples() as samples:
                return checksums.check_header(samples.read(layout.HEADER_SIZE)) is not None
        except OSError:
            return False

    def has_checksums(self) -> bool:
        """Return whether the files contain checksums. Early versions of provml wrote none."""
        try:
            with self.open_events() as file:
                return self._find_seals(file)
        except OSError:
            return False

    def first_record(self) -> Record:
        """Return the record in the ``writer`` line, or an empty dict if the line can't be read.

        Raises JournalError if the file's format is newer than the installed provml can read.
        """
        try:
            with self.open_events() as file:
                line = file.readline(layout.MAX_EVENT_LINE_BYTES + 1)
                has_checksums = self._find_seals(file)
        except OSError:
            return {}
        record = _parse_line(line)
        if record is None or record.get("record") != "writer":
            return {}
        check_format_version(self.events_path, record.get("format"))
        return record if not has_checksums or self._is_intact(line, record) else {}

    def read_identity(self) -> Record | None:
        """Return the facts about the writing process, even if their checksum does not match.

        Use them only to find out whether the process is alive: for that purpose, damaged facts are
        better than none. The facts are in the first line of the events file. Returns an empty dict
        if that line can't be parsed, and None if it is missing or incomplete.
        """
        try:
            with self.open_events() as file:
                line = file.readline(layout.MAX_EVENT_LINE_BYTES + 1)
        except OSError:
            return None
        record = _parse_line(line)
        if record is not None and record.get("record") == "writer":
            return record
        return {} if line.endswith(b"\n") else None

    def _is_intact(self, line: bytes, record: Record, offset: int | None = None) -> bool:
        """Return whether a line is intact and in its place. Remove the checksum from ``record``."""
        at = record.get("at")
        checksums.remove_seal(record)
        number = checksums.check_line(line, checksums.seed_of(self.name))
        return number is not None and at in (None, offset)

    def end_record(self) -> Record:
        """Return the record in the ``end`` line, or an empty dict if the line can't be found.

        Searches only the last MiB of the file. Notes the damage in that part of the file.
        """
        for size in _END_SEARCH_BYTES:
            try:
                with self.open_events() as file:
                    has_checksums = self._find_seals(file)
                    length = os.fstat(file.fileno()).st_size
                    file.seek(max(0, length - size))
                    lines = file.read(size).splitlines(keepends=True)
            except OSError:
                return {}
            if has_checksums:
                self._check_last_lines(lines, length <= size)
            for line in reversed(lines):
                record = _parse_line(line)
                if record is None or record.get("record") != "end":
                    continue
                if not has_checksums or self._is_intact(line, record):
                    return record
            if length <= size:
                break
        return {}

    def _is_being_closed(self) -> bool:
        """Return whether the writer is writing its last lines, or has just written them."""
        try:
            with self.open_events() as file:
                is_held = is_lock_held(file.fileno(), {})
        except OSError:
            is_held = None
        return bool(is_held or self.closed_record())

    def _check_last_lines(self, lines: list[bytes], are_all: bool) -> None:
        checker = LineChecker(self.name, self.events_path.name, from_start=are_all)
        for line, following in zip(lines, [*lines[1:], b""], strict=True):
            checker.accept(line, partial(bytes, following))
        torn = lines[-1:] if lines and not lines[-1].endswith(b"\n") else []
        self._finish_lines(checker, sum(map(len, torn)))

    def closed_record(self) -> Record:
        """Return the record in the ``closed`` line; an empty dict if the file has none yet."""
        sums = self.read_checksums()
        return {} if sums is None or sums.closed is None else sums.closed

    def records(self) -> Iterator[tuple[int, Record]]:
        """Yield the offset and the record of each readable line, in the order of writing.

        Counts unreadable lines in `damage`.
        """
        try:
            file = self.open_events()
        except OSError as error:
            if isinstance(error, FileNotFoundError):
                self._note_located(Damage(self.events_path.name, "the file is missing"))
            return
        damaged: Counter[str] = Counter()
        torn_bytes = 0
        with file:
            checker = None
            if self._find_seals(file):
                checker = LineChecker(self.name, self.events_path.name)
            read_next = partial(_peek_line, file)
            offset = 0
            while line := file.readline(layout.MAX_EVENT_LINE_BYTES + 1):
                is_torn = not line.endswith(b"\n") and len(line) <= layout.MAX_EVENT_LINE_BYTES
                accepted = checker is None or (not is_torn and checker.accept(line, read_next))
                record = _parse_line(line) if accepted else None
                if record is not None:
                    if checker is not None:
                        checksums.remove_seal(record)
                    if record["record"] not in _CHECKSUM_RECORDS:
                        yield offset, record
                elif is_torn:
                    torn_bytes = len(line)
                elif line != b"\n":
                    damaged["unreadable line"] += accepted
                    if not line.endswith(b"\n"):
                        offset = skip_line(file)
                        continue
                offset += len(line)
        self._note_damage(+damaged)
        torn = 0 if checker is None else checker.torn
        if checker is None or not self._finish_lines(checker, torn_bytes):
            torn += torn_bytes > 0
        self._note_damage(+Counter({"torn last line": torn}))

    def _finish_lines(self, checker: LineChecker, torn_bytes: int) -> bool:
        """Note the damage that a checker found, and return whether the writer has ended."""
        must_be_closed = checker.closed or checker.ended or self.header().status is not None
        if must_be_closed and not checker.closed and self._is_being_closed():
            must_be_closed = False
        for found in checker.finish(must_be_closed, torn_bytes):
            self._note_located(found)
        return must_be_closed

    def records_at(self, offsets: list[int]) -> Iterator[Record | None]:
        """Yield the record of the line at each offset, or None if the line can't be read."""
        try:
            file = self.open_events()
        except OSError:
            yield from (None for _ in offsets)
            return
        with file:
            has_checksums = self._find_seals(file)
            length = os.fstat(file.fileno()).st_size
            for offset in offsets:
                if not 0 <= offset < length:
                    yield None
                    continue
                file.seek(offset)
                line = file.readline(layout.MAX_EVENT_LINE_BYTES + 1)
                record = _parse_line(line)
                if record is not None and has_checksums:
                    record = record if self._is_intact(line, record, offset) else None
                yield record

    def _note_located(self, found: Damage) -> None:
        is_new = str(found) not in self.located
        self.located[str(found)] = found
        self._note_damage(Counter({str(found): found.count}))
        if is_new and self.on_damage is not None:
            self.on_damage(found)

    def _note_damage(self, damaged: Counter[str]) -> None:
        for reason, count in damaged.items():
            self.damage[reason] = max(self.damage[reason], count)  # a later pass may repeat it

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
        except OSError as error:
            if isinstance(error, FileNotFoundError) and self._is_samples_file_lost():
                self._note_located(Damage(self.samples_path.name, "the file is missing"))
            return
        with file:
            if self.header().created_ns == 0:
                self._note_located(Damage(self.samples_path.name, "the header can't be read"))
                return
            length = os.fstat(file.fileno()).st_size
            sums = self.read_checksums()
            if sums is None:
                yield from self._join_parts(_read_parts(file, records, length))
                self._note_end(length)
                return
            checker = SampleChecker(self.samples_path.name, sums, length)
            if not checker.check_header(os.pread(file.fileno(), layout.HEADER_SIZE, 0)):
                self._note_located(Damage(self.samples_path.name, "the header is damaged"))
            parts = _read_parts(file, CHUNK_RECORDS, checker.end)
            for chunk in self._join_parts(self._check_parts(file, parts, checker)):
                yield from _split_chunk(chunk, records)
            self.unchecked = checker.unchecked
            for found in checker.finish():
                self._note_located(found)

    def _is_samples_file_lost(self) -> bool:
        return any(record["record"] != "writer" for _, record in self.records())

    def read_checksums(self) -> BlockChecksums | None:
        """Return the checksums of the samples; None if the writer recorded none."""
        try:
            file = self.open_events()
        except OSError:
            return None
        with file:
            if not self._find_seals(file):
                return None
            if self._sums is None:
                self._sums = BlockChecksums(self.name)
            self._sums.update(file)
        return self._sums

    def _check_parts(
        self, file: BinaryIO, parts: Iterator[_Part], checker: SampleChecker
    ) -> Iterator[_Part]:
        """Check parts of the samples file, and mark the records in damaged blocks as abandoned."""
        fd = file.fileno()

        def find_bad_blocks(part: _Part) -> BlockFindings:
            content = _aligned_content(part, fd, checker.end)
            return checker.find_bad_blocks(part.first // layout.BLOCK_RECORDS, content)

        for part, found in check_ahead(parts, find_bad_blocks):
            if part.skipped:
                hole_end = part.first // layout.BLOCK_RECORDS
                hole_first = -(-(part.first - part.skipped) // layout.BLOCK_RECORDS)
                checker.note_hole(hole_first, hole_end)
            for block in checker.find_blocks_to_leave_out(found):
                part.rows_of(block)["series"] = layout.ABANDONED_SLOT
            checker.note(found, sum(map(part.count_samples, found.unchecked)))
            yield part

    def _join_parts(self, parts: Iterator[_Part]) -> Iterator[NDArray[np.void]]:
        """Yield the samples of each part, without holes. Counts the holes between samples."""
        # zeros after the last record are unused space, not holes
        holes = unused = 0
        for part in parts:
            import numpy as np  # not for a file without samples: it would double an empty run

            chunk = part.chunk
            unused += part.skipped
            written = chunk["series"] != 0
            if not written.any():
                unused += len(chunk)
                continue
            used = len(chunk) - int(written[::-1].argmax())
            holes += unused + used - int(np.count_nonzero(written))
            unused = len(chunk) - used
            written &= chunk["series"] != layout.ABANDONED_SLOT
            if written.any():
                yield chunk if written.all() else chunk[written]
        self._note_damage(+Counter({"hole": holes}))

    def _note_end(self, length: int) -> None:
        """Note what is missing at the end of a samples file without checksums."""
        slots, torn = divmod(length - layout.HEADER_SIZE, layout.RECORD_SIZE)
        expected = self.end_record().get("slots")
        missing = expected - slots if isinstance(expected, int) else 0
        if missing >= _MAX_SLOTS:
            missing = 1  # no file has that many records, so the count itself is damaged
        self._note_damage(+Counter({"torn last record": int(torn > 0), "record cut off": missing}))


@dataclass(slots=True)
class _Part:
    """Consecutive records of a samples file.

    Attributes:
        chunk: the records.
        first: the number of records in the file that precede this part.
        skipped: the number of records, directly before this part, that were skipped because they
            are in a hole of a sparse file.
    """

    chunk: NDArray[np.void]
    first: int
    skipped: int

    def rows_of(self, block: int) -> NDArray[np.void]:
        """Return a view of the records that belong to a block."""
        begin = block * layout.BLOCK_RECORDS - self.first
        return self.chunk[max(0, begin) : max(0, begin + layout.BLOCK_RECORDS)]

    def count_samples(self, block: int) -> int:
        """Return the number of samples in a block, not counting unused and abandoned slots."""
        series = self.rows_of(block)["series"]
        return int(((series != 0) & (series != layout.ABANDONED_SLOT)).sum())


def _read_parts(file: BinaryIO, records: int, end: int) -> Iterator[_Part]:
    """Yield the records before an offset in parts of up to ``records`` records, without holes."""
    if end <= layout.HEADER_SIZE:
        return
    import numpy as np

    sparse = is_sparse(file)
    position = file.seek(layout.HEADER_SIZE)
    while position < end:
        skipped, count = _find_data(file, records) if sparse else (0, records)
        position += skipped * layout.RECORD_SIZE
        count = min(count, (end - position) // layout.RECORD_SIZE)
        chunk = np.fromfile(file, _record_dtype(), max(count, 0))
        yield _Part(chunk, (position - layout.HEADER_SIZE) // layout.RECORD_SIZE, skipped)
        position += len(chunk) * layout.RECORD_SIZE
        if len(chunk) < max(count, 1):
            break


def _aligned_content(part: _Part, fd: int, end: int) -> memoryview:
    """Return the bytes of all blocks that contain records of a part."""
    begin = part.first // layout.BLOCK_RECORDS * BLOCK_BYTES
    last = part.first + len(part.chunk)
    blocks_end = -(-last // layout.BLOCK_RECORDS) * BLOCK_BYTES
    content = part.chunk.data.cast("B") if len(part.chunk) else memoryview(b"")
    length = min(blocks_end, end - layout.HEADER_SIZE) - begin
    if part.first * layout.RECORD_SIZE == begin and len(content) == length:
        return content
    return memoryview(os.pread(fd, max(0, length), layout.HEADER_SIZE + begin))


def _split_chunk(chunk: NDArray[np.void], records: int) -> Iterator[NDArray[np.void]]:
    if len(chunk) <= records:
        yield chunk
        return
    for start in range(0, len(chunk), records):
        yield chunk[start : start + records]


def _peek_line(file: BinaryIO) -> bytes:
    """Return the next line without advancing the file."""
    position = file.tell()
    line = file.readline(layout.MAX_EVENT_LINE_BYTES + 1)
    file.seek(position)
    return line


def _find_data(file: BinaryIO, records: int) -> tuple[int, int]:
    """Move to the next record that is not in a hole of a sparse samples file.

    Returns the number of records skipped, and the number of records to read, at most ``records``.
    At the end of the file, the second number is 0.
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
    """Return the parts of a samples file that contain records, as pairs of start and end offsets.

    A file that is not sparse has only one part.
    """
    length = os.fstat(file.fileno()).st_size
    whole = length - (length - layout.HEADER_SIZE) % layout.RECORD_SIZE
    if not is_sparse(file):
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


def _record_dtype() -> np.dtype[np.void]:
    import numpy as np

    return np.dtype(
        [("time", "<i8"), ("step", "<i8"), ("value", "<f8"), ("epoch", "<i4"), ("series", "<u4")]
    )


def to_int64(chunk: NDArray[np.void]) -> NDArray[np.int64]:
    """Return the values in a chunk of an ``i64`` or ``text`` series as int64.

    The values of a ``text`` series are offsets into the events file.
    """
    import numpy as np

    # reinterpret the eight bytes; the field is not contiguous, so copy it first
    return np.ascontiguousarray(chunk["value"]).view(np.int64)


def _parse_line(line: bytes) -> Record | None:
    if not line.endswith(b"\n"):
        return None
    try:
        record = json.loads(line.decode())  # decode first: json would guess the encoding of bytes
        if b"\\ud" in line.lower():  # reject unpaired surrogates in escapes
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
    """Return the ``id`` that links a record to a later one; None if the record has no ``id``."""
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
    """Provide the files of a run's writers, ordered by start time, and keep their folder open.

    Opening one of the files is cheaper inside the ``with`` block than after it.

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
    """Provide the files of every writer in an open journal folder; close the folder at the end."""
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

    A journal file that is a link or a special file counts as damage. Raises StoreError if
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

"""Reads one writer's pair of journal files, during the run or after it.

Skips and counts incomplete, unwritten and damaged content. Opens only regular files, follows no
links, and limits the size of each read. Checks lines and samples against their checksums, and
leaves out damaged lines and samples. Imports only `journal`, `base` and `errors` from provml, and
imports numpy only to read samples.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

from provml.base.results import Damage
from provml.base.sparse_files import skip_line
from provml.base.store_files import OpenFolder, open_to_read, store_root
from provml.errors import StoreError
from provml.journal import checksums, layout
from provml.journal.description import check_format_version
from provml.journal.layout import Record
from provml.journal.line_verification import LineChecker, find_seals
from provml.journal.record_parsing import Series, parse_line, parse_series, peek_line
from provml.journal.sample_reading import (
    MAX_SLOTS,
    Header,
    Part,
    digest_file,
    find_records_end,
    join_parts,
    list_extents,
    read_aligned_blocks,
    read_parts,
    split_chunk,
)
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
"""How many bytes at the end of an events file are searched for the ``end`` line.

The second number is used if the first search fails, because an ``end`` line that contains a long
traceback can be longer than 64 KiB.
"""
_END_RECORD: Final = b'"end"'
IRREGULAR_FILES: Final = {
    layout.SAMPLES_SUFFIX: "samples file that is not a regular file",
    layout.EVENTS_SUFFIX: "events file that is not a regular file",
}
"""The damage to report if a journal file is a link or special file, keyed by the file's suffix."""
_PIECE_BYTES: Final = 2**16
_CHECKSUM_RECORDS: Final = ("checksums", "closed")


class WriterFiles:
    """One writer's pair of files: a samples file and an events file.

    Attributes:
        folder: the run's journal folder.
        name: the name that both files share, without a suffix.
        index: the writer's position among the run's writers, ordered by start time.
        damage: how many pieces of content were skipped, keyed by reason.
        located: the pieces of damage whose place in the files is known, with the same keys as
            ``damage``.
        unchecked: the number of samples that had no checksum when the samples were last read.
        on_damage: a function that receives each piece of damage whose place is known.
    """

    __slots__ = (
        "_held_events",
        "_held_folder",
        "_sums",
        "damage",
        "folder",
        "index",
        "located",
        "name",
        "on_damage",
        "unchecked",
    )

    def __init__(
        self, folder: Path, name: str, index: int, damage: Counter[str] | None = None
    ) -> None:
        self.folder = folder
        self.name = name
        self.index = index
        self.damage: Counter[str] = Counter() if damage is None else damage
        self.located: dict[str, Damage] = {}
        self.unchecked = 0
        self.on_damage: Callable[[Damage], None] | None = None
        self._sums: BlockChecksums | None = None
        self._held_folder: OpenFolder | None = None
        self._held_events: bytes | None = None

    def __repr__(self) -> str:
        return f"WriterFiles({self.folder!r}, {self.name!r}, {self.index})"

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
        return self._open(layout.SAMPLES_SUFFIX)

    def open_events(self) -> BinaryIO:
        """Open the events file for reading. Raises the same exceptions as `open_samples`."""
        return self._open(layout.EVENTS_SUFFIX)

    def hold_folder(self, folder: OpenFolder | None) -> None:
        """Open the files through this open folder from now on; by path if ``folder`` is None.

        While a folder is held, `first_record` and `end_record` share the content of an events file
        that is smaller than 64 KiB, so the file is read only once.
        """
        self._held_folder = folder
        self._held_events = None

    def _open(self, suffix: str) -> BinaryIO:
        name = self.name + suffix
        try:
            if self._held_folder is not None:
                return self._held_folder.open_to_read(name)
            return open_to_read(store_root(self.folder.parent), self.folder / name)
        except StoreError:
            self._note_damage(Counter({IRREGULAR_FILES[suffix]: 1}))
            raise

    def _view_events(self) -> BinaryIO:
        """Open the events file. While its folder is held, read a small file only once."""
        if self._held_folder is None:
            return self.open_events()
        if self._held_events is None:
            file = self.open_events()
            content = file.read(_END_SEARCH_BYTES[0])
            if len(content) == _END_SEARCH_BYTES[0]:
                file.seek(0)
                return file
            file.close()
            self._held_events = content
        return BytesIO(self._held_events)

    def find_samples_end(self) -> int:
        """Return the offset, in bytes, at which the last written record of the samples file ends.

        Reads backwards from the end of the file, so a closed file costs only one small read. Skips
        the holes of a sparse file. Raises OSError if the file can't be opened.
        """
        with self.open_samples() as file:
            return find_records_end(file)

    def count_data_slots(self) -> int:
        """Return the number of records in the samples file; 0 if the file can't be opened.

        If the file is sparse, the records in its holes are not counted.
        """
        try:
            with self.open_samples() as file:
                return sum((end - start) // layout.RECORD_SIZE for start, end in list_extents(file))
        except OSError:
            return 0

    def digest_samples(self) -> tuple[str | None, int]:
        """Return the SHA-256 digest and the size of the samples file. Costs 1 s per GB.

        The digest is None if holes make up more than 1 GiB of the file. Raises OSError if the file
        can't be opened.
        """
        with self.open_samples() as file:
            return digest_file(file)

    def events_size(self) -> int:
        """Return the size of the events file in bytes; 0 if it can't be opened."""
        try:
            with self.open_events() as file:
                return os.fstat(file.fileno()).st_size
        except OSError:
            return 0

    def header(self) -> Header:
        """Return the header of the samples file. Each call reads the file again.

        Raises JournalError if the file's format is newer than the installed provml can read.
        """
        try:
            with self.open_samples() as file:
                content = file.read(layout.HEADER_SIZE)
        except OSError:
            return Header()
        return self._parse_header(content)

    def measure_samples(self) -> tuple[Header, int]:
        """Return the samples file's header, and the number of slots up to the last written record.

        Raises JournalError if the file's format is newer than the installed provml can read.
        """
        try:
            with self.open_samples() as file:
                content = file.read(layout.HEADER_SIZE)
                end = find_records_end(file)
        except OSError:
            return Header(), 0
        count = max(0, end - layout.HEADER_SIZE) // layout.RECORD_SIZE
        return self._parse_header(content), count

    def _parse_header(self, content: bytes) -> Header:
        if len(content) < layout.HEADER_SIZE:
            return Header()
        magic, version, record_size, header_size, *rest = layout.HEADER.unpack(content)
        if magic != layout.MAGIC:
            return Header()
        if version != layout.FORMAT_VERSION:
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
            with self._view_events() as file:
                line = file.readline(layout.MAX_EVENT_LINE_BYTES + 1)
                has_checksums = self._find_seals(file)
        except OSError:
            return {}
        record = parse_line(line)
        if record is None or record.get("record") != "writer":
            return {}
        if record.get("format") != layout.FORMAT_VERSION:
            check_format_version(self.events_path, record.get("format"))
        return record if not has_checksums or self._is_intact(line, record) else {}

    def read_identity(self) -> Record | None:
        """Return the facts about the writing process, even if their checksum does not match.

        Use them only to find out whether the process is alive: for that purpose, damaged facts are
        better than none. The facts are in the first line of the events file. Returns an empty dict
        if that line can't be parsed, and None if that line is missing or incomplete.
        """
        try:
            with self.open_events() as file:
                line = file.readline(layout.MAX_EVENT_LINE_BYTES + 1)
        except OSError:
            return None
        record = parse_line(line)
        if record is not None and record.get("record") == "writer":
            return record
        return {} if line.endswith(b"\n") else None

    def _is_intact(self, line: bytes, record: Record, offset: int | None = None) -> bool:
        """Return whether a line is intact. A line that contains an offset must be at that offset.

        Removes the checksum, the line number and the offset from ``record``.
        """
        at = record.get("at")
        checksums.remove_seal(record)
        number = checksums.check_line(line, checksums.seed_of(self.name))
        return number is not None and at in (None, offset)

    def end_record(self) -> Record:
        """Return the record in the ``end`` line, or an empty dict if the line can't be found.

        Searches only the last MiB of the file. Notes the damage in that part of the file.
        """
        if self._held_events is not None and _END_RECORD not in self._held_events:
            self._held_events = None  # the writer may have ended since the read
        for size in _END_SEARCH_BYTES:
            try:
                with self._view_events() as file:
                    has_checksums = self._find_seals(file)
                    length = file.seek(0, os.SEEK_END)
                    file.seek(max(0, length - size))
                    lines = file.read(size).splitlines(keepends=True)
            except OSError:
                return {}
            if has_checksums:
                self._check_last_lines(lines, length <= size)
            for line in reversed(lines):
                if _END_RECORD not in line:
                    continue
                record = parse_line(line)
                if record is None or record.get("record") != "end":
                    continue
                if not has_checksums or self._is_intact(line, record):
                    return record
            if length <= size:
                break
        return {}

    def last_record(self) -> Record:
        """Return the record in the last line; an empty dict if that line is not intact."""
        for size in _END_SEARCH_BYTES:
            try:
                with self.open_events() as file:
                    file.seek(max(0, os.fstat(file.fileno()).st_size - size))
                    lines = file.read(size).splitlines(keepends=True)
            except OSError:
                return {}
            record = parse_line(lines[-1]) if lines else None
            if record is not None:
                return record if self._is_intact(lines[-1], record) else {}
        return {}

    def _is_being_closed(self) -> bool:
        """Return whether the writer is writing its last lines, or has just written them."""
        try:
            with self.open_events() as file:
                return bool(is_lock_held(file.fileno(), {}) or self.closed_record())
        except OSError:
            return bool(self.closed_record())

    def _check_last_lines(self, lines: list[bytes], are_all: bool) -> None:
        checker = LineChecker(self.name, self.name + layout.EVENTS_SUFFIX, from_start=are_all)
        for line, following in zip(lines, [*lines[1:], b""], strict=True):
            checker.accept(line, partial(bytes, following))
        torn = lines[-1:] if lines and not lines[-1].endswith(b"\n") else []
        self._finish_lines(checker, sum(map(len, torn)))

    def closed_record(self) -> Record:
        """Return the record in the ``closed`` line; {} if that line is missing or damaged."""
        sums = self.read_checksums()
        return {} if sums is None or sums.closed is None else sums.closed

    def records(self) -> Iterator[tuple[int, Record]]:
        """Yield the offset and the record of each readable line, in the order of writing.

        Leaves out the ``checksums`` and ``closed`` lines, and counts unreadable lines in `damage`.
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
            read_next = partial(peek_line, file)
            offset = 0
            while line := file.readline(layout.MAX_EVENT_LINE_BYTES + 1):
                is_torn = not line.endswith(b"\n") and len(line) <= layout.MAX_EVENT_LINE_BYTES
                accepted = checker is None or (not is_torn and checker.accept(line, read_next))
                record = parse_line(line) if accepted else None
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
        if must_be_closed and not checker.closed:
            must_be_closed = not checker.ends_open and not self._is_being_closed()
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
                record = parse_line(line)
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
            self.damage[reason] = max(
                self.damage[reason], count
            )  # later passes find the damage again

    def series(self) -> dict[int, Series]:
        """Return the series that this writer has declared so far, keyed by number."""
        declared: dict[int, Series] = {}
        damaged: Counter[str] = Counter()
        for _, record in self.records():
            if record.get("record") == "series":
                series = parse_series(record)
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
        for chunk in join_parts(self.parts(CHUNK_RECORDS), self._note_holes):
            yield from split_chunk(chunk, records)

    def parts(self, records: int, first: int = 0) -> Iterator[Part]:
        """Yield the records of the samples file in parts.

        An unused slot has the series 0. An abandoned slot or a damaged record has the series
        `layout.ABANDONED_SLOT`.

        Args:
            records: the number of records in a part.
            first: the number of records to skip at the beginning of the file. Use `Part.first` of
                a part that an earlier call yielded.
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
                yield from read_parts(file, records, length, first)
                self._note_end(length)
                return
            if sums.closed is None:
                sums.infer_size(self.last_record())
            checker = SampleChecker(self.samples_path.name, sums, length)
            if not checker.check_header(os.pread(file.fileno(), layout.HEADER_SIZE, 0)):
                self._note_located(Damage(self.samples_path.name, "the header is damaged"))
            parts = read_parts(file, records, checker.end, first)
            yield from self._check_parts(file, parts, checker)
            self.unchecked = self.unchecked if first else checker.unchecked
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
        self, file: BinaryIO, parts: Iterator[Part], checker: SampleChecker
    ) -> Iterator[Part]:
        """Mark the damaged records in parts of the samples file as abandoned; yield the parts."""
        fd = file.fileno()

        def find_bad_blocks(part: Part) -> BlockFindings:
            content = read_aligned_blocks(part, fd, checker.end)
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

    def _note_holes(self, holes: int) -> None:
        self._note_damage(+Counter({"hole": holes}))

    def _note_end(self, length: int) -> None:
        """Note what is missing at the end of a samples file without checksums."""
        slots, torn = divmod(length - layout.HEADER_SIZE, layout.RECORD_SIZE)
        expected = self.end_record().get("slots")
        missing = expected - slots if isinstance(expected, int) else 0
        if missing >= MAX_SLOTS:
            missing = 1  # no file has that many records, so the count itself is damaged
        self._note_damage(+Counter({"torn last record": int(torn > 0), "record cut off": missing}))

"""Reads one writer's pair of journal files, during the run or after it.

Skips and counts torn, unwritten and damaged content. Limits the size of each read. Imports only
`layout` and `description` from provml, and imports numpy only to read samples.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

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

    @property
    def samples_path(self) -> Path:
        """The path of the samples file, which may not exist."""
        return self.folder / (self.name + layout.SAMPLES_SUFFIX)

    @property
    def events_path(self) -> Path:
        """The path of the events file, which may not exist."""
        return self.folder / (self.name + layout.EVENTS_SUFFIX)

    def header(self) -> Header:
        """Read the header of the samples file. Each call reads the file again.

        Raises JournalError if the file has a newer format version.
        """
        try:
            with open(self.samples_path, "rb") as file:
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
            with open(self.events_path, "rb") as file:
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
                with open(self.events_path, "rb") as file:
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
            file = open(self.events_path, "rb")
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
                offset += len(line)
        self._note_damage(damaged)

    def records_at(self, offsets: list[int]) -> Iterator[Record | None]:
        """Yield the record of the line at each offset, or None if the line can't be read."""
        try:
            file = open(self.events_path, "rb")
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
        if self.header().created_ns == 0:
            if self.samples_path.exists():
                self._note_damage(Counter({"unreadable samples header": 1}))
            return
        try:
            file = open(self.samples_path, "rb")
        except OSError:
            return
        with file:
            length = os.fstat(file.fileno()).st_size
            if length <= layout.HEADER_SIZE:
                return
            import numpy as np

            file.seek(layout.HEADER_SIZE)
            # zeros after the last record are unused space, not holes
            holes = unused = 0
            while True:
                chunk = np.fromfile(file, _record_dtype(), records)
                written = chunk["series"] != 0
                if not written.any():
                    unused += len(chunk)
                else:
                    used = len(chunk) - int(written[::-1].argmax())
                    holes += unused + used - int(np.count_nonzero(written))
                    unused = len(chunk) - used
                    written &= chunk["series"] != layout.ABANDONED_SLOT
                    yield chunk if written.all() else chunk[written]
                if len(chunk) < records:
                    break
            slots, torn = divmod(length - layout.HEADER_SIZE, layout.RECORD_SIZE)
            expected = self.end_record().get("slots")
            missing = expected - slots if isinstance(expected, int) else 0
            damage = {"hole": holes, "torn last record": int(torn > 0), "record cut off": missing}
            self._note_damage(+Counter(damage))


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
    if not isinstance(number, int) or not 0 < number < 2**32:
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
    """Return the files of every writer of a run, ordered by start time. Ignores symbolic links."""
    folder = run_folder / layout.JOURNAL_FOLDER
    names: set[str] = set()
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return []
    for entry in entries:
        for suffix in (layout.SAMPLES_SUFFIX, layout.EVENTS_SUFFIX):
            if entry.name.endswith(suffix) and entry.is_file(follow_symlinks=False):
                names.add(entry.name.removesuffix(suffix))
    return [WriterFiles(folder, name, index) for index, name in enumerate(sorted(names))]

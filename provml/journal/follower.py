"""Follows a run while it is being recorded, and reads only what is new.

`RunFollower.read_new` returns the lines and samples that were added to the journal since the last
call. Reads with ``pread`` instead of mapping files, because a writer truncates its files at the
end, and reading the lost part of a map would kill the process.

Imports only `journal`, `base` and `errors` from provml; imports numpy only to read samples.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, NamedTuple, Self

from provml.errors import StoreError
from provml.journal import checksums, layout
from provml.journal.files import WriterFiles
from provml.journal.journal_folder import list_writer_files
from provml.journal.layout import Record
from provml.journal.line_verification import find_seals
from provml.journal.record_parsing import Series, parse_line, parse_series
from provml.journal.sample_reading import record_dtype
from provml.journal.writer_lock import look_for_lock

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_READ_BYTES: Final = 2**20
_FIRST_READ_RECORDS: Final = 256
_READ_RECORDS: Final = 131_072
_MOST_RECORDS: Final = 2**20
_MOST_PENDING: Final = 1024
_CHECKSUM_DIGITS: Final = 8
FILLED_IN_LATER: Final = ("row", "summary")
"""The roles of the series whose samples may get a step or epoch after they were written."""
_CHECKSUM_RECORDS: Final = ("checksums", "closed")


@dataclass(slots=True, eq=False)
class NewContent:
    """What one writer has added to its files since the last read.

    Attributes:
        writer: the name of the writer's files, without a suffix.
        rank: the rank of the writer's process; None if the job is not distributed.
        records: the records in the new lines of the events file, except the ``checksums`` and
            ``closed`` lines.
        series: the series that the new lines declare.
        samples: the new samples, as a structured array with the fields that `WriterFiles.chunks`
            lists.
        slots: the position of each new sample in the samples file.
        changed: the samples that an earlier read returned, and whose step or epoch was filled in
            after that read.
        changed_slots: the position of each changed sample in the samples file.
        skipped: the number of damaged lines that were left out.
    """

    writer: str
    rank: int | None
    records: list[Record] = field(default_factory=list)
    series: list[Series] = field(default_factory=list)
    samples: NDArray[np.void] | None = None
    slots: NDArray[np.int64] | None = None
    changed: NDArray[np.void] | None = None
    changed_slots: NDArray[np.int64] | None = None
    skipped: int = 0

    @property
    def is_empty(self) -> bool:
        """Whether the writer has added nothing."""
        has_samples = self.samples is not None or self.changed is not None
        return not (self.records or has_samples or self.skipped)


class WriterState(NamedTuple):
    """What a writer's files say about the writer, without its records and samples.

    Attributes:
        is_locked: whether a process holds the lock on the events file; None if unknown. See
            `writer_lock.is_lock_held`.
        has_ended: whether the header of the samples file records an end.
        dropped_samples: the number of samples that the writer lost.
        dropped_events: the number of events that the writer lost.
    """

    is_locked: bool | None = None
    has_ended: bool = False
    dropped_samples: int = 0
    dropped_events: int = 0


class RunFollower:
    """Reads a run's journal step by step: each read returns what was added since the last read.

    Keeps two files open for each writer that has not ended. A call that finds nothing new costs a
    few microseconds per writer; new samples cost about 1 ms per 100,000. Not thread-safe.

    The samples are not compared with their checksums, most of which are not yet written while a run
    is recorded. To check them, read the run with `Journal` after it has ended.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        """Prepare to follow the run in a folder. Reads nothing yet."""
        self.folder = Path(os.path.abspath(folder))
        self._writers: dict[str, _WriterFollower] = {}
        self._seen_ns: int | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @property
    def has_ended(self) -> bool:
        """Whether every writer has closed its files, and everything in them has been read."""
        return bool(self._writers) and all(writer.is_finished for writer in self._writers.values())

    def read_new(self) -> list[NewContent]:
        """Return what was added since the last call, for each writer that has added something.

        The first calls return everything recorded so far. A call returns up to a million samples of
        each writer, so call again until the list is empty. A sample is returned once all samples
        before it have been written, so a sample that is being written delays the samples after it.

        If the run was removed, returns an empty list. Raises JournalError if the format of a file
        is newer than the installed provml can read.
        """
        self._find_writers()
        found = []
        for name, writer in list(self._writers.items()):
            found.append(writer.new_content())
            try:
                writer.read_new(found[-1])
            except FileNotFoundError:
                writer.close()
                del self._writers[name]
                self._seen_ns = None
            except OSError:  # the disk can't be read now: the next call continues at the same place
                writer.close()
        return [one for one in found if not one.is_empty]

    def read_states(self) -> dict[str, WriterState]:
        """Return the current state of each writer that `read_new` has found, keyed by writer.

        Costs a few microseconds per writer.
        """
        return {name: writer.read_state() for name, writer in self._writers.items()}

    @property
    def is_held_up(self) -> bool:
        """Whether the last read stopped before an unused slot that is followed by used slots.

        A thread may be about to use the slot, or may have been interrupted and never use it.
        """
        return any(writer.is_held_up for writer in self._writers.values())

    @property
    def open_files(self) -> int:
        """The number of files that this object keeps open."""
        return sum(writer.open_files for writer in self._writers.values())

    def close(self) -> None:
        """Close all files. A later `read_new` opens them again, and continues at the same place."""
        for writer in self._writers.values():
            writer.close()

    def _find_writers(self) -> None:
        try:
            changed_ns = os.lstat(self.folder / layout.JOURNAL_FOLDER).st_mtime_ns
        except OSError:
            return
        if changed_ns == self._seen_ns:
            return
        for files in list_writer_files(self.folder):
            self._writers.setdefault(files.name, _WriterFollower(files))
        self._seen_ns = changed_ns


class _WriterFollower:
    """Reads what is added to one writer's pair of files."""

    def __init__(self, files: WriterFiles) -> None:
        self.is_finished = False
        self.is_held_up = False
        self._files = files
        self._identity: Record = {}
        self._state = WriterState()
        self._events: BinaryIO | None = None
        self._samples: BinaryIO | None = None
        self._rank: int | None = None
        self._has_seals = False
        self._read_to = 0
        self._rest = b""
        self._is_skipping = False
        self._next_slot = 0
        self._is_closed = False
        self._late_series: set[int] = set()
        self._open_blocks: set[int] = set()
        self._pending: dict[int, bytes] = {}

    def close(self) -> None:
        """Close the writer's files."""
        for file in (self._events, self._samples):
            if file is not None:
                file.close()
        self._events = self._samples = None

    @property
    def open_files(self) -> int:
        """The number of files that are open."""
        return (self._events is not None) + (self._samples is not None)

    def read_state(self) -> WriterState:
        """Return the writer's current state; the last known state if the files are not open."""
        if self._events is None:
            return self._state
        is_locked = look_for_lock(self._events.fileno(), self._identity)
        content = b""
        if self._samples is not None:
            content = os.pread(self._samples.fileno(), layout.HEADER_SIZE, 0)
        if len(content) < layout.HEADER_SIZE:
            self._state = self._state._replace(is_locked=is_locked)
            return self._state
        dropped = layout.DROPPED_FIELDS.unpack_from(content, layout.DROPPED_OFFSET)
        _, status_code = layout.ENDED_FIELDS.unpack_from(content, layout.ENDED_OFFSET)
        self._state = WriterState(is_locked, status_code != 0, *dropped)
        return self._state

    def new_content(self) -> NewContent:
        """Return an empty `NewContent` of this writer."""
        return NewContent(self._files.name, self._rank)

    def read_new(self, found: NewContent) -> None:
        """Add to ``found`` what the writer has written since the last call.

        Raises OSError if a file can't be read. In that case, ``found`` contains what was read
        before the error, and the next call continues there.
        """
        if self.is_finished:
            return
        if self._events is None:
            self._open()
            found.rank = self._rank
        elif not os.fstat(self._events.fileno()).st_nlink:
            raise FileNotFoundError(f"{self._files.events_path} was removed")
        if self._samples is None:
            with suppress(FileNotFoundError, StoreError):  # it may not have been created yet
                self._samples = self._files.open_samples()
        # read the samples before the lines: the line that declares a series is written before the
        # first sample of the series, so the lines declare the series of all samples read here
        is_at_end = self._read_samples(found)
        resealed = self._read_lines(found)
        self._read_changes(found, resealed)
        # read again, because the writer may have added samples before it closed the files
        if self._is_closed and is_at_end and self._read_samples(found):
            self.is_finished = True
            self._state = self.read_state()._replace(is_locked=False)
            self.close()

    def _open(self) -> None:
        first = self._identity = self._files.first_record()
        rank = first.get("rank")
        self._rank = rank if isinstance(rank, int) else None
        self._events = self._files.open_events()
        self._has_seals = find_seals(self._events)

    def _read_lines(self, found: NewContent) -> set[int]:
        """Add the new lines. Return the open blocks for which the lines contain new checksums."""
        resealed: set[int] = set()
        for line in self._new_lines():
            record = parse_line(line)
            if record is not None and self._has_seals:
                intact = checksums.check_line(line, checksums.seed_of(self._files.name)) is not None
                checksums.remove_seal(record)
                record = record if intact else None
            if record is None:
                found.skipped += 1
            elif record["record"] in _CHECKSUM_RECORDS:
                self._is_closed = self._is_closed or record["record"] == "closed"
                resealed |= self._take_checksums(record)
            else:
                found.records.append(record)
                series = parse_series(record) if record["record"] == "series" else None
                if series is not None:
                    found.series.append(series)
                    if series.role in FILLED_IN_LATER:
                        self._late_series.add(series.number)
        return resealed

    def _new_lines(self) -> Iterator[bytes]:
        """Yield the complete lines that were added to the events file."""
        assert self._events is not None
        fd = self._events.fileno()
        while content := os.pread(fd, _READ_BYTES, self._read_to):
            self._read_to += len(content)
            *lines, rest = (self._rest + content).split(b"\n")
            for line in lines:
                if self._is_skipping:
                    self._is_skipping = False
                elif line:
                    yield line + b"\n"
            self._rest = rest
            if len(rest) > layout.MAX_EVENT_LINE_BYTES:
                self._rest, self._is_skipping = b"", True
                yield b"\n"  # counts as a damaged line
            if len(content) < _READ_BYTES:
                break

    def _take_checksums(self, record: Record) -> set[int]:
        """Return the blocks in which a step or epoch may have been filled in.

        These blocks contain samples that lacked a step or epoch, and the record contains new
        checksums for the blocks.
        """
        first, sums = record.get("first"), record.get("blocks")
        if not isinstance(first, int) or not isinstance(sums, str):
            return set()
        return self._open_blocks.intersection(range(first, first + len(sums) // _CHECKSUM_DIGITS))

    def _read_samples(self, found: NewContent) -> bool:
        """Add the samples from the next slot up to the first slot that is not yet written.

        Returns whether that slot was reached; if not, there may be more samples to read.
        """
        if self._samples is None:
            return True
        parts: list[tuple[int, NDArray[np.void]]] = []
        count = _FIRST_READ_RECORDS
        is_end = False
        # change ``_next_slot`` only at the end, so that no sample is lost if a read fails
        slot, most = self._next_slot, self._next_slot + _MOST_RECORDS
        while not is_end and slot < most:
            rows = self._pread(slot, count)
            used = self._count_complete(rows)
            self.is_held_up = bool(rows["series"][used:].any())
            if used:
                parts.append((slot, rows[:used]))
                slot += used
            is_end = used < count
            count = _READ_RECORDS
        self._next_slot = slot
        if not parts:
            return is_end
        import numpy as np

        samples = np.concatenate([rows for _, rows in parts])
        slots = np.concatenate([np.arange(first, first + len(rows)) for first, rows in parts])
        taken = (samples["series"] != layout.ABANDONED_SLOT) & (samples["series"] != 0)
        samples, slots = samples[taken], slots[taken]
        if not len(samples):
            return is_end
        if found.samples is not None and found.slots is not None:
            samples = np.concatenate([found.samples, samples])
            slots = np.concatenate([found.slots, slots])
        found.samples, found.slots = samples, slots
        return is_end

    def _pread(self, slot: int, count: int) -> NDArray[np.void]:
        """Return up to ``count`` records, beginning at a slot.

        Reads the records twice, because the first read may contain records that are written only in
        part. A record's series is written last. So if a record has a series in the first read, the
        second read returns the complete record.
        """
        import numpy as np

        assert self._samples is not None
        fd = self._samples.fileno()
        offset, size = layout.HEADER_SIZE + slot * layout.RECORD_SIZE, layout.RECORD_SIZE
        first = np.frombuffer(_whole(os.pread(fd, count * size, offset)), record_dtype())
        if not len(first) or not first["series"][0]:
            return first
        second = np.frombuffer(_whole(os.pread(fd, len(first) * size, offset)), record_dtype())
        rows = second.copy()
        rows["series"][first["series"][: len(rows)] == 0] = 0
        return rows

    def _count_complete(self, rows: NDArray[np.void]) -> int:
        """Return the number of records before the first hole; all records if the file is closed."""
        holes = rows["series"] == 0
        if self._is_closed or not holes.any():
            return len(rows)
        return int(holes.argmax())

    def _read_changes(self, found: NewContent, resealed: set[int]) -> None:
        """Add the samples whose step or epoch was filled in after they had been returned."""
        if found.samples is not None and found.slots is not None and self._late_series:
            self._note_open(found.samples, found.slots)
        first_new = self._next_slot if found.slots is None else int(found.slots[0])
        changed: dict[int, NDArray[np.void]] = {}
        for block in sorted({slot // layout.BLOCK_RECORDS for slot in self._pending} | resealed):
            first = block * layout.BLOCK_RECORDS
            rows = self._pread(first, layout.BLOCK_RECORDS)[: max(0, self._next_slot - first)]
            own = {
                slot: row
                for slot, row in enumerate(rows, first)
                if int(row["series"]) in self._late_series
            }
            incomplete = {slot for slot, row in own.items() if _lacks_position(row)}
            # if a sample is not pending, its earlier content is unknown, so it may have changed
            may_have_changed = block in resealed or not incomplete
            for slot, row in own.items():
                before = self._pending.get(slot)
                if before is None:
                    is_changed = may_have_changed and slot < first_new and slot not in incomplete
                else:
                    is_changed = before != row.tobytes()
                    self._pending[slot] = row.tobytes()
                    if slot not in incomplete:
                        del self._pending[slot]
                if is_changed:
                    changed[slot] = row
            if not incomplete:
                self._open_blocks.discard(block)
        if changed:
            import numpy as np

            found.changed = np.array(list(changed.values()), record_dtype())
            found.changed_slots = np.array(list(changed), np.int64)

    def _note_open(self, samples: NDArray[np.void], slots: NDArray[np.int64]) -> None:
        """Remember the new samples that may get a step or epoch later, and their blocks."""
        import numpy as np

        late = np.isin(samples["series"], np.array(list(self._late_series)))
        places = np.flatnonzero(late & _lacks_position(samples))
        self._open_blocks.update(np.unique(slots[places] // layout.BLOCK_RECORDS).tolist())
        for place in places[-_MOST_PENDING:].tolist():
            self._pending[int(slots[place])] = samples[place].tobytes()
        while len(self._pending) > _MOST_PENDING:
            del self._pending[next(iter(self._pending))]


def _lacks_position(rows: NDArray[np.void]) -> NDArray[np.bool_]:
    """Return which records have no step or no epoch."""
    lacking: NDArray[np.bool_] = rows["step"] == layout.NO_STEP
    lacking = lacking | (rows["epoch"] == layout.NO_EPOCH)
    return lacking


def _whole(content: bytes) -> bytes:
    """Return the complete records in the bytes read, without an incomplete last record."""
    return content[: len(content) - len(content) % layout.RECORD_SIZE]

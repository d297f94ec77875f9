"""Writes ``*.samples`` files, which consist of preallocated, memory-mapped segments.

The hot path is in `Run.log_metric`, which packs a record straight into the buffer of
`SampleFile.slots`. This module creates, grows and closes that buffer. Imports only `checksums`,
`layout`, `safe_open` and `base.store_files` from provml.
"""

from __future__ import annotations

import itertools
import mmap
import os
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple
from weakref import WeakSet

from provml.base import store_files
from provml.journal import checksums, layout
from provml.journal.safe_open import avoid_std_fds

_FIRST_SEGMENT: Final = 64 * 2**10
_LARGEST_SEGMENT: Final = 8 * 2**20
_SERIES_FIELD: Final = struct.Struct("<I")

Slots = tuple[mmap.mmap | bytearray, Callable[[], int]]
"""A buffer, and a function that reserves room for the next record and returns its offset.

The function is a counter implemented in C, so calling it is atomic.
"""


class Slot(NamedTuple):
    """The position of a record in a samples file, as `fill_in` needs it.

    Attributes:
        buffer: the segment that contains the record.
        offset: the offset of the record in the segment.
        block: the number of the block that contains the record.
        refilled: a set that receives the block's number when the record changes.
    """

    buffer: mmap.mmap | bytearray
    offset: int
    block: int
    refilled: set[int]


NO_SLOTS: Final[Slots] = (bytearray(), itertools.repeat(0).__next__)
"""Slots that accept no record: packing a record raises ``struct.error`` and writes nothing."""


class SampleFile:
    """The samples file of one process. Use it only under a lock, except for `slots`.

    Each segment of the file is mapped separately, after its disk blocks have been allocated. So if
    the disk is full, creating or growing the file raises OSError, and a later write to the mapped
    memory never causes a SIGBUS.

    The next segment is always mapped in advance, because mapping needs a file descriptor. If the
    process runs out of descriptors, releasing the used-up segment frees one for the next mapping.
    """

    def __init__(self, root: Path, path: Path, created_ns: int) -> None:
        """Create the samples file below the store's root.

        Raises OSError if the file can't be created, or if the disk has no room for it.
        """
        self.path = path
        self.slots: Slots = NO_SLOTS
        with avoid_std_fds():
            self._fd = store_files.open_file(root, path, os.O_RDWR | os.O_CREAT | os.O_EXCL)
            try:
                _allocate_blocks(self._fd, 0, _FIRST_SEGMENT)
                os.pwrite(self._fd, layout.pack_header(created_ns), 0)
                self._header = mmap.mmap(self._fd, mmap.ALLOCATIONGRANULARITY)
                segment = mmap.mmap(self._fd, _FIRST_SEGMENT)
            except OSError:
                os.close(self._fd)
                store_files.remove_file(root, path)
                raise
        self._used_up: WeakSet[mmap.mmap] = WeakSet()
        self._length = _FIRST_SEGMENT  # the end of the last segment that `slots` pointed to
        self._ahead: mmap.mmap | None = None
        self._set_slots(segment, layout.HEADER_SIZE)
        self._try_to_map_ahead()

    @property
    def slot_count(self) -> int:
        """The number of slots in the file; only valid after `cut`."""
        return (self._length - layout.HEADER_SIZE) // layout.RECORD_SIZE

    @property
    def fd(self) -> int:
        """The descriptor of the open file."""
        return self._fd

    def find_block(self, offset: int) -> int:
        """Return the number of the block that contains a record of the last segment.

        Args:
            offset: the offset of the record in the segment.
        """
        return (self.segment_start + offset - layout.HEADER_SIZE) // checksums.BLOCK_BYTES

    def read_header(self) -> bytes:
        """Return the header of the file as it is now."""
        return self._header[: layout.HEADER_SIZE]

    def read_latest(self, back_to: int) -> tuple[int, Iterator[tuple[int, int, int]]]:
        """Return the number of used slots in the last segment, and an iterator over their records.

        The iterator yields the series, step and epoch of each record, from the last one back to
        slot ``back_to``. Bisection finds the last record in about ten microseconds, so writers
        need not count their records. A record that another thread is writing may be missed.
        """
        segment, size = self._segment, layout.RECORD_SIZE
        start = layout.HEADER_SIZE if len(segment) == self._length else 0
        low, high = 0, (len(segment) - start) // size
        while low < high:
            middle = (low + high) // 2
            if _SERIES_FIELD.unpack_from(segment, start + middle * size + layout.SERIES_OFFSET)[0]:
                low = middle + 1
            else:
                high = middle
        return low, self._read_backwards(segment, start, low, back_to)

    def _read_backwards(
        self, segment: mmap.mmap, start: int, end: int, back_to: int
    ) -> Iterator[tuple[int, int, int]]:
        for slot in range(end - 1, back_to - 1, -1):
            offset = start + slot * layout.RECORD_SIZE
            _, step, _, epoch, series = layout.RECORD_I64.unpack_from(segment, offset)
            yield series, step, epoch

    @property
    def segment_start(self) -> int:
        """The offset in the file at which the last segment begins."""
        return self._length - len(self._segment)

    def grow(self) -> None:
        """Point `slots` at the next segment, and map another segment in advance.

        Raises OSError if the next segment can't be mapped. `slots` then refuses every record until
        a later call succeeds.
        """
        self.slots = NO_SLOTS
        segment = self._ahead or self._map_next()
        self._used_up.add(self._segment)
        self._ahead = None
        self._length += len(segment)
        self._set_slots(segment, 0)
        self._try_to_map_ahead()

    def _try_to_map_ahead(self) -> None:
        try:
            self._ahead = self._map_next()
        except OSError:
            pass  # `grow` tries again, and raises the error if the problem persists

    def _map_next(self) -> mmap.mmap:
        """Map a new segment at the end of the file: half as large as the file, up to 8 MiB.

        If the disk has no room for the segment, tries the smallest size. Raises OSError if that
        also fails, or if the process has no file descriptor left.
        """
        size = min(max(self._length // 2, _FIRST_SEGMENT), _LARGEST_SEGMENT)
        size -= size % _FIRST_SEGMENT
        try:
            _allocate_blocks(self._fd, self._length, size)
        except OSError:
            size = _FIRST_SEGMENT
            _allocate_blocks(self._fd, self._length, size)
        with avoid_std_fds():
            return mmap.mmap(self._fd, size, offset=self._length)

    def _set_slots(self, segment: mmap.mmap, start: int) -> None:
        # the old segment stays mapped as long as a slow thread still refers to it
        self._segment = segment
        self._reserve = itertools.count(start, layout.RECORD_SIZE).__next__
        self.slots = (segment, self._reserve)

    def add_dropped(self, samples: int, events: int) -> None:
        """Add lost samples and events to the counts in the header. Needs no free disk space."""
        before = layout.DROPPED_FIELDS.unpack_from(self._header, layout.DROPPED_OFFSET)
        layout.DROPPED_FIELDS.pack_into(
            self._header, layout.DROPPED_OFFSET, before[0] + samples, before[1] + events
        )

    def mark_ended(self, time_ns: int, status: str) -> None:
        """Write the writer's end time and status, and a new checksum, into the header."""
        layout.ENDED_FIELDS.pack_into(
            self._header, layout.ENDED_OFFSET, time_ns, layout.STATUS_CODES[status]
        )
        self._seal_header()

    def _seal_header(self) -> None:
        start = layout.HEADER_CHECKSUM_OFFSET
        self._header[start : start + 4] = checksums.seal_header(self.read_header())

    def cut(self) -> None:
        """Unmap the last segments, and truncate the file after its last reserved slot.

        A thread that still writes to a slot gets an exception from the closed map, not a SIGBUS.
        """
        self.slots = NO_SLOTS
        end_of_segment = len(self._segment)
        self._segment.close()
        if self._ahead is not None:
            self._ahead.close()
        for segment in list(self._used_up):  # slow threads may still write to them
            segment.close()
        # reserve a slot only now, so that it follows all records written before the map was closed
        used = min(self._reserve(), end_of_segment)
        self._length += used - end_of_segment
        os.ftruncate(self._fd, self._length)

    def close(self) -> None:
        """Close the samples file. Call `cut` first."""
        self._header.close()
        os.close(self._fd)
        self._fd = -1


def mark_abandoned(buffer: mmap.mmap | bytearray, slot: int) -> None:
    """Mark a reserved slot as abandoned, because its sample could not be packed into it."""
    try:
        if slot + layout.RECORD_SIZE <= len(buffer):
            layout.RECORD_I64.pack_into(buffer, slot, 0, 0, 0, 0, layout.ABANDONED_SLOT)
    except (ValueError, TypeError):
        pass  # the map has been closed


def fill_in(slot: Slot, step: int | None, epoch: int | None) -> None:
    """Fill in the step and epoch of a sample that was written without them.

    None leaves a field unchanged. Replaces the record in one assignment, so that a reader sees
    either the old record or the new one. The call has no effect after `SampleFile.cut`.
    """
    buffer, offset = slot.buffer, slot.offset
    end = offset + layout.RECORD_SIZE
    try:
        time_ns, old_step, value, old_epoch, series = layout.RECORD_I64.unpack(buffer[offset:end])
        buffer[offset:end] = layout.RECORD_I64.pack(
            time_ns,
            old_step if step is None else step,
            value,
            old_epoch if epoch is None else epoch,
            series,
        )
        slot.refilled.add(slot.block)
    except (ValueError, TypeError):
        pass  # the map has been closed


def _allocate_blocks(fd: int, offset: int, size: int) -> None:
    """Allocate disk blocks for a region of a file. Raises OSError if the disk is full."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(fd, offset, size)
        return
    zeros = bytes(2**20)  # without posix_fallocate, writing allocates the blocks
    end = offset + size
    while offset < end:
        offset += os.pwrite(fd, zeros[: end - offset], offset)

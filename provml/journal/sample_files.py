"""Writes ``*.samples`` files, which consist of preallocated, memory-mapped segments.

The hot path is in `Run.log_metric`, which packs a record straight into the buffer of
`SampleFile.slots`. This module creates, grows and closes that buffer. Imports only `layout` and
`safe_open` from provml.
"""

from __future__ import annotations

import itertools
import mmap
import os
import struct
from collections.abc import Callable, Iterator
from typing import Final

from provml.journal import layout
from provml.journal.safe_open import avoid_std_fds

_FIRST_SEGMENT: Final = 64 * 2**10
_LARGEST_SEGMENT: Final = 16 * 2**20
_STEP_FIELD: Final = struct.Struct("<q")
_STEP_OFFSET: Final = 8
_EPOCH_FIELD: Final = struct.Struct("<i")
_EPOCH_OFFSET: Final = 24
_SERIES_FIELD: Final = struct.Struct("<I")

Slots = tuple[mmap.mmap | bytearray, Callable[[], int]]
"""A buffer, and a function that reserves room for the next record and returns its offset.

The function is a counter implemented in C, so calling it is atomic.
"""

Slot = tuple[mmap.mmap | bytearray, int]
"""A buffer, and the offset of a record in it."""

NO_SLOTS: Final[Slots] = (bytearray(), itertools.repeat(0).__next__)
"""Slots that accept no record: packing a record raises ``struct.error`` and writes nothing."""


class SampleFile:
    """The samples file of one process. Except for `slots`, use it only under a lock.

    Each segment of the file is mapped separately, after its disk blocks have been allocated. So a
    full disk raises ``OSError`` here, and never causes a SIGBUS later when memory is written.
    """

    def __init__(self, path: str, created_ns: int) -> None:
        """Create the samples file. Raises OSError if it can't be created or allocated."""
        self.path = path
        self._length = 0
        self.slots: Slots = NO_SLOTS
        with avoid_std_fds():
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
            try:
                _allocate_blocks(self._fd, 0, _FIRST_SEGMENT)
                os.pwrite(self._fd, layout.pack_header(created_ns), 0)
                self._header = mmap.mmap(self._fd, mmap.ALLOCATIONGRANULARITY)
                segment = mmap.mmap(self._fd, _FIRST_SEGMENT)
            except OSError:
                os.close(self._fd)
                os.unlink(path)
                raise
        self._length = _FIRST_SEGMENT
        self._set_slots(segment, layout.HEADER_SIZE)

    @property
    def slot_count(self) -> int:
        """The number of slots in the file; only valid after `cut`."""
        return (self._length - layout.HEADER_SIZE) // layout.RECORD_SIZE

    @property
    def fd(self) -> int:
        """The descriptor of the open file."""
        return self._fd

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
        """Append a segment as large as the file so far, up to 16 MiB, and point `slots` at it.

        If the disk has no room for the segment, tries a small one. Raises OSError if that fails,
        too; `slots` then refuses every record until a later call succeeds.
        """
        self.slots = NO_SLOTS
        size = min(self._length, _LARGEST_SEGMENT)
        try:
            _allocate_blocks(self._fd, self._length, size)
        except OSError:
            size = _FIRST_SEGMENT
            _allocate_blocks(self._fd, self._length, size)
        with avoid_std_fds():
            segment = mmap.mmap(self._fd, size, offset=self._length)
        self._length += size
        self._set_slots(segment, 0)

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
        """Write the writer's end time and status into the header."""
        layout.ENDED_FIELDS.pack_into(
            self._header, layout.ENDED_OFFSET, time_ns, layout.STATUS_CODES[status]
        )

    def cut(self) -> None:
        """Unmap the last segment, and truncate the file after its last reserved slot.

        A thread that still writes to a slot gets an exception from the closed map, not a SIGBUS.
        """
        self.slots = NO_SLOTS
        end_of_segment = len(self._segment)
        self._segment.close()
        # reserve only now: all records written before the map was closed lie before this slot
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

    None leaves a field unchanged. The call has no effect after `SampleFile.cut`.
    """
    buffer, offset = slot
    try:
        if step is not None:
            _STEP_FIELD.pack_into(buffer, offset + _STEP_OFFSET, step)
        if epoch is not None:
            _EPOCH_FIELD.pack_into(buffer, offset + _EPOCH_OFFSET, epoch)
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

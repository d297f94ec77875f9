"""Computes the checksums of a writer's samples, at each sync and when the writer ends.

Nothing here runs when a sample is logged. Imports only `checksums` and `layout` from provml.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from typing import Final

from provml.journal import layout
from provml.journal.checksums import (
    BLOCK_BYTES,
    block_checksum,
    late_checksum,
    native_numbers,
    series_of,
)

_READ_BLOCKS: Final = 128
_LINE_BLOCKS: Final = 4096
"""The maximum number of checksums in a line. These checksums take up 32 KiB."""


class SealedBlocks:
    """The checksums that one pass computed, and the blocks that the pass left for later.

    Attributes:
        checksums: the checksum of each block, keyed by block number.
        late: for each block in which steps or epochs may be filled in later, the checksum without
            these steps and epochs, keyed by block number.
        waiting: the blocks in which records are still missing.
        next_block: the first block that this pass has not reached.
    """

    __slots__ = ("checksums", "late", "next_block", "waiting")

    def __init__(self, next_block: int = 0) -> None:
        self.checksums: dict[int, int] = {}
        self.late: dict[int, int] = {}
        self.waiting: set[int] = set()
        self.next_block = next_block


class BlockSealer:
    """Computes a writer's checksums, and keeps track of the blocks whose checksums are recorded.

    Attributes:
        late_series: the series whose samples may get a step or epoch later.
        refilled: the blocks in which a step or epoch was filled in since the last pass. Any thread
            may add to this set.
    """

    def __init__(self) -> None:
        self.late_series: set[int] = set()
        self.refilled: set[int] = set()
        self._next_block = 0
        self._waiting: set[int] = set()
        self._late: set[int] = set()

    def seal_complete(self, fd: int, stop: threading.Event) -> SealedBlocks:
        """Compute the checksums of the blocks that were completed or changed since the last pass.

        Call `record_pass` after writing the result. Stops early if ``stop`` is set. Takes no lock,
        and reads 1 MiB at a time. Holds the GIL for about a millisecond per MiB. Raises OSError if
        the file can't be read.
        """
        found = SealedBlocks(next_block=self._next_block)
        late_series = native_numbers(tuple(self.late_series))
        again = {*self._waiting, *_take_all(self.refilled)}
        for block in sorted(again):
            self._seal_blocks(fd, block, 1, late_series, found)
        while not stop.is_set():
            count = self._seal_blocks(fd, found.next_block, _READ_BLOCKS, late_series, found)
            found.next_block += count
            if count < _READ_BLOCKS:
                break
        return found

    def _seal_blocks(
        self, fd: int, first: int, count: int, late_series: frozenset[int], found: SealedBlocks
    ) -> int:
        """Add the checksums of up to ``count`` blocks to ``found``.

        Returns the number of blocks before the first block without records.
        """
        offset = layout.HEADER_SIZE + first * BLOCK_BYTES
        series = series_of(memoryview(os.pread(fd, count * BLOCK_BYTES, offset)))
        # the first read may contain half-written records; a record's series is written last, so
        # each record that has a series in the first read is complete in the second
        content = memoryview(os.pread(fd, count * BLOCK_BYTES, offset))
        has_gaps = 0 in series or len(series) < count * layout.BLOCK_RECORDS
        has_late = not late_series.isdisjoint(series)
        for number in range(count):
            block = content[number * BLOCK_BYTES : (number + 1) * BLOCK_BYTES]
            if has_gaps:
                start = number * layout.BLOCK_RECORDS
                own = series[start : start + layout.BLOCK_RECORDS]
                if not any(own):
                    return number
                if 0 in own or len(own) < layout.BLOCK_RECORDS:
                    found.waiting.add(first + number)
                    continue
            found.checksums[first + number] = block_checksum(block)
            if has_late and not late_series.isdisjoint(series_of(block)):
                found.late[first + number] = late_checksum(block, self.late_series)
        return count

    def record_pass(self, found: SealedBlocks) -> None:
        """Remember that the checksums from a pass of `seal_complete` have been written."""
        self._next_block = found.next_block
        self._waiting = found.waiting
        self._late |= found.late.keys()

    def seal_rest(self, fd: int, slots: int) -> SealedBlocks:
        """Compute all missing and outdated checksums of a file that no longer changes.

        Raises OSError if the file can't be read.
        """
        found = SealedBlocks(next_block=-(-slots // layout.BLOCK_RECORDS))
        again = {*self._waiting, *self._late, *_take_all(self.refilled)}
        length = layout.HEADER_SIZE + slots * layout.RECORD_SIZE
        for first, count in (
            *((block, 1) for block in sorted(again) if block < self._next_block),
            (self._next_block, found.next_block - self._next_block),
        ):
            end = min(length, layout.HEADER_SIZE + (first + count) * BLOCK_BYTES)
            for start in range(first, first + count, _READ_BLOCKS):
                offset = layout.HEADER_SIZE + start * BLOCK_BYTES
                content = memoryview(
                    os.pread(fd, min(end - offset, _READ_BLOCKS * BLOCK_BYTES), offset)
                )
                for number, place in enumerate(range(0, len(content), BLOCK_BYTES)):
                    block = content[place : place + BLOCK_BYTES]
                    found.checksums[start + number] = block_checksum(block)
        return found


def build_checksum_lines(found: SealedBlocks, late_series: set[int]) -> Iterator[layout.Record]:
    """Yield ``checksums`` records, each of which contains the checksums of consecutive blocks."""
    run: list[int] = []
    for block in sorted(found.checksums):
        if run and (block != run[-1] + 1 or len(run) == _LINE_BLOCKS):
            yield _build_line(run, found, late_series)
            run = []
        run.append(block)
    if run:
        yield _build_line(run, found, late_series)


def _build_line(blocks: list[int], found: SealedBlocks, late_series: set[int]) -> layout.Record:
    line: layout.Record = {
        "record": "checksums",
        "first": blocks[0],
        "blocks": "".join(f"{found.checksums[block]:08x}" for block in blocks),
    }
    late = {str(block): f"{found.late[block]:08x}" for block in blocks if block in found.late}
    if late:
        line["late"] = {"series": sorted(late_series), "blocks": late}
    return line


def _take_all(blocks: set[int]) -> set[int]:
    """Remove and return all members of a set to which other threads may be adding."""
    taken: set[int] = set()
    while blocks:
        taken.add(blocks.pop())
    return taken

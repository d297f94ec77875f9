"""Checks the blocks of a samples file against their checksums.

The module `checksums` describes the format of the checksums. Imports only `checksums`,
`damage_ranges`, `layout`, `base.results` and `base.sparse_files` from provml. Starts up to two
threads that check a large samples file while it is being read.
"""

from __future__ import annotations

import json
import sys
import threading
from array import array
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from queue import SimpleQueue
from typing import BinaryIO, Final, Generic, NamedTuple, TypeVar
from zlib import crc32

from provml.base.results import Damage
from provml.base.sparse_files import skip_line
from provml.journal import layout
from provml.journal.checksums import (
    BLOCK_BYTES,
    check_header,
    check_line,
    format_checksum,
    late_checksum,
    seed_of,
)
from provml.journal.damage_ranges import MAX_COUNT, join_blocks, limit_damage, name_range

_THREADS: Final = 2
_CHECKED_AHEAD: Final = 3
_MAX_BLOCKS: Final = 2**24
"""The maximum number of blocks to check in a samples file: 128 GiB of samples."""
_ZERO_BLOCK: Final = crc32(bytes(BLOCK_BYTES))
_LINE_STARTS: Final = (b'{"record":"checksums",', b'{"record":"closed",')

_Job = TypeVar("_Job")


class BlockChecksums:
    """The checksums that a writer has recorded so far for the blocks of its samples file.

    Attributes:
        closed: the record in the ``closed`` line; None if the file is not closed or the line is
            damaged.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.closed: layout.Record | None = None
        self._values = array("I")
        self._known = bytearray()
        self._late: dict[int, tuple[frozenset[int], int]] = {}
        self._read_to = 0

    def update(self, file: BinaryIO) -> None:
        """Read the checksums that were added to the events file since the last call."""
        file.seek(self._read_to)
        seed = seed_of(self.name)
        while line := file.readline(layout.MAX_EVENT_LINE_BYTES + 1):
            if not line.endswith(b"\n") and len(line) <= layout.MAX_EVENT_LINE_BYTES:
                break  # the writer may not have finished this line
            self._read_to += len(line)
            if not line.endswith(b"\n"):
                self._read_to = skip_line(file)
                continue
            if self.closed is not None and check_line(line, seed) is not None:
                self.closed = None  # a forced recovery closed the file too early
            if line.startswith(_LINE_STARTS) and check_line(line, seed) is not None:
                try:
                    self._take_record(json.loads(line))
                except (ValueError, TypeError, KeyError, RecursionError):
                    continue  # ignore the line, because provml did not write it

    def _take_record(self, record: layout.Record) -> None:
        if record["record"] == "closed":
            size = record["size"]
            length = record.setdefault("length", size)
            if isinstance(length, int) and layout.HEADER_SIZE <= size <= length < 2**63:
                self.closed = record
            return
        first, values = record["first"], array("I", bytes.fromhex(record["blocks"]))
        if not isinstance(first, int) or not 0 <= first <= first + len(values) <= _MAX_BLOCKS:
            return
        if sys.byteorder == "little":
            values.byteswap()
        end = first + len(values)
        missing = end - len(self._known)
        if missing > 0:
            self._known.extend(bytes(missing))
            self._values.extend([0] * missing)
        self._values[first:end] = values
        self._known[first:end] = b"\1" * len(values)
        for block in range(first, end) if self._late else ():
            self._late.pop(block, None)
        late = record.get("late", {"series": [], "blocks": {}})
        series = frozenset(late["series"])
        for block, value in late["blocks"].items():
            self._late[int(block)] = series, int(value, 16)

    def infer_size(self, last_record: layout.Record) -> None:
        """Infer the size of the samples file from the ``end`` line, if that is the last line.

        The last line is the ``end`` line if the process was killed before it wrote the ``closed``
        line.
        """
        slots = last_record.get("slots")
        if last_record.get("record") == "end" and isinstance(slots, int) and 0 <= slots < 2**58:
            size = layout.HEADER_SIZE + slots * layout.RECORD_SIZE
            self.closed = {"record": "closed", "size": size, "length": size}

    def matches_header(self, header: bytes) -> bool:
        """Return whether a header matches the ``closed`` line; True if that line is missing."""
        if self.closed is None or "header" not in self.closed:
            return True
        own = header[: layout.HEADER_CHECKSUM_OFFSET]
        return check_header(header) is True and format_checksum(own) == self.closed.get("header")

    def __len__(self) -> int:
        """Return the number of blocks up to the last one that has a checksum."""
        return len(self._known)

    def check(self, block: int, content: memoryview) -> bool | None:
        """Return whether the content of a block is intact; None if the block has no checksum."""
        if block >= len(self._known) or not self._known[block]:
            return None
        if crc32(content) == self._values[block]:
            return True
        if block not in self._late:
            return False
        series, expected = self._late[block]
        return late_checksum(content, series) == expected

    def match_all(self, first: int, content: memoryview) -> bool:
        """Return whether all blocks in a part of the file are complete and match their checksums.

        Much faster than `check`, which need not be called for these blocks if the result is True.
        """
        end = first + len(content) // BLOCK_BYTES
        if len(content) % BLOCK_BYTES or end > len(self._known) or 0 in self._known[first:end]:
            return False
        places = range(0, len(content), BLOCK_BYTES)
        found = array("I", [crc32(content[place : place + BLOCK_BYTES]) for place in places])
        return found == self._values[first:end]

    def find_open_blocks(self, end: int) -> Iterator[int]:
        """Yield the blocks before ``end`` whose final checksum is not recorded."""
        for block in range(end):
            if block >= len(self._known) or not self._known[block] or block in self._late:
                yield block

    def find_damage_in_hole(self, first: int, end: int) -> list[int]:
        """Return the blocks that contained samples, but now lie in a hole of a sparse file."""
        known = range(first, min(end, len(self._known)))
        return [b for b in known if self._known[b] and self._values[b] != _ZERO_BLOCK]


class BlockFindings(NamedTuple):
    """The numbers of the damaged and of the unchecked blocks in a part of a samples file."""

    damaged: list[int]
    unchecked: list[int]


class SampleChecker:
    """Checks the blocks of one samples file, and collects the damage.

    Attributes:
        unchecked: the number of samples that no checksum covers.
    """

    def __init__(self, file_name: str, sums: BlockChecksums, length: int) -> None:
        """Prepare to check a file.

        Args:
            file_name: the name of the file, for messages.
            sums: the checksums of the file's blocks.
            length: the length of the file, in bytes.
        """
        self.unchecked = 0
        self._file_name = file_name
        self._sums = sums
        self._length = length
        self._damaged: list[int] = []
        self._doubtful: list[int] = []
        self._is_suspect = False

    def check_header(self, header: bytes) -> bool:
        """Return whether the file's header is the same as when the writer closed the file."""
        self._is_suspect = not self._sums.matches_header(header)
        return not self._is_suspect

    @property
    def end(self) -> int:
        """The offset, in bytes, at which the samples end.

        Uses the size in the ``closed`` line if there is one, else the length of the file.
        """
        size = self._length if self._sums.closed is None else self._sums.closed["size"]
        return min(self._length, int(size))

    def find_bad_blocks(self, first: int, content: memoryview) -> BlockFindings:
        """Return the damaged and the unchecked blocks in a part of the file. Thread-safe.

        Args:
            first: the number of the first block in the part.
            content: the bytes of the part, which begin at the start of that block.
        """
        found = BlockFindings([], [])
        if self._sums.match_all(first, content):
            return found
        for number, place in enumerate(range(0, len(content), BLOCK_BYTES), first):
            block = content[place : place + BLOCK_BYTES]
            intact = None if self._is_cut(number, block) else self._sums.check(number, block)
            if intact is None:
                found.unchecked.append(number)
            elif not intact:
                found.damaged.append(number)
        return found

    def _is_cut(self, block: int, content: memoryview) -> bool:
        """Return whether a block is shorter than it was when its checksum was computed."""
        if len(content) == BLOCK_BYTES or self._sums.closed is None:
            return len(content) < BLOCK_BYTES
        begin = layout.HEADER_SIZE + block * BLOCK_BYTES
        return bool(len(content) < min(BLOCK_BYTES, self._sums.closed["size"] - begin))

    def find_blocks_to_leave_out(self, found: BlockFindings) -> list[int]:
        """Return the blocks whose samples must not be used.

        Some blocks can't be checked, because they are cut off or their checksums are lost. They
        count as intact unless there is other damage in the file.
        """
        self._is_suspect = self._is_suspect or bool(self._damaged or found.damaged)
        if self._is_suspect and self._sums.closed is not None:
            return [*found.damaged, *found.unchecked]
        return found.damaged

    def note(self, found: BlockFindings, unchecked_samples: int) -> None:
        """Add the findings for a part of the file, and the number of its unchecked samples."""
        self._damaged += found.damaged
        if unchecked_samples:
            self._doubtful += found.unchecked
            self.unchecked += unchecked_samples

    def note_hole(self, first: int, end: int) -> None:
        """Add the damaged blocks in a hole that was skipped.

        Args:
            first: the number of the first block in the hole.
            end: the number of the block after the hole.
        """
        self._damaged += self._sums.find_damage_in_hole(first, end)

    def finish(self) -> list[Damage]:
        """Return the damage in the file."""
        found = [
            self._describe(first, last, "damaged") for first, last in join_blocks(self._damaged)
        ]
        closed = self._sums.closed
        covered = layout.HEADER_SIZE + len(self._sums) * BLOCK_BYTES
        expected: int = closed["size"] if closed is not None else covered
        if expected > self._length:
            first = self._count_records(self._length) + 1
            last = self._count_records(expected)
            problem = name_range("record", first, last, "missing")
            count = min(last - first + 1, MAX_COUNT)
            found.append(Damage(self._file_name, problem, count, "records", first, last))
        if closed is not None:
            found += [
                self._describe(first, last, "not verified")
                for first, last in join_blocks(self._doubtful)
            ]
            extra = self._length - int(closed["length"])
            if extra > 0:
                problem = f"{extra:,} bytes were added after the last record"
                found.append(Damage(self._file_name, problem, extra, "bytes"))
        return limit_damage(found)

    def _describe(self, first_block: int, last_block: int, problem: str) -> Damage:
        first = first_block * layout.BLOCK_RECORDS + 1
        end = (last_block + 1) * layout.BLOCK_RECORDS
        last = max(first, min(end, self._count_records(self.end)))
        problem = name_range("record", first, last, problem)
        return Damage(self._file_name, problem, last - first + 1, "records", first, last)

    def _count_records(self, end: int) -> int:
        return max(0, end - layout.HEADER_SIZE) // layout.RECORD_SIZE


def check_ahead(
    jobs: Iterable[_Job], check: Callable[[_Job], BlockFindings]
) -> Iterator[tuple[_Job, BlockFindings]]:
    """Yield each job and the findings of its check, in order. Checks up to three jobs ahead.

    Two threads do the checks. If there is only one job, or if no thread can start, the calling
    thread does them.
    """
    queue: SimpleQueue[_Task[_Job] | None] = SimpleQueue()
    waiting: deque[_Task[_Job]] = deque()
    threads = 0
    try:
        for job in jobs:
            task = _Task(job)
            waiting.append(task)
            if len(waiting) > 1 and threads < _THREADS:
                threads += _start_checking(queue, check)
            if len(waiting) > 1:  # start no thread for the first job: it may be the only one
                if threads and len(waiting) == 2 and not waiting[0].queued:
                    waiting[0].queued = True
                    queue.put(waiting[0])
                task.queued = threads > 0
                if task.queued:
                    queue.put(task)
            if len(waiting) > _CHECKED_AHEAD:
                yield waiting.popleft().wait(check)
        while waiting:
            yield waiting.popleft().wait(check)
    finally:
        for _ in range(threads):
            queue.put(None)


class _Task(Generic[_Job]):
    """A job to check and, after the check, its findings."""

    def __init__(self, job: _Job) -> None:
        self.job = job
        self.queued = False
        self._done = threading.Event()
        self._found: BlockFindings | BaseException | None = None

    def run(self, check: Callable[[_Job], BlockFindings]) -> None:
        """Check the job, and keep the findings or the exception for `wait`."""
        try:
            self._found = check(self.job)
        except BaseException as error:  # noqa: BLE001 - raised again in the thread that waits
            self._found = error
        self._done.set()

    def wait(self, check: Callable[[_Job], BlockFindings]) -> tuple[_Job, BlockFindings]:
        """Wait until the job is checked, and return the job and its findings.

        Raises the exception that the check raised, if any.
        """
        if self.queued:
            self._done.wait()
        else:
            self.run(check)
        if not isinstance(self._found, BlockFindings):
            assert self._found is not None
            raise self._found
        return self.job, self._found


def _start_checking(
    queue: SimpleQueue[_Task[_Job] | None], check: Callable[[_Job], BlockFindings]
) -> bool:
    def work() -> None:
        while (task := queue.get()) is not None:
            task.run(check)

    try:
        threading.Thread(target=work, name="provml-check", daemon=True).start()
    except RuntimeError:  # the system allows no more threads
        return False
    return True

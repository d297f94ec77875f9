"""Reads the records of an open samples file in parts, and skips the holes of a sparse file.

Imports only `checksums`, `layout` and `base.sparse_files` from provml, and imports numpy only to
read samples.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, BinaryIO, Final, NamedTuple

from provml.base.sparse_files import is_sparse
from provml.journal import layout
from provml.journal.checksums import BLOCK_BYTES

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_FIRST_READ_BYTES: Final = 64 * layout.RECORD_SIZE
_READ_BYTES: Final = 2**20
_MAX_HOLE_BYTES: Final = 2**30
MAX_SLOTS: Final = 2**63 // layout.RECORD_SIZE
"""The number of records that the largest possible file can contain."""


class Header(NamedTuple):
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
        """How the writer ended, such as ``finished``; None if the writer has not ended."""
        names = {code: name for name, code in layout.STATUS_CODES.items()}
        return names.get(self.status_code)


class Part(NamedTuple):
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
        """Return a view of the records in this part that belong to a block."""
        begin = block * layout.BLOCK_RECORDS - self.first
        return self.chunk[max(0, begin) : max(0, begin + layout.BLOCK_RECORDS)]

    def count_samples(self, block: int) -> int:
        """Return the number of samples in a block, not counting unused and abandoned slots."""
        series = self.rows_of(block)["series"]
        return int(((series != 0) & (series != layout.ABANDONED_SLOT)).sum())


def read_parts(file: BinaryIO, records: int, end: int, first: int = 0) -> Iterator[Part]:
    """Yield the records of a samples file in parts, without the holes of a sparse file.

    Args:
        file: the open samples file.
        records: the maximum number of records in a part.
        end: the offset, in bytes, at which to stop.
        first: the number of records to skip at the beginning of the file.
    """
    if end <= layout.HEADER_SIZE:
        return
    import numpy as np

    sparse = is_sparse(file)
    position = file.seek(layout.HEADER_SIZE + first * layout.RECORD_SIZE)
    while position < end:
        skipped, count = _find_data(file, records) if sparse else (0, records)
        position += skipped * layout.RECORD_SIZE
        count = min(count, (end - position) // layout.RECORD_SIZE)
        chunk = np.fromfile(file, record_dtype(), max(count, 0))
        yield Part(chunk, (position - layout.HEADER_SIZE) // layout.RECORD_SIZE, skipped)
        position += len(chunk) * layout.RECORD_SIZE
        if len(chunk) < max(count, 1):
            break


def read_aligned_blocks(part: Part, fd: int, end: int) -> memoryview:
    """Return the bytes of all blocks that contain records of a part.

    Reads the file only if the part does not consist of whole blocks.

    Args:
        part: the part.
        fd: the descriptor of the samples file.
        end: the offset, in bytes, at which the samples end.
    """
    begin = part.first // layout.BLOCK_RECORDS * BLOCK_BYTES
    last = part.first + len(part.chunk)
    blocks_end = -(-last // layout.BLOCK_RECORDS) * BLOCK_BYTES
    content = part.chunk.data.cast("B") if len(part.chunk) else memoryview(b"")
    length = min(blocks_end, end - layout.HEADER_SIZE) - begin
    if part.first * layout.RECORD_SIZE == begin and len(content) == length:
        return content
    return memoryview(os.pread(fd, max(0, length), layout.HEADER_SIZE + begin))


def join_parts(
    parts: Iterator[Part], note_holes: Callable[[int], None]
) -> Iterator[NDArray[np.void]]:
    """Yield the samples of each part, then call ``note_holes`` with the number of holes.

    Holes are the unwritten slots before the last sample.
    """
    # zeros after the last record are unused space, not holes
    holes = unused = 0
    for part in parts:
        import numpy as np  # importing it for an empty run would double the cost

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
    note_holes(holes)


def split_chunk(chunk: NDArray[np.void], records: int) -> Iterator[NDArray[np.void]]:
    """Yield a chunk in pieces of up to ``records`` records."""
    if len(chunk) <= records:
        yield chunk
        return
    for start in range(0, len(chunk), records):
        yield chunk[start : start + records]


def digest_file(file: BinaryIO) -> tuple[str | None, int]:
    """Return the SHA-256 digest and the size of an open samples file.

    The digest is None if holes make up more than 1 GiB of the file.
    """
    import hashlib

    size = os.fstat(file.fileno()).st_size
    if size - sum(end - start for start, end in list_extents(file)) > _MAX_HOLE_BYTES:
        return None, size
    file.seek(0)
    digest = hashlib.sha256()
    while block := file.read(_READ_BYTES):
        digest.update(block)
    return digest.hexdigest(), size


def find_records_end(file: BinaryIO) -> int:
    """Return the offset, in bytes, at which the last written record of a samples file ends.

    Reads backwards from the end of the file.
    """
    size = _FIRST_READ_BYTES
    for first, last in reversed(list_extents(file)):
        end = last
        while end > first:
            start = max(first, end - size)
            file.seek(start)
            used = _count_used_bytes(file.read(end - start))
            if used:
                return start + used
            end, size = start, _READ_BYTES
    return layout.HEADER_SIZE


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


def list_extents(file: BinaryIO) -> list[tuple[int, int]]:
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
        skipped, count = _find_data(file, MAX_SLOTS)
        if not count:
            break
        start = position + skipped * layout.RECORD_SIZE
        position = file.seek(min(start + count * layout.RECORD_SIZE, whole))
        found.append((start, position))
    return found


def _count_used_bytes(block: bytes) -> int:
    """Return the offset at which a block's last written record ends; 0 if there is no record."""
    if block == bytes(len(block)):
        return 0  # much faster than removing the zeros one by one
    records = -(-len(block.rstrip(b"\0")) // layout.RECORD_SIZE)
    for number in range(records, 0, -1):
        place = (number - 1) * layout.RECORD_SIZE + layout.SERIES_OFFSET
        if any(block[place : place + 4]):
            return number * layout.RECORD_SIZE
    return 0


def record_dtype() -> np.dtype[np.void]:
    """Return the numpy type of a record in a samples file."""
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

r"""Checksums of a run's files: of event lines, blocks of samples, headers and ``run.json``.

All checksums are CRC-32, written as eight hexadecimal digits. They reveal accidental damage,
such as a failing disk or an incomplete copy. They don't protect against deliberate changes.

Lines
-----
A line ends in ``"line":<n>,"crc32":"<8 hex>"}`` and a line feed. ``line`` counts the lines of the
file from 1. The checksum covers the bytes of the line before ``,"crc32"``, and starts from the
checksum of the writer's name. So a reader notices a line that was damaged, lost, repeated, moved,
or copied from another file. A line that other records refer to by its offset also contains the
offset (``at``). If the disk was full or the process was killed, a line may be incomplete. An
incomplete line has no number, and the line after it contains ``"torn":true``.

Samples
-------
A block consists of 256 records (8 KiB); block 0 begins after the header. A line of the kind
``checksums`` contains the checksums of consecutive blocks. The header of a samples file has a
separate checksum at offset 52, which is written when the file is closed. The last line of a closed
events file has the kind ``closed``, and says how long both files are.

Imports only `layout` from provml.
"""

from __future__ import annotations

import re
import struct
import sys
from collections.abc import Collection, Iterable
from typing import Final
from zlib import crc32

from provml.journal import layout

BLOCK_BYTES: Final = layout.BLOCK_RECORDS * layout.RECORD_SIZE

_HALF_BLOCK: Final = BLOCK_BYTES // 2
_LINE_END: Final = re.compile(rb',"line":([1-9][0-9]{0,15}),"crc32":"([0-9a-f]{8})"\}\n\Z')
_TORN: Final = b',"torn":true'
_SEAL_BYTES: Final = len(b',"crc32":"00000000"}\n')
_DESCRIPTION_END: Final = re.compile(rb',\n "crc32": "([0-9a-f]{8})"\n\}\n\Z')
_HEADER_CHECKSUM: Final = struct.Struct("<I")
FIELD: Final = "crc32"
"""The name of the field that contains the checksum of a line, or of ``run.json``."""

_SEAL_FIELDS: Final = ("line", FIELD, "at", "torn")
_NO_STEP: Final = bytes(8)
_NO_EPOCH: Final = bytes(4)


# -- lines -----------------------------------------------------------------------------------------


def seed_of(writer: str) -> int:
    """Return the initial value for the checksums of a writer's lines."""
    return crc32(writer.encode())


def seal_line(content: bytes, number: int, seed: int, after_torn: bool = False) -> bytes:
    """Build the line for a JSON object, with the line's number and checksum.

    Args:
        content: the JSON object, encoded as ASCII.
        number: the number of the line.
        seed: the value of `seed_of` for the writer.
        after_torn: whether the preceding line was written only in part.
    """
    torn = _TORN if after_torn else b""
    body = b'%b%b,"line":%d' % (content[:-1], torn, number)
    return b'%b,"crc32":"%08x"}\n' % (body, crc32(body, seed))


def is_sealed(line: bytes) -> bool:
    """Return whether a line ends in a line number and a checksum, even if these are wrong."""
    return _LINE_END.search(line, max(0, len(line) - 64)) is not None


def follows_torn(line: bytes) -> bool:
    """Return whether an intact line says that the preceding line was written only in part."""
    found = _LINE_END.search(line, max(0, len(line) - 64))
    return found is not None and line.endswith(_TORN, 0, found.start())


def check_line(line: bytes, seed: int) -> int | None:
    """Return the number of an intact line; None if the line is damaged or has no checksum."""
    found = _LINE_END.search(line, max(0, len(line) - 64))
    if found is None or int(found[2], 16) != crc32(memoryview(line)[:-_SEAL_BYTES], seed):
        return None
    return int(found[1])


def remove_seal(record: layout.Record) -> None:
    """Remove the line number, the checksum and related fields from a record, in place."""
    for name in _SEAL_FIELDS:
        record.pop(name, None)


# -- run.json --------------------------------------------------------------------------------------


def seal_description(content: bytes) -> bytes:
    r"""Add a checksum to the content of ``run.json``, which must end in ``\n}\n``."""
    return b'%b,\n "crc32": "%08x"\n}\n' % (content[:-3], crc32(content[:-3]))


def check_description(content: bytes) -> bool | None:
    """Return whether the content of a ``run.json`` is intact; None if it has no checksum."""
    found = _DESCRIPTION_END.search(content)
    return None if found is None else int(found[1], 16) == crc32(content[: found.start()])


def format_checksum(content: bytes) -> str:
    """Return the checksum of bytes as eight hexadecimal digits, the form used in the files."""
    return f"{crc32(content):08x}"


# -- header ----------------------------------------------------------------------------------------


def seal_header(header: bytes) -> bytes:
    """Return the four bytes of a header's checksum, which are never all zero."""
    return _HEADER_CHECKSUM.pack(crc32(header[: layout.HEADER_CHECKSUM_OFFSET]) or 1)


def check_header(header: bytes) -> bool | None:
    """Return whether a samples file's header is intact; None if it has no checksum yet."""
    start = layout.HEADER_CHECKSUM_OFFSET
    found = header[start : start + _HEADER_CHECKSUM.size]
    if not any(header[start:]):
        return None
    return found == seal_header(header) and not any(header[start + _HEADER_CHECKSUM.size :])


# -- samples ---------------------------------------------------------------------------------------


def block_checksum(block: memoryview) -> int:
    """Return the checksum of a block or of a part of a block.

    Passes only half a block at a time to `zlib.crc32`, because `crc32` releases the GIL for more
    than 5 KiB. If another thread took the released GIL, the caller would wait 5 ms for each block.
    """
    return crc32(block[_HALF_BLOCK:], crc32(block[:_HALF_BLOCK]))


def late_checksum(block: memoryview, series: Collection[int]) -> int:
    """Return the checksum of a block as if the samples of these series had no step and no epoch.

    The checksum stays the same if the writer fills in these steps and epochs later.
    """
    masked = bytearray(block)
    own = native_numbers(series)
    for place, number in enumerate(series_of(block)):
        if number in own:
            start = place * layout.RECORD_SIZE
            masked[start + 8 : start + 16] = _NO_STEP
            masked[start + 24 : start + 28] = _NO_EPOCH
    return crc32(masked)


def series_of(block: memoryview) -> list[int]:
    """Return the series number of each record in a block, in this machine's byte order."""
    whole = len(block) - len(block) % layout.RECORD_SIZE
    return block[:whole].cast("I")[layout.SERIES_OFFSET // 4 :: layout.RECORD_SIZE // 4].tolist()


def native_numbers(series: Iterable[int]) -> frozenset[int]:
    """Convert series numbers to this machine's byte order, in which `series_of` returns them."""
    if sys.byteorder == "little":
        return frozenset(series)
    return frozenset(int.from_bytes(n.to_bytes(4, "little"), sys.byteorder) for n in series)

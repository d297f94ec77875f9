"""Finds the last sample of each series, by reading a samples file backwards.

Needs no package outside the standard library, and does not check checksums.
"""

from __future__ import annotations

import struct
from typing import Any, Final, NamedTuple

from provml.journal import layout
from provml.journal.files import WriterFiles
from provml.journal.record_parsing import Series
from provml.journal.values import decode

_BLOCK_RECORDS: Final = 65_536
_NUMBER: Final = struct.Struct("<28xI")
_VALUE_ERRORS: Final = (KeyError, TypeError, ValueError, ArithmeticError, RecursionError)


class LastSample(NamedTuple):
    """The last sample of a series."""

    time_ns: int
    value: Any


def find_last_samples(
    files: WriterFiles, series: dict[int, Series], limit_bytes: int
) -> dict[int, LastSample]:
    """Return the last sample of each of these series of a writer.

    Leaves out a series that has no sample in the last ``limit_bytes`` of the samples file.

    Raises OSError if the file can't be read.
    """
    found: dict[int, LastSample] = {}
    missing = set(series)
    end = files.find_samples_end()
    start = max(layout.HEADER_SIZE, end - limit_bytes // layout.RECORD_SIZE * layout.RECORD_SIZE)
    with files.open_samples() as file:
        while missing and end > start:
            begin = max(start, end - _BLOCK_RECORDS * layout.RECORD_SIZE)
            file.seek(begin)
            block = file.read(end - begin)
            block = block[: len(block) // layout.RECORD_SIZE * layout.RECORD_SIZE]
            numbers = (number for (number,) in _NUMBER.iter_unpack(block))
            places = {number: place for place, number in enumerate(numbers)}
            for number in missing & places.keys():
                offset = places[number] * layout.RECORD_SIZE
                storage = series[number].storage
                time_ns, _, value, _, _ = layout.STORAGES[storage].unpack_from(block, offset)
                if storage == "text":
                    value = _read_text(files, value)
                found[number] = LastSample(time_ns, value)
            missing -= found.keys()
            end = begin
    return found


def _read_text(files: WriterFiles, offset: int) -> Any:
    """Return the text value in the ``sample`` line at an offset; None if the line is damaged."""
    for record in files.records_at([offset]):
        try:
            return None if record is None else decode(record.get("value"))
        except _VALUE_ERRORS:
            return None
    return None

"""Parses the lines of an events file into records.

Anyone may have written a line, so these functions return None for content that provml would not
write. Imports only `layout` from provml.
"""

from __future__ import annotations

import json
from typing import BinaryIO, NamedTuple

from provml.journal import layout
from provml.journal.layout import Record as Record


class Series(NamedTuple):
    """A series, as its writer declared it in the events file."""

    number: int
    kind: str
    name: str
    context: tuple[str, ...] | None
    storage: str
    unit: str | None
    target: Record | None
    role: str | None = None


def parse_line(line: bytes) -> Record | None:
    """Return the record in a line; None if the line is cut off or contains no record."""
    if not line.endswith(b"\n"):
        return None
    try:
        record = json.loads(line.decode())  # decode first: json would guess the encoding of bytes
        if b"\\ud" in line.lower():  # reject unpaired surrogates in escapes
            json.dumps(record, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) and isinstance(record.get("record"), str) else None


def peek_line(file: BinaryIO) -> bytes:
    """Return the next line without advancing the file."""
    position = file.tell()
    line = file.readline(layout.MAX_EVENT_LINE_BYTES + 1)
    file.seek(position)
    return line


def parse_series(record: Record) -> Series | None:
    """Return the series that a record declares; None if the declaration is not valid."""
    number, context, storage = record.get("series"), record.get("context"), record.get("storage")
    if not isinstance(number, int) or not 0 < number < layout.ABANDONED_SLOT:
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
    """Return the ``id`` that links a record to a later record; None if there is no ``id``."""
    number = record.get("id")
    return number if isinstance(number, int) else None


def record_context(record: Record) -> tuple[str, ...] | None:
    """Return a record's context as a path; None if the record has no valid context."""
    context = record.get("context")
    if not isinstance(context, list) or not context:
        return None
    return tuple(context) if all(isinstance(name, str) for name in context) else None

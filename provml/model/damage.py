"""Reads the fields of a journal record, which may be damaged or written by another program.

These functions raise `DamagedRecordError` for content that provml does not write. They do not build
statements. A mistake in provml's own code raises another exception, so it is not hidden.

Imports `journal.files` and `journal.values`.
"""

from __future__ import annotations

import json
from typing import Any

from provml.errors import InvalidArgumentError
from provml.journal.files import Record
from provml.journal.values import Array, Moment, decode, encode

REASON = "record that makes no sense"
"""The reason under which skipped records are counted."""

_FIRST_TIME_NS, _LAST_TIME_NS = -62_135_596_800 * 10**9, 253_402_300_800 * 10**9
"""The range of times that can be stated: xsd:dateTime has four digits for the years 1 to 9999."""


class DamagedRecordError(ValueError):
    """A field of a record is missing, or provml would not write its content."""


def decode_field(record: Record, key: str) -> Any:
    """Decode the value in a record's field, and check that it can be encoded again.

    Raises DamagedRecordError if not.
    """
    try:
        value = decode(record[key])
    except (KeyError, TypeError, ValueError, ArithmeticError, RecursionError) as error:
        raise DamagedRecordError(f"a value that cannot be decoded: {error!r:.200}") from None
    if isinstance(value, Moment):
        return check_time(value.time_ns)
    if isinstance(value, (list, dict, Array)):
        try:
            encode(value)
        except InvalidArgumentError as error:
            raise DamagedRecordError(str(error)) from None
    return value


def check_time(time_ns: object) -> Moment:
    """Check that a time is within the years 1 to 9999, and return it. Raises DamagedRecordError."""
    if not isinstance(time_ns, int) or not _FIRST_TIME_NS <= time_ns < _LAST_TIME_NS:
        raise DamagedRecordError(f"not a time in nanoseconds: {time_ns!r:.80}")
    return Moment(time_ns)


def check_text(value: object) -> str:
    """Check that a value is a string, and return it. Raises DamagedRecordError."""
    if not isinstance(value, str):
        raise DamagedRecordError(f"a text must be a string: {value!r:.80}")
    return value


def check_object(value: object) -> dict[str, Any]:
    """Check that a value is a JSON object, and return it. Raises DamagedRecordError."""
    if not isinstance(value, dict):
        raise DamagedRecordError(f"a JSON object was expected: {value!r:.80}")
    return value


def check_float(value: object) -> float:
    """Check that a value is a number, and return it as a float. Raises DamagedRecordError."""
    if not isinstance(value, (int, float)):
        raise DamagedRecordError(f"a number was expected: {value!r:.80}")
    try:
        return float(value)
    except OverflowError:
        raise DamagedRecordError("an integer is too large for a float") from None


def json_text_of(content: Any, *, sort_keys: bool = False) -> str:
    """Write parsed JSON as ASCII text.

    Raises DamagedRecordError for NaN and infinity, which are not JSON, and for very deep nesting.
    """
    try:
        return json.dumps(content, allow_nan=False, separators=(",", ":"), sort_keys=sort_keys)
    except (ValueError, RecursionError) as error:
        raise DamagedRecordError(f"not JSON: {error}") from None

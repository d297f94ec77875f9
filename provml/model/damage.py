"""Reading the fields of a journal record, which may be damaged or written by someone else.

These functions raise `DamagedRecordError` for content that a recording process does not write. They
decode; they build no statements. A mistake in provml's own code raises another exception and is
not hidden. Imports `journal.files` and `journal.values`.
"""

from __future__ import annotations

import json
from typing import Any

from provml.errors import InvalidArgumentError
from provml.journal.files import Record
from provml.journal.values import Array, Moment, decode, encode

REASON = "record that makes no sense"
"""The name under which skipped records are counted."""

_FIRST_TIME_NS, _LAST_TIME_NS = -62_135_596_800 * 10**9, 253_402_300_800 * 10**9
"""The years 1 to 9999, which xsd:dateTime writes with four digits."""


class DamagedRecordError(ValueError):
    """A field of a record is missing, or holds something that no recording process writes."""


def decode_field(record: Record, key: str) -> Any:
    """Decode a record's value, and check that it can be written. Raises DamagedRecordError."""
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
    """Return a time of the years 1 to 9999. Raises DamagedRecordError for anything else."""
    if not isinstance(time_ns, int) or not _FIRST_TIME_NS <= time_ns < _LAST_TIME_NS:
        raise DamagedRecordError(f"not a time in nanoseconds: {time_ns!r:.80}")
    return Moment(time_ns)


def check_text(value: object) -> str:
    """Return a string. Raises DamagedRecordError for anything else."""
    if not isinstance(value, str):
        raise DamagedRecordError(f"a text must be a string: {value!r:.80}")
    return value


def check_object(value: object) -> dict[str, Any]:
    """Return a JSON object. Raises DamagedRecordError for anything else."""
    if not isinstance(value, dict):
        raise DamagedRecordError(f"a JSON object was expected: {value!r:.80}")
    return value


def check_float(value: object) -> float:
    """Return a number as a float. Raises DamagedRecordError for anything else."""
    if not isinstance(value, (int, float)):
        raise DamagedRecordError(f"a number was expected: {value!r:.80}")
    try:
        return float(value)
    except OverflowError:
        raise DamagedRecordError("an integer is too large for a float") from None


def json_text_of(content: Any, *, sort_keys: bool = False) -> str:
    """Return parsed JSON as text, ASCII only.

    Raises DamagedRecordError for NaN and infinity, which are not JSON, and for very deep nesting.
    """
    try:
        return json.dumps(content, allow_nan=False, separators=(",", ":"), sort_keys=sort_keys)
    except (ValueError, RecursionError) as error:
        raise DamagedRecordError(f"not JSON: {error}") from None

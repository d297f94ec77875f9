"""Reads and checks the fields of journal records.

A record may be damaged, or another program may have written it. The functions of this module raise
`DamagedRecordError` for content that provml never writes. They build no statements, so a bug in the
code that builds statements raises a different exception and is not mistaken for damage.

Imports `journal.files` and `journal.values`.
"""

from __future__ import annotations

import json
from typing import Any

from provml.errors import InvalidArgumentError
from provml.journal.layout import Record
from provml.journal.values import Array, Moment, decode, encode

REASON = "record that makes no sense"
"""The reason that reports give for skipped records."""

_FIRST_TIME_NS, _LAST_TIME_NS = -62_135_596_800 * 10**9, 253_402_300_800 * 10**9
"""The range of times that provml can write as xsd:dateTime: the years 1 to 9999."""


class DamagedRecordError(ValueError):
    """A field of a record is missing, or has content that provml never writes."""


def decode_field(record: Record, key: str) -> Any:
    """Decode the value in a field of a record, and check that the value can be encoded again.

    Raises DamagedRecordError if the value cannot be decoded or encoded.
    """
    try:
        value = decode(record[key])
    except (KeyError, TypeError, ValueError, ArithmeticError, RecursionError) as error:
        raise DamagedRecordError(f"cannot decode a value: {error!r:.200}") from None
    if isinstance(value, Moment):
        return check_time(value.time_ns)
    if isinstance(value, (list, dict, Array)):
        try:
            encode(value)
        except InvalidArgumentError as error:
            raise DamagedRecordError(str(error)) from None
    return value


def check_time(time_ns: object) -> Moment:
    """Return a time in nanoseconds as a `Moment`.

    Raises DamagedRecordError if the value is not a time within the years 1 to 9999.
    """
    if not isinstance(time_ns, int) or not _FIRST_TIME_NS <= time_ns < _LAST_TIME_NS:
        raise DamagedRecordError(f"expected a time in nanoseconds, but found {time_ns!r:.80}")
    return Moment(time_ns)


def check_text(value: object) -> str:
    """Return a value if it is a string, else raise DamagedRecordError."""
    if not isinstance(value, str):
        raise DamagedRecordError(f"expected a string, but found {value!r:.80}")
    return value


def check_object(value: object) -> dict[str, Any]:
    """Return a value if it is a JSON object, else raise DamagedRecordError."""
    if not isinstance(value, dict):
        raise DamagedRecordError(f"expected a JSON object, but found {value!r:.80}")
    return value


def check_float(value: object) -> float:
    """Return a number as a float. Raises DamagedRecordError if the value is not a number."""
    if not isinstance(value, (int, float)):
        raise DamagedRecordError(f"expected a number, but found {value!r:.80}")
    try:
        return float(value)
    except OverflowError:
        raise DamagedRecordError("the integer is too large for a float") from None


def json_text_of(content: Any, *, sort_keys: bool = False) -> str:
    """Format parsed JSON as ASCII text.

    Raises DamagedRecordError for NaN and infinity, which JSON does not allow, and for content
    that is nested too deeply.
    """
    try:
        return json.dumps(content, allow_nan=False, separators=(",", ":"), sort_keys=sort_keys)
    except (ValueError, RecursionError) as error:
        raise DamagedRecordError(f"cannot format a value as JSON: {error}") from None

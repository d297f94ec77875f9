"""Times as provml stores them: nanoseconds since the Unix epoch in a signed 64-bit integer.

Imports only `errors` from provml.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Final

from provml.errors import InvalidArgumentError

Timestamp = int | float | datetime
"""Seconds since the Unix epoch, or a ``datetime`` with a time zone."""

_UNIX_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_NS_PER_S: Final = 1_000_000_000
_LIMIT: Final = 2**63


def to_time_ns(timestamp: object) -> int:
    """Convert a user's timestamp to nanoseconds since the epoch. Only floats are rounded.

    Args:
        timestamp: seconds since the epoch (int, float or a numpy scalar), or a ``datetime`` with a
            time zone.

    Raises:
        InvalidArgumentError: the timestamp is a naive datetime, is not finite, has another type, or
            lies outside the years 1678 to 2262 (the range of 64-bit nanoseconds).
    """
    if isinstance(timestamp, datetime):
        if timestamp.utcoffset() is None:
            raise InvalidArgumentError(
                f"timestamp {timestamp!r} has no time zone: add one, "
                "for example with timestamp.astimezone()"
            )
        elapsed = timestamp - _UNIX_EPOCH
        time_ns = (elapsed // timedelta(microseconds=1)) * 1000
    elif isinstance(timestamp, float):
        if not math.isfinite(timestamp):
            raise InvalidArgumentError(f"timestamp must be finite, not {timestamp!r}")
        whole = math.floor(timestamp)
        # this subtraction is exact; multiplying the whole timestamp by 1e9 would not be
        time_ns = whole * _NS_PER_S + round((timestamp - whole) * _NS_PER_S)
    elif hasattr(timestamp, "__index__") and not isinstance(timestamp, bool):
        time_ns = timestamp.__index__() * _NS_PER_S
    elif hasattr(timestamp, "dtype") and hasattr(timestamp, "item"):
        return to_time_ns(timestamp.item())
    else:
        raise InvalidArgumentError(
            "timestamp must be seconds since the epoch (int or float) or a datetime with a "
            f"time zone, not {type(timestamp).__name__}: {timestamp!r}"
        )
    if not -_LIMIT < time_ns < _LIMIT:
        raise InvalidArgumentError(f"timestamp is outside the years 1678 to 2262: {timestamp!r}")
    return time_ns


def iso_text(time_ns: int) -> str:
    """Format a time as an xsd:dateTime in UTC, such as ``2026-03-01T12:30:00.000000001Z``."""
    seconds, fraction = divmod(time_ns, _NS_PER_S)
    moment = _UNIX_EPOCH + timedelta(seconds=seconds)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{fraction:09d}Z"


def to_datetime(time_ns: int) -> datetime:
    """Convert nanoseconds since the epoch to a UTC ``datetime``, rounded down to microseconds."""
    return _UNIX_EPOCH + timedelta(microseconds=time_ns // 1000)

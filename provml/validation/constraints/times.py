"""Compares xsd:dateTime values.

Imports nothing else from provml.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final

_DATE_TIME: Final = re.compile(
    r"(-?\d{4,}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d+))?(Z|[+-]\d\d:\d\d)?", re.ASCII
)


def same_time(one: str | None, other: str | None) -> bool:
    """Return whether two times are the same instant, or are both missing.

    A time with a time zone never equals a time without a time zone.
    """
    return one == other or (
        one is not None
        and other is not None
        and _normalize_instant(one) == _normalize_instant(other)
    )


def normalize_time(text: str) -> str:
    """Normalize the text of a time. Equal times get the same text."""
    return str(_normalize_instant(text))


def _normalize_instant(text: str) -> object:
    """Return a comparison key for a time. Equal instants have equal keys, whatever their format."""
    found = _DATE_TIME.fullmatch(text.strip())
    if found is None:
        return text
    whole, fraction, zone = found.groups()
    digits = (fraction or "").rstrip("0")
    try:
        moment = datetime.fromisoformat(whole + (zone or ""))
    except ValueError:  # datetime can't represent the year or the hour
        return whole, digits, zone
    return moment if moment.tzinfo is None else moment.astimezone(UTC), digits

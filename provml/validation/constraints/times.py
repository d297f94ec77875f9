"""When two times are one: xsd:dateTime compared by value. Imports nothing of provml."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final

_DATE_TIME: Final = re.compile(
    r"(-?\d{4,}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d+))?(Z|[+-]\d\d:\d\d)?", re.ASCII
)


def same_time(one: str | None, other: str | None) -> bool:
    """Whether two times are the same instant; one with a zone is none without."""
    return one == other or (one is not None and other is not None and _key(one) == _key(other))


def instant(text: str) -> str:
    """A time as text that equal times share."""
    return str(_key(text))


def _key(text: str) -> object:
    """What equal times share: the instant, its fraction as written without trailing zeros."""
    found = _DATE_TIME.fullmatch(text.strip())
    if found is None:
        return text
    whole, fraction, zone = found.groups()
    digits = (fraction or "").rstrip("0")
    try:
        moment = datetime.fromisoformat(whole + (zone or ""))
    except ValueError:  # a year or an hour that Python's calendar does not have
        return whole, digits, zone
    return moment if moment.tzinfo is None else moment.astimezone(UTC), digits

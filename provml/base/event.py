"""Events as objects, for those who build them before they log them. Imports nothing of provml."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple


class EventSource(NamedTuple):
    """Who or what an event comes from: becomes an agent."""

    name: str


class Event(NamedTuple):
    """Something that happened at an instant.

    ``X_started`` and ``X_finish`` (also ``X_start``, ``X_finished``, ``X_end``, ``X_ended``) of
    one source and context read as one span with a start and an end.

    Attributes:
        name: what happened.
        source: who or what it comes from.
        wallclock_time: when, as `log_event` takes a timestamp; None is now.
        metadata: whatever else there is to say, as JSON can hold it.
    """

    name: str
    source: EventSource | str | None = None
    wallclock_time: int | float | datetime | None = None
    metadata: Mapping[str, Any] | None = None

"""Events as objects, for code that builds them before it logs them. Imports nothing of provml."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple


class EventSource(NamedTuple):
    """The person or program that an event comes from; it becomes a PROV agent."""

    name: str


class Event(NamedTuple):
    """Something that happened at one instant.

    Two events ``X_started`` and ``X_finish`` of one source and context are read as one span with a
    start and an end. ``X_start``, ``X_finished``, ``X_end`` and ``X_ended`` work as well.

    Attributes:
        name: what happened.
        source: the person or program that the event comes from.
        wallclock_time: the time, as `log_event` takes a timestamp; None means now.
        metadata: any further facts, as JSON can hold them.
    """

    name: str
    source: EventSource | str | None = None
    wallclock_time: int | float | datetime | None = None
    metadata: Mapping[str, Any] | None = None

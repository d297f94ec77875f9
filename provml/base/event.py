"""Classes for code that builds an event before logging it.

Imports nothing else from provml.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple


class EventSource(NamedTuple):
    """The person or program that an event comes from, recorded as a PROV agent."""

    name: str


class Event(NamedTuple):
    """Something that happened at one point in time.

    If a source logs ``X_started`` and later ``X_finish`` in the same context, the two events form a
    span with a start and an end. ``X_start``, ``X_finished``, ``X_end`` and ``X_ended`` work as
    well.

    Attributes:
        name: a short description of what happened.
        source: the person or program that the event comes from.
        wallclock_time: the time of the event, in any form that `log_event` accepts; None means now.
        metadata: further facts about the event, as a mapping of names to JSON-compatible values.
    """

    name: str
    source: EventSource | str | None = None
    wallclock_time: int | float | datetime | None = None
    metadata: Mapping[str, Any] | None = None

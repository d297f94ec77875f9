"""Build event records, and complete records whose digest was recorded later.

Imports only `layout`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from provml.journal.layout import Record


def build_event(
    name: str, metadata: Any, source: str | None = "provml", time_ns: int | None = None
) -> Record:
    """Build the record of an event, without a context, step and epoch.

    Args:
        name: the event's name.
        metadata: the metadata, as `values.encode` returns it.
        source: the person or program that the event comes from.
        time_ns: the time of the event in nanoseconds since the epoch; by default now.
    """
    return {
        "record": "event",
        "time": time.time_ns() if time_ns is None else time_ns,
        "name": name,
        "source": source,
        "metadata": metadata,
    }


def add_later_digest(content: Mapping[str, Any], later: Mapping[str, Any]) -> dict[str, Any]:
    """Return the facts of a dataset, completed with its digest, which was computed later.

    Args:
        content: the facts as they were logged; ``unread`` in them says why the digest is missing.
        later: the facts of the ``digest`` record.
    """
    return {name: fact for name, fact in content.items() if name != "unread"} | dict(later)

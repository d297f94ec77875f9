"""Builds event records, and completes dataset records with digests that were recorded later.

Imports only `base.clock` and `layout` from provml.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final

from provml.base.clock import boot_ns
from provml.journal.layout import Record

CLOCK_CHANGED: Final = "clock changed"
"""The name of the event that is recorded if the machine's clock was adjusted during the run."""


def build_event(
    name: str, metadata: Any, source: str | None = "provml", time_ns: int | None = None
) -> Record:
    """Build the record of an event that has no context, step or epoch.

    Args:
        name: the event's name.
        metadata: the event's metadata, in the form that `values.encode` returns.
        source: the person or program that the event comes from.
        time_ns: the time of the event in nanoseconds since the Unix epoch; by default now.
    """
    record = {
        "record": "event",
        "time": time.time_ns() if time_ns is None else time_ns,
        "name": name,
        "source": source,
        "metadata": metadata,
    }
    return record if time_ns is not None else record | {"clock": boot_ns()}


def add_later_digest(content: Mapping[str, Any], later: Mapping[str, Any]) -> dict[str, Any]:
    """Return the facts about a dataset together with its digest, which was computed later.

    Args:
        content: the facts that were logged. The result omits ``unread``, which says why the digest
            was missing.
        later: the facts in the ``digest`` record.
    """
    return {name: fact for name, fact in content.items() if name != "unread"} | dict(later)

"""Identifies a series of samples by its kind, name, context, unit and storage.

Imports only `layout` and `sample_files` from provml.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from provml.journal.layout import Record
from provml.journal.sample_files import Slot


class ExtraFields(NamedTuple):
    """Additional fields in the declaration of a series.

    Attributes:
        of: the kind and name of the model or artifact that the samples describe, such as
            ``("model", "digits")``.
        role: what the samples are in a metric group: ``row`` for values of points, ``stored`` for
            values to summarise later, and ``summary`` for the summaries of stored values.
    """

    of: tuple[str, str] | None = None
    role: str | None = None


SeriesKey = (
    tuple[str, str, tuple[str, ...] | None, str | None, str]
    | tuple[str, str, tuple[str, ...] | None, str | None, str, int | ExtraFields]
)
"""The key that identifies a series: its kind, name, context path, unit and storage.

A sixth item is optional: the number of the record that the samples refer to, or the extra fields.
"""

Sample = tuple[SeriesKey, int, int | None, int | None, Any, list[Slot] | None]
"""A sample to write: its series, time, step, epoch, value and slot list.

The slot list receives the slot in which the sample is written. The list is None if no caller needs
the slot.
"""

Position = tuple[tuple[str, ...] | None, int | None, int | None]
"""The context path, step and epoch of a metric."""

EPOCH_METRIC = "epoch"
"""The name of the metric that records fractional epochs. Other records contain whole epochs."""


def build_series_record(key: SeriesKey, number: int) -> Record:
    """Return the record that declares a series and gives it a number."""
    kind, name, context, unit, storage = key[:5]
    record: Record = {
        "record": "series",
        "series": number,
        "kind": kind,
        "name": name,
        "context": list(context) if context is not None else None,
        "storage": storage,
    }
    if unit is not None:
        record["unit"] = unit
    if len(key) == 6:
        record |= _extra_fields(key[5])
    return record


def _extra_fields(extra: int | ExtraFields) -> Record:
    if isinstance(extra, int):
        return {"target": {"record": extra}}
    record: Record = {}
    if extra.of is not None:
        record["target"] = {"kind": extra.of[0], "name": extra.of[1]}
    if extra.role is not None:
        record["role"] = extra.role
    return record

"""Defines the `Collector` protocol, and turns a reading into numbers with names and units.

A collector is any object with a ``name`` and a ``collect()`` method that returns a mapping.
`Collector` lists the optional members. Imports only `errors` from provml.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, Final, Protocol, TypeGuard, runtime_checkable

from provml.errors import InvalidArgumentError

_MAX_READING_DEPTH: Final = 4
MAX_VALUES: Final = 2000
"""The maximum number of recorded values per reading.

A reading of a machine with 256 cores and 16 GPUs has about 600 values.
"""

_UNIT_SUFFIXES: Final = (
    ("_percent", "%"),
    ("utilization", "%"),
    ("_bytes", "B"),
    ("_joules", "J"),
    ("_watts", "W"),
    ("_mhz", "MHz"),
    ("_hours", "h"),
    ("_s", "s"),
    ("temperature", "Cel"),
)
_EXACT_UNITS: Final = {
    f"{what}_{part}": "B"
    for what, parts in (
        ("memory", ("total", "available", "used", "limit", "rss", "vms")),
        ("swap", ("total", "used")),
        ("disk", ("total", "used", "free")),
        ("network", ("bytes_sent", "bytes_recv")),
        ("gpu", ("memory_used", "memory_total")),
        ("process", ("memory_used",)),
    )
    for part in parts
}


@runtime_checkable
class Collector(Protocol):
    """An object that takes readings. It must have a `name` and a `collect` method.

    A collector can also have these optional members:

    - ``initialize()``: called once before the first `collect`, in the thread that takes the
      readings. It raises `UnavailableError` if there is nothing to read on the machine;
    - ``close()``: called once after the last reading;
    - ``collect_interval``: seconds between readings, instead of the run's interval;
    - ``thresholds``: a mapping from metric names to thresholds; a value above the threshold raises
      an alert;
    - ``units``: a mapping from metric names to units. A name that ends with ``_percent``,
      ``_bytes``, ``_joules``, ``_watts``, ``_s``, ... needs no unit;
    - ``missing``: the metrics that can't be read, as a mapping from their names to the reasons;
      each reason is recorded once;
    - ``devices``: mappings that each describe one device and have a ``name``; the run records each
      device once;
    - ``settings``: a mapping of settings, recorded once;
    - ``constants``: the names of metrics that are recorded only when their values change;
    - ``unrecorded``: keys of the last reading that provml does not record, because they repeat
      other keys or are estimates. Callers of `collect` still get these keys.
    """

    @property
    def name(self) -> str:
        """The collector's name: one word that says what is read, such as ``system`` or ``gpu``."""

    def collect(self) -> Mapping[str, Any]:
        """Return a reading: a mapping from names to numbers, or to mappings or lists of numbers."""


_RESERVED_NAMES: Final = """
    agent alert artifact bundle collector context cumulative-flops dataset device environment
    epoch event flops flops-counting host journal loss metric model param results run sampling
    script series settings source source-diff step tag workload
"""
_RESERVED_WORDS: Final = frozenset(_RESERVED_NAMES.split())
"""Names that are not allowed for collectors: `model.names` uses them for other parts of a run."""


class UnavailableError(Exception):
    """A collector has nothing to read on this machine.

    Args:
        reason: an explanation for the user.
        expected: False if the device exists but can't be read. In this case, provml records the
            reason.
    """

    def __init__(self, reason: str, expected: bool = True) -> None:
        super().__init__(reason)
        self.expected = expected


def check_collector(collector: object) -> None:
    """Raise InvalidArgumentError if the object is not a collector with a valid name."""
    if isinstance(collector, type) or not isinstance(collector, Collector):
        raise InvalidArgumentError(
            f"a collector must be an object with a name and a collect() method, not "
            f"{collector!r:.80}"
        )
    name = collector.name
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]*", name):
        raise InvalidArgumentError(
            "a collector's name must start with a letter and contain only letters, digits, '-' "
            f"and '_', not {name!r:.80}"
        )
    if name in _RESERVED_WORDS:
        raise InvalidArgumentError(
            f"a collector can't be named {name!r}, because provml itself uses this name: choose "
            "another name"
        )


def is_number(value: object) -> TypeGuard[int | float]:
    """Return True if the value is an int or a float, and not a bool."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def flatten_reading(reading: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the numbers of a reading with dotted names: ``cpu_per_core.0``, ``gpu.1.temperature``.

    Yields a `ReadingTable` as one value. Leaves out text and other values that are not numbers.
    """
    yield from islice(_flatten("", reading, 0), MAX_VALUES)


def _flatten(prefix: str, value: object, depth: int) -> Iterator[tuple[str, Any]]:
    if is_number(value):
        yield prefix, value
    elif depth > _MAX_READING_DEPTH:
        return
    elif isinstance(value, Mapping):
        for key, member in value.items():
            yield from _flatten(f"{prefix}.{key}" if prefix else str(key), member, depth + 1)
    elif isinstance(value, ReadingTable):
        yield prefix, value
    elif isinstance(value, (list, tuple)):
        for number, member in enumerate(value):
            yield from _flatten(f"{prefix}.{number}", member, depth + 1)


class ReadingTable(list[dict[str, Any]]):
    """A list of rows that counts as one value of a reading, such as the list of top processes."""


def find_unit(name: str, units: Mapping[str, str]) -> str | None:
    """Return the unit of a value, from the collector's ``units`` or from the value's name.

    Returns None if the unit is unknown.
    """
    parts = [part for part in name.split(".") if not part.isdecimal()]
    last_part = parts[-1] if parts else name
    given = units.get(name) or units.get(last_part)
    if given is not None:
        return given
    if last_part in _EXACT_UNITS:
        return _EXACT_UNITS[last_part]
    for ending, unit in _UNIT_SUFFIXES:
        if last_part.endswith(ending):
            return unit
    return None

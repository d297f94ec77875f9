"""What a collector is, and how what it reads becomes numbers with names and units.

A collector is any object with a ``name`` and a ``collect()`` that gives a mapping. What else it may
have is in `Collector`. Imports `errors`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, Final, Protocol, TypeGuard, runtime_checkable

from provml.errors import InvalidArgumentError

_MAX_READING_DEPTH: Final = 4
MAX_VALUES: Final = 2000
"""A reading of more values is cut: 256 cores and 16 devices make some 600."""

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
    """What the sampler needs. Optional beside it, each looked for by its name:

    - ``initialize()``: called once, in the thread that reads, before the first `collect`; raises
      `UnavailableError` where there is nothing to read here;
    - ``close()``: called once, after the last;
    - ``collect_interval``: seconds between readings, instead of the run's;
    - ``thresholds``: metric names and the values above which a reading is an alert;
    - ``units``: metric names and their units, where the name does not say it (``_percent``,
      ``_bytes``, ``_joules``, ``_watts``, ``_s``, ...);
    - ``missing``: what can't be read here, and why; each is recorded once;
    - ``devices``: mappings with a ``name``, each recorded once as something the run used;
    - ``settings``: a mapping of how it reads, recorded once;
    - ``constants``: metric names that are recorded only when their value changes;
    - ``unrecorded``: what of the last reading is for those who call `collect` alone: what stands in
      it a second time, or is a guess.
    """

    @property
    def name(self) -> str:
        """What its readings are of: ``system``, ``gpu``, ...; one word."""

    def collect(self) -> Mapping[str, Any]:
        """Take one reading: numbers under their names, also in nested mappings and lists."""


_RESERVED_NAMES: Final = """
    agent alert artifact bundle collector context cumulative-flops dataset device environment
    epoch event flops flops-counting host journal loss metric model param results run sampling
    script series settings source source-diff step tag workload
"""
_RESERVED: Final = frozenset(_RESERVED_NAMES.split())
"""What names of other things in a run begin with, see `model.names`."""


class UnavailableError(Exception):
    """There is nothing here for a collector to read.

    Args:
        reason: why, in words.
        expected: False where something is there but can't be read: then it is worth recording.
    """

    def __init__(self, reason: str, expected: bool = True) -> None:
        super().__init__(reason)
        self.expected = expected


def check_collector(collector: object) -> None:
    """Raise InvalidArgumentError where it is no collector, or its name can't be that of a kind."""
    if isinstance(collector, type) or not isinstance(collector, Collector):
        raise InvalidArgumentError(
            f"a collector must be an object with a name and a collect(): {collector!r:.80}"
        )
    name = collector.name
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]*", name):
        raise InvalidArgumentError(f"a collector's name must be one word, not {name!r:.80}")
    if name in _RESERVED:
        raise InvalidArgumentError(f"a collector can't be named {name!r}: provml has that")


def is_number(value: object) -> TypeGuard[int | float]:
    """Whether a value is one that a reading keeps."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def flatten_reading(reading: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The numbers of a reading under dotted names: ``cpu_per_core.0``, ``gpu.1.temperature``.

    A list of mappings without numbers at their places (the top processes) is kept whole, under its
    name. What is neither is left out.
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
    """Rows that are one value of a reading, such as the top processes."""


def find_unit(name: str, units: Mapping[str, str]) -> str | None:
    """The unit of a reading's number: given, or told by its name."""
    parts = [part for part in name.split(".") if not part.isdecimal()]
    own = parts[-1] if parts else name
    given = units.get(name) or units.get(own)
    if given is not None:
        return given
    if own in _EXACT_UNITS:
        return _EXACT_UNITS[own]
    for ending, unit in _UNIT_SUFFIXES:
        if own.endswith(ending):
            return unit
    return None

"""Summarises the system readings of a run, to show how the run used the machine's resources.

Imports the `journal` readers, `series` and `damage`; imports numpy only when needed.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Final

from provml.journal.layout import Record
from provml.journal.reader import Journal
from provml.model.damage import DamagedRecordError, check_float, check_object, decode_field
from provml.model.series import SAMPLING, Block, SeriesTable

Path = tuple[str, ...] | None

_USED_UP: Final = ("energy", "emissions")
"""The collectors whose readings are amounts since the previous reading, instead of totals."""
_COUNTERS: Final = (
    "disk_read_bytes",
    "disk_write_bytes",
    "network_bytes_sent",
    "network_bytes_recv",
    "network_packets_sent",
    "network_packets_recv",
    "cpu_time_s",
)
"""The readings that count up, possibly since before the run. Only their growth is meaningful."""


@dataclass(slots=True)
class ResourceUse:
    """A summary of one kind of reading over the whole run, for the processes of one rank.

    Attributes:
        kind: the name of the collector that took the readings.
        name: the name of the reading, such as ``cpu_percent``.
        rank: the rank of the processes; None if the job is not distributed.
        unit: the unit of the readings; None if they have no unit.
        count: the number of readings.
        mean, minimum, maximum: the statistics of the readings; None for counters, or if no reading
            is a number.
        last: the last reading.
        total: the sum of the readings for energy and emissions; the growth for counters, such as
            bytes sent or CPU time; None for other readings.
        threshold: the value above which a reading raised an alert; None if no threshold was set.
        above_s: the approximate time above the threshold, in seconds; None if no threshold was set.
        contexts: for energy and emissions, the total in each context, by path. The key None stands
            for readings outside all contexts.
    """

    kind: str
    name: str
    rank: int | None
    unit: str | None = None
    count: int = 0
    mean: float | None = None
    minimum: int | float | None = None
    maximum: int | float | None = None
    last: Any = None
    total: float | None = None
    threshold: float | None = None
    above_s: float | None = None
    contexts: dict[Path, float] = field(default_factory=dict)


@dataclass(slots=True)
class _ResourceSums:
    use: ResourceUse
    total: float = 0.0
    numbers: int = 0
    above: int = 0
    first_ns: int | None = None
    last_ns: int | None = None


def resource_use(journal: Journal) -> list[ResourceUse]:
    """Return a summary of each kind of reading in a run, in the order of the first readings."""
    summary = ResourceSummary()
    for _, _, record in journal.records():
        summary.add_record(record)
    table = SeriesTable(journal)
    for block in table.blocks():
        summary.add_block(block)
    return summary.build(table)


class ResourceSummary:
    """Sums up the readings of a run, block by block."""

    def __init__(self) -> None:
        self._thresholds: dict[tuple[str, str], float] = {}
        self._found: dict[tuple[str, str, int | None], _ResourceSums] = {}

    def add_record(self, record: Record) -> None:
        """Take the thresholds from a record about a collector. Ignores other records.

        Add the record of a collector before the readings of that collector.
        """
        if record.get("record") == "collector" and isinstance(record.get("name"), str):
            for name, value in _read_thresholds(record).items():
                self._thresholds[record["name"], name] = value

    def add_block(self, block: Block) -> None:
        """Add a block of readings. Ignores metrics and values that are not numbers."""
        series = block.series
        if series.kind in ("metric", SAMPLING) or isinstance(block.values, list):
            return
        key = (series.kind, series.name, series.rank)
        sums = self._found.get(key)
        if sums is None:
            use = ResourceUse(*key, threshold=self._thresholds.get((series.kind, series.name)))
            sums = self._found[key] = _ResourceSums(use)
        _add_block(sums, block)

    def build(self, table: SeriesTable) -> list[ResourceUse]:
        """Return a summary of each kind of reading that was added so far."""
        collectors = {series.name for series in table.all if series.kind == SAMPLING}
        return [
            _finish_sums(sums) for (kind, *_), sums in self._found.items() if kind in collectors
        ]


def _add_block(sums: _ResourceSums, block: Block) -> None:
    import numpy as np

    use, values = sums.use, np.asarray(block.values)
    times = block.time_ns
    first, last = int(times.min()), int(times.max())
    if sums.last_ns is None or last >= sums.last_ns:
        use.last = values[-1].item()
    sums.first_ns = first if sums.first_ns is None else min(first, sums.first_ns)
    sums.last_ns = last if sums.last_ns is None else max(last, sums.last_ns)
    use.unit = block.unit or use.unit
    use.count += len(values)
    numbers = values[~np.isnan(values)] if values.dtype.kind == "f" else values
    if not len(numbers):
        return
    low, high = numbers.min().item(), numbers.max().item()
    use.minimum = low if use.minimum is None else min(low, use.minimum)
    use.maximum = high if use.maximum is None else max(high, use.maximum)
    own = float(numbers.sum(dtype=np.float64))
    sums.total += own
    sums.numbers += len(numbers)
    if use.kind in _USED_UP:
        path = block.series.context
        use.contexts[path] = use.contexts.get(path, 0.0) + own
    if use.threshold is not None:
        sums.above += int(np.count_nonzero(numbers > use.threshold))


def _finish_sums(sums: _ResourceSums) -> ResourceUse:
    use = replace(sums.use)
    if sums.numbers:
        use.mean = sums.total / sums.numbers
    if use.kind in _USED_UP:
        use.total = sums.total
    elif use.name in _COUNTERS and use.minimum is not None and use.maximum is not None:
        use.total = float(use.maximum - use.minimum)
        use.mean = use.minimum = use.maximum = None
    if use.threshold is not None and sums.first_ns is not None and sums.last_ns is not None:
        spacing_s = (sums.last_ns - sums.first_ns) / 1e9 / max(1, sums.numbers - 1)
        use.above_s = sums.above * spacing_s
    return use


def _read_thresholds(record: Record) -> dict[str, float]:
    """Read the alert thresholds from a collector's settings. Returns {} if they are unreadable."""
    try:
        settings = check_object(decode_field(record, "settings"))
        thresholds = check_object(settings.get("thresholds"))
        return {name: check_float(value) for name, value in thresholds.items()}
    except DamagedRecordError:
        return {}

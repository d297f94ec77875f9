"""A cache for values that a script logs often and records only as a summary.

Imports `checks` and the journal's writer; `metric_groups` builds on this module.
"""

from __future__ import annotations

import math
import threading
from typing import TYPE_CHECKING, Any, Final, Protocol

from provml.errors import InvalidArgumentError, InvalidMetricError
from provml.journal.series_keys import ExtraFields
from provml.recording.checks import validate_epoch, validate_step

if TYPE_CHECKING:
    from provml.base.context import Context
    from provml.journal.absent_writer import AbsentWriter
    from provml.journal.series_keys import SeriesKey
    from provml.journal.writer import JournalWriter

Number = int | float

ROW_ROLE: Final = ExtraFields(role="row")
SUMMARY_ROLE: Final = ExtraFields(role="summary")
STORED_ROLE: Final = ExtraFields(role="stored")
_HUGE: Final = 1e150


class _StoredValues:
    """The values of one metric in the cache, and the times of the first and the last value."""

    def __init__(self) -> None:
        self.values: list[Number] = []
        self.is_summarised = False
        self.first_ns = 0
        self.last_ns = 0

    def add(self, value: Number, time_ns: int) -> None:
        if not self.values:
            self.first_ns = time_ns
        self.last_ns = time_ns
        self.values.append(value)


class WriterOpener(Protocol):
    """The part of a run that a summary cache uses: a method that opens the journal writer."""

    def _open_writer(self, context: Context | str | None = None) -> JournalWriter | AbsentWriter:
        """Return this process's journal writer. Raises RunClosedError if the run has ended."""


class SummarizedMetrics(Protocol):
    """The attributes and methods of `Metrics` that a summary cache uses."""

    _lock: threading.RLock
    _place: tuple[int | None, int | None]

    @property
    def _run(self) -> WriterOpener: ...

    def _time_ns(self) -> int:
        """Return the current time; no two calls return the same time."""


class SummarizedGroup(Protocol):
    """The attributes and methods of `MetricGroup` that a summary cache uses."""

    _given: Context | str

    @property
    def _path(self) -> tuple[str, ...]: ...

    @property
    def _metrics(self) -> SummarizedMetrics: ...

    def _encode_field(self, name: str, value: object, role: ExtraFields) -> tuple[SeriesKey, Any]:
        """Return the series of a field, and the field's value as the journal stores it."""

    def _count(self, points: int) -> int:
        """Reserve indices for this many points; return the first index."""


class SummaryCache:
    """A cache of values to record as a summary, such as ``run.metrics("train").summary_cache``.

    The cache keeps values in memory until you call `summarize`. When the run ends, provml
    summarises the remaining values. If the process is killed, the remaining values are lost, and
    the run's documents say so.

    Attributes:
        keep_raw: whether `store` also records each value immediately, so that no value can be lost.
    """

    def __init__(self, group: SummarizedGroup) -> None:
        self.keep_raw = False
        self._group = group
        self._metrics = group._metrics
        self._stored: dict[str, _StoredValues] = {}
        self._fields: dict[str, Any] = {}
        self._is_due = False  # whether a value was stored since the last summary
        # whether a field other than step and epoch was set since the last summary
        self._is_set = False

    def store(self, /, **values: Any) -> None:
        """Add one value per metric to the next summary.

        Costs about two microseconds per value, and one write() for the first value after a summary.

        Raises:
            InvalidMetricError: a value is not a number, or does not fit into 64 bits; no value is
                stored.
            InvalidArgumentError: an argument is named ``epoch`` or ``step``; pass these to `set`.
            RunClosedError: the run has ended.
        """
        if "epoch" in values or "step" in values:
            raise InvalidArgumentError("epoch and step cannot be summarised: pass them to set()")
        group, numbers = self._group, []
        for name, value in values.items():
            key, stored = group._encode_field(name, value, STORED_ROLE)
            if key[4] == "text":
                raise InvalidMetricError(
                    f"metric {name!r}: only numbers of up to 64 bits can be summarised, not "
                    f"{value!r:.80}"
                )
            numbers.append((key, stored))
        writer = self._metrics._run._open_writer(group._given)
        with self._metrics._lock:
            time_ns = self._metrics._time_ns()
            if numbers and not self._is_due:
                self._is_due = True
                context = list(group._path)
                writer.append({"record": "window", "time": time_ns, "context": context})
            for key, number in numbers:
                self._stored.setdefault(key[1], _StoredValues()).add(number, time_ns)
                if self.keep_raw:
                    writer.sample(key, time_ns, None, None, number)

    def set(self, /, **fields: Any) -> None:
        """Set fields, such as ``epoch`` or ``step``, that the next summary records unchanged.

        Raises:
            InvalidMetricError: a value is not valid for `Run.log_metric`; no field is set.
            InvalidArgumentError: the epoch or step is invalid.
            RunClosedError: the run has ended.
        """
        validate_step(fields.get("step")), validate_epoch(fields.get("epoch"))
        for name, value in fields.items():
            if name not in ("step", "epoch"):
                self._group._encode_field(name, value, ROW_ROLE)
        self._metrics._run._open_writer()
        with self._metrics._lock:
            self._fields |= fields
            self._is_set = self._is_set or not fields.keys() <= {"step", "epoch"}

    def summarize(self, clear: bool = True) -> dict[str, Any]:
        """Record a summary of each stored metric, such as ``loss.mean`` and ``loss.count``.

        The statistics are ``mean``, ``min``, ``max``, ``std`` and ``count``.

        - ``std`` is the sample standard deviation; for a single value, it is 0.
        - NaN values are ignored, and not counted. If all values are NaN, only the count is
          recorded.
        - The epoch and step come from `set` or, if `set` did not get them, from `Metrics.log`.

        Costs one pass over the values and one write().

        Args:
            clear: whether to empty the cache. If False, the next summary covers these values too.

        Returns:
            The recorded values by name; empty if nothing was stored or set.

        Raises:
            RunClosedError: the run has ended.
        """
        self._metrics._run._open_writer()
        with self._metrics._lock:
            return self._summarize(bool(clear))

    def _summarize(self, clear: bool) -> dict[str, Any]:
        group, metrics = self._group, self._metrics
        step, epoch = metrics._place
        place = {
            "step": validate_step(self._fields.get("step", step)),
            "epoch": validate_epoch(self._fields.get("epoch", epoch)),
        }
        plain = {name: v for name, v in self._fields.items() if name not in ("step", "epoch")}
        figures = {
            f"{name}.{statistic}": value
            for name, stored in self._stored.items()
            for statistic, value in _describe_numbers(stored.values).items()
        }
        values = [group._encode_field(name, value, ROW_ROLE) for name, value in plain.items()]
        values += [
            group._encode_field(name, value, SUMMARY_ROLE) for name, value in figures.items()
        ]
        if values:
            writer = metrics._run._open_writer(group._given)
            group._count(1)
            time_ns = metrics._time_ns()
            if figures:
                writer.append(self._record(time_ns) | place)
            for key, value in values:
                writer.sample(key, time_ns, place["step"], place["epoch"], value)
            self._is_due = self._is_set = False
        if clear:
            self._stored, self._fields = {}, {}
        for stored in self._stored.values():
            stored.is_summarised = True
        return plain | figures

    def _record(self, time_ns: int) -> dict[str, Any]:
        return {
            "record": "summary",
            "time": time_ns,
            "context": list(self._group._path),
            "fields": [
                {
                    "name": name,
                    "stored": len(stored.values),
                    "first": stored.first_ns,
                    "last": stored.last_ns,
                    "goes_on": stored.is_summarised,
                }
                for name, stored in self._stored.items()
            ],
        }

    def peek(self, key: str, limit: int | None = None) -> list[Number]:
        """Return the stored values of a metric, oldest first, without changing the cache.

        Args:
            key: the metric's name.
            limit: the maximum number of values to return. If the cache contains more values, only
                the newest are returned. None returns all values.

        Raises:
            InvalidArgumentError: the limit is not a non-negative int.
        """
        from provml.journal.point_pages import validate_count

        own = None if limit is None else validate_count(limit, "limit", 2**62)
        with self._metrics._lock:
            stored = self._stored.get(key)
            values = [] if stored is None else stored.values
            return values[max(0, len(values) - own) :] if own is not None else list(values)

    def _finish(self) -> None:
        if self._is_due or self._is_set:
            self._summarize(clear=True)

    def _forget(self) -> None:
        self._stored, self._fields = {}, {}
        self._is_due = self._is_set = False


def _describe_numbers(values: list[Number]) -> dict[str, Number]:
    numbers = [value for value in values if value == value]
    count = len(numbers)
    if not count:
        return {"count": 0}
    largest = max(map(abs, numbers))
    # avoid overflow of squares and sums; scaling by a power of two loses no digits
    scale = 2.0**-600 if _HUGE < largest < math.inf else 1.0
    scaled = [value * scale for value in numbers] if scale != 1.0 else numbers
    mean = _exact_sum(scaled) / count
    squares = _exact_sum([(value - mean) * (value - mean) for value in scaled])
    return {
        "mean": mean / scale,
        "min": min(numbers),
        "max": max(numbers),
        "std": math.sqrt(squares / (count - 1)) / scale if count > 1 else 0.0,
        "count": count,
    }


def _exact_sum(numbers: list[Number]) -> float:
    try:
        return math.fsum(numbers)
    except (OverflowError, ValueError):  # the sum overflows, or contains infinities of both signs
        return float(sum(map(float, numbers)))

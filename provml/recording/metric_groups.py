"""Metric groups. A group records batches of points, and points whose epoch may be set later.

A point is in the journal as soon as the call that logs it returns. Only its step and epoch may be
filled in later, by `sample_files.fill_in`. Imports `checks`, `summary_cache` and the journal's
writer; imports `journal.history` only to read points.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol, SupportsIndex

from provml.base.context import Context, group_path
from provml.base.notices import warn_without_raising
from provml.errors import InvalidArgumentError, InvalidMetricError
from provml.journal.sample_files import Slot, fill_in
from provml.journal.series_keys import EPOCH_METRIC, ExtraFields, SeriesKey
from provml.journal.values import PartialEpoch
from provml.recording.checks import (
    encode_value,
    validate_epoch,
    validate_metric_name,
    validate_step,
)
from provml.recording.summary_cache import ROW_ROLE, SummaryCache

if TYPE_CHECKING:
    from pathlib import Path

    from provml.base.results import AppendedBatch, AppendedPoint, PointPage
    from provml.journal.absent_writer import AbsentWriter
    from provml.journal.point_pages import PointPages
    from provml.journal.writer import JournalWriter

_MOST_PENDING: Final = 200_000


class _CheckedPoint(NamedTuple):
    """A point whose fields are valid: the step, the epoch, and each value with its series."""

    step: int | None
    epoch: int | None
    values: list[tuple[SeriesKey, Any]]


class _PendingPoint(NamedTuple):
    """A recorded point that still lacks its step or epoch.

    Attributes:
        path: the path of the group's context.
        slots: the places of the point's samples in the samples file.
        lacks_step: whether the point still lacks its step.
        lacks_epoch: whether the point still lacks its epoch.
    """

    path: tuple[str, ...]
    slots: list[Slot]
    lacks_step: bool
    lacks_epoch: bool


class MetricsHost(Protocol):
    """The attributes and methods of a run that `Metrics` uses."""

    path: Path

    def _open_writer(self, context: Context | str | None = None) -> JournalWriter | AbsentWriter:
        """Return this process's journal writer. Raises RunClosedError if the run has ended."""


class Metrics:
    """The metric groups of a run, as `Run.metrics` returns them. You can use them from any thread.

    Each group belongs to a context. Both ``run.metrics("train")`` and ``run.metrics["train"]``
    return the group of `Context.TRAINING`. `Context` lists the names of the standard contexts; any
    other name selects a context with that name. A metric in a group can't be named ``epoch`` or
    ``step``.
    """

    def __init__(self, run: MetricsHost) -> None:
        """Internal: read `Run.metrics` instead of creating an instance."""
        self._run = run
        self._groups: dict[tuple[str, ...], MetricGroup] = {}
        self._last_ns = 0
        self._lock = threading.RLock()
        self._pending: deque[_PendingPoint] = deque()
        self._place: tuple[int | None, int | None] = (None, None)
        self._warned = False

    def __call__(self, group: str | Context) -> MetricGroup:
        """Return the group of a context.

        Raises:
            InvalidArgumentError: the group is neither a `Context` nor Unicode text.
        """
        path = group_path(group)
        own = self._groups.get(path)
        if own is None:
            own = self._groups.setdefault(path, MetricGroup(self, path))
        own._given = group
        return own

    __getitem__ = __call__

    def log(
        self,
        /,
        *,
        epoch: SupportsIndex | float | None = None,
        step: SupportsIndex | float | None = None,
        **groups: Mapping[str, Any],
    ) -> Metrics:
        """Record a point in each group (``train={"loss": 0.5}``), or set the epoch and step.

        - If you pass groups, the epoch and step apply to the points of this call only.
        - If you pass no groups, the epoch and step apply to all points without an epoch or step,
          until the next `flush`. This includes points that are already waiting, unless an earlier
          call set other values: in that case, those points get the earlier values.

        If any value is invalid, nothing is recorded. Costs a few microseconds per value.

        Args:
            epoch: a number as for `Run.log_metric`; None leaves the epoch unset.
            step: any 64-bit integer except -2**63; None leaves the step unset.
            groups: for each group, a mapping of metric names to values, as for `Run.log_metric`.

        Raises:
            InvalidMetricError: a group is empty or not a mapping, or a value is invalid.
            InvalidArgumentError: the epoch or step is invalid.
            RunClosedError: the run has ended.
        """
        place = (validate_step(step), validate_epoch(epoch))
        rows = []
        for name, fields in groups.items():
            if not isinstance(fields, Mapping):
                raise InvalidMetricError(
                    f"group {name!r} must be a mapping of names to values, not {fields!r:.80}"
                )
            group = self(name)
            rows.append((group, group._check_point(fields)))
        self._run._open_writer()
        with self._lock:
            if place != (None, None) and not rows:
                if self._place not in ((None, None), place):
                    self._fill()
                self._place = place
            for group, row in rows:
                if place == (None, None):
                    self._log(group, row)
                else:
                    steps = (row.step, place[0], self._place[0])
                    epochs = (row.epoch, place[1], self._place[1])
                    self._write(
                        group, [row._replace(step=_first_given(steps), epoch=_first_given(epochs))]
                    )
        return self

    def flush(self) -> None:
        """Give the waiting points the epoch and step set by `log`, and then reset both values.

        When the run ends, provml fills in the remaining points in the same way. If `log` has set no
        epoch or step, the points remain without an epoch or step.

        Raises:
            RunClosedError: the run has ended.
        """
        self._run._open_writer()
        with self._lock:
            self._fill()
            self._place = (None, None)

    def _fill(self) -> None:
        step, epoch = self._place
        paths: dict[tuple[str, ...], None] = {}
        while self._pending:
            point = self._pending.popleft()
            if point.lacks_epoch:
                paths[point.path] = None
            for slot in point.slots:
                fill_in(
                    slot, step if point.lacks_step else None, epoch if point.lacks_epoch else None
                )
        if isinstance(epoch, PartialEpoch):
            for path in paths:
                key: SeriesKey = ("metric", EPOCH_METRIC, path, None, "f64")
                self._run._open_writer().sample(key, self._time_ns(), step, epoch, epoch.exact)

    def _log(self, group: MetricGroup, row: _CheckedPoint) -> None:
        """Write a point. If the step or epoch is missing, `_fill` adds it later."""
        with self._lock:
            slots: list[Slot] = []
            self._write(group, [row], slots)
            if row.step is not None and row.epoch is not None:
                return
            self._pending.append(
                _PendingPoint(group._path, slots, row.step is None, row.epoch is None)
            )
            if len(self._pending) > _MOST_PENDING:
                self._pending.popleft()
                if not self._warned:
                    self._warned = True
                    warn_without_raising(
                        f"more than {_MOST_PENDING:,} points are waiting for an epoch, so the "
                        "oldest will not get one: call run.metrics.flush() after each epoch"
                    )

    def _write(
        self, group: MetricGroup, rows: list[_CheckedPoint], slots: list[Slot] | None = None
    ) -> int:
        """Write points, each with a unique time; return the index of the first point."""
        writer = self._run._open_writer(group._given)
        with self._lock:
            first = group._count(len(rows))
            for row in rows:
                time_ns = self._time_ns()
                for key, value in row.values:
                    writer.sample(key, time_ns, row.step, row.epoch, value, slots)
            return first

    def _time_ns(self) -> int:
        """Return the current time; no two calls return the same time."""
        time_ns = time.time_ns()
        if time_ns == self._last_ns:
            time_ns += 1
        self._last_ns = time_ns
        return time_ns

    def finish(self) -> None:
        """Record the remaining summaries and fill in the waiting points, at the end of the run."""
        with self._lock:
            for group in self._groups.values():
                group.summary_cache._finish()
            self._fill()

    def forget(self) -> None:
        """Reset the state in a forked child: the waiting points belong to the parent."""
        self._lock = threading.RLock()
        self._pending = deque()
        self._place = (None, None)
        for group in self._groups.values():
            group._forget()


def _first_given(given: Iterable[int | None]) -> int | None:
    return next((one for one in given if one is not None), None)


class MetricGroup:
    """The metrics of one context, for example ``run.metrics("train")``.

    Each point of a group has an index: 0, 1, 2, ... A resumed run continues the numbering. If
    several processes log at the same time, `append` may return the same index in two processes,
    because each process counts only the points that it knows of. `read` returns the points process
    by process, and numbers them in this order.

    Attributes:
        summary_cache: the cache of values to summarise later.
    """

    def __init__(self, metrics: Metrics, path: tuple[str, ...]) -> None:
        self._metrics = metrics
        self._path = path
        self._given: Context | str = ""  # the group, as the last caller named it
        self._next: int | None = None
        self._pages: PointPages | None = None
        self.summary_cache = SummaryCache(self)

    def __repr__(self) -> str:
        return f"<provml.MetricGroup {'/'.join(self._path)}>"

    def log(self, /, **fields: Any) -> MetricGroup:
        """Record a point whose epoch and step may be set later.

        The values are recorded immediately. The epoch and step come from a call to `Metrics.log`,
        before or after this call; `Metrics.flush` adds them to the recorded point. Costs a few
        microseconds per value.

        Args:
            fields: metric names and values; ``epoch`` and ``step`` apply to this point only.

        Raises:
            InvalidMetricError: the point has no value, or a value is invalid; nothing is recorded.
            InvalidArgumentError: the epoch or step is invalid.
            RunClosedError: the run has ended.
        """
        row = self._check_point(fields)
        self._metrics._log(self, row)
        return self

    def append(self, /, **fields: Any) -> AppendedPoint:
        """Record a point and return its index. The epoch and step are not filled in later.

        The arguments, the cost and the exceptions are the same as for `log`.
        """
        from provml.base.results import AppendedPoint

        return AppendedPoint(self._metrics._write(self, [self._check_point(fields)]))

    def append_batch(self, points: Iterable[Mapping[str, Any]]) -> AppendedBatch:
        """Record several points. If any point is invalid, nothing is recorded.

        Costs a few microseconds per value.

        Args:
            points: one mapping for each point, with the fields that `append` takes.

        Raises:
            InvalidMetricError: `points` is not a list of mappings, a point has no value, or a value
                is invalid.
            InvalidArgumentError: an epoch or step is invalid.
            RunClosedError: the run has ended.
        """
        if isinstance(points, (Mapping, str, bytes)) or not isinstance(points, Iterable):
            raise InvalidMetricError(
                f"append_batch takes a list of mappings, not {type(points).__name__}: "
                f"{points!r:.80}"
            )
        rows = []
        for number, point in enumerate(points):
            if not isinstance(point, Mapping):
                raise InvalidMetricError(f"point {number} is not a mapping: {point!r:.80}")
            try:
                rows.append(self._check_point(point))
            except (InvalidArgumentError, InvalidMetricError) as error:
                raise type(error)(f"point {number}: {error}") from None
        start = self._metrics._write(self, rows)
        from provml.base.results import AppendedBatch

        return AppendedBatch(len(rows), start, start + len(rows) - 1)

    def read(self, start_index: int = 0, limit: int = 1000) -> PointPage:
        """Return a page of the group's points, including points that wait for an epoch.

        You can also call `read` after the run has ended. The first call costs one pass over the
        run's samples. A later call reads only the requested page and the samples that were added
        since. Imports numpy.

        Args:
            start_index: the index of the first point to return.
            limit: the maximum number of points to return, up to a million.

        Raises:
            InvalidArgumentError: an argument is not a non-negative int, or the limit is too large.
        """
        from provml.journal.point_pages import PointPages
        from provml.journal.reader import Journal

        if self._pages is None:
            self._pages = PointPages(self._path)
        return self._pages.read(Journal(self._metrics._run.path), start_index, limit)

    def flush(self) -> None:
        """Fill in the waiting points of all groups; see `Metrics.flush`."""
        self._metrics.flush()

    def _check_point(
        self, fields: Mapping[str, Any], role: ExtraFields = ROW_ROLE
    ) -> _CheckedPoint:
        """Check and encode a point's fields.

        Raises InvalidMetricError or InvalidArgumentError if a field is invalid.
        """
        step, epoch = validate_step(fields.get("step")), validate_epoch(fields.get("epoch"))
        values: list[tuple[SeriesKey, Any]] = []
        if "of" in fields:
            raise InvalidArgumentError(
                "a metric group does not take of=: use run.log_metric(name, value, context, "
                f"of={fields['of']!r:.80})"
            )
        for name, value in fields.items():
            if name not in ("step", "epoch"):
                values.append(self._encode_field(name, value, role))
        if not values:
            raise InvalidMetricError(
                f"a point of group {self._path[-1]!r} needs at least one value: {fields!r}"
            )
        return _CheckedPoint(step, epoch, values)

    def _encode_field(self, name: str, value: object, role: ExtraFields) -> tuple[SeriesKey, Any]:
        own_name = validate_metric_name(name)
        storage, stored = encode_value(own_name, value)
        return ("metric", own_name, self._path, None, storage, role), stored

    def _count(self, points: int) -> int:
        """Reserve indices for this many points; return the first index."""
        if self._next is None:
            self._next = self._count_before()
        first = self._next
        self._next += points
        return first

    def _count_before(self) -> int:
        """Return the number of points that earlier or other processes of the run have recorded."""
        from provml.journal.point_pages import PointPages
        from provml.journal.reader import Journal

        journal = Journal(self._metrics._run.path)
        if len(journal.writers) < 2:
            return 0
        return PointPages(self._path).read(journal, 0, 0).total

    def _forget(self) -> None:
        self._next = None
        self.summary_cache._forget()

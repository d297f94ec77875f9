"""Metrics by groups: points whose epoch comes later, batches of points, summaries of many values.

A point is on the disk when its call returns: what is pending of it is only the epoch and the step,
which `samples.fill_in` puts into the record once they are known. Stands on the recorder and the
journal; reads by `history`.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol, SupportsIndex

from provml.base.context import Context, group_path
from provml.errors import InvalidArgumentError, InvalidMetricError
from provml.journal.sample_files import Slot, fill_in
from provml.journal.writer import ExtraFields, SeriesKey, warn
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
    from provml.journal.writer import AbsentWriter, JournalWriter

_MOST_PENDING: Final = 200_000


class _CheckedPoint(NamedTuple):
    """One point, checked: where it belongs, and its values with their series."""

    step: int | None
    epoch: int | None
    values: list[tuple[SeriesKey, Any]]


class _PendingPoint(NamedTuple):
    """A point that lacks its step or its epoch, and where it stands."""

    slots: list[Slot]
    lacks_step: bool
    lacks_epoch: bool


class MetricsHost(Protocol):
    """What this module needs of a run."""

    path: Path

    def _open_writer(self, context: Context | str | None = None) -> JournalWriter | AbsentWriter:
        """Return the writer of this process. Raises RunClosedError."""


class Metrics:
    """A run's metrics by groups; `Run.metrics`. Safe to use from any thread.

    A group is a context: ``run.metrics("train")``, or ``run.metrics["train"]``, is the group of
    `Context.TRAINING`. `Context` lists the words for the standard contexts; any other name is a
    context of that name. ``epoch`` and ``step`` are never names of metrics here.
    """

    def __init__(self, run: MetricsHost) -> None:
        """Not for users: `Run.metrics` is one."""
        self._run = run
        self._groups: dict[tuple[str, ...], MetricGroup] = {}
        self._last_ns = 0
        self._lock = threading.RLock()
        self._pending: deque[_PendingPoint] = deque()
        self._place: tuple[int | None, int | None] = (None, None)
        self._warned = False

    def __call__(self, group: str | Context) -> MetricGroup:
        """The group of a name.

        Raises InvalidArgumentError where that is no Unicode text.
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
        epoch: SupportsIndex | None = None,
        step: SupportsIndex | None = None,
        **groups: Mapping[str, Any],
    ) -> Metrics:
        """Record a point in each group, ``train={"loss": 0.5}``, or say where others belong.

        With groups, the epoch and step are those of these points alone. Without, they hold for what
        groups log before and after, up to the next `flush`; another epoch or step flushes first
        what is pending under the one before. If one value is refused, none is recorded. Costs some
        microseconds a value.

        Args:
            epoch: 0 to 2**31 - 1; None: not said.
            step: any integer of 64 bits (but -2**63); None: not said.
            groups: names and values for each group, as `Run.log_metric` takes them.

        Raises:
            InvalidMetricError: a group that is no mapping or is empty, or a value that is refused.
            InvalidArgumentError: a bad epoch or step.
            RunClosedError: the run has ended.
        """
        place = (validate_step(step), validate_epoch(epoch))
        rows = []
        for name, fields in groups.items():
            if not isinstance(fields, Mapping):
                raise InvalidMetricError(
                    f"group {name!r} must be a mapping of names to values: {fields!r:.80}"
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
        """Give all that is pending the epoch and step that `log` said; they hold no longer.

        What is pending at the run's end is recorded without those that were never said.

        Raises RunClosedError where the run has ended.
        """
        self._run._open_writer()
        with self._lock:
            self._fill()
            self._place = (None, None)

    def _fill(self) -> None:
        step, epoch = self._place
        while self._pending:
            point = self._pending.popleft()
            for slot in point.slots:
                fill_in(
                    slot, step if point.lacks_step else None, epoch if point.lacks_epoch else None
                )

    def _log(self, group: MetricGroup, row: _CheckedPoint) -> None:
        """Write a point that waits for what it lacks."""
        with self._lock:
            slots: list[Slot] = []
            self._write(group, [row], slots)
            if row.step is not None and row.epoch is not None:
                return
            self._pending.append(_PendingPoint(slots, row.step is None, row.epoch is None))
            if len(self._pending) > _MOST_PENDING:
                self._pending.popleft()
                if not self._warned:
                    self._warned = True
                    warn(
                        f"more than {_MOST_PENDING:,} points wait for their epoch: the oldest stay "
                        "without one; call run.metrics.flush() after each epoch"
                    )

    def _write(
        self, group: MetricGroup, rows: list[_CheckedPoint], slots: list[Slot] | None = None
    ) -> int:
        """Write points, each at a time of its own; the index of the first."""
        writer = self._run._open_writer(group._given)
        with self._lock:
            first = group._count(len(rows))
            for row in rows:
                time_ns = self._time_ns()
                for key, value in row.values:
                    writer.sample(key, time_ns, row.step, row.epoch, value, slots)
            return first

    def _time_ns(self) -> int:
        """Now; never twice the same, as points are told apart by their times."""
        time_ns = time.time_ns()
        if time_ns == self._last_ns:
            time_ns += 1
        self._last_ns = time_ns
        return time_ns

    def finish(self) -> None:
        """Record what was stored and not summarised; for the run's end."""
        with self._lock:
            for group in self._groups.values():
                group.summary_cache._finish()
            self._fill()

    def forget(self) -> None:
        """Begin anew in a forked child: what is pending is its parent's."""
        self._lock = threading.RLock()
        self._pending = deque()
        self._place = (None, None)
        for group in self._groups.values():
            group._forget()


def _first_given(given: Iterable[int | None]) -> int | None:
    return next((one for one in given if one is not None), None)


class MetricGroup:
    """The metrics of one context; ``run.metrics("train")``.

    Its points have an index, 0, 1, 2, ..., which goes on where the run is resumed. Where several
    processes log at once, each is told what it knows of; `read` has one process's points after
    another's.

    Attributes:
        summary_cache: values to be summarised.
    """

    def __init__(self, metrics: Metrics, path: tuple[str, ...]) -> None:
        self._metrics = metrics
        self._path = path
        self._given: Context | str = ""  # as the last caller named the group
        self._next: int | None = None
        self.summary_cache = SummaryCache(self)

    def __repr__(self) -> str:
        return f"<provml.MetricGroup {'/'.join(self._path)}>"

    def log(self, /, **fields: Any) -> MetricGroup:
        """Record a point whose epoch and step, where it has none, come later.

        `Metrics.log` says them, before or after, and `Metrics.flush` gives them to what is pending.
        Costs some microseconds a value; the point is recorded at once.

        Args:
            fields: names and values; ``epoch`` and ``step`` say where it belongs.

        Raises:
            InvalidMetricError: no value, or one that is refused; then nothing is recorded.
            InvalidArgumentError: a bad epoch or step.
            RunClosedError: the run has ended.
        """
        row = self._check_point(fields)
        self._metrics._log(self, row)
        return self

    def append(self, /, **fields: Any) -> AppendedPoint:
        """Record a point as it is; its ``index``.

        Args, costs and raises as `log`.
        """
        from provml.base.results import AppendedPoint

        return AppendedPoint(self._metrics._write(self, [self._check_point(fields)]))

    def append_batch(self, points: Iterable[Mapping[str, Any]]) -> AppendedBatch:
        """Record points, each a mapping as `append` takes fields; if one is refused, none is.

        Costs some microseconds a value.

        Returns:
            ``count``, and ``start_index`` and ``end_index``: the first point's and the last's.

        Raises:
            InvalidMetricError: not several mappings, one without a value, a value that is refused.
            InvalidArgumentError: a bad epoch or step.
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
                raise InvalidMetricError(f"point {number} is no mapping: {point!r:.80}")
            try:
                rows.append(self._check_point(point))
            except (InvalidArgumentError, InvalidMetricError) as error:
                raise type(error)(f"point {number}: {error}") from None
        start = self._metrics._write(self, rows)
        from provml.base.results import AppendedBatch

        return AppendedBatch(len(rows), start, start + len(rows) - 1)

    def read(self, start_index: int = 0, limit: int = 1000) -> PointPage:
        """Points by their index, also those that wait for their epoch; the run may have ended.

        Costs a pass over the run's samples; imports numpy.

        Args:
            start_index: the first one's index.
            limit: how many at most, up to a million.

        Returns:
            ``data``: a list of ``{"index": ..., "data": {...}}``; ``total``: how many points there
            are; ``has_more``: whether there are some after these.

        Raises:
            InvalidArgumentError: an argument that is no int of 0 or more, or too large a limit.
        """
        from provml.journal.history import read_points
        from provml.journal.reader import Journal

        return read_points(Journal(self._metrics._run.path), self._path, start_index, limit)

    def flush(self) -> None:
        """`Metrics.flush`, of all groups."""
        self._metrics.flush()

    def _check_point(
        self, fields: Mapping[str, Any], role: ExtraFields = ROW_ROLE
    ) -> _CheckedPoint:
        """A point as it is written. Raises InvalidMetricError, InvalidArgumentError."""
        step, epoch = validate_step(fields.get("step")), validate_epoch(fields.get("epoch"))
        values: list[tuple[SeriesKey, Any]] = []
        if "of" in fields:
            raise InvalidArgumentError(
                "a group's points are of no model: use run.log_metric(name, value, context, "
                f"of={fields['of']!r:.80})"
            )
        for name, value in fields.items():
            if name not in ("step", "epoch"):
                values.append(self._encode_field(name, value, role))
        if not values:
            raise InvalidMetricError(
                f"a point of group {self._path[-1]!r} has no value: {fields!r}"
            )
        return _CheckedPoint(step, epoch, values)

    def _encode_field(self, name: str, value: object, role: ExtraFields) -> tuple[SeriesKey, Any]:
        own_name = validate_metric_name(name)
        storage, stored = encode_value(own_name, value)
        return ("metric", own_name, self._path, None, storage, role), stored

    def _count(self, points: int) -> int:
        """The index of the next point; so many are taken from there."""
        if self._next is None:
            self._next = self._count_before()
        first = self._next
        self._next += points
        return first

    def _count_before(self) -> int:
        """How many points other processes, or the run before it was resumed, have recorded."""
        from provml.journal.history import read_points
        from provml.journal.reader import Journal

        journal = Journal(self._metrics._run.path)
        if len(journal.writers) < 2:
            return 0
        return read_points(journal, self._path, 0, 0).total

    def _forget(self) -> None:
        self._next = None
        self.summary_cache._forget()

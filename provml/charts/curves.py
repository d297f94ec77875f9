"""Reads series as curves, which are columns of numbers.

A curve with too many points to draw is thinned. Imports numpy only when needed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from math import nan
from typing import TYPE_CHECKING, Any, Final

from provml.charts.stretches import POINTS
from provml.charts.thinning import find_starts, insert_gaps, select_points
from provml.charts.writer_samples import to_number
from provml.model.followed_run import Completion
from provml.model.series import Block, RunSeries, SeriesTable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]

AXES: Final = ("step", "epoch", "time")
"""The possible horizontal axes of a curve. Time is in seconds since the run's start."""

_PENDING: Final = 1 << 18
_FARTHEST: Final = 1e300
"""Values are clipped to this limit, so that axis ticks above the highest value stay finite."""
_NS_PER_S: Final = 1_000_000_000


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """The samples of a series as float64 columns of equal length, in the order of recording.

    Attributes:
        count: the number of samples in the series. The columns of a thinned curve are shorter.
        step, epoch, time: the position of each sample on the axis of this name; NaN if the sample
            has no position on this axis.
        value: the value of each sample; NaN if the value is not a finite number.
        unplaced: for each axis, the number of samples that have no position on the axis.
    """

    series: RunSeries
    count: int
    unplaced: dict[str, int]
    step: Numbers
    epoch: Numbers
    time: Numbers
    value: Numbers

    @property
    def thinned(self) -> bool:
        """Whether the curve has fewer points than the series has samples."""
        return len(self.value) < self.count

    def axes(self) -> list[str]:
        """Return the axes on which at least one sample has a position, in the order of `AXES`."""
        import numpy as np

        return [name for name in AXES if np.isfinite(getattr(self, name)).any()]

    def over(self, axis: str) -> tuple[Numbers, Numbers]:
        """Return the positions of the samples on an axis, and the values of the samples.

        Where the position decreases, a NaN value is inserted, so that the line is interrupted.
        """
        import numpy as np

        x: Numbers = getattr(self, axis)
        placed = np.isfinite(x)
        x, y = x[placed], self.value[placed]
        return insert_gaps(x, y)


class CurveBuilder:
    """Collects the samples of one series, and thins them if there are too many.

    Thinning divides the samples into stretches of the same length, and keeps the first, last,
    lowest and highest sample of each stretch.
    """

    def __init__(self, points: int) -> None:
        """Prepare to collect samples for a curve.

        Args:
            points: the maximum number of points in the curve of one process.
        """
        self._count = 0
        self._unplaced = dict.fromkeys(AXES, 0)
        self._points = points
        self._length = 1
        self._pending = 0
        self._parts: list[Any] = []

    def take(self, block: Block, started_ns: int) -> None:
        """Add a block of samples. Thins the collected samples if there are too many.

        Args:
            block: the samples.
            started_ns: the start of the time axis, in nanoseconds since the epoch.
        """
        rows = _block_columns(block, started_ns)
        self._count_unplaced(rows)
        self._parts.append(rows)
        self._pending += rows.shape[1]
        self._count += rows.shape[1]
        if self._pending > _PENDING:
            self._parts = [self._thinned(4 * self._points)]
            self._pending = 0

    def complete(self, completion: Completion, started_ns: int) -> None:
        """Fill in the step or epoch of samples that were added earlier."""
        import numpy as np

        new = _block_columns(completion.block, started_ns)
        self._unplaced["step"] -= new.shape[1] * completion.lacked_step
        self._unplaced["epoch"] -= new.shape[1] * completion.lacked_epoch
        self._count_unplaced(new)
        for rows in self._parts:
            own = rows[0] == completion.block.writer
            places = np.flatnonzero(own & np.isin(rows[1], new[1]))
            order = np.argsort(new[1])
            found = order[np.searchsorted(new[1], rows[1, places], sorter=order)]
            rows[2:, places] = new[2:, found]

    def _count_unplaced(self, rows: Any) -> None:
        import numpy as np

        for axis, positions in zip(AXES, rows[2:5], strict=True):
            self._unplaced[axis] += int(np.count_nonzero(np.isnan(positions)))

    def build(self, series: RunSeries) -> Curve:
        """Return the curve of the samples that were added so far."""
        rows = self._thinned(self._points)
        self._parts, self._pending = [rows], 0
        return Curve(series, self._count, dict(self._unplaced), *rows[2:])

    def _thinned(self, most: int) -> Any:
        rows = _sort_rows(self._parts)
        while rows.shape[1] > most:
            # all stretches have the same length, so the whole curve has the same level of detail
            self._length *= 2
            if POINTS * self._count > most * self._length:
                continue  # stretches of this length would leave too many points
            starts = find_starts(rows[0], rows[1] // self._length)
            rows = rows[:, select_points(rows[5], starts)]
            if self._length > 2 * self._count:
                break  # each process now has a single stretch, so nothing more can be removed
        return rows


def read_curves(
    table: SeriesTable, chosen: Iterable[RunSeries], started_ns: int, points: int
) -> list[Curve]:
    """Read the curves of the chosen series, and return them in the order of `chosen`.

    Reads the samples once, for any number of series. Memory use does not grow with the
    number of samples.

    Args:
        started_ns: the start of the time axis, in nanoseconds since the epoch.
        points: the maximum number of points in the curve of one process. A longer curve is thinned
            to the first, last, lowest and highest sample of each stretch.
    """
    wanted = list(chosen)
    gathered = {series.index: CurveBuilder(points) for series in wanted}
    for block in table.blocks():
        own = gathered.get(block.series.index)
        if own is not None:
            own.take(block, started_ns)
    return [gathered[series.index].build(series) for series in wanted]


def join_readings(curves: Iterable[Curve], readings: Collection[str]) -> list[Curve]:
    """Join the curves that a reading has in several contexts into one curve, ordered by time.

    Args:
        readings: the kinds of series that contain readings. Other curves stay as they are.
    """
    import numpy as np

    found: dict[Any, list[Curve]] = defaultdict(list)
    for curve in curves:
        series = curve.series
        is_reading = series.kind in readings
        key = (series.kind, series.name, series.rank, series.of) if is_reading else id(curve)
        found[key].append(curve)
    joined: list[Curve] = []
    for own in found.values():
        first = own[0]
        if len(own) > 1:
            order = np.argsort(np.concatenate([curve.time for curve in own]), kind="stable")
            columns = (
                np.concatenate([getattr(curve, name) for curve in own])[order]
                for name in (*AXES, "value")
            )
            unplaced = {axis: sum(curve.unplaced[axis] for curve in own) for axis in AXES}
            count = sum(curve.count for curve in own)
            first = Curve(first.series, count, unplaced, *columns)
        joined.append(first)
    return joined


def _block_columns(block: Block, started_ns: int) -> Any:
    """Convert a block to an array with the rows writer, number, step, epoch, time and value."""
    import numpy as np

    rows = np.full((6, len(block.time_ns)), np.nan)
    rows[0] = block.writer
    rows[1] = block.number
    if block.step is not None:
        rows[2] = block.step
    if block.epoch is not None:
        rows[3] = block.epoch
    rows[4] = (block.time_ns - started_ns) / _NS_PER_S
    values: Any = block.values
    if isinstance(values, list):
        values = [nan if n is None else n for n in map(to_number, values)]
    rows[5] = values
    rows[5][~np.isfinite(rows[5])] = np.nan
    rows[5] = rows[5].clip(-_FARTHEST, _FARTHEST)
    return rows


def _sort_rows(parts: list[Any]) -> Any:
    import numpy as np

    if not parts:
        return np.empty((6, 0))
    rows = np.concatenate(parts, axis=1)
    order = np.lexsort((rows[1], rows[0]))
    return rows[:, order]

"""Reads the points of a series that are needed to draw a curve on a given number of pixels.

Imports only other modules of `charts` from provml; imports numpy only when needed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from provml.charts.stretches import STRETCH
from provml.charts.thinning import CurveThinner, PixelGrid, insert_gaps
from provml.charts.writer_samples import WriterSamples
from provml.charts.writer_series import WriterSeries
from provml.journal import layout

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]

SCALES: Final = ("step", "epoch", "time", "wall")
"""The possible horizontal axes. ``time`` is in seconds since the run's start, and ``wall`` is in
seconds since 1970-01-01T00:00:00Z."""

_ROWS: Final = 16_384
_NS_PER_S: Final = 1_000_000_000
_MISSING: Final = {"step": layout.NO_STEP, "epoch": layout.NO_EPOCH}

Part = tuple[WriterSamples, WriterSeries]
"""A series in the files of one writer: the writer's samples, and the summaries of the series."""


class Scale(NamedTuple):
    """A horizontal axis.

    Attributes:
        name: one of `SCALES`.
        started_ns: the start of the run, in nanoseconds since the epoch.
    """

    name: str
    started_ns: int

    @property
    def column(self) -> str:
        """The name of the field that contains the positions of a sample."""
        return self.name if self.name in _MISSING else "time"

    @property
    def missing(self) -> int | None:
        """The value of a missing position; None if every sample has a position."""
        return _MISSING.get(self.name)

    def convert(self, positions: Any) -> Numbers:
        """Convert recorded positions to positions on the axis."""
        import numpy as np

        if self.name in _MISSING:
            return np.asarray(positions, np.float64)
        if self.name == "wall":
            return np.asarray(positions / _NS_PER_S, np.float64)
        return np.asarray((positions - self.started_ns) / _NS_PER_S, np.float64)


class ReadBudget:
    """Limits how many records may be read to find the pixels of the samples in a stretch."""

    def __init__(self, records: int) -> None:
        self._left = records

    def spend(self, records: int) -> bool:
        """Return whether this many records may still be read, and if so, subtract their number."""
        if records > self._left:
            return False
        self._left -= records
        return True


@dataclass(slots=True, eq=False)
class PixelCurve:
    """The points that are needed to draw a curve on a grid of pixels.

    Attributes:
        x, y: the positions and values; a NaN value interrupts the line.
        count: the number of samples of the series.
        in_range: the number of samples on the grid.
        unplaced: the number of samples without a position on the axis.
        marks: the positions and values of points that are NaN or infinite.
        mark_count: the number of samples on the grid that are NaN or infinite.
        is_thinned: whether samples on the grid were left out.
        is_scattered: whether the points are sorted by position, because the positions go back too
            often to draw the points in the order of recording.
        sums, numbers: for each pixel, the sum and the number of the finite values.
    """

    x: Numbers
    y: Numbers
    count: int
    in_range: int
    unplaced: int
    marks: list[tuple[float, float]]
    mark_count: int
    is_thinned: bool
    is_scattered: bool
    sums: Numbers
    numbers: Numbers


def find_extent(parts: Iterable[Part], scale: Scale) -> tuple[float, float] | None:
    """Return the lowest and highest position of series on an axis; None if no sample has one."""
    import numpy as np

    found: list[float] = []
    for writer, series in parts:
        ranges = [series.find_range(scale.column)]
        positions = _placed(writer.read_tail(series), scale)[scale.column]
        if len(positions):
            ranges.append((int(positions.min()), int(positions.max())))
        for own in ranges:
            if own is not None:
                found += scale.convert(np.array(own, np.int64)).tolist()
    return (min(found), max(found)) if found else None


def _placed(samples: Any, scale: Scale) -> Any:
    """Return the samples that have a position on an axis."""
    if scale.missing is None:
        return samples
    return samples[samples[scale.column] != scale.missing]


def read_pixel_curve(
    parts: Iterable[Part], scale: Scale, grid: PixelGrid, budget: ReadBudget
) -> PixelCurve:
    """Read the points of a series that are needed to draw a curve on a grid of pixels.

    Each pixel keeps its first, last, lowest and highest sample, and one NaN, infinity and negative
    infinity. If a stretch lies within one pixel, its summary is enough. The samples of other
    stretches are read from the samples file, as long as the budget allows. After that, the
    summaries of these stretches are used. The points in a summary have exact positions, so the
    lowest and highest sample of a stretch are never lost.

    Args:
        parts: the parts of the series from all writers, in the order in which the writers started.
        scale: the horizontal axis.
        grid: the pixels.
        budget: limits the number of records that are read.
    """
    reader = _CurveReader(scale, grid, budget)
    for part in parts:
        reader.add(*part)
    return reader.finish()


class _CurveReader:
    def __init__(self, scale: Scale, grid: PixelGrid, budget: ReadBudget) -> None:
        import numpy as np

        self._scale = scale
        self._grid = grid
        self._budget = budget
        self._thinner = CurveThinner(grid, keep_all_up_to=grid.pixels)
        self._count = self._in_range = self._unplaced = self._odd = 0
        self._sums = np.zeros(grid.pixels)
        self._numbers = np.zeros(grid.pixels)

    def add(self, writer: WriterSamples, series: WriterSeries) -> None:
        """Add the samples of one writer."""
        self._count += series.count
        for first in range(0, series.row_count, _ROWS):
            self._add_rows(writer, series, first, series.read_rows(first, first + _ROWS))
        tail = writer.read_tail(series)
        placed = _placed(tail, self._scale)
        self._unplaced += len(tail) - len(placed)
        x, y = self._scale.convert(placed[self._scale.column]), placed["value"]
        self._count_samples(x, y)
        self._thinner.add(x, y.copy())

    def _add_rows(self, writer: WriterSamples, series: WriterSeries, first: int, rows: Any) -> None:
        import numpy as np

        column, count = self._scale.column, self._grid.pixels
        low = self._scale.convert(rows[f"{column}_low"])
        high = self._scale.convert(rows[f"{column}_high"])
        lacking = np.zeros(len(rows), np.int64)
        if self._scale.missing is not None:
            lacking = rows[f"{column}less"].astype(np.int64)
        self._unplaced += int(lacking.sum())
        pixel, last_pixel = self._grid.find_pixels(low), self._grid.find_pixels(high)
        is_inside = (pixel >= 0) & (last_pixel < count)
        is_outside = (pixel == last_pixel) & ~is_inside
        blank = lacking == STRETCH
        whole = (pixel == last_pixel) & (lacking == 0)
        if STRETCH * int(np.count_nonzero(~is_outside & ~blank)) <= 2 * count:
            whole &= is_outside  # there are so few samples that all are drawn
        divided = ~blank & ~whole
        read = self._choose_rows(rows, divided, is_inside)
        used = ~blank & ~read
        side = np.where(used & ~is_inside & (pixel == last_pixel), pixel, 0)
        # of consecutive stretches on the same side of the grid, only the first and last are needed
        used[1:-1] &= (side[1:-1] >= 0) | (side[1:-1] != side[:-2]) | (side[1:-1] != side[2:])
        inside = used & is_inside
        self._in_range += int((STRETCH - lacking)[inside].sum())
        self._odd += int(rows["odd"][inside].sum())
        with np.errstate(over="ignore", invalid="ignore"):
            self._sums += np.bincount(pixel[inside], rows["total"][inside], count)
        self._numbers += np.bincount(pixel[inside], STRETCH - rows["odd"][inside], count)
        keys, x, y = self._points_of(series, first, rows, used)
        if read.any():
            read_keys, samples = _read_samples(writer, series, first, rows, read)
            placed = np.ones(len(samples), bool)
            if self._scale.missing is not None:
                placed = samples[column] != self._scale.missing
            own_x = self._scale.convert(samples[column][placed])
            own_y = samples["value"][placed]
            self._count_samples(own_x, own_y)
            keys = np.concatenate([keys, read_keys[placed]])
            x, y = np.concatenate([x, own_x]), np.concatenate([y, own_y])
        order = np.argsort(keys, kind="stable")  # fast: the keys are few ascending runs
        keys = keys[order]
        # one sample may be two points of a stretch, for example both the first and the lowest
        order = order[np.append(True, keys[1:] != keys[:-1])] if len(keys) else order
        self._thinner.add(x[order], y[order])

    def _choose_rows(self, rows: Any, divided: Any, is_inside: Any) -> Any:
        """Return a mask of the stretches to read sample by sample."""
        import numpy as np

        kept = divided & (rows["kept"] >= 0)
        at_edge = divided & ~is_inside  # always read these, so that samples are counted exactly
        optional = divided & ~kept & ~at_edge
        spans = rows["last_slot"] - rows["first_slot"] + 1
        read = kept | at_edge
        if optional.any() and self._budget.spend(int(np.maximum(spans[optional], 0).sum())):
            read |= optional
        return read

    def _points_of(
        self, series: WriterSeries, first: int, rows: Any, used: Any
    ) -> tuple[Any, Any, Any]:
        """Return the keys, positions and values of the points in the chosen summaries."""
        import numpy as np

        column, missing = self._scale.column, self._scale.missing
        places = np.flatnonzero(used)
        keys = ((places + first) * STRETCH)[:, None] + rows["place"][places]
        positions, values = rows[column][places], rows["value"][places]
        keys, positions, values = keys.ravel(), positions.ravel(), values.ravel()
        marks = series.read_marks()
        begin, end = marks["row"].searchsorted([first, first + len(rows)])
        if end > begin:
            marks = marks[begin:end]
            marks = marks[used[marks["row"] - first]]
            keys = np.concatenate([keys, marks["row"] * STRETCH + marks["place"]])
            positions = np.concatenate([positions, marks[column]])
            values = np.concatenate([values, marks["value"]])
        if missing is not None:
            placed = positions != missing
            keys, positions, values = keys[placed], positions[placed], values[placed]
        return keys, self._scale.convert(positions), values

    def _count_samples(self, x: Numbers, y: Numbers) -> None:
        import numpy as np

        pixels = self._grid.find_pixels(x)
        inside = (pixels >= 0) & (pixels < self._grid.pixels)
        finite = np.isfinite(y) & inside
        self._in_range += int(np.count_nonzero(inside))
        self._odd += int(np.count_nonzero(inside & ~finite))
        with np.errstate(over="ignore", invalid="ignore"):
            self._sums += np.bincount(pixels[finite], y[finite], self._grid.pixels)
        self._numbers += np.bincount(pixels[finite], minlength=self._grid.pixels)

    def finish(self) -> PixelCurve:
        """Return the curve."""
        import numpy as np

        x, y = self._thinner.finish()
        inside = (x >= self._grid.start) & (x <= self._grid.end)
        odd = inside & ~np.isfinite(y)
        marks = list(zip(x[odd].tolist(), y[odd].tolist(), strict=True))
        is_thinned = int(np.count_nonzero(inside)) < self._in_range
        y = np.where(np.isfinite(y), y, np.nan)
        if not self._thinner.is_scattered:
            x, y = insert_gaps(x, y)
        return PixelCurve(
            x,
            y,
            self._count,
            self._in_range,
            self._unplaced,
            marks,
            self._odd,
            is_thinned,
            self._thinner.is_scattered,
            self._sums,
            self._numbers,
        )


def _read_samples(
    writer: WriterSamples, series: WriterSeries, first: int, rows: Any, read: Any
) -> tuple[Any, Any]:
    """Read the samples of the chosen stretches. Return their keys, and the samples."""
    import numpy as np

    kept = np.flatnonzero(read & (rows["kept"] >= 0))
    places = np.flatnonzero(read & (rows["kept"] < 0))
    keys: list[Any] = []
    found: list[Any] = []
    for place in kept.tolist():
        samples, _ = series.read_kept(int(rows["kept"][place]))
        found.append(samples)
        keys.append((first + place) * STRETCH + np.arange(len(samples)))
    if len(places):
        # consecutive stretches are read together
        breaks = np.flatnonzero(np.diff(places) > 1)
        begins = places[np.append(0, breaks + 1)]
        ends = places[np.append(breaks, len(places) - 1)]
        starts, stops = rows["first_slot"][begins].tolist(), rows["last_slot"][ends].tolist()
        samples, slots = writer.read_slots(series, list(zip(starts, stops, strict=True)))
        if len(samples) == STRETCH * len(places):
            owners = np.repeat(places, STRETCH)
            numbers = np.tile(np.arange(STRETCH), len(places))
        else:  # the file has changed since it was summarized
            lasts = np.ascontiguousarray(rows["last_slot"])
            owners = np.minimum(lasts.searchsorted(slots), len(rows) - 1)
            numbers = np.zeros(len(owners), np.int64)
        found.append(samples)
        keys.append((first + owners) * STRETCH + numbers)
    return np.concatenate(keys), np.concatenate(found)

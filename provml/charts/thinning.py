"""Thins curves: keeps the points that make a thinned curve look like the whole curve.

A curve is divided into stretches, such as the samples that fall on one pixel. Each stretch keeps
its first, last, lowest and highest sample, and its first NaN, infinity and negative infinity.
A line through these points covers the same pixels as a line through all samples.

Imports nothing else from provml; imports numpy only when needed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]
    Places = NDArray[np.intp]

_STRETCHES_PER_PIXEL: Final = 8
_PENDING: Final = 1 << 17


def select_points(values: Numbers, starts: Places) -> Places:
    """Return the indices of the values to keep, in ascending order.

    Keeps the first, last, lowest and highest value of each stretch, and its first NaN, infinity
    and negative infinity. Costs about 20 ms for a million values.

    Args:
        values: the values of all stretches, one stretch after another.
        starts: the index at which each stretch begins, in ascending order. The first index is 0.
    """
    import numpy as np

    if not len(values):
        return np.empty(0, np.intp)
    ends = np.append(starts[1:], len(values))
    finite = np.isfinite(values)
    is_finite = bool(finite.all())
    lows = values if is_finite else np.where(finite, values, np.inf)
    highs = values if is_finite else np.where(finite, values, -np.inf)
    lengths = ends - starts
    lowest = np.repeat(np.minimum.reduceat(lows, starts), lengths)
    highest = np.repeat(np.maximum.reduceat(highs, starts), lengths)
    kept = [starts, ends - 1]
    kept.append(_find_firsts((lows == lowest) & finite, starts, ends))
    kept.append(_find_firsts((highs == highest) & finite, starts, ends))
    if not is_finite:
        for mask in (np.isnan(values), np.isposinf(values), np.isneginf(values)):
            kept.append(_find_firsts(mask, starts, ends))
    return np.unique(np.concatenate(kept))


def find_starts(*columns: NDArray[np.generic]) -> Places:
    """Return the indices at which stretches begin: 0, and each row at which any column changes."""
    import numpy as np

    turns = [np.flatnonzero(column[1:] != column[:-1]) + 1 for column in columns]
    return np.unique(np.concatenate([np.zeros(1, np.intp), *turns]))


def _find_firsts(mask: NDArray[np.bool_], starts: Places, ends: Places) -> Places:
    """Return the index of the first True value in each stretch that has one."""
    import numpy as np

    found = np.flatnonzero(mask)
    if not len(found):
        return found
    nearest = found[np.minimum(np.searchsorted(found, starts), len(found) - 1)]
    return nearest[(nearest >= starts) & (nearest < ends)]


class PixelGrid(NamedTuple):
    """The pixels on a horizontal axis.

    Attributes:
        start: the position at which the first pixel begins.
        end: the position at which the last pixel ends. This position belongs to the last pixel.
        pixels: the number of pixels.
    """

    start: float
    end: float
    pixels: int

    def find_pixels(self, x: Numbers) -> NDArray[np.int32]:
        """Return the pixel of each position: -1 before the first pixel, `pixels` after the last."""
        import numpy as np

        # halve before subtracting, so that very large numbers do not overflow
        width = (self.end / 2 - self.start / 2) / self.pixels
        if not width > 0:
            found = np.zeros(len(x), np.int32)
        else:
            places = np.floor((x / 2 - self.start / 2) / width)
            found = np.clip(places, 0, self.pixels - 1).astype(np.int32)
        found[x < self.start] = -1
        found[x > self.end] = self.pixels
        return found


class CurveThinner:
    """Collects the points of one curve, and thins them to the pixels of a grid.

    Points can be added in parts of any size, in the order of recording. Memory depends on the
    number of pixels, not on the number of points.

    Attributes:
        is_scattered: whether the positions go back so often that the points can't be drawn in the
            order of recording. If so, the points are returned in the order of their positions.
    """

    def __init__(self, grid: PixelGrid, keep_all_up_to: int = 0) -> None:
        """Prepare to collect points.

        Args:
            grid: the pixels.
            keep_all_up_to: a curve of up to this many points is not thinned.
        """
        self.is_scattered = False
        self._grid = grid
        self._keep_all_up_to = keep_all_up_to
        self._parts: list[tuple[Numbers, Numbers]] = []
        self._pending = 0
        self._limit = _PENDING

    def add(self, x: Numbers, y: Numbers) -> None:
        """Add points. The positions must be finite; the values need not be."""
        if not len(x):
            return
        self._parts.append((x, y))
        self._pending += len(x)
        if self._pending > self._limit:
            x, y = self._thin(*self._joined())
            self._parts, self._pending = [(x, y)], len(x)
            self._limit = max(_PENDING, 2 * len(x))

    def finish(self) -> tuple[Numbers, Numbers]:
        """Return the positions and values of the thinned curve.

        The curve includes the neighbouring points outside the grid, so that the line reaches the
        edges of the chart. Call `insert_gaps` to interrupt the line where the position goes back.
        """
        import numpy as np

        x, y = self._joined()
        if self._pending > self._keep_all_up_to or self.is_scattered:
            x, y = self._thin(x, y)
        if self.is_scattered:
            order = np.argsort(x, kind="stable")
            x, y = x[order], y[order]
        shown = _find_shown(x, self._grid)
        return x[shown], y[shown]

    def _joined(self) -> tuple[Numbers, Numbers]:
        import numpy as np

        if not self._parts:
            return np.empty(0), np.empty(0)
        return np.concatenate([x for x, _ in self._parts]), np.concatenate(
            [y for _, y in self._parts]
        )

    def _thin(self, x: Numbers, y: Numbers) -> tuple[Numbers, Numbers]:
        import numpy as np

        if not len(x):
            return x, y
        pixels = self._grid.find_pixels(x)
        starts = find_starts(pixels)
        if len(starts) > _STRETCHES_PER_PIXEL * (self._grid.pixels + 2):
            self.is_scattered = True
        if not self.is_scattered:
            kept = select_points(y, starts)
        else:
            order = np.argsort(pixels, kind="stable")
            kept = np.sort(order[select_points(y[order], find_starts(pixels[order]))])
        return x[kept], y[kept]


def _find_shown(x: Numbers, grid: PixelGrid) -> NDArray[np.bool_]:
    """Return a mask of the points to draw: the points on the grid, and their neighbours outside."""
    inside: NDArray[np.bool_] = (x >= grid.start) & (x <= grid.end)
    if inside.all():
        return inside
    # the line between two points is visible if it touches the grid and its position does not go
    # back
    ahead = x[1:] >= x[:-1]
    crosses = (x[:-1] < grid.start) & (x[1:] > grid.end)
    seen = ahead & (inside[1:] | inside[:-1] | crosses)
    shown = inside.copy()
    shown[1:] |= seen
    shown[:-1] |= seen
    return shown


def insert_gaps(x: Numbers, y: Numbers) -> tuple[Numbers, Numbers]:
    """Insert a NaN value where the position goes back, so that the line is interrupted."""
    import numpy as np

    back = np.flatnonzero(x[1:] < x[:-1]) + 1
    return np.insert(x, back, x[back]), np.insert(y, back, np.nan)

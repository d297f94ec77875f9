"""Draws charts as text, with Braille dots or with rows of block characters.

Imports numpy only when needed.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

from provml.charts.selection import Chart

if TYPE_CHECKING:
    from provml.charts.curves import Numbers

Cell = tuple[str, int | None]
"""One character of a text chart, and the number of its colour (None for an empty cell)."""

_BLOCKS: Final = "▁▂▃▄▅▆▇█"
_BRAILLE: Final = 0x2800
_DOTS: Final = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))
_GAP: Final = " "


def spark(values: Numbers, width: int) -> str:
    """Draw values as a row of block characters.

    Each character stands for several consecutive values. A block shows the mean of the finite
    values; a space means that no value is finite.
    """
    import numpy as np

    width = min(width, len(values))
    if width < 1:
        return ""
    edges = np.linspace(0, len(values), width + 1).astype(int)
    parts = [values[start:end][np.isfinite(values[start:end])] for start, end in pairwise(edges)]
    # divide before summing, so that very large floats do not overflow
    means = [float((part / len(part)).sum()) if len(part) else None for part in parts]
    known = [mean for mean in means if mean is not None]
    if not known:
        return _GAP * width
    low, high = min(known), max(known)
    top = len(_BLOCKS) - 1
    return "".join(
        _GAP if m is None else _BLOCKS[round(_fraction(m, low, high) * top)] for m in means
    )


def dots(chart: Chart, log: bool, width: int, height: int) -> tuple[list[list[Cell]], Any, Any]:
    """Draw all lines of a chart with Braille characters, each of which has 2 by 4 dots.

    Args:
        log: whether to use a logarithmic vertical axis.
        width: the width of the chart in characters.
        height: the height of the chart in characters.

    Returns:
        A tuple of three items: the rows of cells from top to bottom, the range of the horizontal
        axis, and the range of the values. If there is nothing to draw, the list of rows is empty,
        and the ranges are None.
    """
    import numpy as np

    lines: list[tuple[int, Numbers, Numbers]] = []
    for line in chart.lines:
        x, y = chart.over(line)
        if log:
            with np.errstate(divide="ignore", invalid="ignore"):
                y = np.where(y > 0, np.log10(y), np.nan)
        if np.isfinite(y).any():
            lines.append((line.hue, x, y))
    if not lines:
        return [], None, None
    places = _extent([x for _, x, _ in lines])
    values = _extent([y for _, _, y in lines])
    cells = [[_BRAILLE] * width for _ in range(height)]
    hues: list[list[int | None]] = [[None] * width for _ in range(height)]
    for hue, x, y in lines:
        across, down = _marks(x, places, 2 * width), _marks(y, values, 4 * height)
        for column, row in _path(across, down):
            up = 4 * height - 1 - row
            cells[up // 4][column // 2] |= _DOTS[column % 2][up % 4]
            hues[up // 4][column // 2] = hue
    rows = [
        [(chr(cell) if cell > _BRAILLE else " ", hue) for cell, hue in zip(*both, strict=True)]
        for both in zip(cells, hues, strict=True)
    ]
    shown = (10 ** values[0], 10 ** values[1]) if log else values
    return rows, places, shown


def _extent(columns: list[Any]) -> tuple[float, float]:
    import numpy as np

    every = np.concatenate(columns)
    every = every[np.isfinite(every)]
    return float(every.min()), float(every.max())


def _fraction(value: float, low: float, high: float) -> float:
    """Return a value's position between two limits, from 0 to 1; 0.5 if the limits are equal."""
    return 0.5 if low == high else (value - low) / (high - low)


def _marks(values: Any, extent: tuple[float, float], size: int) -> list[int | None]:
    return [
        None if value != value else round(_fraction(value, *extent) * (size - 1))
        for value in values.tolist()
    ]


def _path(across: list[int | None], down: list[int | None]) -> set[tuple[int, int]]:
    """Return the dots of a line that connects points. A missing coordinate interrupts the line."""
    found: set[tuple[int, int]] = set()
    before: tuple[int, int] | None = None
    for x, y in zip(across, down, strict=True):
        if x is None or y is None:
            before = None
            continue
        from_x, from_y = before or (x, y)
        far = max(abs(x - from_x), abs(y - from_y), 1)
        for part in range(far + 1):
            found.add(
                (
                    from_x + round((x - from_x) * part / far),
                    from_y + round((y - from_y) * part / far),
                )
            )
        before = x, y
    return found

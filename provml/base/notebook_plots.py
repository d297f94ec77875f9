"""Draws small plots as images that notebooks show.

A plot is an SVG picture inside an ``img`` element, because notebooks that are not trusted remove
scripts, styles and ``svg`` elements, but keep images. All text is escaped. Imports only `base.text`
from provml, and imports numpy only when needed.
"""

from __future__ import annotations

import base64
import html
import math
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

from provml.base.text import printable

HUES: Final = ("#2f6fd6", "#d2601f", "#2a9455", "#9a55c4", "#c42f6c", "#158c9c", "#93791a")
"""The colours of the lines in a plot. They can be told apart on light and dark backgrounds."""

_INK: Final = "#808590"
_GRID: Final = "#80859055"
_FONT_PX: Final = 11
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 8, 22, 20
_LEGEND_PX: Final = 15
_CHARACTER_PX: Final = 6.2
_LONGEST_LABEL: Final = 60


class PlotLine(NamedTuple):
    """A line in a plot. A position or value that is not a finite number interrupts the line."""

    label: str
    x: Sequence[float]
    y: Sequence[float]


def build_plot_image(
    title: str, axis: str, lines: Sequence[PlotLine], width: int = 360, height: int = 180
) -> str:
    """Draw a plot with a title and axes, and return it as an HTML image.

    If there are several lines, the plot also has a legend. Returns an empty string if no line has a
    finite point.

    Args:
        title: the title.
        axis: the label of the horizontal axis.
        lines: the lines. Each should have at most a few points for each pixel of the width.
        width, height: the size of the plot in pixels, without the legend.
    """
    extent = _find_extent(lines)
    if extent is None:
        return ""
    low_x, high_x, low_y, high_y = extent
    right, bottom = width - _RIGHT, height - _BOTTOM
    parts = [
        _draw_text(4, 14, title, weight="bold"),
        f'<path d="M{_LEFT} {_TOP}V{bottom}H{right}" fill="none" stroke="{_GRID}"/>',
        _draw_text(_LEFT - 4, _TOP + 8, _format_number(high_y), "end"),
        _draw_text(_LEFT - 4, bottom, _format_number(low_y), "end"),
        _draw_text(_LEFT, height - 5, _format_number(low_x)),
        _draw_text((_LEFT + right) / 2, height - 5, axis, "middle"),
        _draw_text(right, height - 5, _format_number(high_x), "end"),
    ]
    for number, line in enumerate(lines):
        color = HUES[number % len(HUES)]
        parts += _draw_line(line, extent, (_LEFT, right), (bottom, _TOP + 4), color)
    if len(lines) > 1:
        legend, height = _draw_legend(lines, width, height)
        parts += legend
    return _build_image(_describe(title, lines), width, height, parts)


def build_spark_image(label: str, y: Sequence[float], width: int = 120, height: int = 24) -> str:
    """Draw a line without axes, and return it as an HTML image; "" if no value is finite."""
    line = PlotLine(label, range(len(y)), y)
    extent = _find_extent([line])
    if extent is None:
        return ""
    parts = _draw_line(line, extent, (2, width - 2), (height - 3, 3), HUES[0])
    return _build_image(_describe(label, [line]), width, height, parts)


def keep_extremes(x: Any, y: Any, most: int) -> tuple[list[float], list[float]]:
    """Shorten a long line to the lowest and the highest value of each of ``most`` stretches.

    Returns the positions and the values of the shortened line. A stretch without a finite value
    becomes a gap. A line with at most ``2 * most`` points stays unchanged. Costs about 10 ms for a
    million points.

    Args:
        x, y: the positions and values, as numpy arrays of float64.
        most: the number of stretches.
    """
    import numpy as np

    if len(y) <= 2 * most:
        return x.tolist(), y.tolist()
    starts = np.linspace(0, len(y), most, endpoint=False).astype(np.intp)
    finite = np.where(np.isfinite(y), y, np.nan)
    low, high = np.fmin.reduceat(finite, starts), np.fmax.reduceat(finite, starts)
    return np.repeat(x[starts], 2).tolist(), np.stack([low, high], axis=1).ravel().tolist()


def _find_extent(lines: Sequence[PlotLine]) -> tuple[float, float, float, float] | None:
    """Return the lowest and highest position, and the lowest and highest value, of all lines.

    Returns None if no line has a finite point.
    """
    points = [point for line in lines for point in _finite_points(line)]
    if not points:
        return None
    xs, ys = [x for x, _ in points], [y for _, y in points]
    return min(xs), max(xs), min(ys), max(ys)


def _finite_points(line: PlotLine) -> Iterator[tuple[float, float]]:
    for x, y in zip(line.x, line.y, strict=True):
        if math.isfinite(x) and math.isfinite(y):
            yield x, y


def _draw_line(
    line: PlotLine,
    extent: tuple[float, float, float, float],
    across: tuple[float, float],
    down: tuple[float, float],
    color: str,
) -> list[str]:
    """Draw a line as a path, and each point that has gaps on both sides as a dot."""
    stretches: list[list[str]] = [[]]
    before: float | None = None
    for x, y in zip(line.x, line.y, strict=True):
        if not (math.isfinite(x) and math.isfinite(y)):
            stretches.append([])
            continue
        if before is not None and x < before:
            stretches.append([])
        before = x
        left = _place(x, extent[0], extent[1], across)
        stretches[-1].append(f"{left:.4g} {_place(y, extent[2], extent[3], down):.4g}")
    path = "".join(f"M{'L'.join(points)}" for points in stretches if len(points) > 1)
    drawn = []
    if path:
        drawn.append(f'<path d="{path}" fill="none" stroke="{color}" stroke-width="1.4"/>')
    for points in stretches:
        if len(points) == 1:
            center_x, center_y = points[0].split()
            drawn.append(f'<circle cx="{center_x}" cy="{center_y}" r="2" fill="{color}"/>')
    return drawn


def _place(value: float, low: float, high: float, room: tuple[float, float]) -> float:
    # divide before subtracting, so that very large numbers do not overflow
    size = max(abs(low), abs(high)) or 1.0
    span = high / size - low / size
    fraction = (value / size - low / size) / span if span else 0.5
    return room[0] + fraction * (room[1] - room[0])


def _draw_legend(lines: Sequence[PlotLine], width: int, height: int) -> tuple[list[str], int]:
    """Draw the legend below a plot. Return its SVG elements, and the plot's new height."""
    parts: list[str] = []
    left, top = 4.0, height + 11
    for number, line in enumerate(lines):
        label = _shorten(line.label)
        needed = 18 + _CHARACTER_PX * len(label) + 10
        if left > 4 and left + needed > width:
            left, top = 4.0, top + _LEGEND_PX
        color = HUES[number % len(HUES)]
        parts.append(f'<path d="M{left:.4g} {top - 4}h14" stroke="{color}" stroke-width="2"/>')
        parts.append(_draw_text(left + 18, top, label))
        left += needed
    return parts, top + 5


def _draw_text(
    left: float, top: float, text: str, anchor: str = "start", weight: str = "normal"
) -> str:
    return (
        f'<text x="{left:.4g}" y="{top:.4g}" text-anchor="{anchor}" font-weight="{weight}">'
        f"{html.escape(_shorten(text))}</text>"
    )


def _shorten(text: str) -> str:
    own = printable(text)
    return own if len(own) <= _LONGEST_LABEL else f"{own[: _LONGEST_LABEL - 1]}…"


def _format_number(value: float) -> str:
    return f"{value:.6g}"


def _describe(title: str, lines: Sequence[PlotLine]) -> str:
    """Return the text to show if the image can't be shown."""
    found: list[str] = []
    for line in lines:
        values = [y for _, y in _finite_points(line)]
        if values:
            label = f"{line.label} " if len(lines) > 1 else ""
            found.append(f"{label}from {_format_number(values[0])} to {_format_number(values[-1])}")
    return f"{_shorten(title)}: {'; '.join(found)}"


def _build_image(alt: str, width: int, height: int, parts: Sequence[str]) -> str:
    picture = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="{_FONT_PX}" '
        f'fill="{_INK}">{"".join(parts)}</svg>'
    )
    encoded = base64.b64encode(picture.encode()).decode("ascii")
    return (
        f'<img width="{width}" height="{height}" style="vertical-align: top" '
        f'alt="{html.escape(alt)}" '
        f'src="data:image/svg+xml;base64,{encoded}">'
    )

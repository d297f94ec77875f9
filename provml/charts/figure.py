"""Draws charts as a picture with matplotlib, which is imported only when needed."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from provml.charts.selection import Chart, Charts, LegendEntry
from provml.errors import InvalidArgumentError, MissingExtraError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_CHARTS: Final = 200

_WIDTH, _HEIGHT = 4.6, 2.75
_DPI: Final = 144
_TITLE_IN, _LEGEND_ROW_IN, _FOOT_IN = 0.52, 0.23, 0.3
_LEGEND_LINE_IN, _CHARACTER_IN = 0.45, 0.075
_HUES: Final = (
    "#2563c9",
    "#c9541c",
    "#23834a",
    "#8a46b5",
    "#b01f5b",
    "#0f7f8c",
    "#7a6510",
    "#555c6b",
    "#7aa7f0",
    "#f0a27a",
    "#7cc99b",
    "#c79be0",
    "#e58aae",
    "#74c4cd",
    "#c9b35c",
    "#a6adba",
)
_DASHES: Final = ("-", "--", ":", "-.")
_INK, _SOFT, _GRID = "#1b1d22", "#5d6370", "#e3e5ea"
_LONGEST_TITLE: Final = 60
_MOST_MARKED: Final = 40
_MOST_LABELS: Final = 24


def write_figure(charts: Charts, sink: BinaryIO, form: str) -> None:
    """Draw charts as one picture, and write the picture to a file. Equal charts give equal files.

    Raises:
        InvalidArgumentError: there are too many charts for one picture.
        MissingExtraError: matplotlib is not installed.
    """
    if len(charts.charts) > MOST_CHARTS:
        raise InvalidArgumentError(
            f"a picture can show up to {MOST_CHARTS} charts, not {len(charts.charts):,}: "
            "name the series to draw"
        )
    try:
        import matplotlib
        from matplotlib.figure import Figure
        from matplotlib.layout_engine import ConstrainedLayoutEngine
    except ImportError:
        raise MissingExtraError("a picture", "matplotlib", "plot") from None

    many = len(charts.charts)
    columns = 1 if many == 1 else 2 if many <= 8 else 3 if many <= 60 else 4
    rows = -(-many // columns)
    width = _WIDTH * columns * (1.5 if many == 1 else 1)
    note = charts.note()
    foot_in = 0 if note is None else _FOOT_IN
    legend = charts.legend()[:_MOST_LABELS]
    legend_columns = _count_legend_columns(legend, width)
    head_in = _TITLE_IN + _LEGEND_ROW_IN * -(-len(legend) // legend_columns)
    height = (_HEIGHT * (1.4 if many == 1 else 1)) * rows + head_in + foot_in
    # ignore warnings about characters that the font lacks, because matplotlib draws boxes instead.
    # A fixed salt gives equal charts the same identifiers in their SVG files.
    with warnings.catch_warnings(), matplotlib.rc_context({"svg.hashsalt": "provml"}):
        warnings.simplefilter("ignore")
        head, foot = head_in / height, foot_in / height
        layout = ConstrainedLayoutEngine(rect=(0, foot, 1, 1 - head - foot), h_pad=0.09, w_pad=0.09)
        figure: Any = Figure(figsize=(width, height), layout=layout, facecolor="white")
        grid = figure.subplots(rows, columns, squeeze=False)
        places = [axes for row in grid for axes in row]
        for axes in places[many:]:
            axes.remove()
        for axes, chart in zip(places, charts.charts, strict=False):
            _draw_chart(axes, chart, charts.log)
        _set_text(figure.text(0.012, 1 - 0.3 / height, "", size=13, weight="bold"), charts.title)
        _draw_legend(figure, legend, legend_columns, 1 - 0.42 / height)
        if note is not None:
            _set_text(figure.text(0.012, 0.1 / height, "", size=8, color=_SOFT), note)
        metadata = {"Date": None} if form == "svg" else {"Software": None}
        figure.savefig(sink, format=form, dpi=_DPI, metadata=metadata)


def _set_text(artist: Any, content: str) -> Any:
    """Set the text of a matplotlib artist. Dollar signs are shown, not read as formulas."""
    artist.set_parse_math(False)
    artist.set_text(content)
    return artist


def _draw_legend(figure: Any, entries: list[LegendEntry], columns: int, top: float) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], color=_line_color(entry.hue), linestyle=_line_style(entry.dash), lw=2)
        for entry in entries
    ]
    # add a space, because matplotlib hides labels that start with an underscore
    texts = [f" {e.label}" if e.label.startswith("_") else e.label for e in entries]
    legend = figure.legend(
        handles,
        [""] * len(texts),
        loc="upper left",
        bbox_to_anchor=(0.004, top),
        ncols=columns,
        frameon=False,
        fontsize=9,
        handlelength=1.4,
        columnspacing=1.4,
    )
    for artist, text in zip(legend.get_texts(), texts, strict=True):
        _set_text(artist, text)


def _count_legend_columns(entries: list[LegendEntry], width_in: float) -> int:
    """Return how many entries of the legend fit beside one another."""
    longest = max((len(entry.label) for entry in entries), default=0)
    return max(1, min(len(entries), int(width_in / (_LEGEND_LINE_IN + _CHARACTER_IN * longest))))


def _line_color(hue: int | None) -> str:
    return _SOFT if hue is None else _HUES[hue % len(_HUES)]


def _line_style(dash: int) -> Any:
    return _DASHES[dash % len(_DASHES)]


def _draw_chart(axes: Axes, chart: Chart, log: bool) -> None:
    import numpy as np

    title = chart.title
    if len(title) > _LONGEST_TITLE:
        title = f"{title[: _LONGEST_TITLE - 1]}…"
    _set_text(axes.set_title("", size=10.5, weight="bold", loc="left", color=_INK), title)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color("#b9bdc8")
    axes.grid(axis="y", color=_GRID, lw=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(which="both", labelsize=8, colors=_SOFT, length=3)
    axes.yaxis.get_offset_text().set(size=8, color=_SOFT)
    axes.set_xlabel(chart.axis_label(), size=8.5, color=_SOFT)
    if log:
        axes.set_yscale("log")
    drawn = 0
    for line in chart.lines:
        x, y = chart.over(line)
        if log:
            y = np.where(y > 0, y, np.nan)
        if not np.isfinite(y).any():
            continue
        drawn += 1
        hue = _line_color(line.hue)
        axes.plot(x, y, color=hue, lw=1.4, ls=_line_style(line.dash))
        lone = np.ones(len(y), bool) if len(y) <= _MOST_MARKED else _find_lone_points(y)
        if lone.any():
            axes.plot(x[lone], y[lone], color=hue, ls="", marker="o", ms=3)
    if not drawn:
        why = "nothing above zero to show" if log else "no numbers to show"
        axes.set_xticks([])
        axes.set_yticks([])
        axes.text(0.5, 0.5, why, transform=axes.transAxes, ha="center", color=_SOFT, size=9)
    elif chart.axis != "time":
        from matplotlib.ticker import MaxNLocator

        left, right = axes.get_xlim()
        if right - left < 1:  # the axis has a single position: widen it
            axes.set_xlim((left + right) / 2 - 1, (left + right) / 2 + 1)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    missing = [
        f"{line.full_label} (no {chart.axis})" for line in chart.lines if chart.missing(line)
    ]
    if missing and drawn:
        note = axes.text(0.99, 0.96, "", transform=axes.transAxes, ha="right", va="top", size=7.5)
        _set_text(note, f"not shown: {', '.join(missing)}").set_color(_SOFT)


def _find_lone_points(y: Any) -> Any:
    """Return a mask of the points with gaps on both sides, which need a marker to be visible."""
    import numpy as np

    gap = ~np.isfinite(y)
    before, after = np.append(True, gap[:-1]), np.append(gap[1:], True)
    return ~gap & before & after

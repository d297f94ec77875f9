"""Chooses the charts of a run, and the curves in each chart."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from provml.base.context import context_from_word
from provml.errors import InvalidArgumentError, SeriesNotFoundError
from provml.journal.reader import Journal
from provml.model.series import SAMPLING, RunSeries, SeriesTable
from provml.plot.curves import AXES, Curve, read_curves

if TYPE_CHECKING:
    from provml.plot.curves import Numbers

_NAMED: Final = 12
_FEWEST_POINTS: Final = 200
_ALL_POINTS: Final = 400_000
_TIME_UNITS: Final = ((3 * 3600, 3600, "h"), (180, 60, "min"), (1, 1, "s"), (0, 0.001, "ms"))


@dataclass(frozen=True, slots=True)
class Line:
    """A curve in a chart, with its label and its colour number (``hue``)."""

    label: str
    hue: int
    curve: Curve


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart of all series with the same name, over one horizontal axis.

    Attributes:
        axis: the horizontal axis: ``step``, ``epoch`` or ``time``. If the samples have no position
            on the requested axis, this is another axis.
        apart: whether the chart shows something other than metrics, such as system readings.
            These charts come after the charts of metrics.
    """

    title: str
    axis: str
    apart: bool
    lines: list[Line]

    def axis_label(self) -> str:
        """Return the label of the horizontal axis, with the unit for a time axis."""
        return self.axis if self.axis != "time" else f"time since the start, {self._unit()[1]}"

    def _unit(self) -> tuple[float, str]:
        import numpy as np

        longest = max((np.nanmax(li.curve.time, initial=0) for li in self.lines), default=0)
        return next((size, name) for least, size, name in _TIME_UNITS if longest >= least)

    def over(self, line: Line) -> tuple[Numbers, Numbers]:
        """Return the positions and values of a line. Times are in the unit in `axis_label`."""
        x, y = line.curve.over(self.axis)
        return (x / self._unit()[0] if self.axis == "time" else x), y

    def missing(self, line: Line) -> bool:
        """Return whether a line has samples, but no sample with a position on the axis."""
        return bool(line.curve.count) and self.axis not in line.curve.axes()

    def name_of(self, line: Line) -> str:
        """Return the label of a line, with a note such as ``(no epoch)`` if it can't be drawn."""
        return f"{line.label} (no {self.axis})" if self.missing(line) else line.label


@dataclass(frozen=True, slots=True)
class Charts:
    """All requested charts of a run."""

    title: str
    by: str | None
    log: bool
    charts: list[Chart]

    def labels(self) -> dict[str, int]:
        """Return the labels of all lines, with the colour number of each label."""
        return {line.label: line.hue for chart in self.charts for line in chart.lines}

    def thinned(self) -> list[Curve]:
        """Return the curves that have fewer points than samples."""
        return [line.curve for chart in self.charts for line in chart.lines if line.curve.thinned]

    def note(self) -> str | None:
        """Return a note about samples that are not drawn, or None if all samples are drawn."""
        notes = []
        thinned = self.thinned()
        if thinned:
            samples, points = sum(c.count for c in thinned), sum(len(c.value) for c in thinned)
            notes.append(
                f"{points:,} of {samples:,} samples are drawn: the lowest and the highest of each "
                "interval"
            )
        for axis in AXES:
            lines = [(chart, line) for chart in self.charts for line in chart.lines]
            left_out = sum(
                line.curve.unplaced[axis]
                for chart, line in lines
                if chart.axis == axis and not chart.missing(line)
            )
            if left_out:
                what, verb = ("sample has", "is") if left_out == 1 else ("samples have", "are")
                notes.append(
                    f"{left_out:,} {what} no {axis} and {verb} not drawn: choose another axis, "
                    "such as time"
                )
        return "; ".join(notes) or None

    def data(self) -> dict[str, Any]:
        """Return the charts as JSON data for the script of the HTML page."""
        from provml.plot.curve_columns import curve_data

        curves = sum(len(chart.lines) for chart in self.charts)
        return {
            "title": self.title,
            "under": f"{len(self.charts):,} charts, {curves:,} curves",
            "by": self.by,
            "log": self.log,
            "charts": [
                {
                    "title": chart.title,
                    "apart": chart.apart,
                    "curves": [
                        {"label": line.label, "hue": line.hue, **curve_data(line.curve)}
                        for line in chart.lines
                    ],
                }
                for chart in self.charts
            ],
        }


def read_charts(
    journal: Journal,
    names: Collection[str] = (),
    contexts: Collection[str] = (),
    by: str | None = None,
    log: bool = False,
    points: int = 2_000,
) -> Charts:
    """Choose the charts of a run, and read their curves. Costs one pass over the samples.

    Args:
        names: the names of the series to draw, as for `draw`.
        contexts, by, log: as for `draw`.
        points: the approximate maximum number of points in a curve.

    Raises:
        InvalidArgumentError: the axis is unknown.
        SeriesNotFoundError: the run has no series or context with a given name. The message lists
            the available names.
    """
    if by is not None and by not in AXES:
        raise InvalidArgumentError(f"by must be one of {', '.join(AXES)}, not {by!r}")
    table = SeriesTable(journal)
    taken = {series.name for series in table.all if series.kind == SAMPLING}
    every = [series for series in table.all if series.kind != SAMPLING]
    if not names:  # by default, leave out system readings that are not in percent
        every = [s for s in every if s.kind not in taken or s.units == ["%"]]
    chosen = _select_series(journal, every, names, contexts)
    points = max(_FEWEST_POINTS, min(points, _ALL_POINTS // max(1, len(chosen))))
    found: dict[tuple[bool, str, str], list[Curve]] = {}
    for curve in read_curves(table, chosen, journal.state().started_ns, points):
        kind, name = curve.series.kind, curve.series.name
        found.setdefault((kind != "metric", kind, name), []).append(curve)
    hues: dict[str, int] = {}
    charts: list[Chart] = []
    for (apart, _, name), curves in sorted(found.items(), key=lambda item: item[0][0]):
        lines = [_build_line(curve, hues) for curve in curves]
        axes = [axis for axis in AXES if any(axis in curve.axes() for curve in curves)]
        axis = by if by in axes else axes[0] if axes else "time"
        units = sorted({unit for curve in curves for unit in curve.series.units})
        title = f"{name} ({', '.join(units)})" if units else name
        charts.append(Chart(escape_unprintable(title), axis, apart, lines))
    description = journal.description
    title = escape_unprintable(f"{description['experiment']} / {description['id']}")
    return Charts(title, by, log, charts)


def _build_line(curve: Curve, hues: dict[str, int]) -> Line:
    context, rank = curve.series.context, curve.series.rank
    label = "run" if context is None else "/".join(context)
    if curve.series.of is not None:
        label += f", {curve.series.of[1]}"
    if rank is not None:
        label += f", rank {rank}"
    label = escape_unprintable(label)
    return Line(label, hues.setdefault(label, len(hues)), curve)


def _select_series(
    journal: Journal,
    every: list[RunSeries],
    names: Collection[str],
    contexts: Collection[str],
) -> list[RunSeries]:
    where = f"run {journal.description['id']}"
    if not every:
        raise SeriesNotFoundError(f"{where} has no series: no metrics or readings were recorded")
    for name in names:
        if not any(series.name == name for series in every):
            known = _list_names(series.name for series in every)
            raise SeriesNotFoundError(f"{where} has no series {name!r}; it has: {known}")
    named = [series for series in every if not names or series.name in names]
    present = {name for series in named for name in _context_names(series)}
    contexts = [_find_context(context, present) for context in contexts]
    for context in contexts:
        if not any(context in _context_names(series) for series in named):
            known = _list_names("/".join(series.context) for series in named if series.context)
            of = " with these series" if names else ""
            raise SeriesNotFoundError(f"{where} has no context {context!r}{of}; it has: {known}")
    return [s for s in named if not contexts or not _context_names(s).isdisjoint(contexts)]


def _find_context(asked: str, present: set[str]) -> str:
    """Return the name that a run uses for a context, such as ``training`` for ``train``."""
    standard = context_from_word(asked)
    return asked if standard is None or asked in present else standard.name


def _context_names(series: RunSeries) -> set[str]:
    return {series.context[-1], "/".join(series.context)} if series.context else set()


def _list_names(names: Iterable[str]) -> str:
    known = list(dict.fromkeys(names))
    more = f" and {len(known) - _NAMED} more" if len(known) > _NAMED else ""
    return (", ".join(map(repr, known[:_NAMED])) or "none") + more


def escape_unprintable(text: str) -> str:
    r"""Escape the unprintable characters in text, for example as ``\x1b``."""
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text
    )

"""Chooses the charts of one or more runs, and the curves in each chart."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from provml.base.context import context_from_word
from provml.charts.curves import AXES, Curve, join_readings, read_curves
from provml.errors import InvalidArgumentError, SeriesNotFoundError
from provml.journal.history import LastValues
from provml.journal.reader import Journal
from provml.model.reading_names import find_reading_kinds, name_reading
from provml.model.series import SAMPLING, RunSeries, SeriesTable

if TYPE_CHECKING:
    from provml.charts.curves import Numbers

HUES: Final = 16
"""The number of different colours. Higher colour numbers start again at the first colour."""

_READING_AXIS: Final = "time"
_READING_HUE: Final = 7
_WHOLE_RUN: Final = "whole run"

_NAMED: Final = 12
_NAMED_PARAMETERS: Final = 2
_LONGEST_VALUE: Final = 16
_FEWEST_POINTS: Final = 200
_ALL_POINTS: Final = 400_000
_TIME_UNITS: Final = ((3 * 3600, 3600, "h"), (180, 60, "min"), (1, 1, "s"), (0, 0.001, "ms"))


@dataclass(frozen=True, slots=True)
class Line:
    """A curve in a chart.

    In charts of one run, the hue shows the context. In charts of several runs, the hue shows the
    run, and the dash shows the context.

    Attributes:
        label: the context and, if there is one, the rank of the curve.
        run: the name of the curve's run in charts of several runs; None in charts of one run.
        hue: the number of the curve's colour.
        dash: the number of the curve's line style; 0 is a solid line.
    """

    label: str
    run: str | None
    hue: int
    dash: int
    curve: Curve

    @property
    def full_label(self) -> str:
        """The label. In charts of several runs, the name of the run precedes the label."""
        return self.label if self.run is None else f"{self.run}: {self.label}"


@dataclass(frozen=True, slots=True)
class LegendEntry:
    """An entry in the legend. If the hue is None, the entry is for a line style in any colour."""

    label: str
    hue: int | None
    dash: int


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart of all series with the same name, over one horizontal axis.

    Attributes:
        axis: the horizontal axis: ``step``, ``epoch`` or ``time``. If the samples have no position
            on the requested axis, this is another axis.
        apart: whether the chart shows readings of the machine or of a process. These charts come
            after all others.
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
        """Return the positions and values of a line. Times are in the unit that the axis shows."""
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
    """All requested charts of one or more runs."""

    title: str
    by: str | None
    log: bool
    charts: list[Chart]

    def legend(self) -> list[LegendEntry]:
        """Return the entries of a legend for all charts.

        For one run, there is an entry for each label. For several runs, there is an entry for each
        run, and then one for each label if there is more than one label.
        """
        lines = [line for chart in self.charts for line in chart.lines]
        if all(line.run is None for line in lines):
            return [
                LegendEntry(*entry)
                for entry in dict.fromkeys((line.label, line.hue, line.dash) for line in lines)
            ]
        runs = dict.fromkeys((line.run, line.hue) for line in lines if line.run is not None)
        labels = dict.fromkeys((line.label, line.dash) for line in lines)
        return [LegendEntry(run, hue, 0) for run, hue in runs] + [
            LegendEntry(label, None, dash) for label, dash in labels if len(labels) > 1
        ]

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
        from provml.charts.curve_columns import curve_data

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
                    "fixed": chart.axis if chart.apart and chart.axis == _READING_AXIS else None,
                    "curves": [
                        {
                            "label": line.full_label,
                            "hue": line.hue,
                            "dash": line.dash,
                            **curve_data(line.curve),
                        }
                        for line in chart.lines
                    ],
                }
                for chart in self.charts
            ],
        }


def read_charts(
    journals: Sequence[Journal],
    names: Collection[str] = (),
    contexts: Collection[str] = (),
    by: str | None = None,
    log: bool = False,
    points: int = 2_000,
) -> Charts:
    """Choose the charts of one or more runs, and read the curves of the charts.

    Costs one pass over the samples of each run.

    Series of the same name share a chart. On a time axis, the start of a curve's run is at 0.

    The charts of readings come last. A reading has one curve over time for the whole run, whatever
    the contexts were. If `names` are given, `by` also applies to readings. In `names`, a reading
    may have its recorded name, such as ``cpu_percent``, or the name in the title of its chart, such
    as ``machine cpu_percent``.

    Args:
        journals: the journals of the runs, at least one.
        names: the names of the series to draw, as for `draw`. A name must occur in at least one
            run.
        contexts, by, log: as for `draw`.
        points: the approximate maximum number of points in a curve.

    Raises:
        InvalidArgumentError: the axis is unknown.
        SeriesNotFoundError: no run has a series or context with a given name. The message lists
            the available names.
    """
    runs = [
        ChartedRun(
            journal.description, SeriesTable(journal), LastValues(journal.folder, "param").to_dict
        )
        for journal in journals
    ]
    chosen = choose_series(runs, names, contexts, by)
    count = sum(map(len, chosen))
    points = max(_FEWEST_POINTS, min(points, _ALL_POINTS // max(1, count)))
    curves = [
        read_curves(run.table, own, journal.state().started_ns, points)
        for journal, run, own in zip(journals, runs, chosen, strict=True)
    ]
    return arrange_charts(runs, curves, names, contexts, by, log)


class ChartedRun(NamedTuple):
    """A run whose series are drawn.

    Attributes:
        description: the content of the run's ``run.json``.
        table: the run's series.
        read_params: a function that returns the run's parameters.
    """

    description: dict[str, Any]
    table: SeriesTable
    read_params: Callable[[], dict[str, Any]]


def choose_series(
    runs: Sequence[ChartedRun],
    names: Collection[str] = (),
    contexts: Collection[str] = (),
    by: str | None = None,
) -> list[list[RunSeries]]:
    """Return the series to draw for each run. Raises the same errors as `read_charts`."""
    if by is not None and by not in AXES:
        raise InvalidArgumentError(f"by= must be one of {', '.join(AXES)}, not {by!r}")
    return _select_series(runs, [_list_series(run.table, names) for run in runs], names, contexts)


def arrange_charts(
    runs: Sequence[ChartedRun],
    curves: Iterable[Iterable[Curve]],
    names: Collection[str] = (),
    contexts: Collection[str] = (),
    by: str | None = None,
    log: bool = False,
) -> Charts:
    """Arrange curves in charts, as `read_charts` describes.

    Args:
        runs: the runs.
        curves: the curves of each run.
        names, contexts, by, log: as for `read_charts`.
    """
    readings = find_reading_kinds(series for run in runs for series in run.table.all)
    styles = _LineStyles(_name_runs(runs), ", ".join(contexts) or _WHOLE_RUN)
    found: dict[tuple[bool, str, str], list[Line]] = {}
    for place, own in enumerate(curves):
        for curve in join_readings(own, readings):
            kind, name = curve.series.kind, curve.series.name
            line = styles.build_line(place, curve, kind in readings)
            found.setdefault((kind in readings, kind, name), []).append(line)
    charts = []
    for (apart, kind, name), lines in sorted(found.items(), key=lambda item: _sort_kind(item[0])):
        title, axis = (name_reading(kind, name), by if names else None) if apart else (name, by)
        charts.append(_build_chart(title, apart, axis or (_READING_AXIS if apart else None), lines))
    return Charts(_build_title(runs), by, log, charts)


def _sort_kind(key: tuple[bool, str, str]) -> tuple[bool, bool]:
    """Return the sort key of a chart: metrics come first, then FLOPs and others, then readings."""
    apart, kind, _ = key
    return apart, kind != "metric"


def _list_series(table: SeriesTable, names: Collection[str]) -> list[RunSeries]:
    """Return the series that may be drawn.

    If no names are given, leaves out system readings that are not percentages.
    """
    taken = {series.name for series in table.all if series.kind == SAMPLING}
    every = [series for series in table.all if series.kind != SAMPLING]
    if names:
        return every
    # by default, leave out system readings that are not in percent
    return [series for series in every if series.kind not in taken or series.units == ["%"]]


def _build_chart(name: str, apart: bool, by: str | None, lines: list[Line]) -> Chart:
    axes = [axis for axis in AXES if any(axis in line.curve.axes() for line in lines)]
    axis = by if by in axes else axes[0] if axes else "time"
    units = sorted({unit for line in lines for unit in line.curve.series.units})
    title = f"{name} ({', '.join(units)})" if units else name
    return Chart(escape_unprintable(title), axis, apart, lines)


def _build_title(runs: Sequence[ChartedRun]) -> str:
    names = [f"{one.description['experiment']} / {one.description['id']}" for one in runs]
    if len(names) == 1:
        return escape_unprintable(names[0])
    experiments = dict.fromkeys(str(one.description["experiment"]) for one in runs)
    return escape_unprintable(f"{_list_plainly(experiments)}: {len(names)} runs")


def _list_plainly(names: Iterable[str]) -> str:
    known = list(names)
    more = f" and {len(known) - _NAMED} more" if len(known) > _NAMED else ""
    return ", ".join(known[:_NAMED]) + more


def _name_runs(runs: Sequence[ChartedRun]) -> list[str | None]:
    """Return a label for each run: the parameters that distinguish the run, and the run's id.

    If several runs share an id, the label also contains the experiment. Returns [None] for a single
    run.
    """
    if len(runs) == 1:
        return [None]
    ids = [str(one.description["id"]) for one in runs]
    labels: list[str | None] = []
    for name, run, differing in zip(ids, runs, _find_differing(runs), strict=True):
        unique = name if ids.count(name) == 1 else f"{run.description['experiment']}/{name}"
        labels.append(escape_unprintable(" ".join((*differing, unique))))
    return labels


def _find_differing(runs: Sequence[ChartedRun]) -> list[list[str]]:
    """For each run, return the parameters whose values differ between the runs.

    Each parameter is text such as ``lr=0.1``. Returns at most two parameters for each run.
    """
    params = [run.read_params() for run in runs]
    names = dict.fromkeys(name for own in params for name in own)
    differing = [name for name in names if len({repr(own.get(name)) for own in params}) > 1]
    return [
        [f"{name}={_shorten(own[name])}" for name in differing if name in own][:_NAMED_PARAMETERS]
        for own in params
    ]


def _shorten(value: object) -> str:
    text = format(value, ".6g") if isinstance(value, float) else str(value)
    return text if len(text) <= _LONGEST_VALUE else text[: _LONGEST_VALUE - 1] + "…"


class _LineStyles:
    """Assigns colours and line styles to curves."""

    def __init__(self, runs: list[str | None], reading_label: str) -> None:
        self._runs = runs
        self._reading_label = escape_unprintable(reading_label)
        self._numbers: dict[str, int] = {}

    def build_line(self, place: int, curve: Curve, is_reading: bool = False) -> Line:
        """Build the line for a curve. ``place`` is the index of the curve's run."""
        run = self._runs[place]
        if is_reading:
            rank = curve.series.rank
            label = self._reading_label if rank is None else f"{self._reading_label}, rank {rank}"
            hue, dash = (_READING_HUE + (rank or 0), 0) if run is None else (place, rank or 0)
            return Line(label, run, hue, dash, curve)
        label = _label_curve(curve)
        number = self._numbers.setdefault(label, len(self._numbers))
        hue, dash = (number, number // HUES) if run is None else (place, number)
        return Line(label, run, hue, dash, curve)


def _label_curve(curve: Curve) -> str:
    context, rank = curve.series.context, curve.series.rank
    label = "run" if context is None else "/".join(context)
    if curve.series.of is not None:
        label += f", {curve.series.of[1]}"
    if rank is not None:
        label += f", rank {rank}"
    return escape_unprintable(label)


def has_name(series: RunSeries, name: str) -> bool:
    """Return whether a series has a name. A reading also has the name in the title of its chart."""
    if series.kind == "metric":
        return name == series.name
    return name in (series.name, name_reading(series.kind, series.name))


def _select_series(
    runs: Sequence[ChartedRun],
    every: list[list[RunSeries]],
    names: Collection[str],
    contexts: Collection[str],
) -> list[list[RunSeries]]:
    """Return, for each run, the series to draw.

    Raises SeriesNotFoundError if no run has a series or context with a given name.
    """
    all_series = [series for own in every for series in own]
    if len(runs) == 1:
        where, has, it_has = f"run {runs[0].description['id']}", "has no", "it has"
    else:
        where, has, it_has = "no run", "has a", "the runs have"
    if not all_series:
        what = f"{where} has no series" if len(runs) == 1 else "the runs have no series"
        raise SeriesNotFoundError(f"{what}: no metrics or readings were recorded")
    for name in names:
        if not any(has_name(series, name) for series in all_series):
            known = _list_names(series.name for series in all_series)
            raise SeriesNotFoundError(f"{where} {has} series {name!r}; {it_has}: {known}")
    named = [
        [series for series in own if not names or any(has_name(series, name) for name in names)]
        for own in every
    ]
    all_named = [series for own in named for series in own]
    present = {name for series in all_named for name in _context_names(series)}
    contexts = [_find_context(context, present) for context in contexts]
    for context in contexts:
        if context not in present:
            known = _list_names("/".join(s.context) for s in all_named if s.context)
            of = " with these series" if names else ""
            raise SeriesNotFoundError(f"{where} {has} context {context!r}{of}; {it_has}: {known}")
    return [
        [s for s in own if not contexts or not _context_names(s).isdisjoint(contexts)]
        for own in named
    ]


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

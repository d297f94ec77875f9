"""``provml plot``: draws the series of one or more runs as charts.

Imports `journal.store`; imports `charts` only when the command runs.
"""

from __future__ import annotations

import difflib
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from provml.cli import _terminal as terminal
from provml.cli._choice import ask, can_ask, choose_run
from provml.cli._follow import follow_option, redraw_until_end
from provml.cli._options import exact_option, examples, store_option
from provml.errors import RunNotFoundError, SeriesNotFoundError
from provml.journal.layout import SAMPLING
from provml.journal.store import find_run

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

    from provml.charts.curves import Numbers
    from provml.charts.selection import Chart, Charts, Line
    from provml.journal.reader import Journal
    from provml.journal.status import RunState

_STDOUT = "-"
_PIPE_WIDTH = 100
_HEIGHT, _LOWEST = 12, 4
_LINES_BESIDE_CHART = 5
"""The number of lines for a chart's title, axis and table heading, and for an empty line."""
_NARROWEST, _WIDEST = 24, 120
_SPARK, _NARROWEST_SPARK = 32, 8
_LEAST_TELLING = ("first", "min", "max")
_NUMBER = 11
_NAMED = 12
_MOST_SIMILAR = 3
_COLOURS = ("blue", "red", "green", "magenta", "yellow", "cyan", "white", "bright_black")


@click.command(
    "plot",
    epilog=examples(
        "provml plot latest",
        "provml plot latest loss accuracy --context validation",
        "provml plot 20260301T120000-abc 20260302T090000-def loss",
        "provml plot latest loss --log -o loss.svg",
    ),
)
@click.argument("names", nargs=-1, metavar="RUN... [SERIES]...", required=True)
@click.option(
    "--series",
    "more_series",
    multiple=True,
    metavar="NAME",
    help="Draw the series of this name, even if a run has the same name. Can be repeated.",
)
@click.option(
    "--by",
    type=click.Choice(["step", "epoch", "time"]),
    help="The horizontal axis.  [default: the first of these that the samples have]",
)
@click.option("--log", is_flag=True, help="Use a logarithmic vertical axis.")
@click.option(
    "--context",
    "contexts",
    multiple=True,
    metavar="NAME",
    help="Draw only the series of this context. Can be repeated.",
)
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    help="The file to write (.png, .svg or .html), or - for standard output.  [default: print the "
    "charts as text]",
)
@click.option(
    "--format",
    "format_name",
    type=click.Choice(["png", "svg", "html"]),
    help="The format of the file.  [default: from the extension of FILE]",
)
@follow_option
@exact_option
@store_option
def plot_command(
    names: tuple[str, ...],
    more_series: tuple[str, ...],
    by: str | None,
    log: bool,
    contexts: tuple[str, ...],
    output: str | None,
    format_name: str | None,
    follow: bool,
    store: str | None,
) -> None:
    """Draw the series of one or more runs as charts.

    The first argument is a run. Each later argument is a run or the name of a series, whichever
    exists.

    On a terminal, provml asks which one you mean if an argument is a run and also a series, or the
    beginning of several ids. In a pipe, that is an error that lists the meanings.

    Each chart shows all series of the same name, with a line for each run, context and rank. SERIES
    are the names that were logged. By default, all series are drawn, with system readings last.

    Without -o, the charts are printed as text: one large chart for each of the SERIES or, without
    SERIES, one row for each series.

    A gap in a line means that a value is not a number. If a series has very many samples, the chart
    shows only the lowest and the highest sample of each interval, and a note says so.
    """
    from provml.charts import draw

    folders, found = _resolve_names(names, store)
    series = (*found, *more_series)
    if output is None:
        if format_name is not None:
            raise click.UsageError(
                f"--format {format_name} needs a file: add -o FILE, or -o - for standard output"
            )
        if follow:
            redraw_until_end(folders, _LiveCharts(folders, series, contexts, by, log))
        else:
            _show_charts(folders, series, contexts, by, log)
        return
    if follow:
        raise click.UsageError("--follow draws on the terminal: leave out -o")
    if output == _STDOUT and format_name is None:
        raise click.UsageError("standard output has no file extension: add --format")
    target: Any = sys.stdout.buffer if output == _STDOUT else output
    charts = draw(folders, target, series, contexts=contexts, by=by, log=log, format=format_name)
    if output == _STDOUT:
        sys.stdout.buffer.flush()
    where = "standard output" if output == _STDOUT else terminal.printable(output)
    count = len(charts.charts)
    terminal.echo_note(f"wrote {where}: {count:,} chart{'' if count == 1 else 's'}")
    _echo_charts_note(charts)


def _resolve_names(names: tuple[str, ...], store: str | None) -> tuple[list[Path], list[str]]:
    """Return the folders of the runs, and the names of the series, that the arguments refer to.

    An argument that is both the name of a series and the beginning of an id counts as a series.

    Raises:
        SeriesNotFoundError: an argument is neither a run nor a series.
        RunNotFoundError: the first argument is not a run, or an argument has several meanings and
            the user can't be asked.
    """
    from provml.journal.reader import Journal

    folders, series = [choose_run(names[0], store)], []
    logged = _list_series_names(Journal(folders[0]))
    unknown: list[str] = []
    for name in names[1:]:
        try:
            folder = find_run(name, store)
        except RunNotFoundError as error:
            if name not in logged and error.candidates:
                folders.append(choose_run(name, store))
                logged |= _list_series_names(Journal(folders[-1]))
                continue
            if name not in logged:
                unknown.append(name)
            series.append(name)
            continue
        if name in logged and (not _is_full_name(name, folder) or _means_series(name, folder)):
            series.append(name)
        else:
            logged |= _list_series_names(Journal(folder))
            folders.append(folder)
    for name in unknown:
        if name not in logged:
            raise SeriesNotFoundError(
                f"{name!r} is neither a run nor a series of the runs; {_suggest(name, logged)}"
            )
    return list(dict.fromkeys(folders)), series


def _suggest(name: str, logged: dict[str, bool]) -> str:
    """Return a hint for an unknown series: similar names or, if there are none, known names."""
    close = [known for known in logged if known.startswith(name)]
    close = close or difflib.get_close_matches(name, logged)
    if close:
        return f"did you mean {' or '.join(map(repr, close[:_MOST_SIMILAR]))}?"
    known = sorted(logged, key=lambda one: not logged[one])  # metrics first
    return f"the series are: {', '.join(known[:_NAMED]) or 'none'}"


def _is_full_name(name: str, folder: Path) -> bool:
    """Return whether a name is a run's full name or path, not only the beginning of a name."""
    return name in (folder.name, f"{folder.parent.name}/{folder.name}") or Path(name).exists()


def _means_series(name: str, folder: Path) -> bool:
    """Ask whether a name means a series or the run in this folder. Return True for the series.

    Raises RunNotFoundError if the user can't be asked.
    """
    run = f"{folder.parent.name}/{folder.name}"
    if not can_ask():
        error = RunNotFoundError(
            f"{name!r} is the name of a run and of a series: write {run} for the run, or "
            f"--series {name} for the series"
        )
        error.candidates = {run: "run", name: "series"}
        raise error
    return ask(f"{name} has two meanings:", [f"the run {run}", f"the series {name}"]) == 1


def _list_series_names(journal: Journal) -> dict[str, bool]:
    """Return a dict from the names of a run's series to whether a metric has this name.

    The dict also contains the names of system readings as the titles of charts show them.
    """
    from provml.model.reading_names import name_reading

    found: dict[str, bool] = {}
    for files in journal.writers:
        for series in files.series().values():
            if series.kind == SAMPLING:
                continue
            is_metric = series.kind == "metric"
            found[series.name] = found.get(series.name, False) or is_metric
            if not is_metric:
                found.setdefault(name_reading(series.kind, series.name), False)
    return found


def _echo_charts_note(charts: Charts) -> None:
    note = charts.note()
    if note is not None:
        terminal.echo_note(note)


class _LiveCharts:
    """The charts of runs that are being recorded."""

    def __init__(
        self,
        folders: list[Path],
        series: tuple[str, ...],
        contexts: tuple[str, ...],
        by: str | None,
        log: bool,
    ) -> None:
        from provml.charts.followed_charts import FollowedCharts

        self._series, self._log = series, log
        points = 8 * _chart_width()
        self._charts = FollowedCharts(folders, series, contexts, by, log, points)

    def read_new(self) -> bool:
        """Read the runs' new data. Return True if there was any."""
        return self._charts.read_new()

    def build(self, states: Sequence[RunState]) -> list[RenderableType]:
        """Return the charts, or a text that says why there are no charts yet."""
        try:
            charts = self._charts.build()
        except SeriesNotFoundError as error:
            return [terminal.styled(terminal.printable(f"nothing to draw yet: {error}"), "dim")]
        parts = _build_parts(charts, self._series, self._log, terminal.console().height - 1)
        note = charts.note()
        return [*parts, terminal.styled(note, "dim")] if note else parts

    def show_end(self) -> None:
        """Print the charts of the runs, which have ended."""
        charts = self._charts.build()
        terminal.show(*_build_parts(charts, self._series, self._log))
        _echo_charts_note(charts)

    def close(self) -> None:
        """Close all files."""
        self._charts.close()


def _show_charts(
    folders: list[Path],
    series: tuple[str, ...],
    contexts: tuple[str, ...],
    by: str | None,
    log: bool,
) -> None:
    from provml.charts.selection import read_charts
    from provml.journal.reader import Journal

    journals = [Journal(folder) for folder in folders]
    charts = read_charts(journals, series, contexts, by, log, 8 * _chart_width())
    terminal.show(*_build_parts(charts, series, log))
    _echo_charts_note(charts)


def _chart_width() -> int:
    columns = shutil.get_terminal_size().columns if terminal.on_terminal() else _PIPE_WIDTH
    return max(_NARROWEST, min(columns, _WIDEST) - _NUMBER - 2)


def _build_parts(
    charts: Charts, series: Sequence[str], log: bool, most_lines: int | None = None
) -> list[RenderableType]:
    """Build a large chart for each name in ``series``. Without names, build a row for each series.

    Args:
        charts: the charts.
        series: the names of the series to draw in large charts.
        log: whether to use logarithmic vertical axes.
        most_lines: the number of lines that all charts should fit; None for no limit.
    """
    if not series:
        return _build_sparklines(charts)
    height = _HEIGHT
    if most_lines is not None and charts.charts:
        used = sum(_LINES_BESIDE_CHART + len(chart.lines) for chart in charts.charts)
        height = (most_lines - used) // len(charts.charts)
        height = max(_LOWEST, min(height, _HEIGHT))
    parts: list[RenderableType] = []
    for place, chart in enumerate(charts.charts):
        parts += [terminal.styled("")] if place else []
        parts += _build_large_chart(chart, log, _chart_width(), height)
    return parts


def _line_colour(hue: int) -> str:
    return _COLOURS[hue % len(_COLOURS)]


def _build_large_chart(chart: Chart, log: bool, width: int, height: int) -> list[RenderableType]:
    """Build a large chart, and below it one row of numbers for each line in the chart."""
    from provml.charts.text_charts import dots

    rows, places, values = dots(chart, log, width, height)
    parts: list[RenderableType] = [terminal.styled(terminal.printable(chart.title), "bold")]
    if not rows:
        parts.append(
            terminal.styled("nothing above zero to show" if log else "no numbers to show", "dim")
        )
    for number, row in enumerate(rows):
        mark = f"{values[1]:.6g}" if number == 0 else ""
        mark = f"{values[0]:.6g}" if number == len(rows) - 1 else mark
        line = terminal.styled(f"{mark:>{_NUMBER}} ┤" if mark else f"{'':>{_NUMBER}} │", "dim")
        for character, hue in row:
            line.append(character, "" if hue is None else _line_colour(hue))
        parts.append(line)
    if rows:
        low, high = f"{places[0]:.6g}", f"{places[1]:.6g}"
        under = f"{low}{chart.axis_label():^{max(0, width - len(low) - len(high))}}{high}"
        parts.append(terminal.styled(f"{'':>{_NUMBER}} └{'─' * width}", "dim"))
        parts.append(terminal.styled(f"{'':>{_NUMBER}}  {under}", "dim"))
    parts.append(_sparkline_table([(chart, line) for line in chart.lines], named=False))
    return parts


def _build_sparklines(charts: Charts) -> list[RenderableType]:
    """Build one row with a small chart for each series. System readings come last."""
    parts: list[RenderableType] = []
    for apart, title in ((False, ""), (True, "system readings")):
        rows = [(c, line) for c in charts.charts if c.apart == apart for line in c.lines]
        if rows:
            parts += [terminal.styled(f"\n{title}", "bold")] if title else []
            parts.append(_sparkline_table(rows, named=True))
    return parts


def _sparkline_table(rows: list[tuple[Chart, Line]], named: bool) -> Any:
    """Build a table with one row per line: its labels, a small chart and some of its values.

    In a narrow terminal, the charts become smaller. If that is not enough, values are left out.
    """
    from provml.charts.text_charts import spark

    several = any(line.run is not None for _, line in rows)
    heads = [*(["name"] if named else []), *(["run"] if several else []), "context"]
    labels = [_label_cells(chart, line, named) for chart, line in rows]
    curves = [_drawn_values(chart, line) for chart, line in rows]
    numbers = [
        {head: terminal.styled(terminal.value_text(v)) for head, v in _summary(y).items()}
        for y in curves
    ]
    shown = list(numbers[0])
    widths = [max(cell.cell_len for cell in column) for column in zip(*labels, strict=True)]
    widths = [max(width, len(head)) for head, width in zip(heads, widths, strict=True)]

    def room_for_charts() -> int:
        values: list[int] = [max(row[head].cell_len for row in numbers) for head in shown]
        others: list[int] = [*widths, *map(max, zip(values, map(len, shown), strict=True))]
        return int(terminal.console().width) - sum(others) - terminal.GAP * len(others)

    for head in _LEAST_TELLING:
        if room_for_charts() >= _NARROWEST_SPARK:
            break
        shown.remove(head)
    width = max(_NARROWEST_SPARK, min(_SPARK, room_for_charts()))
    made = [
        [*own, terminal.styled(spark(y, width), _line_colour(line.hue)), *(row[h] for h in shown)]
        for own, y, row, (_, line) in zip(labels, curves, numbers, rows, strict=True)
    ]
    return terminal.table([*heads, "", *shown], made, right=shown, cut=("name", "context", "run"))


def _label_cells(chart: Chart, line: Line, named: bool) -> list[Text]:
    cells = []
    if named:
        title = terminal.shortened(terminal.printable(chart.title), 60)
        cells.append(terminal.styled(title))
    if line.run is not None:
        cells.append(terminal.styled(terminal.printable(line.run), _line_colour(line.hue)))
    cells.append(terminal.styled(terminal.printable(chart.name_of(line)), _line_colour(line.hue)))
    return cells


def _drawn_values(chart: Chart, line: Line) -> Numbers:
    # list a series with its numbers even if no sample has a position on the axis
    return line.curve.value if chart.missing(line) else chart.over(line)[1]


def _summary(values: Numbers) -> dict[str, float | None]:
    import numpy as np

    finite = values[np.isfinite(values)]
    if not len(finite):
        return dict.fromkeys(("first", "last", "min", "max"))
    found = {"first": finite[0], "last": finite[-1], "min": finite.min(), "max": finite.max()}
    return {head: float(value) for head, value in found.items()}


GROUP = "Look"
COMMANDS = [plot_command]

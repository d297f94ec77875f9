"""``provml plot``: draws the series of one or more runs as charts.

Imports `journal.store`; imports `charts` only when the command runs.
"""

from __future__ import annotations

import shutil
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from provml.cli import _terminal as terminal
from provml.cli._follow import follow_option, redraw_until_end
from provml.cli._options import examples, store_option
from provml.errors import RunNotFoundError, SeriesNotFoundError
from provml.journal.store import find_run

if TYPE_CHECKING:
    from rich.text import Text

    from provml.charts.curves import Numbers
    from provml.charts.selection import Chart, Charts, Line
    from provml.journal.reader import Journal

_STDOUT = "-"
_PIPE_WIDTH = 100
_HEIGHT = 12
_NARROWEST, _WIDEST = 24, 120
_SPARK, _NARROWEST_SPARK = 32, 8
_LEAST_TELLING = ("first", "min", "max")
_NUMBER = 9
_NAMED = 12
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
            redraw_until_end(folders, partial(_show_charts, folders, series, contexts, by, log))
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

    Raises:
        click.UsageError: an argument is the name of a run and also of a series.
        RunNotFoundError: the first argument is not the name of a run.
    """
    from provml.journal.reader import Journal

    folders, series = [find_run(names[0], store)], []
    logged = _list_series_names(Journal(folders[0]))
    unknown: list[str] = []
    for name in names[1:]:
        try:
            folder = find_run(name, store)
        except RunNotFoundError:
            if name not in logged:
                unknown.append(name)
            series.append(name)
            continue
        own = _list_series_names(Journal(folder))
        if name in logged:
            raise click.UsageError(
                f"{name!r} is the name of a run and of a series: give the folder of the run, or "
                f"--series {name} for the series"
            )
        logged |= own
        folders.append(folder)
    for name in unknown:
        if name not in logged:
            known = ", ".join(sorted(logged)[:_NAMED]) or "none"
            raise SeriesNotFoundError(
                f"{name!r} is neither a run nor a series of the runs; the series are: {known}"
            )
    return list(dict.fromkeys(folders)), series


def _list_series_names(journal: Journal) -> set[str]:
    """Return the names of a run's series. Readings also have the names in the titles of charts."""
    from provml.model.reading_names import name_reading

    every = [series for files in journal.writers for series in files.series().values()]
    readings = {name_reading(one.kind, one.name) for one in every if one.kind != "metric"}
    return {series.name for series in every} | readings


def _echo_charts_note(charts: Charts) -> None:
    note = charts.note()
    if note is not None:
        terminal.echo_note(note)


def _show_charts(
    folders: list[Path],
    series: tuple[str, ...],
    contexts: tuple[str, ...],
    by: str | None,
    log: bool,
) -> None:
    from provml.charts.selection import read_charts
    from provml.journal.reader import Journal

    columns = shutil.get_terminal_size().columns if terminal.on_terminal() else _PIPE_WIDTH
    width = max(_NARROWEST, min(columns, _WIDEST) - _NUMBER - 2)
    journals = [Journal(folder) for folder in folders]
    charts = read_charts(journals, series, contexts, by, log, 8 * width)
    if series:
        for place, chart in enumerate(charts.charts):
            if place:
                terminal.show(terminal.styled(""))
            _show_large_chart(chart, log, width)
    else:
        _show_sparklines(charts)
    _echo_charts_note(charts)


def _line_colour(hue: int) -> str:
    return _COLOURS[hue % len(_COLOURS)]


def _format_number(value: float | None) -> str:
    return "-" if value is None else f"{value:.5g}"


def _show_large_chart(chart: Chart, log: bool, width: int) -> None:
    """Print a large chart, and below it one row of numbers for each line in the chart."""
    from provml.charts.text_charts import dots

    rows, places, values = dots(chart, log, width, _HEIGHT)
    parts = [terminal.styled(terminal.printable(chart.title), "bold")]
    if not rows:
        parts.append(
            terminal.styled("nothing above zero to show" if log else "no numbers to show", "dim")
        )
    for number, row in enumerate(rows):
        mark = _format_number(values[1]) if number == 0 else ""
        mark = _format_number(values[0]) if number == len(rows) - 1 else mark
        line = terminal.styled(f"{mark:>{_NUMBER}} ┤" if mark else f"{'':>{_NUMBER}} │", "dim")
        for character, hue in row:
            line.append(character, "" if hue is None else _line_colour(hue))
        parts.append(line)
    if rows:
        low, high = _format_number(places[0]), _format_number(places[1])
        under = f"{low}{chart.axis_label():^{max(0, width - len(low) - len(high))}}{high}"
        parts.append(terminal.styled(f"{'':>{_NUMBER}} └{'─' * width}", "dim"))
        parts.append(terminal.styled(f"{'':>{_NUMBER}}  {under}", "dim"))
    terminal.show(*parts)
    terminal.show(_sparkline_table([(chart, line) for line in chart.lines], named=False))


def _show_sparklines(charts: Charts) -> None:
    """Print one row with a small chart for each series. System readings come last."""
    for apart, title in ((False, ""), (True, "system readings")):
        rows = [(c, line) for c in charts.charts if c.apart == apart for line in c.lines]
        if rows:
            if title:
                terminal.show(terminal.styled(f"\n{title}", "bold"))
            terminal.show(_sparkline_table(rows, named=True))


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
        {head: terminal.styled(_format_number(value)) for head, value in _summary(y).items()}
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
    return {"first": finite[0], "last": finite[-1], "min": finite.min(), "max": finite.max()}


GROUP = "Look"
COMMANDS = [plot_command]

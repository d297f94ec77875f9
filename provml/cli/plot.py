"""``provml plot``: draws a run's series as charts.

Imports `journal.store`; imports `plot` only when the command runs.
"""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING, Any

import click

from provml.cli import _terminal as terminal
from provml.cli._options import examples, run_argument, store_option
from provml.journal.store import find_run

if TYPE_CHECKING:
    from rich.text import Text

    from provml.plot.charts import Chart, Charts, Line

_STDOUT = "-"
_PIPE_WIDTH = 100
_HEIGHT = 12
_NARROWEST, _WIDEST = 24, 120
_SPARK = 32
_NUMBER = 9
_COLOURS = ("blue", "red", "green", "magenta", "yellow", "cyan", "white", "bright_black")


@click.command(
    "plot",
    epilog=examples(
        "provml plot latest",
        "provml plot latest loss accuracy --context validation",
        "provml plot latest loss --log -o loss.svg",
    ),
)
@run_argument
@click.argument("series", nargs=-1, metavar="[SERIES]...")
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
@store_option
def plot_command(
    run: str,
    series: tuple[str, ...],
    by: str | None,
    log: bool,
    contexts: tuple[str, ...],
    output: str | None,
    format_name: str | None,
    store: str | None,
) -> None:
    """Draw a run's series as charts.

    Each chart shows all series of the same name, with a line for each context and rank. SERIES are
    the names that were logged. By default, all series are drawn, with system readings last.

    Without -o, the charts are printed as text: one large chart for each of the SERIES or, without
    SERIES, one row for each series.

    A gap in a line means that a value is not a number. If a series has very many samples, the chart
    shows only the lowest and the highest sample of each interval, and a note says so.
    """
    from provml.plot import draw

    folder = find_run(run, store)
    if output is None:
        if format_name is not None:
            raise click.UsageError(
                f"--format {format_name} needs a file: add -o FILE, or -o - for standard output"
            )
        _show_charts(folder, series, contexts, by, log)
        return
    if output == _STDOUT and format_name is None:
        raise click.UsageError("standard output has no file extension: add --format")
    target: Any = sys.stdout.buffer if output == _STDOUT else output
    charts = draw(folder, target, series, contexts=contexts, by=by, log=log, format=format_name)
    if output == _STDOUT:
        sys.stdout.buffer.flush()
    where = "standard output" if output == _STDOUT else terminal.printable(output)
    count = len(charts.charts)
    terminal.echo_note(f"wrote {where}: {count:,} chart{'' if count == 1 else 's'}")
    _echo_charts_note(charts)


def _echo_charts_note(charts: Charts) -> None:
    note = charts.note()
    if note is not None:
        terminal.echo_note(note)


def _show_charts(
    folder: Any, series: tuple[str, ...], contexts: tuple[str, ...], by: str | None, log: bool
) -> None:
    from provml.journal.reader import Journal
    from provml.plot.charts import read_charts

    columns = shutil.get_terminal_size().columns if terminal.on_terminal() else _PIPE_WIDTH
    width = max(_NARROWEST, min(columns, _WIDEST) - _NUMBER - 2)
    charts = read_charts(Journal(folder), series, contexts, by, log, 8 * width)
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
    from provml.plot.blocks import dots

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
    import numpy as np

    from provml.plot.blocks import spark

    made: list[list[Text]] = []
    for chart, line in rows:
        # list a series with its numbers even if no sample has a position on the axis
        y = line.curve.value if chart.missing(line) else chart.over(line)[1]
        finite = y[np.isfinite(y)]
        numbers = (finite[0], finite[-1], finite.min(), finite.max()) if len(finite) else [None] * 4
        cells = (
            [terminal.styled(terminal.shortened(terminal.printable(chart.title), 60))]
            if named
            else []
        )
        cells.append(
            terminal.styled(terminal.printable(chart.name_of(line)), _line_colour(line.hue))
        )
        cells.append(terminal.styled(spark(y, _SPARK), _line_colour(line.hue)))
        cells += [terminal.styled(_format_number(number)) for number in numbers]
        made.append(cells)
    heads = [*(["name"] if named else []), "context", "", "first", "last", "min", "max"]
    right = ("first", "last", "min", "max")
    cut = ("name", "context") if named else ("context",)
    return terminal.table(heads, made, right=right, cut=cut)


GROUP = "Look"
COMMANDS = [plot_command]

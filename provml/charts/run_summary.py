"""Builds the summary that a notebook shows for a run: the run's state, parameters and metrics."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from provml.base.clock import iso_text
from provml.base.notebook_html import MOST_ROWS, Html, build_facts_html, build_table_html
from provml.base.notebook_plots import PlotLine, build_plot_image, build_spark_image
from provml.charts.curves import read_curves
from provml.charts.selection import Chart, ChartedRun, arrange_charts
from provml.errors import ProvMLError
from provml.journal.history import LastValues
from provml.journal.reader import Journal
from provml.model.series import RunSeries, SeriesTable

_MOST_PLOTS: Final = 6
_MOST_LINES: Final = 7
_POINTS: Final = 200
_SMALL_CURVE_POINTS: Final = 100


def build_run_summary(journal: Journal) -> str:
    """Build the summary of a run as HTML. All recorded text in the HTML is escaped.

    Costs two passes over the samples.
    """
    description, state = journal.description, journal.state()
    facts = [("status", state.status), ("reason", state.reason)]
    if state.exception is not None:
        kind, message = (state.exception.get(name) for name in ("type", "message"))
        facts += [("exception", f"{kind}: {message}")]
    facts += [(key, description.get(key)) for key in ("project", "owner", "framework", "task")]
    facts += [("started", iso_text(state.started_ns))]
    if state.ended_ns is not None:
        facts += [("ended", iso_text(state.ended_ns))]
    facts += [("folder", str(journal.folder))]
    parts = [
        build_facts_html(
            f"run {description['experiment']}/{description['id']}",
            [(name, value) for name, value in facts if value is not None],
        )
    ]
    params = [*LastValues(journal.folder, "param").to_dict().items()]
    if params:
        own, left_out = params[:MOST_ROWS], len(params) - MOST_ROWS
        title = "parameters" if left_out <= 0 else f"parameters ({left_out:,} more not shown)"
        parts.append(build_facts_html(title, own))
    table = SeriesTable(journal)
    for block in table.blocks():
        block.series.add(block)
    metrics = [series for series in table.all if series.kind == "metric" and series.count]
    if metrics:
        rows = [
            (
                series.name,
                "" if series.context is None else " > ".join(series.context),
                f"{series.count:,}",
                series.last,
                series.minimum,
                series.maximum,
            )
            for series in metrics
        ]
        parts.append("<p><b>metrics</b></p>")
        parts.append(build_table_html(("metric", "context", "count", "last", "min", "max"), rows))
        parts += _build_plots(journal, table, metrics)
    return "".join(parts)


def _build_plots(journal: Journal, table: SeriesTable, metrics: list[RunSeries]) -> list[str]:
    """Build plots of the first few metrics that have more than one sample."""
    names = list(dict.fromkeys(series.name for series in metrics if series.count > 1))
    chosen = [series for series in metrics if series.name in names[:_MOST_PLOTS]]
    started_ns = journal.state().started_ns
    curves = read_curves(table, chosen, started_ns, _POINTS)
    run = ChartedRun(journal.description, table, dict)
    plots = [_build_plot(chart) for chart in arrange_charts([run], [curves]).charts]
    left_out = len(names) - _MOST_PLOTS
    note = f"<p>{left_out:,} more metrics are not drawn</p>" if left_out > 0 else ""
    return [*plots, note]


def _build_plot(chart: Chart) -> str:
    lines = []
    for line in chart.lines[:_MOST_LINES]:
        x, y = chart.over(line)
        lines.append(PlotLine(line.label, x.tolist(), y.tolist()))
    return build_plot_image(chart.title, chart.axis_label(), lines)


def build_run_curve(run_folder: Path, name: str) -> Html:
    """Build a small curve of a run's first series with this name; empty if the run has none.

    Costs one pass over the samples.
    """
    try:
        journal = Journal(run_folder)
        table = SeriesTable(journal)
        own = [series for series in table.all if (series.kind, series.name) == ("metric", name)]
        curves = read_curves(table, own[:1], 0, _SMALL_CURVE_POINTS)
    except (ProvMLError, OSError):
        return Html()  # the run was removed, or can't be read
    return Html("".join(build_spark_image(name, curve.value.tolist()) for curve in curves))

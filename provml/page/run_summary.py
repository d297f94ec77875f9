"""Builds the summary that a notebook shows for a run: the run's state, parameters and metrics."""

from __future__ import annotations

from provml.base.clock import iso_text
from provml.base.notebook_html import MOST_ROWS, build_facts_html, build_table_html
from provml.journal.history import LastValues
from provml.journal.reader import Journal
from provml.model.series import SeriesTable


def build_run_summary(journal: Journal) -> str:
    """Build the summary of a run as HTML. All recorded text in the HTML is escaped.

    Costs one pass over the samples.
    """
    description, state = journal.description, journal.state()
    facts = [("status", state.status), ("reason", state.reason)]
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
        parts.append(build_table_html(("metric", "context", "count", "last", "min", "max"), rows))
    return "".join(parts)

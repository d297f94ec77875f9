"""``provml sql``: runs SQL over a store's tables. Imports `lineage` only when the command runs."""

from __future__ import annotations

import click

from provml.cli import _terminal as terminal
from provml.cli._options import exact_option, examples, json_option, store_option

_NUMERIC_TYPES = ("BIGINT", "INTEGER", "DOUBLE", "HUGEINT")


@click.command(
    "sql",
    epilog=examples(
        'provml sql "SELECT experiment, count(*) FROM runs GROUP BY experiment"',
        'provml sql "DESCRIBE runs"',
    ),
)
@click.argument("query", metavar='"SELECT ..."')
@exact_option
@json_option
@store_option
def sql_command(query: str, as_json: bool, store: str | None) -> None:
    """Query the tables of a store with SQL.

    The query is a single SELECT statement in DuckDB's SQL dialect. It can't change anything. The
    tables are runs, params, series, samples, artifacts, flows, nodes, edges and packages. To list
    the columns of a table, use DESCRIBE, as in the example.

    In a pipe, the output consists of tab-separated fields. The first line contains the column
    names, and each further line contains one row.
    """
    from provml.lineage.questions import open_store

    answer = open_store(store).sql(query)
    terminal.echo_notes(answer.notes)
    if as_json:
        terminal.echo_json([{k: terminal.exact(v) for k, v in row.items()} for row in answer])
    elif terminal.on_terminal():
        columns = [terminal.printable(name) for name in answer.columns]
        right = [n for n, kind in zip(columns, answer.types, strict=True) if kind in _NUMERIC_TYPES]
        rows = [[terminal.cell(terminal.value_text(cell)) for cell in row] for row in answer.rows]
        terminal.show_wide_table(columns, rows, right)
    else:
        click.echo(terminal.tab_line(answer.columns))
        for row in answer.rows:
            click.echo(terminal.tab_line(row))


GROUP = "Ask"
COMMANDS = [sql_command]

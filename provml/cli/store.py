"""``provml runs``, ``history``, ``sql``, ``index``. Imports `lineage` when it runs."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import click

from provml.cli import _terminal as terminal
from provml.cli._options import json_option, store_option

if TYPE_CHECKING:
    from rich.text import Text

    from provml.lineage.answers import TableAnswer

_LONGEST = 200
_SHORT_DIGEST = 12


@click.command("runs")
@click.option(
    "--where",
    metavar="CONDITION",
    help='As in "params.lr < 0.01 and metrics.accuracy.validation.max > 0.95".',
)
@click.option(
    "--sort",
    metavar="VALUE",
    help="As in metrics.loss.training.min, least first; -started: greatest first.",
)
@click.option(
    "--show", metavar="VALUE", multiple=True, help="A value to show; may be given several times."
)
@json_option
@store_option
def runs_command(
    where: str | None, sort: str | None, show: tuple[str, ...], as_json: bool, store: str | None
) -> None:
    """List the runs of a store, or find runs by conditions.

    A VALUE is params.NAME, tags.NAME, metrics.NAME, metrics.NAME.CONTEXT (its last value, or with
    .min, .max, .count), id, experiment, project, owner, status, started, ended, duration_s,
    sample_count, git_commit, script and the like. A name with other characters is a subscript:
    params["optimizer.lr"], metrics["loss/train"].training.min. A CONDITION compares them (<, <=,
    ==, !=, in) with numbers, "texts", True, False, None, and joins with and, or, not. Times are
    "2026-03-01T12:00" on this machine's clock.

    In a pipe, one line a run with its fields separated by tabs: id, experiment, status, start
    (UTC), duration in seconds, and the values to show.
    """
    from provml.lineage.questions import open_store

    answer = open_store(store).runs(where, sort, show)
    _echo_notes(answer.notes)
    if as_json:
        terminal.echo_json([_json_row(row) for row in answer])
        return
    if not answer.rows:
        terminal.echo_note("no run is like that" if where else "there are no runs")
    elif terminal.on_terminal():
        _show_runs(answer, show)
    else:
        for row in answer:
            fields = [row["id"], row["experiment"], row["status"]]
            fields.append(terminal.time_text(row["started_ns"]) or "")
            fields.append("" if row["duration_s"] is None else f"{row['duration_s']:.3f}")
            fields += [_exact_text(cell) for cell in list(row.values())[-len(show) :] if show]
            click.echo("\t".join(terminal.printable(field) for field in fields))


def _exact_text(cell: Any) -> str:
    plain = terminal.exact(cell)
    if isinstance(plain, (list, dict)):
        return json.dumps(plain, ensure_ascii=False)
    return "" if plain is None else str(plain)


def _json_row(row: dict[str, Any]) -> dict[str, Any]:
    """A row as JSON, times as xsd:dateTime."""
    plain = {k: v for k, v in row.items() if k not in ("started", "ended")}
    for name in ("started", "ended"):
        if f"{name}_ns" in row:
            plain[name] = terminal.time_text(plain.pop(f"{name}_ns"))
    return {name: _json_cell(cell) for name, cell in plain.items()}


def _json_cell(cell: Any) -> Any:
    if isinstance(cell, (list, tuple)):
        return [_json_cell(member) for member in cell]
    if isinstance(cell, dict):
        return {str(key): _json_cell(member) for key, member in cell.items()}
    if cell is None or isinstance(cell, (bool, int, float, str, bytes)):
        return terminal.exact(cell)
    return str(cell)


def _show_runs(answer: TableAnswer, show: tuple[str, ...]) -> None:
    from rich.text import Text

    rows: list[list[Text]] = []
    now_ns = time.time_ns()
    for row, cells in zip(answer, answer.rows, strict=True):
        ended_ns = now_ns if row["status"] == "running" else row["ended_ns"]
        length_s = terminal.duration_s(row["started_ns"] or 0, ended_ns)
        own = [
            Text(terminal.printable(row["id"]), "bold"),
            Text(terminal.printable(row["experiment"])),
            Text(row["status"], terminal.STYLES.get(row["status"], "")),
            Text(terminal.local_text(row["started_ns"], short=True)),
            Text(terminal.duration_text(length_s)),
        ]
        shown = cells[len(cells) - len(show) :]
        rows.append(own + [_text(terminal.value_text(cell)) for cell in shown])
    columns = ["id", "experiment", "status", "started", "duration"]
    columns += [
        terminal.printable(name) for name in answer.columns[len(answer.columns) - len(show) :]
    ]
    terminal.show(terminal.table(columns, rows, right=("duration",), cut=["experiment", "started"]))


@click.command("history")
@click.argument("model", metavar="MODEL-NAME")
@json_option
@store_option
def history_command(model: str, as_json: bool, store: str | None) -> None:
    """Show every version of a model across all runs.

    In a pipe, one line a version with its fields separated by tabs: time, run, version, sha256,
    size, context, step, path.
    """
    from provml.lineage.questions import open_store

    answer = open_store(store).history(model)
    _echo_notes(answer.notes)
    if as_json:
        terminal.echo_json([_json_row(row) | _time(row) for row in answer])
        return
    if not terminal.on_terminal():
        for row in answer:
            facts = [
                row[key] for key in ("run", "version", "sha256", "size", "context", "step", "path")
            ]
            cells = [terminal.time_text(row["time_ns"]), *facts]
            click.echo("\t".join("" if c is None else terminal.printable(c) for c in cells))
        return
    before = None
    rows: list[list[Text]] = []
    for row in answer:
        same = before is not None and row["sha256"] == before
        before = row["sha256"]
        digest = (row["sha256"] or "-")[:_SHORT_DIGEST]
        place = row["context"] or "-"
        cells = [
            terminal.local_text(row["time_ns"]),
            row["run"],
            str(row["version"]),
            f"{digest} (the same)" if same else digest,
            terminal.size_text(row["size"]) if row["size"] is not None else "-",
            place if row["step"] is None else f"{place} {row['step']}",
            row["status"],
        ]
        rows.append([_text(cell) for cell in cells])
    columns = ("time", "run", "version", "sha256", "size", "made in", "run is")
    terminal.show(terminal.table(columns, rows, right=("version", "size"), cut=("run", "made in")))


def _time(row: dict[str, Any]) -> dict[str, Any]:
    return {"time": terminal.time_text(row["time_ns"])}


@click.command("sql")
@click.argument("query", metavar='"SELECT ..."')
@json_option
@store_option
def sql_command(query: str, as_json: bool, store: str | None) -> None:
    """Query the tables of a store with SQL.

    The tables are runs, params, series, samples, artifacts, flows, nodes, edges and packages;
    `DESCRIBE runs` shows a table's columns, and schemas/tables.md says what they hold. The SQL is
    DuckDB's: one SELECT.

    In a pipe, a line with the columns' names, then one line a row, fields separated by tabs.
    """
    from provml.lineage.questions import open_store

    answer = open_store(store).sql(query)
    _echo_notes(answer.notes)
    if as_json:
        terminal.echo_json([{k: _json_cell(v) for k, v in row.items()} for row in answer])
    elif terminal.on_terminal():
        columns = [terminal.printable(name) for name in answer.columns]
        numbers = ("BIGINT", "INTEGER", "DOUBLE", "HUGEINT")
        right = [n for n, kind in zip(columns, answer.types, strict=True) if kind in numbers]
        rows = [[_text(terminal.value_text(_json_cell(c))) for c in row] for row in answer.rows]
        terminal.show(terminal.table(columns, rows, right=right))
    else:
        click.echo("\t".join(map(terminal.printable, answer.columns)))
        for row in answer.rows:
            click.echo("\t".join(terminal.printable(_exact_text(_json_cell(c))) for c in row))


@click.command("index")
@click.option("--samples", is_flag=True, help="Make the table of all samples, too.")
@store_option
def index_command(samples: bool, store: str | None) -> None:
    """Bring the tables of a store up to date.

    Every question does this by itself; after many new runs it takes a while, some 15 ms a run.
    The tables lie in the store, in .tables, and may be deleted.
    """
    from provml.lineage.questions import open_store

    opened = open_store(store)
    begin = time.perf_counter()
    read = opened.refresh()
    count = opened.sql("SELECT count(*) FROM runs").rows[0][0]
    if samples:
        opened.sql("SELECT 1 FROM samples LIMIT 1")
    _echo_notes(opened.notes())
    seconds = terminal.duration_text(time.perf_counter() - begin)
    click.echo(
        f"{count} runs, {read} read, in {seconds}: {terminal.printable(opened.tables_folder)}"
    )


def _text(content: str) -> Text:
    from rich.text import Text

    return Text(terminal.shortened(terminal.printable(content), _LONGEST))


def _echo_notes(notes: list[str]) -> None:
    for note in notes:
        terminal.echo_note(terminal.printable(note))


GROUP = "Look"
COMMANDS = [runs_command, history_command, sql_command, index_command]

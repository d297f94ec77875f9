"""``provml history``: lists the versions of a model across runs.

Imports `lineage` only when the command runs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from provml.cli import _terminal as terminal
from provml.cli._options import exact_option, examples, json_option, store_option

if TYPE_CHECKING:
    from rich.text import Text

    from provml.lineage.answers import TableAnswer

_SHORT_DIGEST = 12
_PIPE_COLUMNS = ("run", "version", "sha256", "size", "context", "step", "path")


@click.command("history", epilog=examples("provml history digits", "provml history digits --json"))
@click.argument("model", metavar="MODEL-NAME")
@exact_option
@json_option
@store_option
def history_command(model: str, as_json: bool, store: str | None) -> None:
    """Show every version of a model across all runs.

    Lists the earliest version first. MODEL-NAME is the name that was passed to log_model.

    In a pipe, each version is one line of tab-separated fields: time, run, version, sha256, size,
    context, step, path.
    """
    from provml.lineage.questions import open_store

    answer = open_store(store).history(model)
    terminal.echo_notes(answer.notes)
    if as_json:
        terminal.echo_json(
            [
                {name: terminal.exact(cell) for name, cell in row.items()}
                | {"time": terminal.time_text(row["time_ns"])}
                for row in answer
            ]
        )
    elif terminal.on_terminal():
        _show_versions(answer)
    else:
        for row in answer:
            facts = [row[name] for name in _PIPE_COLUMNS]
            click.echo(terminal.tab_line([terminal.time_text(row["time_ns"]), *facts]))


def _show_versions(answer: TableAnswer) -> None:
    digest_before = None
    rows: list[list[Text]] = []
    for row in answer:
        is_same = digest_before is not None and row["sha256"] == digest_before
        digest_before = row["sha256"]
        digest = (row["sha256"] or "-")[:_SHORT_DIGEST]
        context = row["context"] or "-"
        cells = [
            terminal.local_text(row["time_ns"]),
            row["id"],
            row["experiment"],
            str(row["version"]),
            f"{digest} (unchanged)" if is_same else digest,
            terminal.size_text(row["size"]) if row["size"] is not None else "-",
            context if row["step"] is None else f"{context} {row['step']}",
            row["status"],
        ]
        rows.append([terminal.cell(cell) for cell in cells])
    columns = ("time", "run", "experiment", "version", "sha256", "size", "made in", "run status")
    terminal.show(
        terminal.table(
            columns,
            rows,
            right=("version", "size"),
            cut=("experiment", "made in"),
            drop=("run status", "made in", "experiment"),
        )
    )


GROUP = "Compare"
COMMANDS = [history_command]

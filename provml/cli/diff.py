"""``provml diff``. Imports only light things; `lineage` when it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from provml.cli import _terminal as terminal
from provml.cli._options import json_option, store_option

if TYPE_CHECKING:
    from provml.lineage.compare import Comparison

_LONGEST = 60
_SHORT_DIGEST = 12
_COLOURS = {"+": "green", "-": "red", "@": "cyan"}


@click.command("diff")
@click.argument("runs", metavar="RUN RUN...", nargs=-1, required=True)
@json_option
@store_option
def diff_command(runs: tuple[str, ...], as_json: bool, store: str | None) -> None:
    """Show what differs between runs.

    Parameters, tags, packages, the digests of data and code, the last, least and greatest value of
    each metric, and the recorded code as a unified diff against the first run's. --json has what is
    the same, too.

    In a pipe, one line a difference with its fields separated by tabs: part, name, and the value in
    each run; then the code's diff.
    """
    from provml.lineage.questions import open_store

    found = open_store(store).diff(*runs)
    for note in found.notes:
        terminal.echo_note(terminal.printable(note))
    if as_json:
        terminal.echo_json(terminal.exact(found.to_dict()))
        return
    table = found.table()
    if terminal.on_terminal():
        _show(found)
    else:
        for row in table.rows:
            click.echo("\t".join("" if c is None else terminal.printable(c) for c in row))
    for name, lines in found.code.items():
        if terminal.on_terminal():
            click.echo(click.style(f"\ncode: {terminal.printable(name)}", bold=True))
        for line in lines:
            click.echo(click.style(terminal.printable(line), fg=_COLOURS.get(line[:1])))
    if not table.rows and not found.code:
        terminal.echo_note("nothing differs")


def _show(found: Comparison) -> None:
    from rich.text import Text

    rows: list[list[Text]] = []
    part_before = None
    for part, name, *values in found.table().rows:
        cells = [part if part != part_before else "", name, *(_cell(part, v) for v in values)]
        part_before = part
        rows.append([Text(terminal.shortened(terminal.printable(c), _LONGEST)) for c in cells])
    if rows:
        columns = ["part", "name", *map(terminal.printable, found.runs)]
        terminal.show(terminal.table(columns, rows))


def _cell(part: str, value: Any) -> str:
    if value is None:
        return "-"
    if part == "data":
        return ", ".join(digest[:_SHORT_DIGEST] for digest in str(value).split(", "))
    return str(value)


GROUP = "Compare"
COMMANDS = [diff_command]

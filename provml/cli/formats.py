"""``provml formats``: lists the export formats. Imports `export` only when the command runs."""

from __future__ import annotations

import click

from provml.cli import _terminal as terminal
from provml.cli._options import examples, json_option


@click.command("formats", epilog=examples("provml formats", "provml formats --json"))
@json_option
def formats_command(as_json: bool) -> None:
    """List the export formats.

    For each format, shows the name, the file extension, whether one document can contain several
    runs, and a description.
    """
    from provml.export import load_formats

    formats, errors = load_formats()
    for error in errors:
        terminal.echo_note(terminal.printable(error))
    rows = [(one.name, one.suffix, one.holds_several_runs, one.about) for one in formats]
    if as_json:
        keys = ("name", "ending", "several_runs", "about")
        terminal.echo_json([dict(zip(keys, row, strict=True)) for row in rows])
    elif terminal.on_terminal():
        from rich.text import Text

        columns = ("format", "extension", "several runs", "description")
        cells = [[Text(n), Text(e), Text("yes" if s else "no"), Text(a)] for n, e, s, a in rows]
        terminal.show(terminal.table(columns, cells, cut=("description",)))
    else:
        for name, ending, several, about in rows:
            click.echo(f"{name}\t{ending}\t{'yes' if several else 'no'}\t{about}")


GROUP = "Documents"
COMMANDS = [formats_command]

"""``provml recover``. Imports `store`, `journal.recovery`; `export` when it runs."""

from __future__ import annotations

from pathlib import Path

import click

from provml.cli import _terminal as terminal
from provml.cli._options import FormatName, run_argument, store_option
from provml.errors import ProvMLError
from provml.journal.reader import Journal
from provml.journal.recovery import recover
from provml.journal.store import find_run


@click.command("recover")
@run_argument
@click.option(
    "--format",
    "format_name",
    type=FormatName(),
    default="provjson",
    show_default=True,
    help="The document to write then.",
)
@store_option
def recover_command(run: str, format_name: str, store: str | None) -> None:
    """Close a run whose process was killed, and write its document.

    Of a killed provml run it records what was printed and the files, too. Nothing that was recorded
    is lost or changed. A run whose main process is alive is refused; forked children of a dead one
    that still live are left alone. A run that ended is left as it is. Twice is once.
    """
    from provml.export import document_path, export, find_format

    folder = find_run(run, store)
    closed = recover(folder)
    if Journal(folder).state().status == "crashed":
        closed += _what_is_left(folder)
    chosen = find_format(format_name)
    document = document_path(folder, chosen)
    for line in closed:
        click.echo(terminal.printable(line))
    state = Journal(folder).state()
    if not closed and (state.status != "crashed" or document.exists()):
        # a crashed run that has an end got it from a recovery
        recovered = state.status == "crashed" and state.ended_ns is not None
        done = "already recovered" if recovered else "nothing to recover"
        click.echo(f"{done}: {terminal.printable(folder.name)} is {state.status}")
        return
    mapping = export(folder, chosen, document)
    size = terminal.size_text(document.stat().st_size)
    click.echo(f"wrote {terminal.printable(document)} ({size}, {mapping.samples:,} samples)")


def _what_is_left(folder: Path) -> list[str]:
    """Record what `provml run` left; where that can't be, a line says so."""
    from provml.capture.command.leftovers import record_leftovers

    try:
        return record_leftovers(folder)
    except (ProvMLError, OSError) as error:
        terminal.echo_note(terminal.printable(f"not recorded what was left: {error}"))
        return []


GROUP = "Store"
COMMANDS = [recover_command]

"""``provml recover``: closes a run whose process was killed.

Imports `journal`; imports `export` and `capture` only when the command runs.
"""

from __future__ import annotations

from pathlib import Path

import click

from provml.cli import _terminal as terminal
from provml.cli._options import FormatName, examples, run_argument, store_option
from provml.errors import ProvMLError
from provml.journal.reader import Journal
from provml.journal.recovery import recover
from provml.journal.store import find_run


@click.command("recover", epilog=examples("provml recover latest"))
@run_argument
@click.option(
    "--format",
    "format_name",
    type=FormatName(),
    default="provjson",
    show_default=True,
    help="The format of the document.",
)
@store_option
def recover_command(run: str, format_name: str, store: str | None) -> None:
    """Close a run whose process was killed, and write its document.

    The recorded data is not changed. If the run was started with provml run, the command also
    records the output and the files that the killed process left behind.

    The command refuses a run whose main process is still alive. Forked children that outlive the
    main process are not affected. A run that has ended is not changed, so you can safely repeat the
    command.
    """
    from provml.export import document_path, export, find_format

    folder = find_run(run, store)
    closed = recover(folder)
    if Journal(folder).state().status == "crashed":
        closed += _record_leftovers(folder)
    chosen = find_format(format_name)
    document = document_path(folder, chosen)
    for line in closed:
        click.echo(terminal.printable(line))
    state = Journal(folder).state()
    if not closed and (state.status != "crashed" or document.exists()):
        # a crashed run gets an end time only from a recovery
        recovered = state.status == "crashed" and state.ended_ns is not None
        done = "already recovered" if recovered else "nothing to recover"
        click.echo(f"{done}: {terminal.printable(folder.name)} is {state.status}")
        return
    mapping = export(folder, chosen, document)
    size = terminal.size_text(document.stat().st_size)
    click.echo(f"wrote {terminal.printable(document)} ({size}, {mapping.samples:,} samples)")


def _record_leftovers(folder: Path) -> list[str]:
    """Record the output and files that a killed ``provml run`` left behind.

    Prints a note if that fails.
    """
    from provml.capture.command.leftovers import record_leftovers

    try:
        return record_leftovers(folder)
    except (ProvMLError, OSError) as error:
        terminal.echo_note(
            terminal.printable(
                f"could not record the output and files of the killed command: {error}"
            )
        )
        return []


GROUP = "Store"
COMMANDS = [recover_command]

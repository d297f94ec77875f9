"""``provml index``: reads new runs into a store's tables.

Imports `lineage` only when the command runs.
"""

from __future__ import annotations

import time

import click

from provml.cli import _terminal as terminal
from provml.cli._options import examples, store_option


@click.command("index", epilog=examples("provml index", "provml index --samples"))
@click.option("--samples", is_flag=True, help="Also build the table of all samples.")
@store_option
def index_command(samples: bool, store: str | None) -> None:
    """Bring the tables of a store up to date.

    Commands that ask many runs do this themselves. After many new runs it takes a while, about
    15 ms a run, which you can spend ahead. The tables are in the folder .tables of the store and
    can be deleted at any time.
    """
    from provml.lineage.questions import open_store

    opened = open_store(store)
    begin = time.perf_counter()
    read = opened.refresh()
    count = opened.sql("SELECT count(*) FROM runs").rows[0][0]
    if samples:
        opened.sql("SELECT 1 FROM samples LIMIT 1")
    terminal.echo_notes(opened.notes())
    seconds = terminal.format_duration(time.perf_counter() - begin)
    folder = terminal.printable(opened.tables_folder)
    click.echo(f"{count} runs, {read} read, in {seconds}: {folder}")


GROUP = "Store"
COMMANDS = [index_command]

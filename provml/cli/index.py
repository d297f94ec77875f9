"""``provml index``: updates the tables of a store with new and changed runs.

Imports `lineage` only when the command runs.
"""

from __future__ import annotations

import time

import click

from provml.cli import _terminal as terminal
from provml.cli._options import examples, store_option


@click.command("index", epilog=examples("provml index", "provml index --samples"))
@click.option("--samples", is_flag=True, help="Also update the table that contains every sample.")
@store_option
def index_command(samples: bool, store: str | None) -> None:
    """Update the tables of a store.

    Commands that query many runs update the tables themselves. This takes about 15 ms per new run,
    so run provml index in advance if there are many new runs.

    The tables are in the store's .tables folder, which you can delete at any time.
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
    click.echo(f"indexed {count} runs ({read} read from disk) in {seconds}: {folder}")


GROUP = "Store"
COMMANDS = [index_command]

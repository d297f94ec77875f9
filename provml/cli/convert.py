"""``provml convert``. Imports `output`, `errors`; `reading` when it runs."""

from __future__ import annotations

import sys
from typing import Any

import click

from provml.base.sinks import open_sink
from provml.cli import _terminal as terminal
from provml.errors import InvalidArgumentError

_STD = "-"


@click.command("convert")
@click.argument("source", metavar="IN")
@click.argument("target", metavar="OUT")
@click.option(
    "--from", "from_format", metavar="FORMAT", help="IN's format.  [default: as it looks]"
)
@click.option("--to", "to_format", metavar="FORMAT", help="OUT's format.  [default: by its ending]")
@click.option("--base", metavar="IRI", help="What relative IRIs in RDF are relative to.")
@click.option(
    "--max-size",
    "max_mb",
    type=click.IntRange(min=1),
    metavar="MB",
    help="How large IN may be, decompressed; it takes some tens of times as much memory.  "
    "[default: 64]",
)
@click.option("--no-check", is_flag=True, help="Don't read OUT again to see that it says the same.")
def convert_command(
    source: str,
    target: str,
    from_format: str | None,
    to_format: str | None,
    base: str | None,
    max_mb: int | None,
    no_check: bool,
) -> None:
    """Convert a PROV document to another format.

    Forms, by their files' endings: .json (PROV-JSON), .provn, .provx or .xml (PROV-XML),
    .provjsonld, and PROV-O as .ttl, .nt, .nq, .trig, .jsonld; .rdf is read. .gz and .zst
    compress. IN and OUT may be -, standard input and output. What OUT can't carry is said, and
    nothing is written then; from RDF to RDF nothing is lost.
    """
    from provml.reading import MAX_BYTES, format_for, read

    if to_format is None:
        if target == _STD:
            raise InvalidArgumentError("standard output says no format: give --to")
        to_format = format_for(target)
    origin: Any = sys.stdin.buffer if source == _STD else source
    max_bytes = MAX_BYTES if max_mb is None else max_mb * 2**20
    document = read(origin, from_format, max_bytes, base)
    sink: Any = sys.stdout.buffer if target == _STD else target
    with open_sink(sink) as opened_sink:
        notes = document.write(to_format, opened_sink, not no_check)
    if target == _STD:
        sys.stdout.buffer.flush()
    for note in (*document.notes, *notes):
        terminal.echo_note(f"note: {terminal.printable(note)}")


GROUP = "Documents"
COMMANDS = [convert_command]

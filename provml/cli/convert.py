"""``provml convert``: converts a PROV document to another format.

Imports `reading` and `export` only when the command runs.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import click

from provml.base.sinks import open_sink
from provml.cli import _terminal as terminal
from provml.cli._options import examples
from provml.errors import InvalidArgumentError

_STD = "-"
_PICTURES = ("html", "svg", "png", "pdf", "dot")


def _picture_format_of(target: str) -> str | None:
    """Return the picture format that a file's extension names, or None for other extensions."""
    ending = os.path.splitext(target)[1].lower().removeprefix(".")
    return ending if ending in _PICTURES else None


@click.command(
    "convert",
    epilog=examples(
        "provml convert run.json run.ttl",
        "provml convert run.provn.gz - --to provjson | jq .entity",
        "provml convert document.provn document.html",
    ),
)
@click.argument("source", metavar="IN")
@click.argument("target", metavar="OUT")
@click.option(
    "--from", "from_format", metavar="FORMAT", help="The format of IN.  [default: detected]"
)
@click.option(
    "--to", "to_format", metavar="FORMAT", help="The format of OUT.  [default: from its extension]"
)
@click.option("--base", metavar="IRI", help="The base IRI for relative IRIs in RDF.")
@click.option(
    "--max-size",
    "max_mb",
    type=click.IntRange(min=1),
    metavar="MB",
    help="The maximum size of IN in MiB, after decompression. Reading IN can need up to 75 times "
    "as much memory.  [default: 1024]",
)
@click.option(
    "--no-check", is_flag=True, help="Don't read OUT back to check that it is equivalent to IN."
)
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

    The extension of a file determines its format:

    \b
      .json                         PROV-JSON
      .provn                        PROV-N
      .provx .xml                   PROV-XML
      .provjsonld                   PROV-JSONLD
      .ttl .nt .nq .trig .jsonld    PROV-O
      .rdf                          PROV-O, only for IN

    A file whose name ends in .gz or .zst is compressed. A hyphen (-) stands for standard input or
    output.

    OUT can also be a web page (.html) or a picture (.svg, .png, .pdf, .dot) of the document.

    If the format of OUT can't express the whole document, the command reports what it can't
    express, and writes nothing. Conversions between RDF formats lose nothing.
    """  # noqa: D301 - \b tells click not to wrap the text
    from provml.reading import MAX_BYTES, format_for, read

    drawn = to_format if to_format in _PICTURES else None
    if to_format is None:
        drawn = _picture_format_of(target)
    if drawn is not None:
        to_format = drawn
    if to_format is None:
        if target == _STD:
            raise InvalidArgumentError(
                "standard output has no file extension: choose its format with --to"
            )
        to_format = format_for(target)
    origin: Any = sys.stdin.buffer if source == _STD else source
    max_bytes = MAX_BYTES if max_mb is None else max_mb * 2**20
    document = read(origin, from_format, max_bytes, base)
    sink: Any = sys.stdout.buffer if target == _STD else target
    notes: list[str] = []
    with open_sink(sink) as opened_sink:
        if drawn is None:
            notes = document.write(to_format, opened_sink, not no_check)
        else:
            from provml.export import draw_document

            title = "PROV document" if source == _STD else os.path.basename(source)
            draw_document(document, drawn, opened_sink, title)
    if target == _STD:
        sys.stdout.buffer.flush()
    for note in (*document.notes, *notes):
        terminal.echo_note(f"note: {terminal.printable(note)}")


GROUP = "Documents"
COMMANDS = [convert_command]

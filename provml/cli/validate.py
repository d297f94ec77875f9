"""``provml validate``. Imports `store`; `validation` when it runs."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import click

from provml.cli import _terminal as terminal
from provml.cli._options import json_option, store_option
from provml.errors import DocumentError, RunNotFoundError
from provml.store import find_run

if TYPE_CHECKING:
    from provml.validation import Report

_STDIN = "-"
_SHOWN_FINDINGS = 50


@click.command("validate")
@click.argument("documents", metavar="FILE...", nargs=-1, required=True)
@click.option("--schema", is_flag=True, help="Judge by the JSON Schemas of PROV-JSON and provml.")
@click.option("--shapes", is_flag=True, help="Judge by the SHACL shapes of provml, as RDF.")
@click.option(
    "--from", "from_format", metavar="FORMAT", help="The files' format.  [default: as they look]"
)
@click.option(
    "--max-size",
    "max_mb",
    type=click.IntRange(min=1),
    metavar="MB",
    help="How large a file may be, decompressed; it takes some tens of times as much memory.  "
    "[default: 64]",
)
@click.option(
    "--detail",
    type=click.Choice(["sample", "series"]),
    help="How a run is judged: by every sample or by series.  "
    "[default: sample up to 10,000 samples, else series]",
)
@json_option
@store_option
def validate_command(
    documents: tuple[str, ...],
    schema: bool,
    shapes: bool,
    from_format: str | None,
    max_mb: int | None,
    detail: str | None,
    as_json: bool,
    store: str | None,
) -> int:
    """Judge documents: whether they are PROV-JSON, and whether they are as provml's must be.

    FILE is a PROV document in any form, also .gz or .zst; - for standard input; or a RUN, which is
    exported anew. Without --schema or --shapes it is judged by both. What provml demands of its own
    documents is demanded only of those that hold terms of provml.

    Prints a line for each finding. Exit status: 0 without findings, 1 with some, 2 where something
    can't be read.
    """
    from provml.reading import MAX_BYTES

    judges = {"schema": schema, "shapes": shapes} if schema or shapes else {}
    max_bytes = MAX_BYTES if max_mb is None else max_mb * 2**20
    reports: list[Report] = []
    status = 0
    for name in documents:
        try:
            report = _judged(name, from_format, max_bytes, detail, store, judges)
        except (DocumentError, OSError, RunNotFoundError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else error
            click.echo(f"provml: error: {terminal.printable(f'{name}: {reason}')}", err=True)
            status = 2
            continue
        reports.append(report)
        status = max(status, 0 if report.conforms else 1)
        if not as_json:
            _show(report)
    if as_json:
        terminal.echo_json([report.as_json() for report in reports])
    return status


def _judged(
    name: str,
    from_format: str | None,
    max_bytes: int,
    detail: str | None,
    store: str | None,
    judges: dict[str, bool],
) -> Report:
    from provml.validation import validate, validate_run

    if name == _STDIN or (os.path.exists(name) and not os.path.isdir(name)):
        called = "standard input" if name == _STDIN else name
        source = sys.stdin.buffer if name == _STDIN else name
        return validate(source, from_format, name=called, max_bytes=max_bytes, **judges)
    try:
        folder = find_run(name, store)
    except RunNotFoundError as error:
        raise RunNotFoundError(f"there is no such file, and {error}") from None
    return validate_run(folder, detail, **judges)


def _show(report: Report) -> None:
    for finding in report.findings[:_SHOWN_FINDINGS]:
        click.echo(terminal.printable(f"{report.document}: {finding.text()}"))
    further = max(0, len(report.findings) - _SHOWN_FINDINGS) + report.further
    if further:
        click.echo(terminal.printable(f"{report.document}: and {further:,} more findings"))
    told = [*(["nothing found"] if report.conforms else []), *report.notes]
    if told:
        terminal.echo_note(terminal.printable(f"{report.document}: {'; '.join(told)}"))


COMMANDS = [validate_command]

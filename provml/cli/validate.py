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
    "--format",
    "format_name",
    metavar="NAME",
    help="The files' form.  [default: what their names and contents say]",
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
    format_name: str | None,
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
    by_schema, by_shapes = (schema, shapes) if schema or shapes else (True, True)
    reports: list[Report] = []
    status = 0
    for name in documents:
        try:
            report = _judged(name, format_name, detail, store, by_schema, by_shapes)
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
    format_name: str | None,
    detail: str | None,
    store: str | None,
    schema: bool,
    shapes: bool,
) -> Report:
    from provml.validation import validate, validate_run

    if name == _STDIN:
        stream = sys.stdin.buffer
        return validate(stream, format_name, schema=schema, shapes=shapes, name="standard input")
    if os.path.exists(name) and not os.path.isdir(name):
        return validate(name, format_name, schema=schema, shapes=shapes)
    try:
        folder = find_run(name, store)
    except RunNotFoundError as error:
        raise RunNotFoundError(f"there is no such file, and {error}") from None
    return validate_run(folder, detail, schema=schema, shapes=shapes)


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

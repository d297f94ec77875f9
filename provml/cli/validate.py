"""``provml validate``: checks documents and runs.

Imports `validation` only when the command runs.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from provml.cli import _terminal as terminal
from provml.cli._choice import choose_run
from provml.cli._options import examples, json_option, store_option
from provml.errors import DocumentError, JournalError, RunNotFoundError

if TYPE_CHECKING:
    from provml.validation import Finding, Report

_STDIN = "-"
_SHOWN_FINDINGS = 50
_SHOWN_EVIDENCE = 10


@click.command(
    "validate",
    epilog=examples(
        "provml validate provenance.json",
        "provml validate latest --constraints --explain",
        "provml validate *.ttl --report sarif > findings.sarif",
    ),
)
@click.argument("documents", metavar="FILE...", nargs=-1, required=True)
@click.option(
    "--constraints", is_flag=True, help="Check documents against the W3C's PROV-CONSTRAINTS."
)
@click.option(
    "--schema",
    is_flag=True,
    help="Check documents against the JSON Schemas of PROV-JSON and provml.",
)
@click.option(
    "--shapes", is_flag=True, help="Check documents, as RDF, against provml's SHACL shapes."
)
@click.option(
    "--format",
    "--from",
    "from_format",
    metavar="FORMAT",
    default="auto",
    help="The format of the files; auto detects the format.  [default: auto]",
)
@click.option(
    "--max-size",
    "max_mb",
    type=click.IntRange(min=1),
    metavar="MB",
    help="The maximum size of a file in MiB, after decompression. Reading a file can need up to 75 "
    "times as much memory.  [default: 1024]",
)
@click.option(
    "--detail",
    type=click.Choice(["sample", "series"]),
    help="Check every sample of a run, or only a summary of each series.  [default: sample, but "
    "--schema and --shapes use series above 10,000 samples]",
)
@click.option(
    "--report",
    "form",
    type=click.Choice(["text", "json", "sarif", "html", "github"]),
    default="text",
    help="The format of the report.  [default: text]",
)
@click.option("--explain", is_flag=True, help="Show how each finding follows from the statements.")
@json_option
@store_option
def validate_command(
    documents: tuple[str, ...],
    constraints: bool,
    schema: bool,
    shapes: bool,
    from_format: str,
    max_mb: int | None,
    detail: str | None,
    form: str,
    explain: bool,
    as_json: bool,
    store: str | None,
) -> int:
    """Check that documents or runs are valid PROV.

    FILE is a PROV document in any supported format, a RUN, or - for standard input. A document may
    be compressed (.gz or .zst).

    --constraints, --schema and --shapes choose the checks. By default, all three run, but a
    document larger than 8 MiB is checked only against the constraints. provml's own rules apply
    only to documents that use provml's terms.

    Prints each finding with the statements that cause it. The exit status is 0 if all documents are
    valid, 1 if there are findings, and 2 if a document can't be read.
    """
    from provml.reading import MAX_BYTES

    judges: dict[str, bool] = {}
    if schema or shapes or constraints:
        judges = {"schema": schema, "shapes": shapes, "constraints": constraints}
    max_bytes = MAX_BYTES if max_mb is None else max_mb * 2**20
    from_name = None if from_format == "auto" else from_format
    form = "json" if as_json else form
    reports: list[Report] = []
    status = 0
    for name in documents:
        try:
            report = _validate_document(name, from_name, max_bytes, detail, store, judges)
        except (DocumentError, JournalError, OSError, RunNotFoundError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else error
            click.echo(f"provml: error: {terminal.printable(f'{name}: {reason}')}", err=True)
            status = 2
            continue
        reports.append(report)
        status = max(status, 0 if report.conforms else 1)
        if form == "text":
            _show_findings(report, explain)
    _print_reports(reports, form)
    return status


def _validate_document(
    name: str,
    from_format: str | None,
    max_bytes: int,
    detail: str | None,
    store: str | None,
    judges: dict[str, Any],
) -> Report:
    from provml.validation import validate, validate_run

    if name == _STDIN or (os.path.exists(name) and not os.path.isdir(name)):
        called = "standard input" if name == _STDIN else name
        source: Any = sys.stdin.buffer if name == _STDIN else name
        return validate(source, from_format, name=called, max_bytes=max_bytes, **judges)
    try:
        folder = choose_run(name, store)
    except RunNotFoundError as error:
        raise RunNotFoundError(f"there is no such file or run: {error}") from None
    return validate_run(folder, detail=detail, **judges)


def _print_reports(reports: list[Report], form: str) -> None:
    """Print all reports as one document. Prints nothing for the format ``text``."""
    if form == "json":
        terminal.echo_json([report.to_dict() for report in reports])
    elif form == "sarif":
        from provml.validation.sarif_report import build_sarif

        terminal.echo_json(build_sarif(reports))
    elif form == "html":
        from provml.validation.html_report import write_html_report

        click.echo(write_html_report(reports).encode("utf-8", "replace"))
    elif form == "github":
        from provml.validation.github_report import build_github_annotations

        for line in build_github_annotations(reports):
            click.echo(terminal.printable(line))


def _show_findings(report: Report, explain: bool) -> None:
    for finding in report.findings[:_SHOWN_FINDINGS]:
        click.echo(terminal.printable(f"{report.document}: {finding.text()}"))
        for line in _format_evidence(finding, explain):
            click.echo(terminal.printable(line))
    further = max(0, len(report.findings) - _SHOWN_FINDINGS) + report.further
    if further:
        click.echo(
            terminal.printable(f"{report.document}: {further:,} more findings are not shown")
        )
    checked = f"valid (checked: {', '.join(report.checks) or 'nothing'})"
    remarks = [*([checked] if report.conforms else []), *report.notes]
    if remarks:
        terminal.echo_note(terminal.printable(f"{report.document}: {'; '.join(remarks)}"))


def _format_evidence(finding: Finding, explain: bool) -> Iterator[str]:
    shown = finding.evidence if explain else finding.evidence[:_SHOWN_EVIDENCE]
    for evidence in shown:
        place = f"  ({evidence.place()})" if evidence.place() else ""
        yield f"    {evidence.statement}{place}"
        if explain:
            for line in evidence.explanation:
                yield f"        {line}"
    if len(shown) < len(finding.evidence):
        yield f"    and {len(finding.evidence) - len(shown):,} more: use --explain to see them"


GROUP = "Documents"
COMMANDS = [validate_command]

"""Formats reports as annotations, which GitHub shows next to the lines of a changed file.

Imports `report`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from provml.validation.report import Finding, Report


def build_github_annotations(reports: Iterable[Report]) -> Iterator[str]:
    """Yield a workflow command of GitHub Actions for each finding.

    Example: ``::error file=...,line=...,title=...::message``.
    """
    for report in reports:
        for finding in report.findings:
            yield _format_command("error", report.document, finding)
        if report.further:
            message = f"and {report.further:,} more findings"
            yield f"::warning file={_escape_property(report.document)}::{_escape_data(message)}"


def _format_command(level: str, document: str, finding: Finding) -> str:
    properties = [f"file={_escape_property(document)}"]
    if finding.line:
        properties.append(f"line={finding.line}")
    if finding.column:
        properties.append(f"col={finding.column}")
    properties.append(f"title={_escape_property(f'{finding.kind} {finding.name}')}")
    lines = [finding.message, *(f"{e.place()}: {e.statement}" for e in finding.evidence)]
    if not finding.line and finding.where:
        lines.insert(1, f"at {finding.where}")
    return f"::{level} {','.join(properties)}::{_escape_data(chr(10).join(lines))}"


def _escape_data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _escape_property(text: str) -> str:
    return _escape_data(text).replace(":", "%3A").replace(",", "%2C")

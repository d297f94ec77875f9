"""Reports as the annotations that GitHub shows beside a changed line. Imports `report`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from provml.validation.report import Finding, Report


def github_annotations(reports: Iterable[Report]) -> Iterator[str]:
    """A workflow command for each finding: ``::error file=...,line=...,title=...::message``."""
    for report in reports:
        for finding in report.findings:
            yield _command("error", report.document, finding)
        if report.further:
            message = f"and {report.further:,} more findings"
            yield f"::warning file={_property(report.document)}::{_data(message)}"


def _command(level: str, document: str, finding: Finding) -> str:
    properties = [f"file={_property(document)}"]
    if finding.line:
        properties.append(f"line={finding.line}")
    if finding.column:
        properties.append(f"col={finding.column}")
    properties.append(f"title={_property(f'{finding.kind} {finding.name}')}")
    lines = [finding.message, *(f"{e.place()}: {e.statement}" for e in finding.evidence)]
    if not finding.line and finding.where:
        lines.insert(1, f"at {finding.where}")
    return f"::{level} {','.join(properties)}::{_data(chr(10).join(lines))}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")

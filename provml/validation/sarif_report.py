"""Formats reports as SARIF 2.1.0 (OASIS Standard, 2020), for code hosts and editors.

Imports `report` and `version`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

from provml.validation.report import Evidence, Finding, Report
from provml.version import __version__


def build_sarif(reports: Iterable[Report]) -> dict[str, Any]:
    """Build a SARIF log. Its single run contains the findings in all documents."""
    rules: dict[str, dict[str, Any]] = {}
    results: list[dict[str, Any]] = []
    notes: list[dict[str, Any]] = []
    for report in reports:
        for finding in report.findings:
            rules.setdefault(finding.rule, _build_rule(finding))
            results.append(_build_result(report.document, finding, list(rules).index(finding.rule)))
        more = [f"and {report.further:,} more findings"] if report.further else []
        for note in (*more, *report.notes):
            notes.append({"level": "note", "message": {"text": f"{report.document}: {note}"}})
    driver = {"name": "provml", "version": __version__, "rules": list(rules.values())}
    invocation = {"executionSuccessful": True, "toolExecutionNotifications": notes}
    return {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{"tool": {"driver": driver}, "invocations": [invocation], "results": results}],
    }


def _build_rule(finding: Finding) -> dict[str, Any]:
    sentence = finding.message.split("; ")[0]
    return {
        "id": f"{finding.kind}/{finding.name}",
        "shortDescription": {"text": sentence},
        "helpUri": finding.rule,
    }


def _build_result(document: str, finding: Finding, index: int) -> dict[str, Any]:
    made: dict[str, Any] = {
        "ruleId": f"{finding.kind}/{finding.name}",
        "ruleIndex": index,
        "level": "error",
        "message": {"text": finding.message},
        "locations": [_build_location(document, finding)],
    }
    if finding.evidence:
        made["relatedLocations"] = [
            {
                "id": number,
                **_build_location(document, each),
                "message": {"text": _describe_evidence(each)},
            }
            for number, each in enumerate(finding.evidence, 1)
        ]
    return made


def _describe_evidence(evidence: Evidence) -> str:
    return "\n".join([evidence.statement, *evidence.explanation])


def _build_location(document: str, at: Finding | Evidence) -> dict[str, Any]:
    physical: dict[str, Any] = {"artifactLocation": {"uri": quote(document, safe="/:.-_~")}}
    if at.line:
        physical["region"] = {"startLine": at.line}
        if at.column:
            physical["region"]["startColumn"] = at.column
    made: dict[str, Any] = {"physicalLocation": physical}
    if at.where:
        made["logicalLocations"] = [{"fullyQualifiedName": at.where}]
    return made

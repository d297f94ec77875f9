"""The report on one document: the findings, each with the broken rule and the place.

Imports nothing else from provml.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

KEPT_FINDINGS: Final = 1000
"""The maximum number of findings in a report. Further findings are only counted."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """A statement that led to a finding.

    Attributes:
        statement: the statement in PROV-N, with the document's prefixes.
        where: the statement's place in the document: a JSON pointer, or the statement's number.
        explanation: how the statement led to the finding, with one line for each inference and
            merge.
        line, column: the statement's position in the text, counted from 1; 0 if unknown.
    """

    statement: str
    where: str
    explanation: tuple[str, ...] = ()
    line: int = field(default=0, compare=False)
    column: int = field(default=0, compare=False)

    def place(self) -> str:
        """Describe the statement's place in words."""
        return _describe_place(self.where, self.line, self.column)

    def to_dict(self) -> dict[str, Any]:
        """Return the statement as a dict for JSON."""
        return {
            "statement": self.statement,
            "where": self.where,
            "explanation": list(self.explanation),
            "line": self.line or None,
            "column": self.column or None,
        }


@dataclass(frozen=True, slots=True)
class Finding:
    """One problem in a document.

    Attributes:
        kind: ``schema``, ``shape`` or ``constraint``.
        rule: the IRI of the broken rule.
        message: one line that says what the rule requires and what the document contains.
        where: the place of the problem: a JSON pointer, a node's IRI, or a statement's number.
        evidence: the statements that together break the rule.
        line, column: the problem's position in the text, counted from 1; 0 if unknown.
    """

    kind: str
    rule: str
    message: str
    where: str
    evidence: tuple[Evidence, ...] = ()
    line: int = field(default=0, compare=False)
    column: int = field(default=0, compare=False)

    @property
    def name(self) -> str:
        """The short name of the broken rule."""
        return self.rule.rpartition("#")[2]

    def place(self) -> str:
        """Describe the finding's place in words."""
        return _describe_place(self.where, self.line, self.column)

    def text(self) -> str:
        """Format the finding as one line: the rule's short name, the message and the place."""
        return f"{self.kind} {self.name}: {self.message} (at {self.place() or 'the document'})"

    def to_dict(self) -> dict[str, Any]:
        """Return the finding as a dict for JSON."""
        return {
            "kind": self.kind,
            "rule": self.rule,
            "message": self.message,
            "where": self.where,
            "line": self.line or None,
            "column": self.column or None,
            "evidence": [each.to_dict() for each in self.evidence],
        }


def _describe_place(where: str, line: int, column: int) -> str:
    position = f"line {line}" + (f", column {column}" if column else "") if line else ""
    return ", ".join(part for part in (where, position) if part)


@dataclass(slots=True)
class Report:
    """The findings in one document.

    Attributes:
        document: the document's name.
        findings: the first `KEPT_FINDINGS` findings, in the order in which they were found.
        further: the number of findings that were counted but not kept.
        notes: other remarks, for example about skipped checks.
        checks: the checks that ran: ``schema``, ``shapes`` and ``constraints``, or some of them.
    """

    document: str
    findings: list[Finding] = field(default_factory=list)
    further: int = 0
    notes: list[str] = field(default_factory=list)
    checks: list[str] = field(default_factory=list)

    @property
    def conforms(self) -> bool:
        """Whether the document is valid, that is, whether the report has no findings."""
        return not self.findings

    def add(self, findings: Iterable[Finding]) -> None:
        """Add findings to the report. Findings beyond `KEPT_FINDINGS` are only counted."""
        for finding in findings:
            if len(self.findings) < KEPT_FINDINGS:
                self.findings.append(finding)
            else:
                self.further += 1

    def to_dict(self) -> dict[str, Any]:
        """Return the report as a dict for JSON."""
        return {
            "document": self.document,
            "conforms": self.conforms,
            "checks": self.checks,
            "findings": [finding.to_dict() for finding in self.findings],
            "further": self.further,
            "notes": self.notes,
        }

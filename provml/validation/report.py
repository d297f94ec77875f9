"""What was found in one document: findings, each with the rule it names and its place.

Imports nothing of provml.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

KEPT_FINDINGS: Final = 1000
"""So many findings of a document are kept; further ones are counted."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """A statement that a finding rests on.

    Attributes:
        statement: in PROV-N, in the document's own terms.
        where: its place.
        explanation: how it came to bear: the inferences and merges that led from it, a line each.
        line, column: where it stands in a text, from 1; 0 where that is not known.
    """

    statement: str
    where: str
    explanation: tuple[str, ...] = ()
    line: int = field(default=0, compare=False)
    column: int = field(default=0, compare=False)

    def place(self) -> str:
        """Its place in words."""
        return _place(self.where, self.line, self.column)

    def to_dict(self) -> dict[str, Any]:
        """The same for programs."""
        return {
            "statement": self.statement,
            "where": self.where,
            "explanation": list(self.explanation),
            "line": self.line or None,
            "column": self.column or None,
        }


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong with a document.

    Attributes:
        kind: what judged it: ``schema``, ``shape``, ``constraint``.
        rule: the IRI of the rule that it breaks.
        message: what the rule says, and what was met, on one line.
        where: the place: a JSON pointer, the node's IRI, or the statement's number.
        evidence: the statements that together break it.
        line, column: the place in a text, from 1; 0 where that is not known.
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
        """The rule's short name."""
        return self.rule.rpartition("#")[2]

    def place(self) -> str:
        """Its place in words."""
        return _place(self.where, self.line, self.column)

    def text(self) -> str:
        """One line: the rule's short name, what it says, the place."""
        return f"{self.kind} {self.name}: {self.message} (at {self.place() or 'the document'})"

    def to_dict(self) -> dict[str, Any]:
        """The same for programs."""
        return {
            "kind": self.kind,
            "rule": self.rule,
            "message": self.message,
            "where": self.where,
            "line": self.line or None,
            "column": self.column or None,
            "evidence": [each.to_dict() for each in self.evidence],
        }


def _place(where: str, line: int, column: int) -> str:
    position = f"line {line}" + (f", column {column}" if column else "") if line else ""
    return ", ".join(part for part in (where, position) if part)


@dataclass(slots=True)
class Report:
    """What was found in a document.

    Attributes:
        document: what the document is called.
        findings: the first `KEPT_FINDINGS`, in the order they were found.
        further: how many more there are.
        notes: what a reader should know that is no finding.
    """

    document: str
    findings: list[Finding] = field(default_factory=list)
    further: int = 0
    notes: list[str] = field(default_factory=list)

    @property
    def conforms(self) -> bool:
        """Whether nothing was found."""
        return not self.findings

    def add(self, findings: Iterable[Finding]) -> None:
        """Take findings in; memory does not grow beyond those kept."""
        for finding in findings:
            if len(self.findings) < KEPT_FINDINGS:
                self.findings.append(finding)
            else:
                self.further += 1

    def to_dict(self) -> dict[str, Any]:
        """The whole report for programs."""
        return {
            "document": self.document,
            "conforms": self.conforms,
            "findings": [finding.to_dict() for finding in self.findings],
            "further": self.further,
            "notes": self.notes,
        }

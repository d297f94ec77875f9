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
        inferences: the numbers of the inferences by which it came to bear, the last one first.
    """

    statement: str
    where: str
    inferences: tuple[int, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """The same for programs."""
        return {
            "statement": self.statement,
            "where": self.where,
            "inferences": list(self.inferences),
        }


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong with a document.

    Attributes:
        kind: what judged it: ``schema``, ``shape``, ``constraint``.
        rule: the IRI of the rule that it breaks.
        message: what the rule says, and what was met, on one line.
        where: the place: a JSON pointer, or the node's IRI.
        evidence: the statements that together break it.
    """

    kind: str
    rule: str
    message: str
    where: str
    evidence: tuple[Evidence, ...] = ()

    def text(self) -> str:
        """One line: the rule's short name, what it says, the place."""
        name = self.rule.rpartition("#")[2]
        return f"{self.kind} {name}: {self.message} (at {self.where or 'the document'})"

    def as_json(self) -> dict[str, Any]:
        """The same for programs."""
        return {
            "kind": self.kind,
            "rule": self.rule,
            "message": self.message,
            "where": self.where,
            "evidence": [each.as_json() for each in self.evidence],
        }


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

    def as_json(self) -> dict[str, Any]:
        """The whole report for programs."""
        return {
            "document": self.document,
            "conforms": self.conforms,
            "findings": [finding.as_json() for finding in self.findings],
            "further": self.further,
            "notes": self.notes,
        }

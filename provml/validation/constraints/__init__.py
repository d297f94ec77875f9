"""Checks whether a document is a consistent history, as defined by PROV-CONSTRAINTS.

PROV-CONSTRAINTS is a W3C Recommendation of 2013. `rules` contains its rules as data. `engine`
applies the rules to an instance: the top level of a document, or a bundle. `instances` converts
documents to instances, and `normal_forms` compares documents.

Imports `report` and the layers below it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from provml.validation.constraints.engine import ConstraintBreach, Engine, Fact
from provml.validation.constraints.instances import prov_instances, provjson_instances, run_instance
from provml.validation.constraints.rules import DATA_MODEL, INFERENCES, RECOMMENDATION, RULES
from provml.validation.constraints.statements import ConstraintStatement, Instance, NamespaceScope
from provml.validation.report import KEPT_FINDINGS, Evidence, Finding, Report

__all__ = [
    "ConstraintStatement",
    "Instance",
    "NamespaceScope",
    "check_constraints",
    "prov_instances",
    "provjson_instances",
    "run_instance",
]

_MAX_EVIDENCE: Final = 50
"""The maximum number of statements that a finding lists as evidence."""

_MAX_EXPLANATION: Final = 20
"""The maximum number of lines that explain one statement."""


def check_constraints(instances: Iterable[Instance], report: Report) -> None:
    """Check the instances of a document, and add a finding to the report for every violation.

    The top level of the document and each bundle are checked separately (PROV-CONSTRAINTS, 7.2).
    Takes about 20 us and half a kilobyte of memory per statement.
    """
    for instance in instances:
        engine = Engine(instance, max(0, KEPT_FINDINGS - len(report.findings)))
        for breach in engine.check():
            report.add([_build_constraint_finding(instance, breach)])
        report.further += engine.further


def _build_constraint_finding(instance: Instance, breach: ConstraintBreach) -> Finding:
    first = RULES[breach.numbers[0]]
    others = [f"{number}" for number in breach.numbers[1:]]
    within = "" if instance.name is None else f", in bundle {instance.name_text(instance.name)}"
    also = f" (with {', '.join(others)})" if others else ""
    evidence = tuple(_collect_evidence(instance, breach.facts))
    further = sum(1 for _ in breach.facts) - _MAX_EVIDENCE
    more = f" (and {further:,} more statements)" if further > 0 else ""
    at = evidence[0] if evidence else Evidence("", "")
    return Finding(
        kind="constraint",
        rule=f"{RECOMMENDATION if breach.numbers[0] else DATA_MODEL}#{first.name}",
        message=f"{breach.numbers[0]}{also}: {first.sentence}; {breach.subject}{within}{more}",
        where=at.where,
        evidence=evidence,
        line=at.line,
        column=at.column,
    )


def _collect_evidence(instance: Instance, facts: Iterable[Fact]) -> Iterator[Evidence]:
    """Yield each statement that the facts were derived from once, in the order of the facts."""
    shown: set[int] = set()
    for fact in facts:
        for source in _find_sources(fact):
            if id(source) in shown:
                continue
            if len(shown) == _MAX_EVIDENCE:
                return
            shown.add(id(source))
            yield Evidence(
                instance.text(source, source.types),
                source.place,
                tuple(_explain_fact(instance, fact)),
                source.line,
                source.column,
            )


def _find_sources(fact: Fact) -> Iterator[ConstraintStatement]:
    """Yield the statements that a fact was derived from.

    These also include the statements that supplied further arguments of the fact.
    """
    waiting, seen = [fact], {id(fact)}
    while waiting:
        each = waiting.pop()
        if isinstance(each.source, ConstraintStatement):
            yield each.source
        before = [each.source] if isinstance(each.source, Fact) else []
        for other in (*before, *(teacher for _, teacher in each.taught)):
            if id(other) not in seen:
                seen.add(id(other))
                waiting.append(other)


def _explain_fact(instance: Instance, fact: Fact) -> list[str]:
    """Return a line for each inference and merge that led to a fact, with the latest first."""
    lines: list[str] = []
    waiting, seen = [fact], {id(fact)}
    while waiting and len(lines) < _MAX_EXPLANATION:
        each = waiting.pop(0)
        text = instance.text(each)
        steps = [(f"{text} was completed with", number, other) for number, other in each.taught]
        if isinstance(each.source, Fact):
            number = each.inference or 0
            steps.append((f"{text} is inferred from", number, each.source))
        for said, number, other in steps:
            name = INFERENCES[number] if number in INFERENCES else RULES[number].name
            lines.append(f"{said} {instance.text(other)} by {number} ({name})")
            if id(other) not in seen:
                seen.add(id(other))
                waiting.append(other)
    return lines

"""PROV-CONSTRAINTS (W3C Recommendation, 2013): whether a document is a consistent history.

`rules` holds the Recommendation's rules as data, `engine` applies them to an instance, `sources`
makes instances of documents, `normal` compares them. Imports `report` and what lies beneath.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from provml.validation.constraints.engine import Breach, Engine, Fact
from provml.validation.constraints.instances import prov_instances, provjson_instances, run_instance
from provml.validation.constraints.rules import DATA_MODEL, INFERENCES, RECOMMENDATION, RULES
from provml.validation.constraints.statements import Instance, Prefixes, Stated
from provml.validation.report import KEPT_FINDINGS, Evidence, Finding, Report

__all__ = [
    "Instance",
    "Prefixes",
    "Stated",
    "judge",
    "prov_instances",
    "provjson_instances",
    "run_instance",
]

_KEPT_EVIDENCE: Final = 50
"""So many statements of one finding are kept."""

_KEPT_EXPLANATION: Final = 20
"""So many lines explain how one statement came to bear."""


def judge(instances: Iterable[Instance], report: Report) -> None:
    """Report every way in which the instances are not valid.

    Costs some ten microseconds and half a kilobyte a statement. The top level and each bundle are
    judged by themselves (PROV-CONSTRAINTS, 7.2).
    """
    for instance in instances:
        engine = Engine(instance, max(0, KEPT_FINDINGS - len(report.findings)))
        for breach in engine.check():
            report.add([_finding(instance, breach)])
        report.further += engine.further


def _finding(instance: Instance, breach: Breach) -> Finding:
    first = RULES[breach.numbers[0]]
    others = [f"{number}" for number in breach.numbers[1:]]
    within = "" if instance.name is None else f", in bundle {instance.name_text(instance.name)}"
    also = f" (with {', '.join(others)})" if others else ""
    evidence = tuple(_evidence(instance, breach.facts))
    further = sum(1 for _ in breach.facts) - _KEPT_EVIDENCE
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


def _evidence(instance: Instance, facts: Iterable[Fact]) -> Iterator[Evidence]:
    """The statements behind some facts, each once, in the order in which they are needed."""
    shown: set[int] = set()
    for fact in facts:
        for source in _sources(fact):
            if id(source) in shown:
                continue
            if len(shown) == _KEPT_EVIDENCE:
                return
            shown.add(id(source))
            yield Evidence(
                instance.text(source, source.types),
                source.place,
                tuple(_explanation(instance, fact)),
                source.line,
                source.column,
            )


def _sources(fact: Fact) -> Iterator[Stated]:
    """The statement that a fact comes from, and those that gave it arguments."""
    waiting, seen = [fact], {id(fact)}
    while waiting:
        each = waiting.pop()
        if isinstance(each.source, Stated):
            yield each.source
        before = [each.source] if isinstance(each.source, Fact) else []
        for other in (*before, *(teacher for _, teacher in each.taught)):
            if id(other) not in seen:
                seen.add(id(other))
                waiting.append(other)


def _explanation(instance: Instance, fact: Fact) -> list[str]:
    """The inferences and merges that made a fact what it is, the last one first."""
    lines: list[str] = []
    waiting, seen = [fact], {id(fact)}
    while waiting and len(lines) < _KEPT_EXPLANATION:
        each = waiting.pop(0)
        text = instance.text(each)
        steps = [(f"{text} is known from", number, other) for number, other in each.taught]
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

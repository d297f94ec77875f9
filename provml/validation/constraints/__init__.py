"""PROV-CONSTRAINTS (W3C Recommendation, 2013): whether a document is a consistent history.

`rules` holds the Recommendation's rules as data, `engine` applies them to an instance, `sources` makes
instances of documents. Imports `report` and what lies beneath.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from provml.validation.constraints.engine import Breach, Engine
from provml.validation.constraints.rules import RECOMMENDATION, RULES
from provml.validation.constraints.sources import (
    prov_instances,
    provjson_instances,
    run_instance,
)
from provml.validation.constraints.statements import Instance, Stated
from provml.validation.report import Evidence, Finding

__all__ = [
    "Instance",
    "Stated",
    "constraint_findings",
    "prov_instances",
    "provjson_instances",
    "run_instance",
]


def constraint_findings(instances: Iterable[Instance]) -> Iterator[Finding]:
    """Every way in which the instances are not valid.

    Costs some ten microseconds and half a kilobyte a statement. The top level and each bundle are
    judged by themselves (PROV-CONSTRAINTS, 7.2).
    """
    for instance in instances:
        for breach in Engine(instance).check():
            yield _finding(instance, breach)


def _finding(instance: Instance, breach: Breach) -> Finding:
    first = RULES[breach.numbers[0]]
    others = [f"{number}" for number in breach.numbers[1:]]
    within = "" if instance.name is None else f" in bundle {instance.name_text(instance.name)}"
    also = f" (with {', '.join(others)})" if others else ""
    evidence = tuple(_evidence(instance, fact.source_statements()) for fact in breach.facts)
    return Finding(
        kind="constraint",
        rule=f"{RECOMMENDATION}#{first.name}",
        message=f"{breach.numbers[0]}{also}: {first.sentence}; {breach.subject}{within}",
        where=evidence[0].where if evidence else "",
        evidence=evidence,
    )


def _evidence(instance: Instance, source: tuple[Stated, tuple[int, ...]]) -> Evidence:
    statement, inferences = source
    return Evidence(instance.text(statement), statement.place, inferences)

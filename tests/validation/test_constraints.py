"""PROV-CONSTRAINTS rule by rule: documents that keep each rule, and documents that break it."""

from __future__ import annotations

import csv
import io
import json
import os
from pathlib import Path

import pytest
from validation.oracle import Oracle

from provml import DocumentError, normal_form, reading, validate
from provml.model.relations import ARGUMENTS
from provml.model.vocabulary import PROV
from provml.validation.constraints import (
    ConstraintStatement,
    Instance,
    NamespaceScope,
    check_constraints,
    rules,
)
from provml.validation.constraints.engine import Engine
from provml.validation.constraints.instances import prov_instances
from provml.validation.report import Report

CORPUS = Path(os.environ.get("PROVML_CORPUS", Path(__file__).parents[3] / "shared" / "corpus"))
EMPTY = "[prov:type='prov:EmptyCollection']"
NOON, ONE = "2020-01-01T12:00:00", "2020-01-01T13:00:00"


def document(text: str) -> bytes:
    """A PROV-N document of statements whose names share one prefix."""
    statements = "\n".join(line.strip() for line in text.split(";;"))
    return f"document\ndefault <https://example.org/>\n{statements}\nendDocument".encode()


def broken(text: str) -> set[tuple[int, ...]]:
    """The rules that a document breaks, grouped by finding."""
    document_read = reading.read(document(text), "provn")
    found: set[tuple[int, ...]] = set()
    for instance in prov_instances(document_read.prov, document_read.places):
        statements = list(instance.statements)
        instance.statements = statements
        found |= {breach.numbers for breach in Engine(instance).check()}
        plain = Oracle((each.kind, each.id, each.arguments, each.types) for each in statements)
        assert plain.valid == (not found)
    return found


VALID: dict[int, list[str]] = {
    22: [
        f"activity(a, {NOON}, -) ;; activity(a, -, {ONE})",
        f"activity(a, {NOON}, -) ;; activity(a, 2020-01-01T12:00:00.000, -)",
        f"entity(e, [x=1]) ;; entity(e, [x=2]) ;; agent(e) ;; activity(a, {NOON}, {NOON})",
    ],
    23: [
        f"used(u; a, e, -) ;; used(u; a, -, {NOON})",
        "wasAssociatedWith(s; a, ag, p) ;; wasAssociatedWith(s; a, -, p)",
        "wasDerivedFrom(d; e2, e1, a, g, -) ;; wasDerivedFrom(d; e2, e1, a, -, u)",
        "wasInfluencedBy(i; e2, e1) ;; wasDerivedFrom(i; e2, e1)",
        "wasAttributedTo(i; e, ag) ;; wasInfluencedBy(i; e, ag) ;; wasInfluencedBy(i; e, ag)",
    ],
    24: [
        f"wasGeneratedBy(g; e, a, -) ;; wasGeneratedBy(e, a, {NOON})",
        "wasGeneratedBy(g1; e, a, -) ;; wasGeneratedBy(g2; e, a2, -)",
        f"wasGeneratedBy(g1; e, -, {NOON}) ;; wasGeneratedBy(g2; e, -, {ONE})",
    ],
    25: [
        f"wasInvalidatedBy(i; e, a, -) ;; wasInvalidatedBy(e, a, {NOON})",
        "wasInvalidatedBy(i1; e, a, -) ;; wasInvalidatedBy(i2; e, a2, -)",
        f"wasInvalidatedBy(i1; e, -, {NOON}) ;; wasInvalidatedBy(i2; e, -, {ONE})",
    ],
    26: [
        f"wasStartedBy(s; a, -, a0, -) ;; wasStartedBy(a, e, a0, {NOON})",
        "wasStartedBy(s1; a, e1, a1, -) ;; wasStartedBy(s2; a, e2, a2, -)",
        f"wasStartedBy(s1; a, e1, -, {NOON}) ;; wasStartedBy(s2; a, e2, -, {ONE})",
    ],
    27: [
        f"wasEndedBy(s; a, -, a0, -) ;; wasEndedBy(a, e, a0, {NOON})",
        "wasEndedBy(s1; a, e1, a1, -) ;; wasEndedBy(s2; a, e2, a2, -)",
        f"wasEndedBy(s1; a, e1, -, {NOON}) ;; wasEndedBy(s2; a, e2, -, {ONE})",
    ],
    28: [
        f"activity(a, {NOON}, -) ;; wasStartedBy(s; a, e, -, {NOON})",
        f"activity(a, {NOON}, {ONE}) ;; wasEndedBy(s; a, e, -, {ONE})",
        f"wasStartedBy(s1; a, e, -, {NOON}) ;; wasStartedBy(s2; a, e, -, {ONE})",
    ],
    29: [
        f"activity(a, -, {NOON}) ;; wasEndedBy(s; a, e, -, {NOON})",
        f"activity(a, {NOON}, -) ;; wasEndedBy(s; a, e, -, {ONE})",
        f"wasEndedBy(s1; a, e, -, {NOON}) ;; wasEndedBy(s2; a, e, -, {ONE})",
    ],
    30: [
        "activity(a) ;; wasStartedBy(a, e, -, -) ;; wasEndedBy(a, e, -, -)",
        f"activity(a, {ONE}, {NOON})",
        "activity(a) ;; entity(e) ;; wasStartedBy(a, e, -, -) ;; wasDerivedFrom(e2, e)",
    ],
    31: [
        "wasStartedBy(s1; a, e1, -, -) ;; wasStartedBy(s2; a, e2, -, -)",
        "activity(a) ;; wasStartedBy(s; a, e, b, -) ;; wasStartedBy(a, e, c, -)",
        "wasStartedBy(a, e1, -, -) ;; wasStartedBy(a, e2, -, -) ;; wasDerivedFrom(e2, e1)",
    ],
    32: [
        "wasEndedBy(s1; a, e1, -, -) ;; wasEndedBy(s2; a, e2, -, -)",
        "activity(a) ;; wasEndedBy(s; a, e, b, -) ;; wasEndedBy(a, e, c, -)",
        "wasEndedBy(a, e1, -, -) ;; wasEndedBy(a, e2, -, -) ;; wasDerivedFrom(e2, e1)",
    ],
    33: [
        "activity(a) ;; entity(e) ;; used(a, e, -)",
        "wasStartedBy(a, e, -, -) ;; used(a, e, -) ;; wasEndedBy(a, e, -, -)",
        f"activity(a, {ONE}, {ONE}) ;; used(a, e, {NOON})",
    ],
    34: [
        "activity(a) ;; entity(e) ;; wasGeneratedBy(e, a, -)",
        f"activity(a, {ONE}, {ONE}) ;; wasGeneratedBy(e, a, {NOON})",
        "activity(a) ;; wasGeneratedBy(e, a, -) ;; wasEndedBy(a, e, -, -)",
    ],
    35: [
        "activity(a1) ;; activity(a2) ;; wasInformedBy(a2, a1)",
        "activity(a1) ;; activity(a2) ;; wasInformedBy(a2, a1) ;; wasInformedBy(a1, a2)",
        "activity(a) ;; wasInformedBy(a, a)",
    ],
    36: [
        "entity(e) ;; wasGeneratedBy(e, a, -) ;; wasInvalidatedBy(e, a, -)",
        f"wasGeneratedBy(e, a, {ONE}) ;; wasInvalidatedBy(e, a, {NOON})",
        "entity(e) ;; wasInvalidatedBy(e, a, -) ;; wasDerivedFrom(e2, e)",
    ],
    37: [
        "entity(e) ;; used(a, e, -) ;; wasGeneratedBy(e, b, -)",
        f"used(a, e, {NOON}) ;; wasGeneratedBy(e, b, {ONE})",
        "used(a, e, -) ;; wasGeneratedBy(e, a, -) ;; activity(a)",
    ],
    38: [
        "entity(e) ;; used(a, e, -) ;; wasInvalidatedBy(e, b, -)",
        f"used(a, e, {ONE}) ;; wasInvalidatedBy(e, b, {NOON})",
        "used(u; a, e, -) ;; wasInvalidatedBy(e, a, -) ;; wasDerivedFrom(e2, e, a, -, u)",
    ],
    39: [
        "wasGeneratedBy(e, a1, -) ;; wasGeneratedBy(e, a2, -) ;; activity(a1) ;; activity(a2)",
        "entity(e) ;; wasGeneratedBy(g1; e, a1, -) ;; wasGeneratedBy(g2; e, -, -)",
        f"wasGeneratedBy(e, a1, {NOON}) ;; wasGeneratedBy(e, a2, {ONE})",
    ],
    40: [
        "wasInvalidatedBy(e, a1, -) ;; wasInvalidatedBy(e, a2, -) ;; activity(a1) ;; activity(a2)",
        "entity(e) ;; wasInvalidatedBy(g1; e, a1, -) ;; wasInvalidatedBy(g2; e, -, -)",
        f"wasInvalidatedBy(e, a1, {NOON}) ;; wasInvalidatedBy(e, a2, {ONE})",
    ],
    41: [
        "wasDerivedFrom(e2, e1, a, g, u) ;; used(u; a, e1, -) ;; wasGeneratedBy(g; e2, a, -)",
        f"wasDerivedFrom(e2, e1, a, g, u) ;; used(u; a, e1, {ONE}) "
        f";; wasGeneratedBy(g; e2, a, {NOON})",
        "activity(a) ;; entity(e1) ;; wasDerivedFrom(e2, e1, a, -, -) ;; used(a, e1, -)",
    ],
    42: [
        "entity(e1) ;; entity(e2) ;; wasDerivedFrom(e2, e1) ;; wasDerivedFrom(e3, e2)",
        "wasDerivedFrom(e2, e1) ;; wasDerivedFrom(e1, e2)",  # nothing says that they began
        "entity(e1) ;; wasDerivedFrom(e2, e1) ;; wasDerivedFrom(e1, e2)",
        "entity(e3) ;; wasDerivedFrom(e3, e1) ;; wasDerivedFrom(e3, e2) ;; wasDerivedFrom(e2, e1)",
    ],
    43: [
        "entity(e) ;; activity(a) ;; wasStartedBy(a, e, b, -) ;; wasGeneratedBy(e, b, -)",
        "entity(e) ;; activity(a) ;; wasStartedBy(a, e, -, -) ;; wasGeneratedBy(e, a, -)",
        f"wasStartedBy(a, e, -, {NOON}) ;; wasGeneratedBy(e, b, {ONE})",
    ],
    44: [
        "entity(e) ;; activity(a) ;; wasEndedBy(a, e, b, -) ;; wasInvalidatedBy(e, b, -)",
        "entity(e) ;; activity(a) ;; wasEndedBy(a, e, -, -) ;; wasGeneratedBy(e, a, -)",
        f"wasEndedBy(a, e, -, {NOON}) ;; wasGeneratedBy(e, b, {ONE})",
    ],
    45: [
        "entity(e1) ;; entity(e2) ;; specializationOf(e2, e1)",
        "entity(e1) ;; specializationOf(e2, e1) ;; wasDerivedFrom(e3, e1)",
        "entity(e1) ;; specializationOf(e2, e1) ;; wasDerivedFrom(e2, e1)",
    ],
    46: [
        "entity(e1) ;; specializationOf(e2, e1) ;; wasInvalidatedBy(e1, a, -)",
        f"specializationOf(e2, e1) ;; wasInvalidatedBy(e2, -, {ONE}) "
        f";; wasInvalidatedBy(e1, -, {NOON})",
        "entity(e1) ;; specializationOf(e2, e1) ;; wasDerivedFrom(e2, e1) ;; used(a, e1, -)",
    ],
    47: [
        "activity(a) ;; entity(ag) ;; agent(ag) ;; wasAssociatedWith(a, ag, p)",
        "activity(a) ;; activity(ag) ;; wasAssociatedWith(a, ag, -) ;; wasAssociatedWith(ag, a, -)",
        "activity(a) ;; entity(ag) ;; wasGeneratedBy(ag, a, -) ;; wasAssociatedWith(a, ag, -)",
    ],
    48: [
        "entity(e) ;; entity(ag) ;; wasAttributedTo(e, ag)",
        "entity(e) ;; activity(ag) ;; wasAttributedTo(e, ag) ;; wasGeneratedBy(e, ag, -)",
        "entity(e) ;; entity(ag) ;; wasAttributedTo(e, ag) ;; wasDerivedFrom(e, ag)",
    ],
    49: [
        "entity(ag1) ;; entity(ag2) ;; actedOnBehalfOf(ag2, ag1, a)",
        "activity(ag1) ;; activity(ag2) ;; actedOnBehalfOf(ag2, ag1, -)",
        "agent(ag1) ;; agent(ag2) ;; actedOnBehalfOf(ag2, ag1, a) ;; actedOnBehalfOf(ag1, ag2, a)",
    ],
    51: [
        "wasDerivedFrom(e2, e1, -, -, -)",
        "wasDerivedFrom(e2, e1, a, g, u)",
        "wasDerivedFrom(e2, e1, a, -, u) ;; wasDerivedFrom(e2, e1)",
    ],
    52: [
        "specializationOf(e2, e1) ;; alternateOf(e1, e2)",
        "alternateOf(e, e)",
        "specializationOf(e3, e1) ;; specializationOf(e3, e2) ;; specializationOf(e2, e1)",
    ],
    53: [
        "wasGeneratedBy(x; e, a, -) ;; wasInfluencedBy(x; e, a)",
        "wasAttributedTo(x; e2, e1) ;; wasDerivedFrom(x; e2, e1)",
        "used(u; a, e, -) ;; wasGeneratedBy(g; e, a, -) ;; wasInvalidatedBy(i; e, a, -)",
    ],
    54: [
        "entity(e) ;; used(u; a, e, -)",
        "agent(g) ;; wasGeneratedBy(g1; e, a, -)",
        "entity(x) ;; agent(x) ;; wasInfluencedBy(i; x, x)",
    ],
    55: [
        "entity(x) ;; agent(x)",
        "activity(x) ;; agent(x) ;; wasAttributedTo(e, x)",
        "entity(e) ;; agent(ag) ;; activity(a) ;; wasAssociatedWith(a, ag, e)",
    ],
    56: [
        f"entity(c, {EMPTY})",
        "entity(c, [prov:type='prov:Collection']) ;; hadMember(c, e)",
        f"entity(c, {EMPTY}) ;; hadMember(c2, c) ;; specializationOf(c, c2)",
    ],
}

INVALID: dict[tuple[int, ...], list[str]] = {
    (22,): [
        f"activity(a, {NOON}, -) ;; activity(a, {ONE}, -)",
        f"activity(a, -, {NOON}) ;; activity(a, -, {ONE})",
        f"activity(a, {NOON}, -) ;; activity(a, {NOON}Z, -)",
        f"activity(a, {NOON}, -) ;; activity(a, -, {ONE}) ;; activity(a, {NOON}, {NOON})",
    ],
    (23,): [
        "used(u; a, e1, -) ;; used(u; a, e2, -)",
        "wasAssociatedWith(s; a, ag, p) ;; wasAssociatedWith(s; a, ag, -)",
        "wasDerivedFrom(d; e2, e1, a, -, -) ;; wasDerivedFrom(d; e2, e1)",
        f"wasGeneratedBy(g; e, -, {NOON}) ;; wasGeneratedBy(g; e, -, {ONE})",
        "wasInformedBy(i; a, b) ;; wasInformedBy(i; a, c)",
        "wasInfluencedBy(i; a, b) ;; wasInfluencedBy(i; a, c)",
        "actedOnBehalfOf(i; g1, g2, a) ;; actedOnBehalfOf(i; g1, g2, b)",
        "wasDerivedFrom(e2, e1, a, -, u) ;; used(u; a, e3, -)",
    ],
    (23, 15): [
        "wasDerivedFrom(i; e2, e1) ;; wasInfluencedBy(i; e2, e3)",
        "wasGeneratedBy(i; e, a, -) ;; wasInfluencedBy(i; a, e)",
        "wasAttributedTo(i; e2, e1) ;; wasDerivedFrom(i; e2, e3)",
    ],
    (24,): [
        "wasGeneratedBy(g1; e, a, -) ;; wasGeneratedBy(g2; e, a, -)",
        f"wasGeneratedBy(e, a, {NOON}) ;; wasGeneratedBy(e, a, {ONE})",
        "wasGeneratedBy(g1; e, a, -) ;; wasDerivedFrom(e, e1, a, g2, -)",
        "wasGeneratedBy(g1; e, -, -) ;; wasInfluencedBy(g1; e, a) ;; wasGeneratedBy(g2; e, a, -)",
    ],
    (25,): [
        "wasInvalidatedBy(i1; e, a, -) ;; wasInvalidatedBy(i2; e, a, -)",
        f"wasInvalidatedBy(e, a, {NOON}) ;; wasInvalidatedBy(e, a, {ONE})",
        f"wasInvalidatedBy(i; e, a, {NOON}) ;; wasInvalidatedBy(e, a, {ONE})",
    ],
    (26,): [
        "wasStartedBy(s1; a, -, b, -) ;; wasStartedBy(s2; a, -, b, -)",
        "wasStartedBy(a, e1, b, -) ;; wasStartedBy(a, e2, b, -)",
        f"wasStartedBy(a, -, b, {NOON}) ;; wasStartedBy(a, e, b, {ONE})",
    ],
    (27,): [
        "wasEndedBy(s1; a, -, b, -) ;; wasEndedBy(s2; a, -, b, -)",
        "wasEndedBy(a, e1, b, -) ;; wasEndedBy(a, e2, b, -)",
        f"wasEndedBy(a, -, b, {NOON}) ;; wasEndedBy(a, e, b, {ONE})",
    ],
    (28,): [
        f"activity(a, {NOON}, -) ;; wasStartedBy(s; a, e, -, {ONE})",
        f"activity(a) ;; wasStartedBy(a, e1, -, {NOON}) ;; wasStartedBy(a, e2, -, {ONE})",
        f"activity(a, {NOON}, -) ;; wasStartedBy(a, e, b, -) ;; wasStartedBy(a, -, b, {ONE})",
    ],
    (29,): [
        f"activity(a, -, {NOON}) ;; wasEndedBy(s; a, e, -, {ONE})",
        f"activity(a) ;; wasEndedBy(a, e1, -, {NOON}) ;; wasEndedBy(a, e2, -, {ONE})",
        f"activity(a, -, {NOON}) ;; wasEndedBy(a, e, b, -) ;; wasEndedBy(a, -, b, {ONE})",
    ],
    (42,): [
        "entity(e) ;; wasDerivedFrom(e, e)",
        "entity(e1) ;; entity(e2) ;; wasDerivedFrom(e2, e1) ;; wasDerivedFrom(e1, e2)",
        "wasDerivedFrom(e2, e1, a, -, -) ;; wasDerivedFrom(e3, e2, a, -, -) "
        ";; wasDerivedFrom(e1, e3, a, -, -)",
    ],
    (34, 43, 42): [
        # e1, made by a, is what e2 comes from, which starts a
        "activity(a) ;; wasGeneratedBy(e1, a, -) ;; entity(e2) ;; wasDerivedFrom(e2, e1) "
        ";; wasStartedBy(a, e2, -, -)",
        "wasStartedBy(s; a, e2, b, -) ;; wasDerivedFrom(e2, e1, a, -, -) "
        ";; wasGeneratedBy(e1, a, -)",
        "wasDerivedFrom(e2, e1) ;; wasStartedBy(b, e2, -, -) ;; wasStartedBy(a, -, b, -) "
        ";; wasGeneratedBy(e1, a, -)",  # by 9, though what started a has no name
        "wasStartedBy(s; a, -, -, -) ;; wasInfluencedBy(s; a, e2) ;; wasDerivedFrom(e2, e1) "
        ";; wasGeneratedBy(e1, a, -)",  # by 15, what started a is e2
    ],
    (45, 42): [
        "entity(e1) ;; specializationOf(e2, e1) ;; wasDerivedFrom(e1, e2)",
        "wasGeneratedBy(e1, -, -) ;; wasGeneratedBy(e2, -, -) ;; wasDerivedFrom(e1, e2) "
        ";; specializationOf(e2, e1)",
        # by 19, though nothing says that e2 ever began
        "wasGeneratedBy(e1, -, -) ;; wasGeneratedBy(e3, -, -) ;; wasDerivedFrom(e1, e3) "
        ";; specializationOf(e3, e2) ;; specializationOf(e2, e1)",
    ],
    (48, 42): [
        "entity(ag) ;; wasAttributedTo(e, ag) ;; wasDerivedFrom(ag, e)",
        "entity(ag) ;; entity(b) ;; wasAttributedTo(e, ag) ;; wasDerivedFrom(b, e) "
        ";; wasDerivedFrom(ag, b)",
        "wasGeneratedBy(ag, a, -) ;; wasAttributedTo(e, ag) ;; wasDerivedFrom(ag, e, a, -, -)",
    ],
    (43, 48, 42): [
        "entity(e1) ;; wasAttributedTo(e1, ag) ;; wasStartedBy(ag, e2, -, -) ;; entity(e2) "
        ";; wasDerivedFrom(e2, e1)",
        "wasAttributedTo(e1, ag) ;; wasStartedBy(ag, e2, b, -) ;; wasDerivedFrom(e2, e1)",
        "activity(ag) ;; wasAttributedTo(e1, ag) ;; wasEndedBy(ag, e1, b, -) "
        ";; wasStartedBy(ag, e2, -, -) ;; entity(e2) ;; wasDerivedFrom(e2, e1)",
    ],
    (51,): [
        "wasDerivedFrom(e2, e1, -, g, -)",
        "wasDerivedFrom(e2, e1, -, -, u)",
        "wasDerivedFrom(e2, e1, -, g, u)",
    ],
    (52, 19): [
        "specializationOf(e, e)",
        "specializationOf(e1, e2) ;; specializationOf(e2, e1)",
        "specializationOf(e1, e2) ;; specializationOf(e2, e3) ;; specializationOf(e3, e1)",
    ],
    (54,): [
        "entity(x) ;; used(x; a, e, -)",
        "activity(x) ;; wasInfluencedBy(x; e, y)",
        "agent(x) ;; wasDerivedFrom(e2, e1, a, x, -)",
    ],
    (54, 21): [
        "entity(e) ;; specializationOf(x, e) ;; used(x; a, e, -)",
        "entity(e) ;; specializationOf(y, e) ;; specializationOf(x, y) ;; wasInformedBy(x; a, b)",
        "entity(e) ;; specializationOf(x, e) ;; wasDerivedFrom(x; e2, e1)",
    ],
    (55, 50): [
        "entity(x) ;; activity(x)",
        "used(x, e, -) ;; wasGeneratedBy(x, a, -)",
        "entity(x) ;; wasInformedBy(x, a)",
        "wasAssociatedWith(a, ag, x) ;; wasAssociatedWith(x, ag, -)",
        "wasGeneratedBy(i; e, -, -) ;; wasDerivedFrom(i; e, x)",  # by 15, x made e
    ],
    (56,): [
        f"entity(c, {EMPTY}) ;; hadMember(c, e)",
        f"entity(c, [x=1]) ;; entity(c, {EMPTY}) ;; hadMember(c, c2)",
        "entity(c, [prov:type='prov:Collection', prov:type='prov:EmptyCollection']) "
        ";; hadMember(c, e)",
    ],
    (56, 21): [
        f"entity(c, {EMPTY}) ;; specializationOf(d, c) ;; hadMember(d, e)",
        f"entity(c, {EMPTY}) ;; entity(d) ;; specializationOf(d, c) ;; hadMember(d, e)",
        f"entity(c, {EMPTY}) ;; specializationOf(d, c) ;; specializationOf(f, d) "
        ";; hadMember(f, e)",
    ],
}

OVERLAP = ["used", "wasGeneratedBy", "wasInvalidatedBy", "wasStartedBy", "wasEndedBy"]
OVERLAP += ["wasInformedBy", "wasAttributedTo", "wasAssociatedWith", "actedOnBehalfOf"]


@pytest.mark.parametrize(
    ("number", "text"), [(number, text) for number, texts in VALID.items() for text in texts]
)
def test_what_keeps_a_rule_is_valid(number: int, text: str) -> None:
    """A rule would refuse a valid document."""
    assert broken(text) == set(), number


@pytest.mark.parametrize(
    ("numbers", "text"), [(numbers, text) for numbers, texts in INVALID.items() for text in texts]
)
def test_what_breaks_a_rule_is_found_under_its_number(numbers: tuple[int, ...], text: str) -> None:
    """A rule would not be applied, or another one would be blamed."""
    assert broken(text) == {numbers}


@pytest.mark.parametrize("kind", OVERLAP)
def test_relations_of_two_kinds_share_no_identifier(kind: str) -> None:
    """Impossibility 53 would not hold for one of the nine kinds of relations."""

    def statement(kind: str) -> str:
        needed = rules.MANDATORY[kind]
        arguments = ["x" if n in needed else "-" for n, _ in enumerate(ARGUMENTS[kind])]
        return f"{kind}(i; {', '.join(arguments)})"

    for other in OVERLAP:
        if other != kind:
            assert (53,) in broken(f"{statement(kind)} ;; {statement(other)}")
    for other in ("wasDerivedFrom", "wasInfluencedBy"):
        assert (53,) not in broken(f"{statement(kind)} ;; {statement(other)}")


def test_every_rule_has_three_documents_that_keep_it_and_three_that_break_it() -> None:
    """A rule of the Recommendation would lack tests."""
    numbers = {*range(22, 50), *range(51, 57)}
    assert {number for number, texts in VALID.items() if len(texts) >= 3} == numbers
    breakable = {number for each, texts in INVALID.items() if len(texts) >= 3 for number in each}
    never = {30, 31, 32, 33, 35, 36, 37, 38, 39, 40, 41, 44, 46, 47, 49}
    assert numbers - breakable - {53} == never
    assert all(len(texts) >= 3 for texts in INVALID.values())


def test_nothing_leads_back_from_an_end_or_an_invalidation() -> None:
    """Orders that the engine leaves out could close a cycle. The oracle checks 41."""
    ends = {rules.END, rules.INVALIDATION, rules.USAGE}
    for orders in rules.ORDERING.values():
        for order in orders:
            assert order.earlier[0] not in ends or order.later[0] in ends
    assert frozenset({rules.GENERATION, rules.START}) == rules.RECURRING
    assert all(
        order.later[0] == rules.GENERATION
        for each in rules.ORDERING.values()
        for order in each
        if order.strict
    )


def test_relations_without_identifiers_are_not_held_to_the_keys_of_a_form() -> None:
    """PROV-JSON gives every relation a key; keys without meaning would be errors."""
    content = {
        "prefix": {"ex": "https://example.org/"},
        "entity": {"ex:s": {}},
        "specializationOf": {
            "ex:s": [
                {"prov:specificEntity": "ex:b", "prov:generalEntity": "ex:a"},
                {"prov:specificEntity": "ex:c", "prov:generalEntity": "ex:a"},
            ]
        },
        "hadMember": {"ex:s": {"prov:collection": "ex:b", "prov:entity": "ex:a"}},
    }
    data = json.dumps(content).encode()
    assert validate(data, schema=False).findings == []
    assert len(normal_form(data)) > 5


def test_a_bundle_is_judged_by_itself() -> None:
    """Two bundles would be checked against each other, or a bundle would be skipped."""
    fine = "activity(x) ;; bundle b ;; entity(x) ;; endBundle"
    assert broken(fine) == set()
    report = validate(document("bundle b ;; entity(x) ;; activity(x) ;; endBundle"))
    assert [f.name for f in report.findings] == ["entity-activity-disjoint"]
    assert "in bundle" in report.findings[0].message


# -- the W3C's cases ----------------------------------------------------------------------------

CASES = CORPUS / "constraints" / "expected.tsv"


def cases() -> list[tuple[str, str]]:
    """The W3C's cases that have a verdict."""
    if not CASES.is_file():
        return []
    with CASES.open(newline="") as file:
        return [(row["file"], row["expected"]) for row in csv.DictReader(file, delimiter="\t")]


@pytest.mark.skipif(not CASES.is_file(), reason=f"no corpus at {CORPUS}: set PROVML_CORPUS")
@pytest.mark.parametrize(("name", "expected"), cases())
def test_the_w3c_cases_have_their_verdicts(name: str, expected: str) -> None:
    """A verdict would differ from the W3C's, or depend on the document's format."""
    data = (CASES.parent / name).read_bytes()
    verdicts = {"provn": _verdict(data, "provn")}
    origin = reading.read(data, "provn")
    for form in ("provjson", "provxml", "provjsonld", "turtle"):
        sink = io.BytesIO()
        try:
            origin.write(form, sink)
        except DocumentError:
            assert form == "turtle", name  # records of one identifier are one resource in RDF
            continue
        verdicts[form] = _verdict(sink.getvalue(), form)
    assert set(verdicts.values()) == {expected}, verdicts
    assert {"provn", "provjson", "provxml", "provjsonld"} <= set(verdicts)


def _verdict(data: bytes, form: str) -> str:
    report = validate(data, form, schema=False, shapes=False)
    return "valid" if report.conforms else "invalid"


# -- documents made to be hard ------------------------------------------------------------------

SIZE = 20_000


def judged(statements: list[ConstraintStatement]) -> Engine:
    """Check statements; returns the engine."""
    engine = Engine(Instance(None, statements))
    engine.check()
    return engine


def derived(new: str, old: str) -> ConstraintStatement:
    return ConstraintStatement("wasDerivedFrom", None, (new, old, None, None, None))


def special(specific: str, general: str) -> ConstraintStatement:
    return ConstraintStatement("specializationOf", None, (specific, general))


def test_things_derived_from_each_other_are_told_apart_and_counted() -> None:
    """A document with many cycles would take forever, or hide their number."""
    entities = [ConstraintStatement("entity", f"e{n}", ()) for n in range(SIZE)]
    pairs = judged([*entities, *(derived(f"e{n}", f"e{n ^ 1}") for n in range(SIZE))])
    assert len(pairs.breaches) + pairs.further == SIZE / 2
    assert all(len(breach.facts) == 2 for breach in pairs.breaches)
    ring = judged([*entities, *(derived(f"e{n}", f"e{(n + 1) % SIZE}") for n in range(SIZE))])
    (breach,) = ring.breaches
    assert len(breach.facts) == SIZE
    assert len(breach.subject) < 5000
    everyone = judged(
        [*entities[:60], *(derived(f"e{n}", f"e{m}") for n in range(60) for m in range(60))]
    )
    assert len(everyone.breaches) + everyone.further == 60 + 60 * 59 / 2


def test_a_finding_of_a_long_cycle_is_short() -> None:
    """A finding would be as long as the document."""
    report = Report("x")
    statements = [ConstraintStatement("entity", f"e{n}", ()) for n in range(SIZE)]
    statements += [derived(f"e{n}", f"e{(n + 1) % SIZE}") for n in range(SIZE)]
    check_constraints([Instance(None, statements)], report)
    (finding,) = report.findings
    assert len(finding.evidence) == 50
    assert "19,950 more statements" in finding.message


def test_long_chains_of_specializations_end() -> None:
    """A chain would take quadratic time, or overflow the stack."""
    chain = [special(f"e{n + 1}", f"e{n}") for n in range(SIZE)]
    chain.reverse()
    assert judged([ConstraintStatement("entity", "e0", ()), *chain]).breaches == []
    (breach,) = judged(
        [ConstraintStatement("entity", "e0", ()), *chain, derived("e0", f"e{SIZE}")]
    ).breaches
    assert breach.numbers == (45, 42)
    assert len(breach.facts) == SIZE + 1
    (breach,) = judged([*chain, special("e0", f"e{SIZE}")]).breaches
    assert breach.numbers == (52, 19)
    empty = ConstraintStatement("entity", "e0", (), (PROV + "EmptyCollection",))
    member = ConstraintStatement("hadMember", None, (f"e{SIZE}", "x"))
    (breach,) = judged([*chain, empty, member]).breaches
    assert breach.numbers == (56, 21)


def test_many_relations_of_one_identifier_end() -> None:
    """Statements with the same identifier would be compared pairwise."""
    same = [ConstraintStatement("used", "u", ("a", "e", None)) for _ in range(SIZE)]
    assert judged(same).breaches == []
    clashing = judged([ConstraintStatement("used", "u", ("a", f"e{n}", None)) for n in range(SIZE)])
    assert len(clashing.breaches) + clashing.further == SIZE - 1
    influences = [ConstraintStatement("wasInfluencedBy", "u", ("a", f"e{n}")) for n in range(SIZE)]
    clashing = judged([*influences, ConstraintStatement("used", "u", ("a", None, None))])
    assert len(clashing.breaches) + clashing.further == SIZE - 1


def test_names_are_shown_by_the_longest_namespace_that_fits() -> None:
    """A finding would not use the document's prefixes, or take long with many of them."""
    prefixes = {f"p{n}": f"https://example.org/{n}/" for n in range(SIZE)}
    prefixes |= {"": "https://example.org/", "deep": "https://example.org/7/deep#", "no": ""}
    instance = Instance(None, [], NamespaceScope(prefixes))
    assert instance.name_text("https://example.org/12/x") == "p12:x"
    assert instance.name_text("https://example.org/7/deep#x") == "deep:x"
    assert instance.name_text("https://example.org/7/deep") == "p7:deep"
    assert instance.name_text("https://example.org/none") == "none"
    assert instance.name_text("http://example.org/") == "<http://example.org/>"
    assert instance.name_text("") == "<>"
    own = NamespaceScope(
        {"p7": "urn:other:", "b": "https://example.org/12/3"}, NamespaceScope(prefixes)
    )
    bundle = Instance("urn:b", [], own)
    assert bundle.name_text("https://example.org/7/x") == "<https://example.org/7/x>"
    assert bundle.name_text("https://example.org/12/x") == "p12:x"
    assert bundle.name_text("https://example.org/12/34") == "b:4"


def test_many_bundles_end() -> None:
    """Each bundle would cost as much as all bundles."""
    prefixes = {f"p{n}": f"https://example.org/{n}/" for n in range(500)}
    bundle = {"entity": {"p1:x": {}}, "activity": {"p1:x": {}}}
    content = {"prefix": prefixes, "bundle": {f"p1:b{n}": bundle for n in range(3000)}}
    report = validate(json.dumps(content).encode(), schema=False)
    assert len(report.findings) + report.further == 3000


def test_a_bundle_in_a_bundle_is_refused() -> None:
    """Nested bundles could overflow the stack."""
    content: dict[str, object] = {"entity": {"ex:e": {}}}
    for _ in range(50):
        content = {"bundle": {"ex:b": content}}
    with pytest.raises(DocumentError):
        validate(json.dumps({"prefix": {"ex": "urn:x:"}, **content}).encode(), schema=False)


def test_a_normal_form_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Alternates, which are all related to each other, would fill the memory."""
    monkeypatch.setattr("provml.validation.constraints.normal_forms.MOST_FACTS", 500)
    pairs = " ;; ".join(f"alternateOf(e{n}, e{n + 1})" for n in range(40))
    with pytest.raises(DocumentError, match="more than 500 facts"):
        normal_form(document(pairs))

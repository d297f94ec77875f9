"""Normal forms and equivalence; and every way to read a document gives the same statements."""

from __future__ import annotations

import io
import random

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from validation.oracle import Oracle
from validation.test_oracle import DOCUMENTS

from provml import equivalent, normal_form, reading
from provml.errors import DocumentError
from provml.model.relations import ARGUMENTS
from provml.model.vocabulary import PROV
from provml.reading.provjson import load_json
from provml.validation.constraints import (
    ConstraintStatement,
    Instance,
    NamespaceScope,
    prov_instances,
    provjson_instances,
)
from provml.validation.constraints.rules import ELEMENT_KINDS, TIME_ARGUMENTS

BASE = "https://example.org/"
PREFIXES = {"": BASE, "prov": PROV}
NAMELESS = ("specializationOf", "alternateOf", "hadMember", *ELEMENT_KINDS)


def full(statement: ConstraintStatement) -> ConstraintStatement:
    """The statement with full IRIs."""
    arguments = tuple(
        value if value is None or name in TIME_ARGUMENTS else BASE + value
        for name, value in zip(ARGUMENTS[statement.kind], statement.arguments, strict=True)
    )
    identifier = None if statement.id is None else BASE + statement.id
    return statement._replace(id=identifier, arguments=arguments)


def provn(statements: list[ConstraintStatement]) -> bytes:
    """The statements in PROV-N, as findings show them."""
    instance = Instance(None, statements, NamespaceScope(PREFIXES))
    lines = [instance.text(each, each.types) for each in map(full, statements)]
    return "\n".join(["document", f"default <{BASE}>", *lines, "endDocument"]).encode()


def shown(statements: list[ConstraintStatement]) -> list[str]:
    """Statements without their places, sorted."""
    return sorted(repr((s.kind, s.id, s.arguments, s.types)) for s in statements)


@settings(max_examples=150, deadline=None)
@given(document=DOCUMENTS)
def test_every_way_to_read_a_document_gives_its_statements(
    document: list[ConstraintStatement],
) -> None:
    """A verdict would depend on the format, or a finding would show unstated content."""
    read = reading.read(provn(document), "provn")
    wanted = shown([full(each) for each in document])
    (instance,) = prov_instances(read.prov, read.places)
    statements = list(instance.statements)
    assert shown(statements) == wanted
    assert [each.line for each in statements] == list(range(3, len(document) + 3))
    sink = io.BytesIO()
    read.write("provjson", sink)
    (instance,) = provjson_instances(load_json(sink.getvalue()))  # type: ignore[arg-type]
    assert shown(list(instance.statements)) == wanted


@settings(max_examples=80, deadline=None)
@given(document=DOCUMENTS, seed=st.integers(0, 2**16))
def test_order_and_what_follows_anyway_make_no_difference(
    document: list[ConstraintStatement], seed: int
) -> None:
    """Two documents with the same meaning would differ."""
    assume(Oracle((s.kind, s.id, s.arguments, s.types) for s in document).valid)
    other = [*document, *document]
    for each in document:
        if each.kind not in NAMELESS:
            other.append(each._replace(id=None))
            names = each.arguments[:2]
            if None not in names:
                other.append(ConstraintStatement("wasInfluencedBy", None, names))
        if each.kind == "entity":
            other.append(ConstraintStatement("wasGeneratedBy", None, (each.id, None, None)))
            other.append(ConstraintStatement("alternateOf", None, (each.id, each.id)))
    random.Random(seed).shuffle(other)
    assert equivalent(provn(document), provn(other))
    more = [*document, ConstraintStatement("entity", "another", ())]
    assert not equivalent(provn(document), provn(more))
    assert not equivalent(provn(more), provn(document))


def text(statements: str) -> bytes:
    return f"document\ndefault <{BASE}>\n{statements}\nendDocument".encode()


SAME = [
    ("used(a, e, -)", "used(a, e, -) used(a, e, -)"),
    ("used(u; a, e, -)", "used(u; a, -, -) used(u; a, e, -)"),
    ("wasInformedBy(b, a)", "wasInformedBy(b, a) wasInfluencedBy(b, a)"),
    ("entity(e) specializationOf(f, e)", "entity(e) entity(f) specializationOf(f, e)"),
    (
        "entity(e, [x=1]) specializationOf(f, e)",
        "entity(f, [x=1]) entity(e, [x=1]) specializationOf(f, e) alternateOf(e, f)",
    ),
    (
        "alternateOf(a, b) alternateOf(b, c)",
        "alternateOf(c, b) alternateOf(a, b) alternateOf(c, a)",
    ),
    (
        "activity(a, 2020-01-01T00:00:00Z, -)",
        "activity(a, 2020-01-01T01:00:00+01:00, -) wasStartedBy(a, -, -, 2020-01-01T00:00:00Z)",
    ),
    (
        "wasGeneratedBy(g; e, a, -) wasDerivedFrom(e, d, a, -, -)",
        "wasDerivedFrom(e, d, a, g, -)",
    ),
    (
        "wasDerivedFrom(f, e, [prov:type='prov:Revision'])",
        "alternateOf(f, e) wasDerivedFrom(f, e, [prov:type='prov:Revision'])",
    ),
    ("bundle b entity(e) endBundle", "bundle b entity(e) entity(e) endBundle"),
]

DIFFERENT = [
    ("entity(e)", "agent(e)"),
    ("entity(e)", "wasGeneratedBy(e, -, -)"),
    ("used(a, e, -)", "used(u; a, e, -)"),
    ("used(a, e, -)", "used(a, e, 2020-01-01T00:00:00)"),
    ("used(a, e, -, [x=1])", "used(a, e, -, [x=2])"),
    ("entity(e, [x=1])", 'entity(e, [x="1"])'),
    ('entity(e, [x="a"@en])', 'entity(e, [x="a"@de])'),
    ("wasAssociatedWith(a, ag, -)", "wasAssociatedWith(a, ag, p)"),
    ("wasDerivedFrom(f, e)", "wasDerivedFrom(f, e, a, -, -)"),
    ("wasDerivedFrom(f, e)", "wasDerivedFrom(e, f)"),
    ("entity(e)", "entity(e) bundle b entity(e) endBundle"),
    ("bundle b entity(e) endBundle", "bundle c entity(e) endBundle"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_documents_that_say_the_same_are_equivalent(one: str, other: str) -> None:
    """An inference or a merge would be missing."""
    assert equivalent(text(one), text(other))
    assert equivalent(text(other), text(one))


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_documents_that_differ_are_not_equivalent(one: str, other: str) -> None:
    """A difference would be missed."""
    assert not equivalent(text(one), text(other))
    assert not equivalent(text(other), text(one))


def test_a_normal_form_holds_what_follows_and_no_echoes() -> None:
    """A normal form would lack inferred facts, or contain redundant ones."""
    form = normal_form(text("entity(e) wasGeneratedBy(g; e, a, -) used(a, e, -) used(a, e, -)"))
    facts = form.instances[None]
    assert len(form) == len(facts)

    def of(kind: str) -> list[tuple[object, ...]]:
        named = [
            tuple(t if isinstance(t, str) else None for t in fact[1:])
            for fact in facts
            if fact[0] == kind
        ]
        return [tuple(t and t.removeprefix(BASE) for t in each) for each in named]

    assert of("wasGeneratedBy") == [("g", "e", "a", None)]
    assert of("wasInvalidatedBy") == [(None, "e", None, None)]
    assert of("used") == [(None, "a", "e", None)]
    assert of("wasInformedBy") == [(None, "a", "a")]
    assert of("alternateOf") == [("-", "e", "e")]


def test_an_invalid_document_has_no_normal_form() -> None:
    """Contradictory documents would be compared."""
    with pytest.raises(DocumentError, match="not valid: 55"):
        normal_form(text("entity(e) activity(e)"))
    with pytest.raises(DocumentError, match="not valid"):
        equivalent(text("entity(e)"), text("specializationOf(e, e)"))

"""Converts statements to PROV-O (W3C Recommendation, 2013), for all RDF formats.

An element becomes triples for its types, label, times and attributes. A relation becomes a
qualified node if it has a time, a plan or another attribute. Otherwise, it becomes a plain triple.

A qualified generation, usage or derivation entails a plain triple (PROV-O, table 3). Documents do
not contain this triple, because PROV readers would read it as a second statement. Queries need
the triple, so `describe_statements` can add it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from provml.model import vocabulary
from provml.model.relations import RELATIONS
from provml.model.statements import Name, NameColumn, Statement

if TYPE_CHECKING:
    from provml.model.bundles import RunBundles

RDFS: Final = "http://www.w3.org/2000/01/rdf-schema#"
TYPE: Final = "rdf:type"

Property = tuple[str, Any]
"""A predicate and its object: a name (an IRI), a value (a literal), a column or a `Blank`."""


@dataclass(slots=True)
class Blank:
    """A blank node and its properties. In a table, each row has its own blank node."""

    properties: list[Property]


@dataclass(slots=True)
class Description:
    """A subject and its properties. If some are columns, each column has ``rows`` values."""

    subject: Name | NameColumn
    properties: list[Property] = field(default_factory=list)
    rows: int = 1


_RELATION_CLASSES: Final = {
    relation.plain: (kind, relation) for kind, relation in RELATIONS.items()
}
_ELEMENT_PROPERTIES: Final = {
    "prov:startTime": "prov:startedAtTime",
    "prov:endTime": "prov:endedAtTime",
    "prov:label": "rdfs:label",
    "prov:type": TYPE,
}
_ALWAYS_QUALIFIED: Final = ("Association",)
"""The relations that are always written as a qualified node.

If an association were a plain triple, the ``prov`` library would merge it into the qualified node
of another association.
"""
_REVISION: Final = ("prov:type", "prov:Revision")


def rdf_prefixes(prefixes: dict[str, str]) -> dict[str, str]:
    """Return a document's prefixes, together with the prefixes that every RDF document needs."""
    standard = {"prov": vocabulary.PROV, "xsd": vocabulary.XSD, "rdf": vocabulary.RDF, "rdfs": RDFS}
    return {**standard, **prefixes}


def describe_bundles(bundles: RunBundles) -> Iterator[Description]:
    """For each bundle, yield a description that declares the bundle as a ``prov:Bundle``."""
    for name in bundles.names():
        kinds: list[Property] = [(TYPE, Name("prov:Entity")), (TYPE, Name("prov:Bundle"))]
        yield Description(name, kinds)


def describe_statements(
    statements: Iterable[Statement], *, entailed: bool = False
) -> Iterator[Description]:
    """Convert statements to descriptions of their subjects.

    Merges consecutive descriptions that have the same subject.

    Args:
        entailed: whether to add the plain triples that qualified nodes entail. Queries need these
            triples.
    """
    held: Description | None = None
    for statement in statements:
        made = _describe_statement(statement, entailed)
        if (
            held is not None
            and held.rows == made.rows
            and _is_same_subject(held.subject, made.subject)
        ):
            held.properties += made.properties
            continue
        if held is not None:
            yield held
        held = made
    if held is not None:
        yield held


def _is_same_subject(one: Name | NameColumn, other: Name | NameColumn) -> bool:
    return one is other or (isinstance(one, str) and one == other)


def _describe_statement(statement: Statement, entailed: bool) -> Description:
    if statement.id is None:
        return _describe_relation(statement, entailed)
    kind = Name(f"prov:{statement.kind.title()}")
    properties: list[Property] = [(TYPE, kind)]
    for name, value in (*statement.arguments.items(), *statement.attributes):
        properties.append((_ELEMENT_PROPERTIES.get(name, name), value))
    return Description(statement.id, properties, statement.rows)


def _describe_relation(statement: Statement, entailed: bool) -> Description:
    kind, relation = _RELATION_CLASSES[statement.kind]
    arguments: dict[str, Any] = dict(statement.arguments)
    subject = arguments.pop(f"prov:{relation.first}")
    target = arguments.pop(f"prov:{relation.second}")
    plain: Property = (f"prov:{statement.kind}", target)
    if not (arguments or statement.attributes or kind in _ALWAYS_QUALIFIED):
        return Description(subject, [plain], statement.rows)
    revision = _REVISION in statement.attributes
    kind = "Revision" if revision else kind
    node: list[Property] = [
        (TYPE, Name(f"prov:{kind}")),
        (f"prov:{relation.influencer}", target),
    ]
    node += [
        (f"prov:{property_}", arguments[f"prov:{argument}"])
        for property_, argument in relation.others.items()
        if f"prov:{argument}" in arguments
    ]
    node += [
        (_ELEMENT_PROPERTIES.get(name, name), value)
        for name, value in statement.attributes
        if (name, value) != _REVISION
    ]
    properties: list[Property] = [(f"prov:qualified{kind}", Blank(node))]
    if relation.beside or entailed:
        properties.insert(0, plain)
    if revision and entailed:
        properties.insert(0, ("prov:wasRevisionOf", target))
    return Description(subject, properties, statement.rows)

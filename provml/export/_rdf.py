"""PROV-O (W3C Recommendation, 2013): statements as RDF, for all RDF writers alike.

An element is its types, label, times and attributes. A relation is the plain triple, or a qualified
node where it has a time, a plan or a type. A qualified generation, usage or derivation stands
without the plain triple that it entails (PROV-O, table 3): beside it a reader of PROV would take
the triple as a second statement. For those who query, `descriptions` adds what is entailed.

Imports `model`.
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
"""A predicate and its object: a name (an IRI), a value (a literal), a column, or a `Blank`."""


@dataclass(slots=True)
class Blank:
    """A node without a name, with what is said of it; in a table, one for each row."""

    properties: list[Property]


@dataclass(slots=True)
class Description:
    """What is said of a subject; of ``rows`` subjects or objects, where there are columns."""

    subject: Name | NameColumn
    properties: list[Property] = field(default_factory=list)
    rows: int = 1


_RELATIONS: Final = {relation.plain: (kind, relation) for kind, relation in RELATIONS.items()}
_ELEMENT_PROPERTIES: Final = {
    "prov:startTime": "prov:startedAtTime",
    "prov:endTime": "prov:endedAtTime",
    "prov:label": "rdfs:label",
    "prov:type": TYPE,
}
_ALWAYS_QUALIFIED: Final = ("Association",)
"""Written with its node for want of anything to qualify, too: beside another association's node,
the ``prov`` library takes a plain triple for a part of that one."""
_REVISION: Final = ("prov:type", "prov:Revision")


def rdf_prefixes(prefixes: dict[str, str]) -> dict[str, str]:
    """A document's prefixes and those that RDF needs besides."""
    standard = {"prov": vocabulary.PROV, "xsd": vocabulary.XSD, "rdf": vocabulary.RDF, "rdfs": RDFS}
    return {**standard, **prefixes}


def bundle_descriptions(bundles: RunBundles) -> Iterator[Description]:
    """That the bundles are bundles, in the document that holds them."""
    for name in bundles.names():
        kinds: list[Property] = [(TYPE, Name("prov:Entity")), (TYPE, Name("prov:Bundle"))]
        yield Description(name, kinds)


def descriptions(
    statements: Iterable[Statement], *, entailed: bool = False
) -> Iterator[Description]:
    """What the statements say, by subject; neighbours that share one become one description.

    Args:
        entailed: also the plain triples that the qualified ones entail, which queries look for.
    """
    held: Description | None = None
    for statement in statements:
        made = _description(statement, entailed)
        if held is not None and held.rows == made.rows and _same(held.subject, made.subject):
            held.properties += made.properties
            continue
        if held is not None:
            yield held
        held = made
    if held is not None:
        yield held


def _same(one: Name | NameColumn, other: Name | NameColumn) -> bool:
    return one is other or (isinstance(one, str) and one == other)


def _description(statement: Statement, entailed: bool) -> Description:
    if statement.id is None:
        return _relation(statement, entailed)
    kind = Name(f"prov:{statement.kind.title()}")
    properties: list[Property] = [(TYPE, kind)]
    for name, value in (*statement.arguments.items(), *statement.attributes):
        properties.append((_ELEMENT_PROPERTIES.get(name, name), value))
    return Description(statement.id, properties, statement.rows)


def _relation(statement: Statement, entailed: bool) -> Description:
    kind, relation = _RELATIONS[statement.kind]
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

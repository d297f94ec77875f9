"""PROV-O (W3C Recommendation, 2013): statements as RDF, for all RDF writers alike.

An element is its types, label, times and attributes. A relation is the plain triple, or a qualified
node where it has a time, a plan or a type. A qualified generation, usage or derivation stands
without the plain triple that it entails (PROV-O, table 3): beside it a reader of PROV would take
the triple as a second statement. For those who query, `descriptions` adds what is entailed.

Imports `model.statements`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from provml.model import vocabulary
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


class _Relation(NamedTuple):
    """How a relation stands in PROV-O.

    Attributes:
        subject, object: the formal attributes that the plain triple joins.
        influencer: the property that leads from the qualified node to the object.
        qualified: the name of the node's class; ``prov:qualified<name>`` leads to it.
        beside: whether readers take the plain triple and the node for one statement.
        always: whether the node is written for want of anything to qualify, too: beside another
            association's node, the ``prov`` library takes a plain triple for a part of that one.
    """

    subject: str
    object: str
    influencer: str = ""
    qualified: str = ""
    beside: bool = False
    always: bool = False


_RELATIONS: Final = {
    "wasGeneratedBy": _Relation("prov:entity", "prov:activity", "prov:activity", "Generation"),
    "used": _Relation("prov:activity", "prov:entity", "prov:entity", "Usage"),
    "wasInformedBy": _Relation(
        "prov:informed", "prov:informant", "prov:activity", "Communication", True
    ),
    "wasStartedBy": _Relation("prov:activity", "prov:trigger", "prov:entity", "Start"),
    "wasDerivedFrom": _Relation(
        "prov:generatedEntity", "prov:usedEntity", "prov:entity", "Derivation"
    ),
    "wasAttributedTo": _Relation("prov:entity", "prov:agent", "prov:agent", "Attribution", True),
    "wasAssociatedWith": _Relation(
        "prov:activity", "prov:agent", "prov:agent", "Association", True, True
    ),
    "actedOnBehalfOf": _Relation(
        "prov:delegate", "prov:responsible", "prov:agent", "Delegation", True
    ),
    "alternateOf": _Relation("prov:alternate1", "prov:alternate2"),
    "hadMember": _Relation("prov:collection", "prov:entity"),
}

_QUALIFIERS: Final = {
    "prov:time": "prov:atTime",
    "prov:plan": "prov:hadPlan",
    "prov:activity": "prov:hadActivity",
    "prov:starter": "prov:hadActivity",
}
_ELEMENT_PROPERTIES: Final = {
    "prov:startTime": "prov:startedAtTime",
    "prov:endTime": "prov:endedAtTime",
    "prov:label": "rdfs:label",
    "prov:type": TYPE,
}
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
    relation = _RELATIONS[statement.kind]
    arguments: dict[str, Any] = dict(statement.arguments)
    subject, target = arguments.pop(relation.subject), arguments.pop(relation.object)
    plain: Property = (f"prov:{statement.kind}", target)
    if not (arguments or statement.attributes or relation.always):
        return Description(subject, [plain], statement.rows)
    revision = _REVISION in statement.attributes
    kind = "Revision" if revision else relation.qualified
    node: list[Property] = [(TYPE, Name(f"prov:{kind}")), (relation.influencer, target)]
    node += [(_QUALIFIERS[name], value) for name, value in arguments.items()]
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

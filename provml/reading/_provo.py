"""PROV-O (W3C Recommendation, 2013): how PROV's statements are triples, in both directions.

Reads what the ``prov`` library writes, and gives what it reads, but is exact where it is not:
literals keep their text, a plain relation is never taken for another one's, names may be any IRI.
Imports `_names`, `_dictionary`; prov and pyoxigraph when it runs.
"""

from __future__ import annotations

import datetime
import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from provml.errors import DocumentError
from provml.model.vocabulary import DEFAULT_NAMESPACE, PROV, RDF, XSD
from provml.reading._dictionary import (
    INSERTION,
    MEMBERSHIP,
    REMOVAL,
    DictionaryStatement,
    normal_value,
)
from provml.reading._names import Prefixes, Record, assembled, bundles_of

if TYPE_CHECKING:
    from prov.identifier import QualifiedName
    from prov.model import ProvDocument
    from pyoxigraph import Quad

RDF_TYPE: Final = f"{RDF}type"
RDFS_LABEL: Final = "http://www.w3.org/2000/01/rdf-schema#label"


@dataclass(frozen=True)
class _Relation:
    """How a relation is stated.

    Attributes:
        plain: the property between its first two arguments.
        first, second: these arguments, by their PROV-DM names.
        kinds: what they are.
        influencer: the property of the qualified node for the second argument; None where PROV-O
            has no qualified form.
        others: properties of the node for the other arguments.
        both: whether the plain triple stands beside the qualified node.
    """

    plain: str
    first: str
    second: str
    kinds: tuple[str, str]
    influencer: str | None = None
    others: dict[str, str] = field(default_factory=dict)
    both: bool = False


_E, _A, _G, _ANY = "Entity", "Activity", "Agent", ""
_TIME = {"atTime": "time"}
_RELATIONS: Final = {
    "Generation": _Relation("wasGeneratedBy", "entity", "activity", (_E, _A), "activity", _TIME),
    "Usage": _Relation("used", "activity", "entity", (_A, _E), "entity", _TIME),
    "Invalidation": _Relation(
        "wasInvalidatedBy", "entity", "activity", (_E, _A), "activity", _TIME
    ),
    "Start": _Relation(
        "wasStartedBy",
        "activity",
        "trigger",
        (_A, _E),
        "entity",
        {"hadActivity": "starter", **_TIME},
    ),
    "End": _Relation(
        "wasEndedBy", "activity", "trigger", (_A, _E), "entity", {"hadActivity": "ender", **_TIME}
    ),
    "Communication": _Relation(
        "wasInformedBy", "informed", "informant", (_A, _A), "activity", both=True
    ),
    "Attribution": _Relation("wasAttributedTo", "entity", "agent", (_E, _G), "agent", both=True),
    "Association": _Relation(
        "wasAssociatedWith", "activity", "agent", (_A, _G), "agent", {"hadPlan": "plan"}
    ),
    "Delegation": _Relation(
        "actedOnBehalfOf",
        "delegate",
        "responsible",
        (_G, _G),
        "agent",
        {"hadActivity": "activity"},
        both=True,
    ),
    "Derivation": _Relation(
        "wasDerivedFrom",
        "generatedEntity",
        "usedEntity",
        (_E, _E),
        "entity",
        {"hadActivity": "activity", "hadGeneration": "generation", "hadUsage": "usage"},
    ),
    "Influence": _Relation(
        "wasInfluencedBy", "influencee", "influencer", (_ANY, _ANY), "influencer", both=True
    ),
    "Alternate": _Relation("alternateOf", "alternate1", "alternate2", (_E, _E)),
    "Specialization": _Relation("specializationOf", "specificEntity", "generalEntity", (_E, _E)),
    "Mention": _Relation("mentionOf", "specificEntity", "generalEntity", (_E, _E)),
    "Membership": _Relation("hadMember", "collection", "entity", (_E, _E)),
}
_BY_PLAIN: Final = {each.plain: kind for kind, each in _RELATIONS.items()}
_DERIVATIONS: Final = ("Revision", "Quotation", "PrimarySource")
_BESIDE: Final = ("Communication", "Attribution", "Association", "Delegation", "Influence")
"""The relations of which a plain triple and a node with the same influencer are one statement."""
_NODE_KINDS: Final = tuple(kind for kind, each in _RELATIONS.items() if each.influencer)
_QUALIFIED: Final = {f"qualified{kind}": kind for kind in _NODE_KINDS}
_QUALIFIED_DERIVATIONS: Final = {f"qualified{kind}": kind for kind in _DERIVATIONS}
_MORE_INFLUENCERS: Final = {  # what else a reader takes for an argument of a node
    "Influence": {"entity": "influencer", "activity": "influencer", "agent": "influencer"},
    "Start": {"startedAtTime": "time", "activity": "starter"},
    "End": {"endedAtTime": "time", "activity": "ender"},
}
_IMPLIED_TYPES: Final = frozenset(
    ("Influence", "EntityInfluence", "ActivityInfluence", "AgentInfluence", "InstantaneousEvent")
)
_ELEMENTS: Final = (_E, _A, _G)
_ELEMENT_OF: Final = {
    "SoftwareAgent": _G,
    "Person": _G,
    "Organization": _G,
    "Plan": _E,
    "Collection": _E,
    "EmptyCollection": _E,
    "Bundle": _E,
    "Dictionary": _E,
    "EmptyDictionary": _E,
}
_ELEMENT_WITH: Final = {
    "startedAtTime": _A,
    "endedAtTime": _A,
    "generatedAtTime": _E,
    "invalidatedAtTime": _E,
    "value": _E,
    "wasRevisionOf": _E,
    "wasQuotedFrom": _E,
    "hadPrimarySource": _E,
}
_TIMES: Final = {"startedAtTime": "startTime", "endedAtTime": "endTime"}
_ATTRIBUTES: Final = {
    RDF_TYPE: "type",
    RDFS_LABEL: "label",
    f"{PROV}atLocation": "location",
    f"{PROV}hadRole": "role",
}
_MOST_ALIKE: Final = 100
"""How many statements one node with several values of one argument may stand for."""

Triples = dict[Any, dict[str, list[Any]]]
"""Subject, predicate, values: a graph, each value once, in the order they came."""


# -- reading ------------------------------------------------------------------------------------


def decoded(
    quads: Iterable[Quad], declared: dict[str, str]
) -> tuple[ProvDocument, list[DictionaryStatement], list[str]]:
    """What the quads state in PROV, and notes on what else they state.

    Costs about 20 us a quad.

    Raises:
        DocumentError: a relation whose argument is a literal, several values for what has one, a
            graph without a name.
    """
    import pyoxigraph as package

    graphs: dict[Any, Triples] = {package.DefaultGraph(): {}}
    digest = hashlib.sha256()
    count = 0
    for quad in quads:
        count += 1
        digest.update(str(quad).encode())
        graph = graphs.setdefault(quad.graph_name, {})
        values = graph.setdefault(quad.subject, {}).setdefault(quad.predicate.value, [])
        values.append(quad.object)
    names = _Names(Prefixes(declared.items()), digest.hexdigest()[:12])
    bundles: list[tuple[QualifiedName | None, list[Record]]] = []
    statements: list[DictionaryStatement] = []
    left: list[str] = []
    for name, triples in graphs.items():
        if isinstance(name, package.BlankNode):
            raise DocumentError(f"the graph {name} has no IRI, which a bundle needs")
        bundle = None if isinstance(name, package.DefaultGraph) else names.of(name)
        reader = _GraphReader(triples, names, bundle)
        bundles.append((bundle, reader.records()))
        statements += reader.statements
        left += reader.left
    if count and not statements and not any(records for _, records in bundles):
        raise DocumentError(f"none of the {count:,} triples is a statement of PROV: {left[0]}")
    document = assembled(bundles, names.prefixes)
    notes = []
    if left:
        notes.append(
            f"{len(left):,} triples say nothing of PROV and have no place outside RDF: {left[0]}"
        )
    if names.blanks:
        first = names.prefixes.table().get("blank", names.blank_iri)
        notes.append(f"{len(names.blanks):,} blank nodes are given names, under {first}")
    return document, [_normal(each, document) for each in statements], notes


def _normal(statement: DictionaryStatement, document: ProvDocument) -> DictionaryStatement:
    return statement.mapped(lambda name: name, lambda value: normal_value(document, value))


class _Names:
    """Terms as names."""

    def __init__(self, prefixes: Prefixes, digest: str) -> None:
        self.prefixes = prefixes
        self.blanks: dict[Any, QualifiedName] = {}
        self.blank_iri = f"{DEFAULT_NAMESPACE}blank:{digest}:"
        self._known: dict[str, QualifiedName] = {}

    def iri(self, iri: str) -> QualifiedName:
        found = self._known.get(iri)
        if found is None:
            found = self._known[iri] = self.prefixes.split(iri)
        return found

    def of(self, term: Any) -> QualifiedName:
        import pyoxigraph as package

        if isinstance(term, package.NamedNode):
            return self.iri(term.value)
        found = self.blanks.get(term)
        if found is None:
            namespace = self.prefixes.namespace(self.blank_iri, "blank")
            found = self.blanks[term] = namespace[term.value]
        return found


class _GraphReader:
    """One graph as PROV's records."""

    def __init__(self, triples: Triples, names: _Names, bundle: QualifiedName | None) -> None:
        import pyoxigraph as package

        self._package = package
        self._triples = triples
        self._names = names
        self._bundle = bundle
        self._relation_nodes: dict[Any, str] = {}
        self._influencees: dict[Any, list[Any]] = defaultdict(list)
        self.statements: list[DictionaryStatement] = []
        self.left: list[str] = []

    def records(self) -> list[Record]:
        """The records, subject by subject; what has no place in any is in `left`."""
        self._take_dictionaries()
        self._find_relation_nodes()
        self._complete_nodes()
        kinds = self._element_kinds()
        found: list[Record] = []
        for subject, predicates in self._triples.items():
            if subject in self._relation_nodes:
                found += self._node_records(subject, predicates)
                continue
            of_subject = kinds.get(subject, ())
            if of_subject:
                found += self._element_records(subject, predicates, of_subject)
        for subject, predicates in self._triples.items():
            found += self._plain_records(subject, predicates)
        self._find_left(kinds)
        return found

    # -- dictionaries

    def _take_dictionaries(self) -> None:
        for subject in list(self._triples):
            predicates = self._triples.get(subject, {})  # a pair that was met is gone
            for kind, property_, qualified, node_type, content in (
                (INSERTION, "derivedByInsertionFrom", "qualifiedInsertion", "Insertion", "pairs"),
                (REMOVAL, "derivedByRemovalFrom", "qualifiedRemoval", "Removal", "keys"),
            ):
                nodes = predicates.pop(PROV + qualified, [])
                plain = predicates.pop(PROV + property_, [])
                stated = set()
                for node in nodes:
                    made = self._derived_dictionary(kind, subject, node, node_type, content)
                    stated.add(made.old)
                    self.statements.append(made)
                for old in plain:
                    name = self._name(subject, PROV + property_, old)
                    if name not in stated:
                        self.statements.append(
                            DictionaryStatement(
                                kind, self._bundle, None, self._names.of(subject), name
                            )
                        )
            for pair in predicates.pop(f"{PROV}hadDictionaryMember", []):
                self.statements.append(
                    DictionaryStatement(
                        MEMBERSHIP,
                        self._bundle,
                        None,
                        self._names.of(subject),
                        pairs=(self._pair(pair),),
                    )
                )

    def _derived_dictionary(
        self, kind: str, subject: Any, node: Any, node_type: str, content: str
    ) -> DictionaryStatement:
        own = self._triples.pop(node, {})
        old = own.pop(f"{PROV}dictionary", [])
        if len(old) > 1:
            raise DocumentError(f"{node} has {len(old)} values of prov:dictionary, which has one")
        pairs = tuple(self._pair(each) for each in own.pop(f"{PROV}insertedKeyEntityPair", []))
        keys = tuple(self._value(each) for each in own.pop(f"{PROV}removedKey", []))
        own[RDF_TYPE] = [each for each in own.get(RDF_TYPE, []) if _local(each) != node_type]
        attributes = tuple(self._attributes(own))
        return DictionaryStatement(
            kind,
            self._bundle,
            self._names.of(node) if isinstance(node, self._package.NamedNode) else None,
            self._names.of(subject),
            self._name(node, f"{PROV}dictionary", old[0]) if old else None,
            pairs,
            keys,
            attributes,
        )

    def _pair(self, node: Any) -> tuple[Any, QualifiedName | None]:
        own = self._triples.pop(node, {})
        keys, entities = own.pop(f"{PROV}pairKey", []), own.pop(f"{PROV}pairEntity", [])
        if len(keys) != 1 or len(entities) > 1:
            raise DocumentError(
                f"the key-entity pair {node} has {len(keys)} keys and {len(entities)} entities, "
                "not one of each"
            )
        entity = self._name(node, f"{PROV}pairEntity", entities[0]) if entities else None
        own.pop(RDF_TYPE, None)
        self.left += [
            f"{node} <{predicate}> {value}" for predicate, values in own.items() for value in values
        ]
        return self._value(keys[0]), entity

    # -- what is what

    def _find_relation_nodes(self) -> None:
        """The nodes that stand for relations, by their types or by what points at them."""
        for subject, predicates in self._triples.items():
            types = [_local(each) for each in predicates.get(RDF_TYPE, [])]
            exact = [each for each in types if each in _NODE_KINDS and each != "Influence"]
            exact += ["Derivation" for each in types if each in _DERIVATIONS]
            if not exact and "Influence" in types:
                exact = ["Influence"]
            if len(set(exact)) > 1:
                raise DocumentError(
                    f"{subject} is a {exact[0]} and a {exact[1]}, which are different things"
                )
            if exact:
                self._relation_nodes[subject] = exact[0]
        subtypes: list[tuple[Any, str]] = []
        for subject, predicates in self._triples.items():
            for predicate, values in predicates.items():
                local = _after(predicate)
                subtype = _QUALIFIED_DERIVATIONS.get(local)
                kind = _QUALIFIED.get(local) if subtype is None else "Derivation"
                if kind is None:
                    continue
                for node in values:
                    if isinstance(node, self._package.Literal):
                        raise DocumentError(f"{subject} <{predicate}> has a literal: {node}")
                    given = self._relation_nodes.setdefault(node, kind)
                    if given == "Influence":
                        self._relation_nodes[node] = kind
                    elif kind not in (given, "Influence"):
                        raise DocumentError(f"{subject} has {node}, a {given}, as its {local}")
                    self._influencees[node].append(subject)
                    if subtype is not None:
                        subtypes.append((node, subtype))
        for node in self._relation_nodes:
            self._triples.setdefault(node, {})
        for node, subtype in subtypes:
            given_types = self._triples[node].setdefault(RDF_TYPE, [])
            node_type = self._package.NamedNode(PROV + subtype)
            if node_type not in given_types:
                given_types.append(node_type)

    def _element_kinds(self) -> dict[Any, tuple[str, ...]]:
        """The kinds of the elements: by type, else by what only such an element has."""
        found: dict[Any, tuple[str, ...]] = {}
        untyped: set[Any] = set()
        for subject, predicates in self._triples.items():
            if subject in self._relation_nodes:
                continue
            types = [_local(each) for each in predicates.get(RDF_TYPE, [])]
            kinds = dict.fromkeys(each for each in types if each in _ELEMENTS)
            if not kinds:
                kinds = dict.fromkeys(_ELEMENT_OF[each] for each in types if each in _ELEMENT_OF)
            if not kinds:
                kinds = dict.fromkeys(
                    _ELEMENT_WITH[_after(each)]
                    for each in predicates
                    if _after(each) in _ELEMENT_WITH
                )
            if kinds:
                found[subject] = tuple(kinds)
            elif any(self._is_attribute(each) for each in predicates):
                untyped.add(subject)
        if untyped:
            self._kinds_by_relations(untyped, found)
        return found

    def _kinds_by_relations(self, untyped: set[Any], found: dict[Any, tuple[str, ...]]) -> None:
        """Tell what is untyped by the relations it stands in, so that its attributes are kept."""
        for subject, predicates in self._triples.items():
            for predicate, values in predicates.items():
                kind = _BY_PLAIN.get(_after(predicate))
                if kind is None:
                    continue
                first, second = _RELATIONS[kind].kinds
                if subject in untyped and first:
                    found.setdefault(subject, (first,))
                for value in values:
                    if value in untyped and second:
                        found.setdefault(value, (second,))
        for node, kind in self._relation_nodes.items():
            relation = _RELATIONS[kind]
            for subject in self._influencees.get(node, ()):
                if subject in untyped and relation.kinds[0]:
                    found.setdefault(subject, (relation.kinds[0],))
            for value in self._triples.get(node, {}).get(f"{PROV}{relation.influencer}", ()):
                if value in untyped and relation.kinds[1]:
                    found.setdefault(value, (relation.kinds[1],))

    @staticmethod
    def _is_attribute(predicate: str) -> bool:
        local = _after(predicate)
        return local not in _BY_PLAIN and local != "asInBundle" and not _is_qualified(local)

    # -- records

    def _element_records(
        self, subject: Any, predicates: dict[str, list[Any]], kinds: tuple[str, ...]
    ) -> Iterator[Record]:
        from prov.constants import PROV as PROV_NAMESPACE

        name = self._names.of(subject)
        own: dict[str, list[Any]] = {}
        attributes: list[tuple[Any, Any]] = []
        for predicate, values in predicates.items():
            local = _after(predicate)
            if not self._is_attribute(predicate):
                continue
            if predicate == RDF_TYPE:
                own[predicate] = [each for each in values if _local(each) not in kinds]
                continue
            if local in _TIMES and kinds[0] == _A:
                distinct = list(dict.fromkeys(values))
                if len(distinct) > 1:
                    raise DocumentError(
                        f"{subject} has {len(distinct)} values of prov:{local}, which has one"
                    )
                moment = self._time(subject, predicate, distinct[0])
                attributes.append((PROV_NAMESPACE[_TIMES[local]], moment))
                continue
            own[predicate] = values
        attributes += self._attributes(own)
        yield PROV_NAMESPACE[kinds[0]], name, attributes
        for kind in kinds[1:]:
            yield PROV_NAMESPACE[kind], name, []

    def _node_records(self, node: Any, predicates: dict[str, list[Any]]) -> Iterator[Record]:
        """A qualified node as a statement; as several where one argument has several values."""
        from prov.constants import PROV as PROV_NAMESPACE

        kind = self._relation_nodes[node]
        relation = _RELATIONS[kind]
        arguments: dict[str, list[Any]] = {}
        if node in self._influencees:
            arguments[relation.first] = [
                self._names.of(each) for each in dict.fromkeys(self._influencees[node])
            ]
        own: dict[str, list[Any]] = {}
        formal = {str(relation.influencer): relation.second, **relation.others}
        formal.update(_MORE_INFLUENCERS.get(kind, {}))
        for predicate, values in predicates.items():
            local = _after(predicate)
            if not self._is_attribute(predicate):
                continue
            argument = formal.get(local)
            if predicate == RDF_TYPE:
                implied = {kind, *(_IMPLIED_TYPES if kind != "Influence" else ())}
                own[predicate] = [each for each in values if _local(each) not in implied]
                continue
            if argument is None:
                own[predicate] = values
                continue
            decode: Callable[[Any, str, Any], Any]
            decode = self._time if argument == "time" else self._name
            met = [*arguments.get(argument, ()), *(decode(node, predicate, v) for v in values)]
            arguments[argument] = list(dict.fromkeys(met))
        attributes = self._attributes(own)
        several = [name for name, values in arguments.items() if len(values) > 1]
        if len(several) > 1:
            raise DocumentError(
                f"{node} has several values of prov:{several[0]} and of prov:{several[1]}: which "
                "go together can't be told"
            )
        if several and len(arguments[several[0]]) > _MOST_ALIKE:
            raise DocumentError(
                f"{node} has {len(arguments[several[0]]):,} values of prov:{several[0]}, which has "
                f"one; up to {_MOST_ALIKE:,} are read as so many statements"
            )
        name = self._names.of(node) if isinstance(node, self._package.NamedNode) else None
        varying = several[0] if several else None
        for value in arguments[varying] if varying else (None,):
            formal_values = [
                (PROV_NAMESPACE[argument], value if argument == varying else values[0])
                for argument, values in arguments.items()
            ]
            yield PROV_NAMESPACE[kind], name, [*formal_values, *attributes]

    def _plain_records(self, subject: Any, predicates: dict[str, list[Any]]) -> Iterator[Record]:
        from prov.constants import PROV as PROV_NAMESPACE

        for predicate, values in predicates.items():
            kind = _BY_PLAIN.get(_after(predicate))
            if kind is None:
                continue
            relation = _RELATIONS[kind]
            for value in dict.fromkeys(values):
                second = self._name(subject, predicate, value)
                if kind in _BESIDE and self._is_qualified(subject, kind, value):
                    continue
                arguments = [
                    (PROV_NAMESPACE[relation.first], self._names.of(subject)),
                    (PROV_NAMESPACE[relation.second], second),
                ]
                if kind == "Mention":
                    within = predicates.get(f"{PROV}asInBundle", [])
                    if len(within) > 1:
                        raise DocumentError(
                            f"{subject} has {len(within)} values of prov:asInBundle: which one is "
                            "meant can't be told"
                        )
                    arguments += [
                        (
                            PROV_NAMESPACE["bundle"],
                            self._name(subject, f"{PROV}asInBundle", each),
                        )
                        for each in within
                    ]
                yield PROV_NAMESPACE[kind], None, arguments

    def _is_qualified(self, subject: Any, kind: str, value: Any) -> bool:
        """Whether a node says the same as a plain triple, and more."""
        return any(
            value in self._influencers(node, kind)
            for node in self._triples[subject].get(f"{PROV}qualified{kind}", ())
        )

    def _influencers(self, node: Any, kind: str) -> list[Any]:
        return self._triples[node].get(f"{PROV}{_RELATIONS[kind].influencer}", [])

    def _complete_nodes(self) -> None:
        """Give a node without influencer the one that stands beside it, if there is just one.

        Versions of prov before 3 wrote the influencer as the plain triple alone.
        """
        for predicates in self._triples.values():
            for kind in _BESIDE:
                nodes = predicates.get(f"{PROV}qualified{kind}", [])
                bare = [node for node in nodes if not self._influencers(node, kind)]
                if len(bare) != 1:
                    continue
                named = {each for node in nodes for each in self._influencers(node, kind)}
                plain = predicates.get(PROV + _RELATIONS[kind].plain, [])
                beside = [each for each in dict.fromkeys(plain) if each not in named]
                if len(beside) == 1:
                    self._triples[bare[0]][f"{PROV}{_RELATIONS[kind].influencer}"] = beside

    def _find_left(self, kinds: dict[Any, tuple[str, ...]]) -> None:
        for subject, predicates in self._triples.items():
            kept = subject in kinds or subject in self._relation_nodes
            for predicate, values in predicates.items():
                local = _after(predicate)
                if local == "asInBundle":
                    lost = f"{PROV}mentionOf" not in predicates
                else:
                    lost = not kept and self._is_attribute(predicate)
                if lost:
                    self.left += [f"{subject} <{predicate}> {value}" for value in values]

    # -- values

    def _attributes(self, predicates: dict[str, list[Any]]) -> list[tuple[Any, Any]]:
        from prov.constants import PROV as PROV_NAMESPACE

        found = []
        for predicate, values in predicates.items():
            special = _ATTRIBUTES.get(predicate)
            name = self._names.iri(predicate) if special is None else PROV_NAMESPACE[special]
            found += [(name, self._value(value)) for value in values]
        return found

    def _value(self, term: Any) -> Any:
        from prov.constants import XSD as XSD_NAMESPACE
        from prov.model import Literal

        if not isinstance(term, self._package.Literal):
            return self._names.of(term)
        if term.direction:
            raise DocumentError(f"a literal with a direction of writing is not supported: {term}")
        if term.language:
            return Literal(term.value, langtag=term.language)
        datatype = term.datatype.value
        if datatype == f"{XSD}string":
            return term.value
        if datatype.startswith(XSD):
            return Literal(term.value, XSD_NAMESPACE[datatype[len(XSD) :]])
        return Literal(term.value, self._names.iri(datatype))

    def _name(self, subject: Any, predicate: str, term: Any) -> QualifiedName:
        if isinstance(term, self._package.Literal):
            raise DocumentError(
                f"{subject} <{predicate}> has a literal, {term}, where PROV has the name of a thing"
            )
        return self._names.of(term)

    def _time(self, subject: Any, predicate: str, term: Any) -> datetime.datetime:
        from prov.model import parse_xsd_datetime

        text = term.value if isinstance(term, self._package.Literal) else None
        time = None if text is None else parse_xsd_datetime(text)
        if time is None:
            raise DocumentError(f"{subject} <{predicate}> is no time: {term}")
        return time


def _after(predicate: str) -> str:
    """The local part of one of PROV's properties; empty for others."""
    return predicate[len(PROV) :] if predicate.startswith(PROV) else ""


def _local(term: Any) -> str:
    """The local part of one of PROV's classes; empty for others."""
    return _after(term.value) if isinstance(term, _named_node()) else ""


@cache
def _named_node() -> Any:
    import pyoxigraph

    return pyoxigraph.NamedNode


def _is_qualified(local: str) -> bool:
    return local in _QUALIFIED or local in _QUALIFIED_DERIVATIONS


# -- writing ------------------------------------------------------------------------------------


def encoded(document: ProvDocument, statements: list[DictionaryStatement]) -> Iterator[Quad]:
    """The document's statements as quads.

    Costs about 10 us a quad.

    Raises:
        DocumentError: a name that is no IRI, a statement that PROV-O has no form for.
    """
    import pyoxigraph as package

    writer = _Writer()
    for bundle in bundles_of(document):
        name = bundle.identifier
        graph = package.DefaultGraph() if name is None else writer.node(name)
        writer.begin_graph()
        for record in bundle.get_records():
            for subject, predicate, value in writer.record(record):
                yield package.Quad(subject, predicate, value, graph)
    for statement in statements:
        name = statement.bundle
        graph = package.DefaultGraph() if name is None else writer.node(name)
        for subject, predicate, value in writer.dictionary(statement):
            yield package.Quad(subject, predicate, value, graph)


Triple = tuple[Any, Any, Any]


class _Writer:
    def __init__(self) -> None:
        import pyoxigraph as package

        self._package = package
        self._blanks = 0
        self._nodes: dict[str, Any] = {}
        self._times: dict[tuple[Any, str], Any] = {}

    def begin_graph(self) -> None:
        """Forget what was stated under which identifier: the next graph is another one."""
        self._times.clear()

    def node(self, name: QualifiedName) -> Any:
        """A name's IRI."""
        return self._iri(name.uri)

    def _iri(self, iri: str) -> Any:
        found = self._nodes.get(iri)
        if found is None:
            try:
                found = self._nodes[iri] = self._package.NamedNode(iri)
            except ValueError as error:
                raise DocumentError(f"{iri!r} is no IRI, which RDF needs: {error}") from None
        return found

    def _prov(self, local: str) -> Any:
        return self._iri(PROV + local)

    def _blank(self) -> Any:
        self._blanks += 1
        return self._package.BlankNode(f"b{self._blanks - 1}")

    def record(self, record: Any) -> Iterator[Triple]:
        """One record's triples."""
        kind = record.get_type().localpart
        if kind in _ELEMENTS:
            subject = self.node(record.identifier)
            yield subject, self._iri(RDF_TYPE), self._prov(kind)
            times = {f"{PROV}{argument}": local for local, argument in _TIMES.items()}
            for name, value in record.attributes:
                special = times.get(name.uri)
                if special is not None:
                    yield subject, self._prov(special), self._term(value)
                else:
                    yield subject, self._predicate(name, element=True), self._term(value)
            return
        yield from self._relation(record, kind)

    def _relation(self, record: Any, kind: str) -> Iterator[Triple]:
        relation = _RELATIONS[kind]
        arguments = {name.localpart: value for name, value in record.formal_attributes}
        extra = record.extra_attributes
        first, second = arguments.get(relation.first), arguments.get(relation.second)
        more = {k: v for k, v in arguments.items() if k not in (relation.first, relation.second)}
        more = {k: v for k, v in more.items() if v is not None}
        if relation.influencer is None:
            if record.identifier is not None or extra or first is None or second is None:
                raise DocumentError(
                    f"PROV-O states {relation.plain} with both its arguments, and with no "
                    f"identifier or attribute: {record}"
                )
            yield self.node(first), self._prov(relation.plain), self.node(second)
            if "bundle" in more:
                yield self.node(first), self._prov("asInBundle"), self.node(more["bundle"])
            return
        plain_only = record.identifier is None and not more and not extra and second is not None
        if first is not None and second is not None and record.identifier is None:
            if plain_only or relation.both:
                yield self.node(first), self._prov(relation.plain), self.node(second)
            if plain_only:
                return
        yield from self._qualified(record, kind, first, second, more, extra)

    def _qualified(
        self, record: Any, kind: str, first: Any, second: Any, more: dict[str, Any], extra: Any
    ) -> Iterator[Triple]:
        relation = _RELATIONS[kind]
        node = self._blank() if record.identifier is None else self.node(record.identifier)
        types = [
            value.uri for name, value in extra if name.uri == f"{PROV}type" and _is_name(value)
        ]
        subtypes = [each for each in _DERIVATIONS if kind == "Derivation" and PROV + each in types]
        called = subtypes[0] if subtypes else kind
        if first is not None:
            yield self.node(first), self._prov(f"qualified{called}"), node
        yield node, self._iri(RDF_TYPE), self._prov(called)
        if second is not None:
            yield node, self._prov(str(relation.influencer)), self.node(second)
        time = more.get("time")
        if self._times.setdefault((node, kind), time) != time:
            raise DocumentError(
                f"PROV-O states one time for what stands under one identifier, and there are "
                f"several {relation.plain} under {record.identifier}: {record}"
            )
        for property_, argument in relation.others.items():
            if argument in more:
                yield node, self._prov(property_), self._term(more[argument])
        for name, value in extra:
            yield node, self._predicate(name), self._term(value)

    def dictionary(self, statement: DictionaryStatement) -> Iterator[Triple]:
        """One dictionary statement's triples."""
        if statement.dictionary is None:
            raise DocumentError(f"PROV-O can't state {statement.kind} without the dictionary")
        subject = self.node(statement.dictionary)
        if statement.kind == MEMBERSHIP:
            for key, entity in statement.pairs:
                yield from self._pair(subject, "hadDictionaryMember", key, entity)
            return
        called = "Insertion" if statement.kind == INSERTION else "Removal"
        node = self._blank() if statement.id is None else self.node(statement.id)
        yield subject, self._prov(f"qualified{called}"), node
        yield node, self._iri(RDF_TYPE), self._prov(called)
        if statement.old is not None:
            yield node, self._prov("dictionary"), self.node(statement.old)
        for key, entity in statement.pairs:
            yield from self._pair(node, "insertedKeyEntityPair", key, entity)
        for key in statement.keys:
            yield node, self._prov("removedKey"), self._term(key)
        for name, value in statement.attributes:
            yield node, self._predicate(name), self._term(value)

    def _pair(self, subject: Any, predicate: str, key: Any, entity: Any) -> Iterator[Triple]:
        node = self._blank()
        yield subject, self._prov(predicate), node
        yield node, self._iri(RDF_TYPE), self._prov("KeyEntityPair")
        yield node, self._prov("pairKey"), self._term(key)
        if entity is not None:
            yield node, self._prov("pairEntity"), self.node(entity)

    def _predicate(self, name: QualifiedName, element: bool = False) -> Any:
        if name.uri == f"{PROV}role" and element:
            return self._iri(name.uri)
        return self._iri(_predicates().get(name.uri, name.uri))

    def _term(self, value: Any) -> Any:
        from prov.identifier import Identifier
        from prov.model import Literal, canonical_xsd_datatype

        literal = self._package.Literal
        if _is_name(value):
            return self.node(value)
        if isinstance(value, Identifier):
            return literal(value.uri, datatype=self._iri(f"{XSD}anyURI"))
        if isinstance(value, Literal):
            if value.langtag:
                try:
                    return literal(value.value, language=value.langtag)
                except ValueError as error:
                    raise DocumentError(
                        f"{value.langtag!r} is no language tag, which RDF needs: {error}"
                    ) from None
            if value.datatype is None:
                return literal(value.value)
            return literal(value.value, datatype=self.node(value.datatype))
        if isinstance(value, bool):
            return literal("true" if value else "false", datatype=self._iri(f"{XSD}boolean"))
        if isinstance(value, float):
            return literal(_double_text(value), datatype=self._iri(f"{XSD}double"))
        if isinstance(value, int):
            datatype = canonical_xsd_datatype(value)
            assert datatype is not None
            return literal(str(value), datatype=self.node(datatype))
        if isinstance(value, datetime.datetime):
            return literal(_time_text(value), datatype=self._iri(f"{XSD}dateTime"))
        return literal(str(value))


@cache
def _predicates() -> dict[str, str]:
    return {PROV + local: predicate for predicate, local in _ATTRIBUTES.items()}


def _is_name(value: Any) -> bool:
    from prov.identifier import QualifiedName

    return isinstance(value, QualifiedName)


def _is_type(name: QualifiedName, value: Any) -> bool:
    return name.uri == f"{PROV}type" and _is_name(value)


def _double_text(value: float) -> str:
    if value != value:
        return "NaN"
    if value in (float("inf"), float("-inf")):
        return "INF" if value > 0 else "-INF"
    return repr(value)


def _time_text(value: datetime.datetime) -> str:
    """ISO 8601; an offset of seconds, which xsd:dateTime can't state, becomes UTC."""
    offset = value.utcoffset()
    if offset is not None and offset.total_seconds() % 60:
        value = value.astimezone(datetime.UTC)
    return value.isoformat()

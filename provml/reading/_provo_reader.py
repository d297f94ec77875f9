"""Read PROV-O triples as PROV statements.

This reader produces the same statements as the ``prov`` library, with these improvements:

- Literals keep their text.
- Plain relations are never confused with each other.
- Names may be any IRI.

Imports prov and pyoxigraph only when they are needed.
"""

from __future__ import annotations

import datetime
import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from provml.errors import DocumentError
from provml.model.relations import RELATIONS
from provml.model.vocabulary import DEFAULT_NAMESPACE, PROV, XSD
from provml.reading._dictionary import (
    INSERTION,
    MEMBERSHIP,
    REMOVAL,
    DictionaryStatement,
    normalize_value,
)
from provml.reading._names import PrefixTable, RecordArguments, assemble_document
from provml.reading._provo import (
    ATTRIBUTES_BY_PREDICATE,
    BESIDE,
    BY_PLAIN,
    DERIVATIONS,
    ELEMENT_CLASSES,
    ELEMENT_OF,
    ELEMENT_WITH,
    IMPLIED_TYPES,
    MORE_INFLUENCERS,
    NODE_KINDS,
    QUALIFIED,
    QUALIFIED_DERIVATIONS,
    RDF_TYPE,
    TIME_PROPERTIES,
)

if TYPE_CHECKING:
    from prov.identifier import QualifiedName
    from prov.model import ProvDocument
    from pyoxigraph import Quad

_MAX_STATEMENTS_PER_NODE: Final = 100
"""The maximum number of values that one argument of a relation node may have.

For each value, the node becomes one statement.
"""

Triples = dict[Any, dict[str, list[Any]]]
"""A graph's triples: for each subject and predicate, the values in document order."""


_SHORT_DERIVATIONS: Final = {
    "wasRevisionOf": "Revision",
    "hadPrimarySource": "PrimarySource",
    "wasQuotedFrom": "Quotation",
}
_INVERSES: Final = {
    "generated": "wasGeneratedBy",
    "invalidated": "wasInvalidatedBy",
    "influenced": "wasInfluencedBy",
}
_SHORT_TIMES: Final = {"generatedAtTime": "Generation", "invalidatedAtTime": "Invalidation"}


def _expand_short_forms(triples: Triples) -> None:
    """Replace PROV-O's shortcut and inverse properties (tables 2 and 3) with regular properties.

    Changes ``triples`` in place.
    """
    from pyoxigraph import BlankNode, NamedNode

    def qualify(subject: Any, kind: str, property_: str, value: Any) -> None:
        nodes = triples[subject].setdefault(f"{PROV}qualified{kind}", [])
        if any(value in triples.get(node, {}).get(PROV + property_, ()) for node in nodes):
            return  # the graph already contains the long form
        node = BlankNode(f"short{len(triples)}")
        triples[node] = {RDF_TYPE: [NamedNode(PROV + kind)], PROV + property_: [value]}
        nodes.append(node)

    for subject in list(triples):
        for short, kind in _SHORT_DERIVATIONS.items():
            for value in triples[subject].pop(PROV + short, ()):
                qualify(subject, kind, "entity", value)
        for short, kind in _SHORT_TIMES.items():
            for value in triples[subject].pop(PROV + short, ()):
                qualify(subject, kind, "atTime", value)
        for short, plain in _INVERSES.items():
            for value in triples[subject].pop(PROV + short, ()):
                own = triples.setdefault(value, {}).setdefault(PROV + plain, [])
                if subject not in own:
                    own.append(subject)


def decode_provo(
    quads: Iterable[Quad], declared: dict[str, str]
) -> tuple[ProvDocument, list[DictionaryStatement], list[str]]:
    """Convert PROV-O quads to a ``prov`` document, dictionary statements and a list of notes.

    The notes report dropped triples and new names for blank nodes. Costs about 20 us per quad.

    Raises:
        DocumentError: the quads have one of these problems:

            - An argument of a relation is a literal.
            - An argument that allows only one value has several.
            - A time is not an xsd:dateTime, or a literal has a text direction.
            - A node has types that exclude each other.
            - The name of a graph is a blank node.
            - No triple is PROV.
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
    names = _TermNames(PrefixTable(declared.items()), digest.hexdigest()[:12])
    bundles: list[tuple[QualifiedName | None, list[RecordArguments]]] = []
    statements: list[DictionaryStatement] = []
    left: list[str] = []
    for name, triples in graphs.items():
        if isinstance(name, package.BlankNode):
            raise DocumentError(
                f"the graph {name} becomes a bundle, so its name must be an IRI, not a blank node"
            )
        bundle = None if isinstance(name, package.DefaultGraph) else names.of(name)
        _expand_short_forms(triples)
        reader = _GraphReader(triples, names, bundle)
        bundles.append((bundle, reader.records()))
        statements += reader.statements
        left += reader.left
    if count and not statements and not any(records for _, records in bundles):
        raise DocumentError(f"none of the {count:,} triples is PROV; the first is {left[0]}")
    document = assemble_document(bundles, names.prefixes)
    notes = []
    if left:
        notes.append(
            f"{len(left):,} triples that are not PROV were dropped; the first is {left[0]}"
        )
    if names.blanks:
        first = names.prefixes.to_dict().get("blank", names.blank_iri)
        notes.append(f"{len(names.blanks):,} blank nodes were given names under {first}")
    return document, [_normalize_dictionary(each, document) for each in statements], notes


def _normalize_dictionary(
    statement: DictionaryStatement, document: ProvDocument
) -> DictionaryStatement:
    return statement.rename_terms(lambda name: name, lambda value: normalize_value(document, value))


class _TermNames:
    """A converter from IRIs and blank nodes to qualified names of the ``prov`` library."""

    def __init__(self, prefixes: PrefixTable, digest: str) -> None:
        self.prefixes = prefixes
        self.blanks: dict[Any, QualifiedName] = {}
        self.blank_iri = f"{DEFAULT_NAMESPACE}blank:{digest}:"
        self._known: dict[str, QualifiedName] = {}

    def iri(self, iri: str) -> QualifiedName:
        found = self._known.get(iri)
        if found is None:
            found = self._known[iri] = self.prefixes.split_iri(iri)
        return found

    def of(self, term: Any) -> QualifiedName:
        import pyoxigraph as package

        if isinstance(term, package.NamedNode):
            return self.iri(term.value)
        found = self.blanks.get(term)
        if found is None:
            namespace = self.prefixes.assign(self.blank_iri, "blank")
            found = self.blanks[term] = namespace[term.value]
        return found


class _GraphReader:
    """A reader of the PROV records in one graph."""

    def __init__(self, triples: Triples, names: _TermNames, bundle: QualifiedName | None) -> None:
        import pyoxigraph as package

        self._package = package
        self._triples = triples
        self._names = names
        self._bundle = bundle
        self._relation_nodes: dict[Any, str] = {}
        self._influencees: dict[Any, list[Any]] = defaultdict(list)
        self.statements: list[DictionaryStatement] = []
        self.left: list[str] = []

    def records(self) -> list[RecordArguments]:
        """Return the graph's records. Adds descriptions of all non-PROV triples to `left`."""
        self._take_dictionaries()
        self._find_relation_nodes()
        self._complete_nodes()
        kinds = self._element_kinds()
        found: list[RecordArguments] = []
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
            predicates = self._triples.get(subject, {})  # empty if already read as a pair
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
            raise DocumentError(f"{node} has {len(old)} values of prov:dictionary; expected one")
        pairs = tuple(self._pair(each) for each in own.pop(f"{PROV}insertedKeyEntityPair", []))
        keys = tuple(self._value(each) for each in own.pop(f"{PROV}removedKey", []))
        own[RDF_TYPE] = [
            each for each in own.get(RDF_TYPE, []) if _find_prov_class(each) != node_type
        ]
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
                f"the key-entity pair {node} has {len(keys)} keys and {len(entities)} entities; "
                "expected one of each"
            )
        entity = self._name(node, f"{PROV}pairEntity", entities[0]) if entities else None
        own.pop(RDF_TYPE, None)
        self.left += [
            f"{node} <{predicate}> {value}" for predicate, values in own.items() for value in values
        ]
        return self._value(keys[0]), entity

    # -- classification

    def _find_relation_nodes(self) -> None:
        """Find the nodes that represent relations.

        A node's type, or a property that points to the node, shows which relation it represents.
        """
        for subject, predicates in self._triples.items():
            types = [_find_prov_class(each) for each in predicates.get(RDF_TYPE, [])]
            exact = [each for each in types if each in NODE_KINDS and each != "Influence"]
            exact += ["Derivation" for each in types if each in DERIVATIONS]
            if not exact and "Influence" in types:
                exact = ["Influence"]
            if len(set(exact)) > 1:
                raise DocumentError(
                    f"{subject} has the types {exact[0]} and {exact[1]}, which exclude each other"
                )
            if exact:
                self._relation_nodes[subject] = exact[0]
        subtypes: list[tuple[Any, str]] = []
        for subject, predicates in self._triples.items():
            for predicate, values in predicates.items():
                local = _find_prov_property(predicate)
                subtype = QUALIFIED_DERIVATIONS.get(local)
                kind = QUALIFIED.get(local) if subtype is None else "Derivation"
                if kind is None:
                    continue
                for node in values:
                    if isinstance(node, self._package.Literal):
                        raise DocumentError(
                            f"the value of <{predicate}> for {subject} is the literal {node}, "
                            "but must be an IRI or a blank node"
                        )
                    given = self._relation_nodes.setdefault(node, kind)
                    if given == "Influence":
                        self._relation_nodes[node] = kind
                    elif kind not in (given, "Influence"):
                        raise DocumentError(
                            f"{subject} has {node} as its {local}, but {node} has the type {given}"
                        )
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
        """Return the kinds of each element: entity, activity or agent.

        The first of these criteria that applies to an element determines its kinds:

        - types that belong to one kind
        - properties that only one kind has
        - relations to other elements
        """
        found: dict[Any, tuple[str, ...]] = {}
        untyped: set[Any] = set()
        for subject, predicates in self._triples.items():
            if subject in self._relation_nodes:
                continue
            types = [_find_prov_class(each) for each in predicates.get(RDF_TYPE, [])]
            kinds = dict.fromkeys(each for each in types if each in ELEMENT_CLASSES)
            if not kinds:
                kinds = dict.fromkeys(ELEMENT_OF[each] for each in types if each in ELEMENT_OF)
            if not kinds:
                kinds = dict.fromkeys(
                    ELEMENT_WITH[_find_prov_property(each)]
                    for each in predicates
                    if _find_prov_property(each) in ELEMENT_WITH
                )
            if kinds:
                found[subject] = tuple(kinds)
            elif any(self._is_attribute(each) for each in predicates):
                untyped.add(subject)
        if untyped:
            self._kinds_by_relations(untyped, found)
        return found

    def _kinds_by_relations(self, untyped: set[Any], found: dict[Any, tuple[str, ...]]) -> None:
        """Infer the kinds of untyped elements from their relations, and add them to ``found``.

        Without a kind, an element would lose its attributes.
        """
        for subject, predicates in self._triples.items():
            for predicate, values in predicates.items():
                kind = BY_PLAIN.get(_find_prov_property(predicate))
                if kind is None:
                    continue
                first, second = RELATIONS[kind].kinds
                if subject in untyped and first:
                    found.setdefault(subject, (first,))
                for value in values:
                    if value in untyped and second:
                        found.setdefault(value, (second,))
        for node, kind in self._relation_nodes.items():
            relation = RELATIONS[kind]
            for subject in self._influencees.get(node, ()):
                if subject in untyped and relation.kinds[0]:
                    found.setdefault(subject, (relation.kinds[0],))
            for value in self._triples.get(node, {}).get(f"{PROV}{relation.influencer}", ()):
                if value in untyped and relation.kinds[1]:
                    found.setdefault(value, (relation.kinds[1],))

    @staticmethod
    def _is_attribute(predicate: str) -> bool:
        local = _find_prov_property(predicate)
        return local not in BY_PLAIN and local != "asInBundle" and not _is_qualified(local)

    # -- records

    def _element_records(
        self, subject: Any, predicates: dict[str, list[Any]], kinds: tuple[str, ...]
    ) -> Iterator[RecordArguments]:
        from prov.constants import PROV as PROV_NAMESPACE

        name = self._names.of(subject)
        own: dict[str, list[Any]] = {}
        attributes: list[tuple[Any, Any]] = []
        for predicate, values in predicates.items():
            local = _find_prov_property(predicate)
            if not self._is_attribute(predicate):
                continue
            if predicate == RDF_TYPE:
                own[predicate] = [each for each in values if _find_prov_class(each) not in kinds]
                continue
            if local in TIME_PROPERTIES and kinds[0] == "Activity":
                distinct = list(dict.fromkeys(values))
                if len(distinct) > 1:
                    raise DocumentError(
                        f"{subject} has {len(distinct)} values of prov:{local}; expected one"
                    )
                moment = self._time(subject, predicate, distinct[0])
                attributes.append((PROV_NAMESPACE[TIME_PROPERTIES[local]], moment))
                continue
            own[predicate] = values
        attributes += self._attributes(own)
        yield PROV_NAMESPACE[kinds[0]], name, attributes
        for kind in kinds[1:]:
            yield PROV_NAMESPACE[kind], name, []

    def _node_records(
        self, node: Any, predicates: dict[str, list[Any]]
    ) -> Iterator[RecordArguments]:
        """Yield the statement that a relation node represents.

        If one argument has several values, there is one statement for each value.
        """
        from prov.constants import PROV as PROV_NAMESPACE

        kind = self._relation_nodes[node]
        relation = RELATIONS[kind]
        arguments: dict[str, list[Any]] = {}
        if node in self._influencees:
            arguments[relation.first] = [
                self._names.of(each) for each in dict.fromkeys(self._influencees[node])
            ]
        own: dict[str, list[Any]] = {}
        formal = {str(relation.influencer): relation.second, **relation.others}
        formal.update(MORE_INFLUENCERS.get(kind, {}))
        for predicate, values in predicates.items():
            local = _find_prov_property(predicate)
            if not self._is_attribute(predicate):
                continue
            argument = formal.get(local)
            if predicate == RDF_TYPE:
                implied = {kind, *(IMPLIED_TYPES if kind != "Influence" else ())}
                own[predicate] = [each for each in values if _find_prov_class(each) not in implied]
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
                f"{node} has several values of prov:{several[0]} and of prov:{several[1]}: "
                "it is unclear which belong together"
            )
        if several and len(arguments[several[0]]) > _MAX_STATEMENTS_PER_NODE:
            raise DocumentError(
                f"{node} has {len(arguments[several[0]]):,} values of prov:{several[0]}, but the "
                f"limit is {_MAX_STATEMENTS_PER_NODE:,}"
            )
        name = self._names.of(node) if isinstance(node, self._package.NamedNode) else None
        varying = several[0] if several else None
        for value in arguments[varying] if varying else (None,):
            formal_values = [
                (PROV_NAMESPACE[argument], value if argument == varying else values[0])
                for argument, values in arguments.items()
            ]
            yield PROV_NAMESPACE[kind], name, [*formal_values, *attributes]

    def _plain_records(
        self, subject: Any, predicates: dict[str, list[Any]]
    ) -> Iterator[RecordArguments]:
        from prov.constants import PROV as PROV_NAMESPACE

        for predicate, values in predicates.items():
            kind = BY_PLAIN.get(_find_prov_property(predicate))
            if kind is None:
                continue
            relation = RELATIONS[kind]
            for value in dict.fromkeys(values):
                second = self._name(subject, predicate, value)
                if kind in BESIDE and self._is_qualified(subject, kind, value):
                    continue
                arguments = [
                    (PROV_NAMESPACE[relation.first], self._names.of(subject)),
                    (PROV_NAMESPACE[relation.second], second),
                ]
                if kind == "Mention":
                    within = predicates.get(f"{PROV}asInBundle", [])
                    if len(within) > 1:
                        raise DocumentError(
                            f"{subject} has {len(within)} values of prov:asInBundle; expected one"
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
        """Return whether a relation node also states the subject's plain relation to ``value``."""
        return any(
            value in self._influencers(node, kind)
            for node in self._triples[subject].get(f"{PROV}qualified{kind}", ())
        )

    def _influencers(self, node: Any, kind: str) -> list[Any]:
        return self._triples[node].get(f"{PROV}{RELATIONS[kind].influencer}", [])

    def _complete_nodes(self) -> None:
        """Add missing influencers to relation nodes, taken from plain triples of the same subject.

        This is possible only if the subject has exactly one node without an influencer, and exactly
        one plain triple that no other node repeats. Versions of prov before 3 wrote the influencer
        only in the plain triple.
        """
        for predicates in self._triples.values():
            for kind in BESIDE:
                nodes = predicates.get(f"{PROV}qualified{kind}", [])
                bare = [node for node in nodes if not self._influencers(node, kind)]
                if len(bare) != 1:
                    continue
                named = {each for node in nodes for each in self._influencers(node, kind)}
                plain = predicates.get(PROV + RELATIONS[kind].plain, [])
                beside = [each for each in dict.fromkeys(plain) if each not in named]
                if len(beside) == 1:
                    self._triples[bare[0]][f"{PROV}{RELATIONS[kind].influencer}"] = beside

    def _find_left(self, kinds: dict[Any, tuple[str, ...]]) -> None:
        for subject, predicates in self._triples.items():
            kept = subject in kinds or subject in self._relation_nodes
            for predicate, values in predicates.items():
                local = _find_prov_property(predicate)
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
            special = ATTRIBUTES_BY_PREDICATE.get(predicate)
            name = self._names.iri(predicate) if special is None else PROV_NAMESPACE[special]
            found += [(name, self._value(value)) for value in values]
        return found

    def _value(self, term: Any) -> Any:
        from prov.constants import XSD as XSD_NAMESPACE
        from prov.model import Literal

        if not isinstance(term, self._package.Literal):
            return self._names.of(term)
        if term.direction:
            raise DocumentError(f"literals with a text direction are not supported: {term}")
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
                f"the value of <{predicate}> for {subject} is the literal {term}, "
                "but must be an IRI or a blank node"
            )
        return self._names.of(term)

    def _time(self, subject: Any, predicate: str, term: Any) -> datetime.datetime:
        from prov.model import parse_xsd_datetime

        text = term.value if isinstance(term, self._package.Literal) else None
        time = None if text is None else parse_xsd_datetime(text)
        if time is None:
            raise DocumentError(
                f"the value of <{predicate}> for {subject} is not an xsd:dateTime: {term}"
            )
        return time


def _find_prov_property(predicate: str) -> str:
    """Return the local name of a PROV property, or an empty string for any other property."""
    return predicate[len(PROV) :] if predicate.startswith(PROV) else ""


def _find_prov_class(term: Any) -> str:
    """Return the local name of a PROV class, or an empty string for any other term."""
    return _find_prov_property(term.value) if isinstance(term, _named_node()) else ""


@cache
def _named_node() -> Any:
    import pyoxigraph

    return pyoxigraph.NamedNode


def _is_qualified(local: str) -> bool:
    return local in QUALIFIED or local in QUALIFIED_DERIVATIONS

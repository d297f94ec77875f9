"""Builds normal forms of documents (PROV-CONSTRAINTS, 6), to compare what two documents mean.

A normal form contains everything that a document states or implies. Things that must exist but have
no name are *unknowns*. Unlike the engine, this module lists every inferred fact, up to a limit, so
it suits documents of moderate size.

Imports `rules`, `times`, `errors` and `model`; imports `instances` and `validation` only when
needed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any, Final

from provml.errors import DocumentError
from provml.model.relations import ARGUMENTS
from provml.model.vocabulary import PROV
from provml.validation.constraints import rules
from provml.validation.constraints.times import normalize_time

if TYPE_CHECKING:
    from prov.model import ProvBundle

    from provml.validation import Source

MOST_FACTS: Final = 100_000
"""The maximum number of facts in a normal form."""

_COMPARISON_BUDGET: Final = 5_000_000
"""The maximum number of facts that a comparison may examine."""

NONE: Final = "-"
"""The term that stands for an argument that is absent rather than unknown."""

ATTRIBUTE: Final = "attribute"
"""The kind of facts that describe attributes.

The terms of these facts are the identifier and kind of the statement, and the name and value of the
attribute.
"""

Term = str | int
"""A term of a fact: a text (an IRI, a time or a value), or a number that stands for an unknown."""

NormalFact = tuple[Any, ...]
"""A fact: its kind, its identifier (`NONE` if facts of this kind have none), and its arguments."""

_REVISION_ATTRIBUTE: Final = (f"<{PROV}type>", f"<{PROV}Revision>")


@dataclass(frozen=True, slots=True)
class NormalForm:
    """A document's normal form.

    Attributes:
        instances: the facts of each bundle, by the bundle's IRI. The facts of the top level have
            the key None.
    """

    instances: dict[str | None, frozenset[NormalFact]]

    def __len__(self) -> int:
        return sum(map(len, self.instances.values()))


def normal_form(document: Source) -> NormalForm:
    """Return everything that a document states or implies, without redundant unknowns.

    Takes about 50 us per fact. The number of facts grows in proportion to the number of statements,
    except for alternates: all alternates of a thing are related to each other, so the number of
    facts grows with the square of the number of alternates.

    Args:
        document: any source that `provml.validate` accepts.

    Raises:
        DocumentError: the document can't be read, the document is not valid, or its normal form has
            more than `MOST_FACTS` facts.
    """
    saturated = _saturate_document(document)
    return NormalForm({name: each.remove_redundant() for name, each in saturated.items()})


def equivalent(one: Source, other: Source) -> bool:
    """Return whether two documents have the same meaning.

    Documents have the same meaning if their normal forms differ only in the names of unknowns. A
    statement without an identifier is ignored if another statement says the same. Takes as long as
    `normal_form` for both documents, plus the time for the comparison.

    Raises:
        DocumentError: `normal_form` raises this error for one of the documents, or the comparison
            takes too many steps.
    """
    first, second = _saturate_document(one), _saturate_document(other)
    if set(first) != set(second):
        return False
    return all(
        _can_map(first[name].facts, second[name].facts)
        and _can_map(second[name].facts, first[name].facts)
        for name in first
    )


def _saturate_document(document: Source) -> dict[str | None, _SaturatedInstance]:
    found = {}
    for name, statements in _read_valid_instances(document):
        found[name] = instance = _SaturatedInstance(statements)
        instance.saturate()
    return found


# -- statements with their attributes -----------------------------------------------------------

_AttributedStatement = tuple[str, str | None, tuple[str | None, ...], list[tuple[str, str]]]


def _read_valid_instances(source: Source) -> list[tuple[str | None, list[_AttributedStatement]]]:
    from provml.validation import read_source, validate

    document = read_source(source)
    report = validate(document, schema=False, shapes=False)
    if not report.conforms:
        raise DocumentError(f"the document is not valid: {report.findings[0].message}")
    prov = document.prov
    found: list[tuple[str | None, list[_AttributedStatement]]] = [
        (None, list(_read_attributed_statements(prov)))
    ]
    for bundle in prov.bundles:
        assert bundle.identifier is not None
        found.append((bundle.identifier.uri, list(_read_attributed_statements(bundle))))
    return found


def _read_attributed_statements(bundle: ProvBundle) -> Iterator[_AttributedStatement]:
    from provml.validation.constraints.instances import split_record

    for record in bundle.get_records():
        kind, identifier, arguments = split_record(record)
        names = ARGUMENTS[kind]
        terms = tuple(
            normalize_time(value) if value is not None and name in rules.TIME_ARGUMENTS else value
            for name, value in zip(names, arguments, strict=True)
        )
        attributes = [
            (f"<{n.uri}>", _format_attribute_value(v)) for n, v in record.extra_attributes
        ]
        yield kind, identifier, terms, attributes


def _format_attribute_value(value: Any) -> str:
    from prov.identifier import Identifier
    from prov.model import Literal

    if isinstance(value, Identifier):
        return f"<{value.uri}>"
    if isinstance(value, Literal):
        datatype = getattr(value.datatype, "uri", value.datatype)
        return f"{value.value!r}^^{datatype}@{value.langtag or ''}"
    return f"{value!r}^^{type(value).__name__}@"


# -- the facts of one instance ------------------------------------------------------------------


class _SaturatedInstance:
    """The facts of one instance, together with every fact inferred from them."""

    def __init__(self, statements: Iterable[_AttributedStatement]) -> None:
        self._fresh = count()
        self._bound: dict[int, Term] = {}
        self.facts: set[NormalFact] = set()
        for kind, identifier, arguments, attributes in statements:
            name: Term | None = identifier
            if kind in rules.NAMELESS:
                name = NONE
            elif name is None:
                name = next(self._fresh)
            terms: list[Term] = []
            for place, value in enumerate(arguments):
                if value is not None:
                    terms.append(value)
                elif rules.is_placeholder(kind, arguments, place):
                    terms.append(NONE)
                else:
                    terms.append(next(self._fresh))
            self.facts.add((kind, name, *terms))
            self.facts.update((ATTRIBUTE, name, kind, *each) for each in attributes)

    def saturate(self) -> None:
        """Merge facts and infer new facts until nothing changes."""
        while True:
            while self._merge():
                pass
            before = len(self.facts)
            self._infer_once(_Index(self.facts))
            if len(self.facts) == before:
                return
            if len(self.facts) > MOST_FACTS:
                raise DocumentError(
                    f"the document is too large: its normal form has more than {MOST_FACTS:,} facts"
                )

    def _unknown(self) -> int:
        return next(self._fresh)

    # -- uniqueness ---------------------------------------------------------------------------

    def _merge(self) -> bool:
        """Merge facts by the uniqueness rules (22-29). Returns True if anything changed."""
        first: dict[Any, NormalFact] = {}
        declared = {fact[1]: fact for fact in self.facts if fact[0] == "activity"}
        for fact in self.facts:
            kind = fact[0]
            keys: list[Any] = []
            if kind != ATTRIBUTE and fact[1] != NONE:
                keys.append((kind, fact[1]))
            if kind in rules.UNIQUE:
                number, one, other = rules.UNIQUE[kind]
                keys.append((number, fact[2 + one], fact[2 + other]))
            for key in keys:
                for a, b in zip(first.setdefault(key, fact)[1:], fact[1:], strict=True):
                    self._unify(a, b)
            if kind in ("wasStartedBy", "wasEndedBy") and fact[2] in declared:
                self._unify(declared[fact[2]][2 + (kind == "wasEndedBy")], fact[5])
        if not self._bound:
            return False
        self.facts = {(fact[0], *map(self._find_binding, fact[1:])) for fact in self.facts}
        self._bound.clear()
        return True

    def _find_binding(self, term: Term) -> Term:
        while isinstance(term, int) and term in self._bound:
            term = self._bound[term]
        return term

    def _unify(self, one: Term, other: Term) -> None:
        one, other = self._find_binding(one), self._find_binding(other)
        if one == other:
            return
        if isinstance(one, int):
            self._bound[one] = other
        elif isinstance(other, int):
            self._bound[other] = one
        else:
            raise DocumentError(f"the document is not valid: it implies that {one} equals {other}")

    # -- inferences ---------------------------------------------------------------------------

    def _infer_once(self, index: _Index) -> None:
        """Add every fact that follows from the current facts in one step (inferences 5-21)."""
        for fact in list(index.facts):
            for group in self._consequences(fact, index):
                if next(_find_mappings(group, index, _Budget()), None) is None:
                    names: defaultdict[str, int] = defaultdict(self._unknown)
                    for each in group:
                        index.add((each[0], *(_replace_variable(term, names) for term in each[1:])))
            if len(index.facts) > MOST_FACTS:
                raise DocumentError(
                    f"the document is too large: its normal form has more than {MOST_FACTS:,} facts"
                )
        self.facts = set(index.facts)

    def _consequences(self, fact: NormalFact, index: _Index) -> Iterator[list[NormalFact]]:
        """Yield groups of facts that a fact implies. A `_Variable` stands for an unknown."""
        kind, identifier, *terms = fact
        if kind in rules.INFLUENCES:
            yield [("wasInfluencedBy", identifier, *terms[:2])]  # inference 15
        match kind:
            case "wasInformedBy":  # inference 5
                made = ("wasGeneratedBy", _Variable("g"), _Variable("e"), terms[1], _Variable("t"))
                yield [made, ("used", _Variable("u"), terms[0], _Variable("e"), _Variable("v"))]
            case "used":  # inference 6
                for other in index.find("wasGeneratedBy", 2, terms[1]):
                    yield [("wasInformedBy", _Variable("i"), terms[0], other[3])]
            case "entity":
                some = (_Variable("a"), _Variable("t"))
                yield [("wasGeneratedBy", _Variable("g"), identifier, *some)]  # inference 7
                yield [("wasInvalidatedBy", _Variable("g"), identifier, *some)]
                yield [("alternateOf", NONE, identifier, identifier)]  # inference 16
            case "activity":  # inference 8
                some = (_Variable("e"), _Variable("a"))
                yield [("wasStartedBy", _Variable("s"), identifier, *some, terms[0])]
                yield [("wasEndedBy", _Variable("s"), identifier, *some, terms[1])]
            case "wasStartedBy" | "wasEndedBy":  # inferences 9 and 10
                yield [("wasGeneratedBy", _Variable("g"), terms[1], terms[2], _Variable("t"))]
            case "wasDerivedFrom":
                new, old, activity, generation, usage = terms
                if NONE not in (activity, generation, usage):  # inference 11
                    yield [("used", usage, activity, old, _Variable("t"))]
                    yield [("wasGeneratedBy", generation, new, activity, _Variable("t"))]
                if (ATTRIBUTE, identifier, kind, *_REVISION_ATTRIBUTE) in index.facts:
                    yield [("alternateOf", NONE, new, old)]  # inference 12
            case "wasAttributedTo":  # inference 13
                made = ("wasGeneratedBy", _Variable("g"), terms[0], _Variable("a"), _Variable("t"))
                by = ("wasAssociatedWith", _Variable("s"), _Variable("a"), terms[1], _Variable("p"))
                yield [made, by]
            case "actedOnBehalfOf":  # inference 14
                for agent in terms[:2]:
                    yield [("wasAssociatedWith", _Variable("s"), terms[2], agent, _Variable("p"))]
            case "alternateOf":
                yield [("alternateOf", NONE, terms[1], terms[0])]  # inference 18
                for other in index.find(kind, 2, terms[1]):  # inference 17
                    yield [("alternateOf", NONE, terms[0], other[3])]
            case "specializationOf":
                yield [("alternateOf", NONE, *terms)]  # inference 20
                for other in index.find(kind, 2, terms[1]):  # inference 19
                    yield [(kind, NONE, terms[0], other[3])]
                if ("entity", terms[1]) in index.facts:  # inference 21
                    yield [("entity", terms[0])]
                    for other in index.find(ATTRIBUTE, 1, terms[1]):
                        if other[2] == "entity":
                            yield [(ATTRIBUTE, terms[0], *other[2:])]
            case "attribute" if terms[0] in rules.INFLUENCES:  # inference 15
                yield [(kind, identifier, "wasInfluencedBy", *terms[1:])]

    # -- redundant facts ------------------------------------------------------------

    def remove_redundant(self) -> frozenset[NormalFact]:
        """Return all facts except redundant facts about unknowns.

        A group of facts about unknowns is redundant if the remaining facts state the same about
        other unknowns or about named things.
        """
        index, budget = _Index(self.facts), _Budget()
        for part in _group_by_unknowns(self.facts):
            index.remove(part)
            if (
                next(
                    _find_mappings([_replace_unknowns(each) for each in part], index, budget), None
                )
                is None
            ):
                for each in part:
                    index.add(each)
        return frozenset(index.facts)


# -- mapping facts to facts ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Variable:
    """An unknown that can be mapped to any term."""

    name: str | int


def _replace_variable(term: Any, names: defaultdict[str, int]) -> Any:
    return names[str(term.name)] if isinstance(term, _Variable) else term


class _Budget:
    """Limits the number of facts that a comparison may examine."""

    def __init__(self) -> None:
        self.left = _COMPARISON_BUDGET

    def spend(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise DocumentError(
                "the document is too complex: comparing its facts takes more than "
                f"{_COMPARISON_BUDGET:,} steps"
            )


class _Index:
    """A set of facts, indexed by kind and by the term at each position."""

    def __init__(self, facts: Iterable[NormalFact]) -> None:
        self.facts: dict[NormalFact, None] = {}
        self._by_term: defaultdict[Any, dict[NormalFact, None]] = defaultdict(dict)
        for fact in facts:
            self.add(fact)

    def add(self, fact: NormalFact) -> None:
        self.facts[fact] = None
        for place, term in enumerate(fact):
            self._by_term[fact[0], place, term][fact] = None

    def remove(self, facts: Iterable[NormalFact]) -> None:
        for fact in facts:
            del self.facts[fact]
            for place, term in enumerate(fact):
                del self._by_term[fact[0], place, term][fact]

    def find(self, kind: str, place: int, term: Term) -> list[NormalFact]:
        return list(self._by_term.get((kind, place, term), ()))

    def find_candidates(
        self, kind: str, terms: Iterable[tuple[int, Any]]
    ) -> dict[NormalFact, None]:
        """Return the smallest set in the index that contains every fact with all these terms."""
        empty: dict[NormalFact, None] = {}
        lists = [self._by_term.get((kind, place, term), empty) for place, term in terms]
        return min([*lists, self._by_term.get((kind, 0, kind), empty)], key=len)


def _find_mappings(
    wanted: list[NormalFact], index: _Index, budget: _Budget
) -> Iterator[dict[_Variable, Term]]:
    """Yield one mapping of variables to terms that turns the wanted facts into facts of the index.

    Yields nothing if there is no such mapping.
    """
    known: dict[_Variable, Term] = {}
    # for each wanted fact: the candidates not yet tried, and the variables that the fact has bound
    levels: list[tuple[Iterator[NormalFact], list[_Variable]]] = []
    open_facts = list(wanted)

    def descend() -> None:
        best = (
            max(
                range(len(levels), len(open_facts)),
                key=lambda n: sum(
                    not isinstance(t, _Variable) or t in known for t in open_facts[n]
                ),
            )
            if len(open_facts) < 50
            else len(levels)
        )
        at = len(levels)
        open_facts[at], open_facts[best] = open_facts[best], open_facts[at]
        fact = open_facts[at]
        terms = [
            (place, known.get(term, term) if isinstance(term, _Variable) else term)
            for place, term in enumerate(fact)
            if not isinstance(term, _Variable) or term in known
        ]
        levels.append((iter(list(index.find_candidates(fact[0], terms))), []))

    if not wanted:
        yield known
        return
    descend()
    while levels:
        candidates, bound = levels[-1]
        for some in bound:
            del known[some]
        bound.clear()
        fact = open_facts[len(levels) - 1]
        for candidate in candidates:
            budget.spend()
            if _bind_variables(fact, candidate, known, bound):
                break
            for some in bound:
                del known[some]
            bound.clear()
        else:
            levels.pop()
            continue
        if len(levels) == len(open_facts):
            yield known
            return
        descend()


def _bind_variables(
    fact: NormalFact, candidate: NormalFact, known: dict[_Variable, Term], bound: list[_Variable]
) -> bool:
    for term, value in zip(fact, candidate, strict=True):
        if isinstance(term, _Variable):
            if term not in known:
                known[term] = value
                bound.append(term)
            elif known[term] != value:
                return False
        elif term != value:
            return False
    return True


def _group_by_unknowns(facts: Iterable[NormalFact]) -> list[list[NormalFact]]:
    """Group the facts that contain unknowns. Facts that share an unknown are in the same group."""
    parent: dict[int, int] = {}

    def root(unknown: int) -> int:
        parent.setdefault(unknown, unknown)
        while parent[unknown] != unknown:
            parent[unknown] = parent[parent[unknown]]
            unknown = parent[unknown]
        return unknown

    holding = []
    for fact in facts:
        unknowns = [term for term in fact if isinstance(term, int)]
        if unknowns:
            holding.append((unknowns[0], fact))
            for other in unknowns[1:]:
                parent[root(other)] = root(unknowns[0])
    parts: defaultdict[int, list[NormalFact]] = defaultdict(list)
    for unknown, fact in holding:
        parts[root(unknown)].append(fact)
    return sorted(parts.values(), key=len)


def _can_map(one: Iterable[NormalFact], other: Iterable[NormalFact]) -> bool:
    """Return whether the second set of facts implies every fact of the first set."""
    index, budget = _Index(other), _Budget()
    known = [fact for fact in one if not any(isinstance(term, int) for term in fact)]
    if not all(fact in index.facts for fact in known):
        return False
    for part in _group_by_unknowns(one):
        wanted = [_replace_unknowns(fact) for fact in part]
        if next(_find_mappings(wanted, index, budget), None) is None:
            return False
    return True


def _replace_unknowns(fact: NormalFact) -> NormalFact:
    return tuple(_Variable(term) if isinstance(term, int) else term for term in fact)

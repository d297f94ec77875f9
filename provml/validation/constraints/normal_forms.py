"""Normal forms (PROV-CONSTRAINTS, 6), and whether two documents say the same.

A normal form holds what a document states and all that follows from it, with unknowns for what
must exist without being named. It is made for comparing documents of moderate size: unlike the
engine it lists what it infers, up to a limit. Imports `rules`, `sources`, `times`, `reading` and,
when it runs, `validation`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any, Final

from provml.errors import DocumentError
from provml.model.relations import ARGUMENTS
from provml.validation.constraints import rules
from provml.validation.constraints.times import instant

if TYPE_CHECKING:
    from prov.model import ProvBundle

    from provml.validation import Source

MOST_FACTS: Final = 100_000
"""So many facts a normal form has at most."""

_MOST_STEPS: Final = 5_000_000
"""So many facts are looked at to compare two normal forms."""

NONE: Final = "-"
"""What stands for nothing, as opposed to something unknown."""

ATTRIBUTE: Final = "attribute"
"""The kind of a fact that a statement has an attribute: of which kind, name, value."""

Term = str | int
"""An IRI, time or value; a number is an unknown, the same wherever it stands in an instance."""

Fact = tuple[Any, ...]
"""Kind, identifier (`NONE` where the kind has none), arguments."""

_REVISION: Final = (f"<{rules.PROV}type>", f"<{rules.PROV}Revision>")


@dataclass(frozen=True, slots=True)
class NormalForm:
    """A document's normal form.

    Attributes:
        instances: the facts of the top level, under None, and of each bundle, under its IRI.
    """

    instances: dict[str | None, frozenset[Fact]]

    def __len__(self) -> int:
        return sum(map(len, self.instances.values()))


def normal_form(document: Source) -> NormalForm:
    """What a document states and what follows from it, without what says nothing more.

    Costs some 50 us a fact; for inferences that relate all with all (alternates) facts grow with
    the square of the statements, for others with the statements.

    Args:
        document: as for `provml.validate`.

    Raises:
        DocumentError: it can't be read; it is not valid; the form has more than `MOST_FACTS`.
    """
    saturated = _saturated(document)
    return NormalForm({name: each.without_echoes() for name, each in saturated.items()})


def equivalent(one: Source, other: Source) -> bool:
    """Whether two documents say the same: their normal forms differ in names of unknowns alone.

    Where a statement without an identifier says nothing that another doesn't say too, it counts as
    no more than that one. Costs as `normal_form`, and the comparison.

    Raises:
        DocumentError: as `normal_form`; or it can't be told in a bounded number of steps.
    """
    first, second = _saturated(one), _saturated(other)
    if set(first) != set(second):
        return False
    return all(
        _is_mapped(first[name].facts, second[name].facts)
        and _is_mapped(second[name].facts, first[name].facts)
        for name in first
    )


def _saturated(document: Source) -> dict[str | None, _Instance]:
    found = {}
    for name, statements in _valid_instances(document):
        found[name] = instance = _Instance(statements)
        instance.saturate()
    return found


# -- statements with their attributes -----------------------------------------------------------

_Statement = tuple[str, str | None, tuple[str | None, ...], list[tuple[str, str]]]


def _valid_instances(source: Source) -> list[tuple[str | None, list[_Statement]]]:
    from provml.validation import read_source, validate

    document = read_source(source)
    report = validate(document, schema=False, shapes=False)
    if not report.conforms:
        raise DocumentError(f"the document is not valid: {report.findings[0].message}")
    prov = document.prov
    found: list[tuple[str | None, list[_Statement]]] = [(None, list(_statements(prov)))]
    for bundle in prov.bundles:
        assert bundle.identifier is not None
        found.append((bundle.identifier.uri, list(_statements(bundle))))
    return found


def _statements(bundle: ProvBundle) -> Iterator[_Statement]:
    from provml.validation.constraints.instances import stated

    for record in bundle.get_records():
        kind, identifier, arguments = stated(record)
        names = ARGUMENTS[kind]
        terms = tuple(
            instant(value) if value is not None and name in rules.TIMES else value
            for name, value in zip(names, arguments, strict=True)
        )
        attributes = [(f"<{n.uri}>", _value_text(v)) for n, v in record.extra_attributes]
        yield kind, identifier, terms, attributes


def _value_text(value: Any) -> str:
    from prov.identifier import Identifier
    from prov.model import Literal

    if isinstance(value, Identifier):
        return f"<{value.uri}>"
    if isinstance(value, Literal):
        datatype = getattr(value.datatype, "uri", value.datatype)
        return f"{value.value!r}^^{datatype}@{value.langtag or ''}"
    return f"{value!r}^^{type(value).__name__}@"


# -- one instance, saturated --------------------------------------------------------------------


class _Instance:
    """The facts of one instance, to which all that follows is added."""

    def __init__(self, statements: Iterable[_Statement]) -> None:
        self._fresh = count()
        self._bound: dict[int, Term] = {}
        self.facts: set[Fact] = set()
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
        """Merge what is one and infer what follows, until there is no more."""
        while True:
            while self._merge():
                pass
            before = len(self.facts)
            self._infer(_Index(self.facts))
            if len(self.facts) == before:
                return
            if len(self.facts) > MOST_FACTS:
                raise DocumentError(f"the normal form has more than {MOST_FACTS:,} facts")

    def _unknown(self) -> int:
        return next(self._fresh)

    # -- uniqueness ---------------------------------------------------------------------------

    def _merge(self) -> bool:
        """Make one of what uniqueness makes one (22-29); whether anything was."""
        first: dict[Any, Fact] = {}
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
                    self._equal(a, b)
            if kind in ("wasStartedBy", "wasEndedBy") and fact[2] in declared:
                self._equal(declared[fact[2]][2 + (kind == "wasEndedBy")], fact[5])
        if not self._bound:
            return False
        self.facts = {(fact[0], *map(self._known, fact[1:])) for fact in self.facts}
        self._bound.clear()
        return True

    def _known(self, term: Term) -> Term:
        while isinstance(term, int) and term in self._bound:
            term = self._bound[term]
        return term

    def _equal(self, one: Term, other: Term) -> None:
        one, other = self._known(one), self._known(other)
        if one == other:
            return
        if isinstance(one, int):
            self._bound[one] = other
        elif isinstance(other, int):
            self._bound[other] = one
        else:
            raise DocumentError(f"the document is not valid: {one} and {other} can't be one")

    # -- inferences ---------------------------------------------------------------------------

    def _infer(self, index: _Index) -> None:
        """Add what follows in one step from the facts that there are (5-21)."""
        for fact in list(index.facts):
            for group in self._consequences(fact, index):
                if next(_mappings(group, index, _Budget()), None) is None:
                    names: defaultdict[str, int] = defaultdict(self._unknown)
                    for each in group:
                        index.add((each[0], *(_named(term, names) for term in each[1:])))
            if len(index.facts) > MOST_FACTS:
                raise DocumentError(f"the normal form has more than {MOST_FACTS:,} facts")
        self.facts = set(index.facts)

    def _consequences(self, fact: Fact, index: _Index) -> Iterator[list[Fact]]:
        """What follows from a fact: groups of facts, their unknowns as `_Some`."""
        kind, identifier, *terms = fact
        if kind in rules.INFLUENCES:
            yield [("wasInfluencedBy", identifier, *terms[:2])]  # 15
        match kind:
            case "wasInformedBy":  # 5
                made = ("wasGeneratedBy", _Some("g"), _Some("e"), terms[1], _Some("t"))
                yield [made, ("used", _Some("u"), terms[0], _Some("e"), _Some("v"))]
            case "used":  # 6
                for other in index.having("wasGeneratedBy", 2, terms[1]):
                    yield [("wasInformedBy", _Some("i"), terms[0], other[3])]
            case "entity":
                some = (_Some("a"), _Some("t"))
                yield [("wasGeneratedBy", _Some("g"), identifier, *some)]  # 7
                yield [("wasInvalidatedBy", _Some("g"), identifier, *some)]
                yield [("alternateOf", NONE, identifier, identifier)]  # 16
            case "activity":  # 8
                some = (_Some("e"), _Some("a"))
                yield [("wasStartedBy", _Some("s"), identifier, *some, terms[0])]
                yield [("wasEndedBy", _Some("s"), identifier, *some, terms[1])]
            case "wasStartedBy" | "wasEndedBy":  # 9, 10
                yield [("wasGeneratedBy", _Some("g"), terms[1], terms[2], _Some("t"))]
            case "wasDerivedFrom":
                new, old, activity, generation, usage = terms
                if NONE not in (activity, generation, usage):  # 11
                    yield [("used", usage, activity, old, _Some("t"))]
                    yield [("wasGeneratedBy", generation, new, activity, _Some("t"))]
                if (ATTRIBUTE, identifier, kind, *_REVISION) in index.facts:  # 12
                    yield [("alternateOf", NONE, new, old)]
            case "wasAttributedTo":  # 13
                made = ("wasGeneratedBy", _Some("g"), terms[0], _Some("a"), _Some("t"))
                by = ("wasAssociatedWith", _Some("s"), _Some("a"), terms[1], _Some("p"))
                yield [made, by]
            case "actedOnBehalfOf":  # 14
                for agent in terms[:2]:
                    yield [("wasAssociatedWith", _Some("s"), terms[2], agent, _Some("p"))]
            case "alternateOf":
                yield [("alternateOf", NONE, terms[1], terms[0])]  # 18
                for other in index.having(kind, 2, terms[1]):  # 17
                    yield [("alternateOf", NONE, terms[0], other[3])]
            case "specializationOf":
                yield [("alternateOf", NONE, *terms)]  # 20
                for other in index.having(kind, 2, terms[1]):  # 19
                    yield [(kind, NONE, terms[0], other[3])]
                if ("entity", terms[1]) in index.facts:  # 21
                    yield [("entity", terms[0])]
                    for other in index.having(ATTRIBUTE, 1, terms[1]):
                        if other[2] == "entity":
                            yield [(ATTRIBUTE, terms[0], *other[2:])]
            case "attribute" if terms[0] in rules.INFLUENCES:  # 15
                yield [(kind, identifier, "wasInfluencedBy", *terms[1:])]

    # -- what says nothing of its own ---------------------------------------------------------

    def without_echoes(self) -> frozenset[Fact]:
        """The facts without the unknowns of which nothing is said that isn't said of others."""
        index, budget = _Index(self.facts), _Budget()
        for part in _parts(self.facts):
            index.remove(part)
            if next(_mappings([_asked(each) for each in part], index, budget), None) is None:
                for each in part:
                    index.add(each)
        return frozenset(index.facts)


# -- mapping facts to facts ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Some:
    """An unknown that is to be mapped to a term."""

    name: str | int


def _named(term: Any, names: defaultdict[str, int]) -> Any:
    return names[str(term.name)] if isinstance(term, _Some) else term


class _Budget:
    """How many facts may be looked at."""

    def __init__(self) -> None:
        self.left = _MOST_STEPS

    def spend(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise DocumentError(f"more than {_MOST_STEPS:,} steps are needed to compare unknowns")


class _Index:
    """Facts, found by kind and a term at a place."""

    def __init__(self, facts: Iterable[Fact]) -> None:
        self.facts: dict[Fact, None] = {}
        self._by_term: defaultdict[Any, dict[Fact, None]] = defaultdict(dict)
        for fact in facts:
            self.add(fact)

    def add(self, fact: Fact) -> None:
        self.facts[fact] = None
        for place, term in enumerate(fact):
            self._by_term[fact[0], place, term][fact] = None

    def remove(self, facts: Iterable[Fact]) -> None:
        for fact in facts:
            del self.facts[fact]
            for place, term in enumerate(fact):
                del self._by_term[fact[0], place, term][fact]

    def having(self, kind: str, place: int, term: Term) -> list[Fact]:
        return list(self._by_term.get((kind, place, term), ()))

    def fitting(self, kind: str, terms: Iterable[tuple[int, Any]]) -> dict[Fact, None]:
        """The fewest facts among which all that have these terms at these places are."""
        empty: dict[Fact, None] = {}
        lists = [self._by_term.get((kind, place, term), empty) for place, term in terms]
        return min([*lists, self._by_term.get((kind, 0, kind), empty)], key=len)


def _mappings(wanted: list[Fact], index: _Index, budget: _Budget) -> Iterator[dict[_Some, Term]]:
    """The ways to replace unknowns so that all wanted facts are there."""
    known: dict[_Some, Term] = {}
    # each level: a wanted fact, the candidates that are left for it, what it has bound
    levels: list[tuple[Iterator[Fact], list[_Some]]] = []
    open_facts = list(wanted)

    def descend() -> None:
        best = (
            max(
                range(len(levels), len(open_facts)),
                key=lambda n: sum(not isinstance(t, _Some) or t in known for t in open_facts[n]),
            )
            if len(open_facts) < 50
            else len(levels)
        )
        at = len(levels)
        open_facts[at], open_facts[best] = open_facts[best], open_facts[at]
        fact = open_facts[at]
        terms = [
            (place, known.get(term, term) if isinstance(term, _Some) else term)
            for place, term in enumerate(fact)
            if not isinstance(term, _Some) or term in known
        ]
        levels.append((iter(list(index.fitting(fact[0], terms))), []))

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
            if _matches(fact, candidate, known, bound):
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


def _matches(fact: Fact, candidate: Fact, known: dict[_Some, Term], bound: list[_Some]) -> bool:
    for term, value in zip(fact, candidate, strict=True):
        if isinstance(term, _Some):
            if term not in known:
                known[term] = value
                bound.append(term)
            elif known[term] != value:
                return False
        elif term != value:
            return False
    return True


def _parts(facts: Iterable[Fact]) -> list[list[Fact]]:
    """The facts that hold unknowns, those together that share some."""
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
    parts: defaultdict[int, list[Fact]] = defaultdict(list)
    for unknown, fact in holding:
        parts[root(unknown)].append(fact)
    return sorted(parts.values(), key=len)


def _is_mapped(one: Iterable[Fact], other: Iterable[Fact]) -> bool:
    """Whether all that the one says, the other says too, of named things or of unknown ones."""
    index, budget = _Index(other), _Budget()
    known = [fact for fact in one if not any(isinstance(term, int) for term in fact)]
    if not all(fact in index.facts for fact in known):
        return False
    for part in _parts(one):
        wanted = [_asked(fact) for fact in part]
        if next(_mappings(wanted, index, budget), None) is None:
            return False
    return True


def _asked(fact: Fact) -> Fact:
    return tuple(_Some(term) if isinstance(term, int) else term for term in fact)

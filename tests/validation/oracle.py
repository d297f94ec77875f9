"""A slow, plain implementation of PROV-CONSTRAINTS to check the engine against.

It is written from the Recommendation alone: every unknown is a variable, every inference adds
facts until none is missing, merging substitutes in all facts, and every ordered pair of events is
an edge. It is meant for documents of about ten statements.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import combinations, count, product
from typing import Any

NONE = "-"
"""The placeholder that stands for nothing, as opposed to something unknown."""

EMPTY = "http://www.w3.org/ns/prov#EmptyCollection"

OBJECTS = ("entity", "activity", "agent")
NINE = (
    "used",
    "wasGeneratedBy",
    "wasInvalidatedBy",
    "wasStartedBy",
    "wasEndedBy",
    "wasInformedBy",
    "wasAttributedTo",
    "wasAssociatedWith",
    "actedOnBehalfOf",
)
PROPERTIES = (*NINE, "wasDerivedFrom", "wasInfluencedBy")
NAMELESS = ("specializationOf", "alternateOf", "hadMember")

Fact = tuple[Any, ...]
"""Kind, identifier, arguments; a term is text, or an int where it is a variable."""


class Conflict(Exception):
    """Two facts that a uniqueness constraint merges contradict each other."""


class Oracle:
    """One instance: ``valid``, and ``broken`` with the violated constraints."""

    def __init__(self, statements: Iterable[tuple[str, Any, tuple[Any, ...], tuple[str, ...]]]):
        self._fresh = count()
        self.types = set()
        self.facts: set[Fact] = set()
        for kind, identifier, arguments, types in statements:
            self.facts.add(self._expanded(kind, identifier, arguments))
            if kind == "entity":
                self.types |= {(identifier, each) for each in types}
        self.broken: set[int] = set()
        try:
            self._normalise()
        except Conflict as conflict:
            self.broken.add(conflict.args[0])
            return
        self._order()
        self._impossible()

    @property
    def valid(self) -> bool:
        return not self.broken

    def _new(self) -> int:
        return next(self._fresh)

    def _expanded(self, kind: str, identifier: Any, arguments: tuple[Any, ...]) -> Fact:
        """Definitions 1-4."""
        if identifier is None:
            identifier = NONE if kind in NAMELESS else self._new()
        terms = []
        for place, term in enumerate(arguments):
            if term is not None:
                terms.append(term)
            elif (kind, place) in (("wasAssociatedWith", 2), ("wasDerivedFrom", 2)) or (
                kind == "wasDerivedFrom" and arguments[2] is None
            ):
                terms.append(NONE)
            else:
                terms.append(self._new())
        return (kind, identifier, *terms)

    def all(self, kind: str) -> list[Fact]:
        return [fact for fact in self.facts if fact[0] == kind]

    # -- inferences and uniqueness, to a fixpoint ---------------------------------------------

    def _normalise(self) -> None:
        while self._merged() or self._inferred():
            pass

    def _merged(self) -> bool:
        """Apply the first uniqueness constraint that applies."""
        for number, one, other in self._equal():
            bindings: dict[int, Any] = {}
            for a, b in zip(one, other, strict=True):
                while a in bindings:
                    a = bindings[a]
                while b in bindings:
                    b = bindings[b]
                if a == b:
                    continue
                if isinstance(a, int):
                    bindings[a] = b
                elif isinstance(b, int):
                    bindings[b] = a
                else:
                    raise Conflict(number)
            if bindings:
                self._substitute(bindings)
                return True
        return False

    def _substitute(self, bindings: dict[int, Any]) -> None:
        def final(term: Any) -> Any:
            while isinstance(term, int) and term in bindings:
                term = bindings[term]
            return term

        self.facts = {(fact[0], *map(final, fact[1:])) for fact in self.facts}

    def _equal(self) -> Iterator[tuple[int, Fact, Fact]]:
        """Yield what uniqueness constraints 22-29 make equal: facts, or times (28, 29)."""
        for kind in (*OBJECTS, *PROPERTIES):
            for one, other in combinations(self.all(kind), 2):
                if one[1] == other[1]:
                    yield 22 if kind in OBJECTS else 23, one, other
        for number, kind, first, second in (
            (24, "wasGeneratedBy", 2, 3),
            (25, "wasInvalidatedBy", 2, 3),
            (26, "wasStartedBy", 2, 4),
            (27, "wasEndedBy", 2, 4),
        ):
            for one, other in combinations(self.all(kind), 2):
                if one[first] == other[first] and one[second] == other[second]:
                    yield number, one, other
        for number, kind, place in ((28, "wasStartedBy", 2), (29, "wasEndedBy", 3)):
            for activity, event in product(self.all("activity"), self.all(kind)):
                if activity[1] == event[2]:
                    yield number, (activity[place],), (event[5],)

    def _inferred(self) -> bool:
        """Apply every inference 5-21 whose conclusion does not hold."""
        before = len(self.facts), len(self.types)
        new = self._new
        for kind, _, *terms in list(self.facts):
            match kind, terms:
                case "wasInformedBy", [a2, a1]:
                    made = {g[2] for g in self.all("wasGeneratedBy") if g[3] == a1}
                    if not any(u[2] == a2 and u[3] in made for u in self.all("used")):
                        e = new()
                        self.facts.add(("wasGeneratedBy", new(), e, a1, new()))
                        self.facts.add(("used", new(), a2, e, new()))
                case "used", [a2, e, _]:
                    for g in self.all("wasGeneratedBy"):
                        if g[2] == e:
                            self._some("wasInformedBy", a2, g[3])
                case "wasStartedBy" | "wasEndedBy", [_, e1, a1, _]:
                    self._some("wasGeneratedBy", e1, a1, None)
                case "wasDerivedFrom", [e2, e1, a, g2, u1] if NONE not in (a, g2, u1):
                    self._exact("used", u1, a, e1, None)
                    self._exact("wasGeneratedBy", g2, e2, a, None)
                case "wasAttributedTo", [e, ag]:
                    makers = {g[3] for g in self.all("wasGeneratedBy") if g[2] == e}
                    found = self.all("wasAssociatedWith")
                    if not any(s[2] in makers and s[3] == ag for s in found):
                        a = new()
                        self.facts.add(("wasGeneratedBy", new(), e, a, new()))
                        self.facts.add(("wasAssociatedWith", new(), a, ag, new()))
                case "actedOnBehalfOf", [ag1, ag2, a]:
                    self._some("wasAssociatedWith", a, ag1, None)
                    self._some("wasAssociatedWith", a, ag2, None)
        for kind, identifier, *terms in list(self.facts):
            if kind == "entity":
                self._some("wasGeneratedBy", identifier, None, None)
                self._some("wasInvalidatedBy", identifier, None, None)
                self.facts.add(("alternateOf", NONE, identifier, identifier))
            elif kind == "activity":
                self._some("wasStartedBy", identifier, None, None, terms[0])
                self._some("wasEndedBy", identifier, None, None, terms[1])
            elif kind in PROPERTIES:
                self.facts.add(("wasInfluencedBy", identifier, *terms[:2]))
        self._alternates()
        return (len(self.facts), len(self.types)) != before

    def _alternates(self) -> None:
        for _, _, e2, e1 in self.all("specializationOf"):
            self.facts.add(("alternateOf", NONE, e2, e1))
            for _, _, e4, e3 in self.all("specializationOf"):
                if e1 == e4:
                    self.facts.add(("specializationOf", NONE, e2, e3))
            if ("entity", e1) in self.facts:
                self.facts.add(("entity", e2))
                self.types |= {(e2, each) for of, each in self.types if of == e1}
        for _, _, e2, e1 in self.all("alternateOf"):
            self.facts.add(("alternateOf", NONE, e1, e2))
            for _, _, e4, e3 in self.all("alternateOf"):
                if e1 == e4:
                    self.facts.add(("alternateOf", NONE, e2, e3))

    def _some(self, kind: str, *terms: Any) -> None:
        """Whether a fact with these arguments exists; None matches anything."""
        for fact in self.all(kind):
            if all(t is None or t == f for t, f in zip(terms, fact[2:], strict=True)):
                return
        self.facts.add((kind, self._new(), *(self._new() if t is None else t for t in terms)))

    def _exact(self, kind: str, identifier: Any, *terms: Any) -> None:
        for fact in self.all(kind):
            if fact[1] == identifier and all(
                t is None or t == f for t, f in zip(terms, fact[2:], strict=True)
            ):
                return
        self.facts.add((kind, identifier, *(self._new() if t is None else t for t in terms)))

    # -- ordering -----------------------------------------------------------------------------

    def _order(self) -> None:
        starts, ends = self.all("wasStartedBy"), self.all("wasEndedBy")
        made, gone, uses = (
            self.all("wasGeneratedBy"),
            self.all("wasInvalidatedBy"),
            self.all("used"),
        )
        before: set[tuple[Fact, Fact]] = set()
        strict: set[tuple[Fact, Fact]] = set()

        def of(events: list[Fact], thing: Any) -> list[Fact]:
            return [event for event in events if event[2] == thing]

        def order(earlier: Iterable[Fact], later: Iterable[Fact]) -> None:
            before.update(product(earlier, later))

        for start in starts:
            _, _, a, e, *_ = start
            order([start], of(ends, a))  # 30
            order([start], of(starts, a))  # 31
            order(of(made, e), [start])  # 43
            order([start], of(gone, e))
        for end in ends:
            _, _, a, e, *_ = end
            order([end], of(ends, a))  # 32
            order(of(made, e), [end])  # 44
            order([end], of(gone, e))
        for use in uses:
            _, _, a, e, _ = use
            order(of(starts, a), [use])  # 33
            order([use], of(ends, a))
            order(of(made, e), [use])  # 37
            order([use], of(gone, e))  # 38
        for generation in made:
            _, _, e, a, _ = generation
            order(of(starts, a), [generation])  # 34
            order([generation], of(ends, a))
            order([generation], of(gone, e))  # 36
            order([generation], of(made, e))  # 39
        for invalidation in gone:
            order([invalidation], of(gone, invalidation[2]))  # 40
        for _, _, a2, a1 in self.all("wasInformedBy"):
            order(of(starts, a1), of(ends, a2))  # 35
        for _, _, e2, e1, a, g2, u1 in self.all("wasDerivedFrom"):
            if NONE not in (a, g2, u1):  # 41
                order([u for u in uses if u[1] == u1], [g for g in made if g[1] == g2])
            strict.update(product(of(made, e1), of(made, e2)))  # 42
        for _, _, e2, e1 in self.all("specializationOf"):
            order(of(made, e1), of(made, e2))  # 45
            order(of(gone, e2), of(gone, e1))  # 46
        for _, _, a, ag, _ in self.all("wasAssociatedWith"):  # 47
            order(of(starts, a), of(gone, ag))
            order(of(made, ag), of(ends, a))
            order(of(starts, a), of(ends, ag))
            order(of(starts, ag), of(ends, a))
        for _, _, e, ag in self.all("wasAttributedTo"):  # 48
            order(of(made, ag), of(made, e))
            order(of(starts, ag), of(made, e))
        for _, _, ag2, ag1, _ in self.all("actedOnBehalfOf"):  # 49
            order(of(made, ag1), of(gone, ag2))
            order(of(starts, ag1), of(ends, ag2))

        follows: dict[Fact, set[Fact]] = {}
        for earlier, later in before | strict:
            follows.setdefault(earlier, set()).add(later)
        for earlier, later in strict:
            reached, waiting = {later}, [later]
            while waiting:
                for event in follows.get(waiting.pop(), set()) - reached:
                    reached.add(event)
                    waiting.append(event)
            if earlier in reached:
                self.broken.add(42)

    # -- typing and impossibility -------------------------------------------------------------

    def _impossible(self) -> None:
        roles: dict[str, tuple[str | None, ...]] = {  # 50
            "used": ("activity", "entity"),
            "wasGeneratedBy": ("entity", "activity"),
            "wasInformedBy": ("activity", "activity"),
            "wasStartedBy": ("activity", "entity", "activity"),
            "wasEndedBy": ("activity", "entity", "activity"),
            "wasInvalidatedBy": ("entity", "activity"),
            "wasDerivedFrom": ("entity", "entity", "activity"),
            "wasAttributedTo": ("entity", "agent"),
            "wasAssociatedWith": ("activity", "agent", "entity"),
            "actedOnBehalfOf": ("agent", "agent", "activity"),
            "alternateOf": ("entity", "entity"),
            "specializationOf": ("entity", "entity"),
            "hadMember": ("entity", "entity"),
        }
        typed = {(fact[1], fact[0]) for fact in self.facts if fact[0] in OBJECTS}
        for kind, _, *terms in self.facts:
            typed |= {(t, r) for t, r in zip(terms, roles.get(kind, ()), strict=False)}
        if any(t != NONE and (t, "activity") in typed for t, r in typed if r == "entity"):
            self.broken.add(55)
        for fact in self.all("wasDerivedFrom"):
            if fact[4] == NONE and (fact[5] != NONE or fact[6] != NONE):
                self.broken.add(51)
        if any(fact[2] == fact[3] for fact in self.all("specializationOf")):
            self.broken.add(52)
        kinds: dict[Any, set[str]] = {}
        for kind, identifier, *_ in self.facts:
            kinds.setdefault(identifier, set()).add(kind)
        for found in (found for name, found in kinds.items() if name != NONE):
            if len(found.intersection(NINE)) > 1:
                self.broken.add(53)
            if found.intersection(OBJECTS) and found.intersection(PROPERTIES):
                self.broken.add(54)
        for fact in self.all("hadMember"):
            if (fact[2], EMPTY) in self.types:
                self.broken.add(56)

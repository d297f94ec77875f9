"""Checks the constraints: merges facts until nothing changes, then checks order, types and names.

The engine reads the statements in one pass. It makes only the inferences that affect validity, and
searches transitive closures instead of listing them. Its cost is therefore linear in the number of
statements. The tables in `rules` contain everything that is specific to a kind of statement.

Imports `rules`, `statements`, `cycles`, `times` and `report`.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from provml.model.relations import ARGUMENTS
from provml.validation.constraints import rules
from provml.validation.constraints.cycles import Step, StepGraph, shortest_cycles
from provml.validation.constraints.statements import ConstraintStatement, Instance
from provml.validation.constraints.times import same_time
from provml.validation.report import KEPT_FINDINGS

Subject = str | Callable[[], str]

EMPTY_COLLECTION: Final = "http://www.w3.org/ns/prov#EmptyCollection"

_MAX_SHOWN_STEPS: Final = 20
"""The maximum number of steps of a cycle or chain that a message shows."""


@dataclass(slots=True, eq=False)
class Fact:
    """A statement that the document contains or that another fact implies.

    Attributes:
        kind: the statement's kind, as in `ConstraintStatement`.
        id: the statement's identifier; None if it is unknown.
        arguments: the arguments from the document, and the arguments that merging added.
        source: the statement in the document, or the fact that implies this fact.
        inference: the number of the inference; None if the document contains the statement.
        into: the fact that this fact was merged into; None if it was not merged.
        taught: for each time that a rule added arguments to this fact, the number of the rule, and
            the fact from which the arguments were taken.
    """

    kind: str
    id: str | None
    arguments: tuple[str | None, ...]
    source: ConstraintStatement | Fact
    inference: int | None = None
    into: Fact | None = None
    taught: tuple[tuple[int, Fact], ...] = ()

    def live(self) -> Fact:
        """Return the fact that this fact was merged into, or this fact if it was not merged."""
        fact = self
        while fact.into is not None:
            fact = fact.into
        return fact

    def learn(self, place: int, value: str, number: int, other: Fact) -> None:
        """Set a missing argument to ``value``, which rule ``number`` takes from another fact."""
        self.arguments = (*self.arguments[:place], value, *self.arguments[place + 1 :])
        self.taught = (*self.taught, (number, other))


@dataclass(frozen=True, slots=True)
class ConstraintBreach:
    """One violation in an instance.

    Attributes:
        numbers: the numbers of the broken rules. The violation is named after the first rule.
        subject: a readable description of the violation.
        facts: the facts that together break the rules.
    """

    numbers: tuple[int, ...]
    subject: str
    facts: tuple[Fact, ...]


@dataclass(slots=True)
class Engine:
    """Checks one instance against the constraints.

    Attributes:
        instance: the instance to check.
        breaches: the violations that were kept.
        kept: the maximum number of violations to keep.
        further: the number of violations that were found but not kept.
    """

    instance: Instance
    kept: int = KEPT_FINDINGS
    breaches: list[ConstraintBreach] = field(default_factory=list)
    further: int = 0
    _facts: list[Fact] = field(default_factory=list)
    _by_key: dict[Any, Fact] = field(default_factory=dict)
    _influences: dict[str, dict[str, Fact]] = field(default_factory=dict)
    _implied: set[Any] = field(default_factory=set)
    _differing: set[tuple[int, int]] = field(default_factory=set)
    _empty: dict[str, Fact] = field(default_factory=dict)

    def check(self) -> list[ConstraintBreach]:
        """Check the instance, and return the violations. Costs about 20 us per statement."""
        for statement in self.instance.statements:
            self._add_statement(statement)
        live = [fact for fact in self._facts if fact.into is None]
        self._check_activity_times(live)
        inherited = self._check_specializations(live)
        self._check_identifier_kinds(live, inherited)
        self._check_types(live)
        self._check_derivations_and_members(live, inherited)
        self._check_order(live, inherited)
        return self.breaches

    def _abbreviate(self, iri: str) -> str:
        return self.instance.name_text(iri)

    def _report_breach(self, numbers: tuple[int, ...], subject: Subject, *facts: Fact) -> None:
        """Record a violation. Formats the subject only if the violation is kept."""
        if len(self.breaches) >= self.kept:
            self.further += 1
            return
        text = subject if isinstance(subject, str) else subject()
        self.breaches.append(ConstraintBreach(numbers, text, facts))

    # -- merging facts --------------------------------------------------------------------------

    def _add_statement(self, statement: ConstraintStatement) -> None:
        identifier = None if statement.kind in rules.NAMELESS else statement.id
        fact = Fact(statement.kind, identifier, statement.arguments, statement)
        missing = [
            ARGUMENTS[fact.kind][place]
            for place in rules.MANDATORY.get(fact.kind, ())
            if fact.arguments[place] is None
        ]
        if missing:
            self._report_breach((0,), f"missing: {', '.join(missing)}", fact)
            return
        if fact.kind == "entity" and EMPTY_COLLECTION in statement.types and fact.id is not None:
            self._empty.setdefault(fact.id, fact)
        self._add_fact(fact)

    def _add_fact(self, fact: Fact) -> None:
        self._facts.append(fact)
        waiting = [fact]
        while waiting:
            fact = waiting.pop().live()
            for number, key in self._find_keys(fact):
                other = self._by_key.setdefault(key, fact).live()
                if other is fact:
                    self._by_key[key] = fact
                elif self._merge(other, fact, number):
                    waiting.append(other)  # the new arguments may match a third fact
                    break
            else:
                waiting += self._merge_influences(fact)
                for implied in self._imply_facts(fact):
                    self._facts.append(implied)
                    waiting.append(implied)

    def _find_keys(self, fact: Fact) -> Iterator[tuple[int, Any]]:
        """Yield the keys that identify the fact, each after the number of the rule that says so."""
        if fact.id is not None:
            yield 22 if fact.kind in rules.ELEMENT_KINDS else 23, (fact.kind, fact.id)
        unique = rules.UNIQUE.get(fact.kind)
        if unique is not None:
            number, first, second = unique
            one, other = fact.arguments[first], fact.arguments[second]
            if one is not None and other is not None:
                yield number, (number, one, other)

    def _merge(self, into: Fact, fact: Fact, number: int) -> bool:
        """Merge ``fact`` into the fact ``into``, or report a violation if the two conflict.

        Returns True if the facts were merged.
        """
        if (id(into), id(fact)) in self._differing:
            return False
        differing = self._find_differences(into, fact)
        if differing:
            self._differing |= {(id(into), id(fact)), (id(fact), id(into))}
            self._report_breach(
                (number,),
                lambda: f"they differ in {self._describe_differences(into, fact, differing)}",
                into,
                fact,
            )
            return False
        before = (into.id, into.arguments)
        if into.id is None:
            into.id = fact.id
        if into.arguments != fact.arguments:
            pairs = zip(into.arguments, fact.arguments, strict=True)
            into.arguments = tuple(a if a is not None else b for a, b in pairs)
        if (into.id, into.arguments) != before:
            into.taught = (*into.taught, (number, fact))
        fact.into = into
        return True

    def _find_differences(self, one: Fact, other: Fact) -> list[int]:
        """Return the positions at which the arguments of two facts conflict.

        Position -1 stands for the identifier.
        """
        found = []
        if one.id is not None and other.id is not None and one.id != other.id:
            found.append(-1)
        if one.arguments == other.arguments:
            return found
        names = ARGUMENTS[one.kind]
        for place, (a, b) in enumerate(zip(one.arguments, other.arguments, strict=True)):
            if a == b or (names[place] in rules.TIME_ARGUMENTS and same_time(a, b)):
                continue
            if (a is not None and b is not None) or self._excludes_value(one, other, place):
                found.append(place)
        return found

    def _describe_differences(self, one: Fact, other: Fact, places: list[int]) -> str:
        names = ARGUMENTS[one.kind]
        words = []
        for place in places:
            a, b = (
                (one.id, other.id)
                if place == -1
                else (one.arguments[place], other.arguments[place])
            )
            name = "identifier" if place == -1 else names[place]
            shown = [
                "-" if v is None else v if name in rules.TIME_ARGUMENTS else self._abbreviate(v)
                for v in (a, b)
            ]
            words.append(f"{name} ({shown[0]}, {shown[1]})")
        return " and ".join(words)

    @staticmethod
    def _excludes_value(one: Fact, other: Fact, place: int) -> bool:
        """Return whether a missing argument means "none", so that it conflicts with a value.

        Only one of the two facts has a value at this position.
        """
        lacking = one if one.arguments[place] is None else other
        if lacking.inference is not None:
            return False
        return rules.is_placeholder(lacking.kind, lacking.arguments, place)

    def _merge_influences(self, fact: Fact) -> list[Fact]:
        """Copy missing arguments between relations of different kinds that share an identifier.

        Relations with the same identifier are one influence, so they must connect the same two
        things. If they connect different things, this method reports a violation.

        Returns:
            The facts that gained an argument.
        """
        ends = rules.INFLUENCES.get(fact.kind)
        if fact.id is None or ends is None:
            return []
        same = self._influences.setdefault(fact.id, {})
        same.setdefault(fact.kind, fact)
        learned: list[Fact] = []
        if len(same) == 1:
            return learned
        for kind, first in same.items():
            other = first.live()
            if kind == fact.kind:
                continue
            for mine, yours in zip(ends, rules.INFLUENCES[kind], strict=True):
                a, b = fact.arguments[mine], other.arguments[yours]
                if a is None or b is None:
                    for poor, place, rich, value in (
                        (fact, mine, other, b),
                        (other, yours, fact, a),
                    ):
                        if value is not None:
                            poor.learn(place, value, 15, rich)
                            learned.append(poor)
                elif a != b and (id(other), id(fact)) not in self._differing:
                    self._differing |= {(id(other), id(fact)), (id(fact), id(other))}
                    self._report_breach(
                        (23, 15), partial(self._describe_influences, b, a), other, fact
                    )
        return learned

    def _describe_influences(self, one: str, other: str) -> str:
        return (
            f"they connect different things: {self._abbreviate(one)} and {self._abbreviate(other)}"
        )

    def _imply_facts(self, fact: Fact) -> Iterator[Fact]:
        for implied in rules.IMPLIED.get(fact.kind, ()):
            if fact.arguments[implied.needs] is None:
                continue
            identifier = None
            if implied.identifier is not None:
                identifier = fact.arguments[implied.identifier]
            arguments = tuple(
                None if place is None else fact.arguments[place] for place in implied.arguments
            )
            key = (implied.kind, identifier, arguments)
            if key not in self._implied:
                self._implied.add(key)
                yield Fact(implied.kind, identifier, arguments, fact, implied.number)

    def _check_activity_times(self, live: list[Fact]) -> None:
        """Check that each activity's times match the times of its start and end events."""
        declared = {fact.id: fact for fact in live if fact.kind == "activity"}
        known: dict[tuple[int, str], tuple[str, Fact]] = {}
        for number, place, kind in ((28, 0, "wasStartedBy"), (29, 1, "wasEndedBy")):
            for fact in live:
                if fact.kind != kind or fact.arguments[3] is None:
                    continue
                activity = fact.arguments[0]
                assert activity is not None
                declaration = declared.get(activity)
                if declaration is None:
                    continue
                own = declaration.arguments[place]
                if own is not None:
                    known.setdefault((number, activity), (own, declaration))
                time, source = known.setdefault((number, activity), (fact.arguments[3], fact))
                if not same_time(time, fact.arguments[3]):
                    subject = f"{self._abbreviate(activity)}: {time} and {fact.arguments[3]}"
                    self._report_breach((number,), subject, source, fact)

    # -- impossibilities ----------------------------------------------------------------------

    def _check_specializations(self, live: list[Fact]) -> dict[str, Fact]:
        """Report cycles of specializations, and find the entities that only specializations imply.

        Returns:
            The specialization that implies each of these entities, by the entity's IRI.
        """
        specific: defaultdict[str, list[Fact]] = defaultdict(list)
        arrows = StepGraph()
        for fact in live:
            if fact.kind == "specializationOf":
                general = fact.arguments[1]
                assert general is not None and fact.arguments[0] is not None
                specific[general].append(fact)
                arrows.add(fact.arguments[0], general, fact, strict=True)
        for cycle in shortest_cycles(arrows):
            self._report_breach(
                (52, 19),
                partial(self._describe_specializations, cycle),
                *(arrow.fact for arrow in cycle),
            )
        declared = {fact.id: fact for fact in live if fact.kind == "entity" and fact.id is not None}
        inherited: dict[str, Fact] = {}
        waiting = deque(name for name in declared if name in specific)
        while waiting:
            general = waiting.popleft()
            for fact in specific.get(general, ()):
                name = fact.arguments[0]
                assert name is not None
                empty = general in self._empty and name not in self._empty
                if name in declared or name in inherited:
                    if not empty:
                        continue
                else:
                    inherited[name] = fact
                if empty:
                    self._empty[name] = fact
                waiting.append(name)
        return inherited

    def _describe_specializations(self, cycle: list[Step]) -> str:
        shown = ", ".join(self._abbreviate(str(arrow.start)) for arrow in cycle[:_MAX_SHOWN_STEPS])
        return shown + (
            f" and {len(cycle) - _MAX_SHOWN_STEPS:,} more" * (len(cycle) > _MAX_SHOWN_STEPS)
        )

    def _find_reasons(self, name: str, why: dict[str, Fact]) -> list[Fact]:
        """Return the facts that explain why a thing inherits a property (inference 21).

        These facts are the specializations that lead to the most general thing, and the statement
        that gives this thing the property.
        """
        found: list[Fact] = []
        while name in why and why[name] not in found:
            found.append(why[name])
            if why[name].kind != "specializationOf" or len(found) == _MAX_SHOWN_STEPS:
                break
            name = str(why[name].arguments[1])
        declared = self._by_key.get(("entity", name))
        if declared is not None and declared not in found and found[-1].kind != "entity":
            found.append(declared)
        return found

    def _check_identifier_kinds(self, live: list[Fact], inherited: dict[str, Fact]) -> None:
        relations: dict[str, dict[str, Fact]] = {}
        for fact in live:
            if fact.id is not None and fact.kind not in rules.ELEMENT_KINDS:
                relations.setdefault(fact.id, {}).setdefault(fact.kind, fact)
        if not relations:
            return
        for name, kinds in relations.items():
            exclusive = [fact for kind, fact in kinds.items() if kind in rules.DISJOINT]
            if len(exclusive) > 1:
                self._report_breach((53,), self._abbreviate(name), *exclusive)
        for fact in live:
            if fact.kind in rules.ELEMENT_KINDS and fact.id in relations:
                other = next(iter(relations[fact.id].values()))
                self._report_breach((54,), self._abbreviate(fact.id), fact, other)
        for thing in inherited:
            if thing in relations:
                other = next(iter(relations[thing].values()))
                reasons = self._find_reasons(thing, inherited)
                self._report_breach((54, 21), self._abbreviate(thing), *reasons, other)

    def _check_types(self, live: list[Fact]) -> None:
        first: dict[str, dict[str, Fact]] = {rules.ENTITY: {}, rules.ACTIVITY: {}}
        for fact in live:
            if fact.kind in first and fact.id is not None:
                first[fact.kind].setdefault(fact.id, fact)
                continue
            roles = rules.TYPING.get(fact.kind)
            if roles is None:
                continue
            for value, kind in zip(fact.arguments, roles, strict=True):
                if kind is not None and value is not None:
                    first[kind].setdefault(value, fact)
        entities, activities = first[rules.ENTITY], first[rules.ACTIVITY]
        for name, fact in entities.items():
            if name in activities:
                self._report_breach((55, 50), self._abbreviate(name), fact, activities[name])

    def _check_derivations_and_members(self, live: list[Fact], inherited: dict[str, Fact]) -> None:
        for fact in live:
            if fact.kind == "wasDerivedFrom":
                _, _, activity, generation, usage = fact.arguments
                if activity is None and (generation is not None or usage is not None):
                    self._report_breach((51,), "this derivation has a generation or a usage", fact)
            elif fact.kind == "hadMember" and fact.arguments[0] in self._empty:
                collection = str(fact.arguments[0])
                numbers = (56,) if self._empty[collection].kind == "entity" else (56, 21)
                reasons = self._find_reasons(collection, self._empty)
                self._report_breach(numbers, self._abbreviate(collection), *reasons, fact)

    # -- the order of events ------------------------------------------------------------------

    def _check_order(self, live: list[Fact], inherited: dict[str, Fact]) -> None:
        """Report cycles of events with a strict step, because no event can strictly precede itself.

        The graph omits ends, invalidations and usages, because they never lie on a cycle.
        """
        if not any(fact.kind == "wasDerivedFrom" for fact in live):
            return  # only derivations contribute strict steps
        happens = self._find_events(live, inherited)
        arrows = StepGraph()
        for fact in live:
            for order in rules.BINDING.get(fact.kind, ()):
                earlier, later = (
                    (event, fact.id if place == -1 else fact.arguments[place])
                    for event, place in (order.earlier, order.later)
                )
                if order.through or (earlier in happens and later in happens):
                    arrows.add(earlier, later, (order.number, fact), strict=order.strict)
        for cycle in shortest_cycles(arrows):
            numbers = sorted({arrow.fact[0] for arrow in cycle}, key=lambda n: (n == 42, n))
            facts = (arrow.fact[1] for arrow in cycle)
            self._report_breach(tuple(numbers), partial(self._describe_event_cycle, cycle), *facts)

    def _describe_event_cycle(self, cycle: list[Step]) -> str:
        steps = [self._describe_event(arrow.start) for arrow in cycle[:_MAX_SHOWN_STEPS]]
        if len(cycle) > _MAX_SHOWN_STEPS:
            steps.append(f"{len(cycle) - _MAX_SHOWN_STEPS:,} more")
        return f"{', then '.join(steps)}, then {self._describe_event(cycle[0].start)} again"

    def _find_events(
        self, live: list[Fact], inherited: dict[str, Fact]
    ) -> set[tuple[int, str | None]]:
        happens: set[tuple[int, str | None]] = set()
        for fact in live:
            for event, place in rules.HAPPENS.get(fact.kind, ()):
                if event in rules.RECURRING:
                    happens.add((event, fact.id if place == -1 else fact.arguments[place]))
        happens.update((rules.GENERATION, name) for name in inherited)
        return happens

    def _describe_event(self, node: Any) -> str:
        return f"the {rules.EVENT_NAMES[node[0]]} of {self._abbreviate(node[1])}"

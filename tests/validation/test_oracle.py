"""Check the engine against a plain implementation of the same Recommendation."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from validation.oracle import EMPTY, Oracle

from provml.model.relations import ARGUMENTS
from provml.validation.constraints.engine import Engine
from provml.validation.constraints.rules import MANDATORY, TIME_ARGUMENTS
from provml.validation.constraints.statements import ConstraintStatement, Instance

_THINGS_THEMSELVES = ("entity", "activity", "agent")
UNIQUENESS = range(22, 30)
IMPOSSIBLE = range(51, 57)

_THINGS = st.sampled_from(["e1", "e2", "e3", "a1", "a2", "a3", "ag"])
_ENTITIES = st.sampled_from(["e1", "e1", "e2", "e2", "e3", "e4", "ag"])
_ACTIVITIES = st.sampled_from(["a1", "a1", "a2", "a2", "a3"])
_AGENTS = st.sampled_from(["ag", "e1", "a1"])
_IDS = st.sampled_from(["i1", "i2", "i3", "i4"])
_MOMENTS = st.sampled_from(["2020-01-01T00:00:00", "2021-01-01T00:00:00"])
_ROLES = {
    "activity": _ACTIVITIES,
    "starter": _ACTIVITIES,
    "ender": _ACTIVITIES,
    "informed": _ACTIVITIES,
    "informant": _ACTIVITIES,
    "agent": _AGENTS,
    "delegate": _AGENTS,
    "responsible": _AGENTS,
    "influencee": _THINGS,
    "influencer": _THINGS,
    "generation": _IDS,
    "usage": _IDS,
}
_KINDS = [kind for kind in ARGUMENTS if kind not in ("mentionOf",)]
_ORDERED = [
    "entity",
    "activity",
    "wasGeneratedBy",
    "used",
    "wasStartedBy",
    "wasEndedBy",
    "wasInvalidatedBy",
    "wasDerivedFrom",
    "wasDerivedFrom",
    "specializationOf",
    "wasInformedBy",
    "wasAssociatedWith",
    "wasAttributedTo",
    "actedOnBehalfOf",
    "wasInfluencedBy",
]


def _argument(kind: str, place: int, name: str) -> st.SearchStrategy[str | None]:
    if name in TIME_ARGUMENTS:
        return st.none() | st.none() | _MOMENTS
    known = _ROLES.get(name, _ENTITIES)
    return known if place in MANDATORY.get(kind, ()) else st.none() | known


@st.composite
def _statement(draw: Any, kinds: list[str], named: bool) -> ConstraintStatement:
    kind = draw(st.sampled_from(kinds))
    if kind in ("entity", "activity", "agent"):
        identifier = draw({"entity": _ENTITIES, "activity": _ACTIVITIES, "agent": _AGENTS}[kind])
    elif kind in ("specializationOf", "alternateOf", "hadMember"):
        identifier = None
    else:
        identifier = draw(st.none() | st.none() | st.none() | (_IDS | _ENTITIES if named else _IDS))
    arguments = tuple(
        draw(_argument(kind, place, name)) for place, name in enumerate(ARGUMENTS[kind])
    )
    types = (EMPTY,) if kind == "entity" and draw(st.integers(0, 3)) == 0 else ()
    return ConstraintStatement(kind, identifier, arguments, types)


@st.composite
def _dense(draw: Any) -> list[ConstraintStatement]:
    """Many statements of few kinds without identifiers, which only the order can invalidate."""
    kinds = draw(st.lists(st.sampled_from(_ORDERED), min_size=2, max_size=4, unique=True))
    statements = _statement(["wasDerivedFrom", *kinds], False).map(
        lambda one: one if one.kind in _THINGS_THEMSELVES else one._replace(id=None)
    )
    return draw(st.lists(statements, min_size=4, max_size=12))


DOCUMENTS = st.one_of(
    st.lists(_statement(_KINDS, True), max_size=7),
    st.lists(_statement(_KINDS, False), max_size=10),
    st.lists(_statement(_ORDERED, False), min_size=3, max_size=14),
    _dense(),
)


def disagreement(document: list[ConstraintStatement]) -> str | None:
    """The difference between engine and oracle, if any."""
    plain = Oracle((each.kind, each.id, each.arguments, each.types) for each in document)
    numbers = {breach.numbers[0] for breach in Engine(Instance(None, document)).check()}
    if plain.valid != (not numbers):
        return f"plainly broken {plain.broken}, by the engine {numbers}"
    if not plain.broken.isdisjoint(UNIQUENESS):
        return None if not numbers.isdisjoint(UNIQUENESS) else f"no merge fails, but {numbers}"
    told = numbers.intersection(IMPOSSIBLE)
    if plain.broken.intersection(IMPOSSIBLE) != told:
        return f"plainly impossible {plain.broken}, by the engine {told}"
    ordered = any(number < 50 for number in numbers)
    if ordered != (42 in plain.broken):
        return f"plain order {plain.broken}, by the engine {numbers}"
    return None


@settings(max_examples=400, deadline=None)
@given(document=DOCUMENTS)
def test_the_engine_agrees_with_the_plain_rules(document: list[ConstraintStatement]) -> None:
    """The engine's optimisations would change a verdict or its reason."""
    assert disagreement(document) is None

"""The relations of PROV: their arguments (PROV-DM, 2013) and their RDF terms (PROV-O, 2013).

Imports nothing else from provml.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

ENTITY: Final = "Entity"
ACTIVITY: Final = "Activity"
AGENT: Final = "Agent"
_ANY: Final = ""
_NONE: Final[Mapping[str, str]] = MappingProxyType({})
_TIME: Final = MappingProxyType({"atTime": "time"})


class Relation(NamedTuple):
    """The terms of one relation in PROV-DM and PROV-O.

    RDF expresses a relation as a plain triple, or as a qualified node that has further properties.

    Attributes:
        plain: the PROV-N name, which is also the RDF property between the first two arguments.
        first, second: the PROV-DM names of the first two arguments.
        kinds: the kinds of elements that the first two arguments refer to.
        influencer: the property that links the qualified node to the second argument; None if
            PROV-O has no qualified node for the relation.
        others: the remaining arguments in the order of PROV-N, as a mapping from a property of the
            qualified node to the argument's PROV-DM name.
        beside: whether the RDF readers treat a plain triple and a qualified node with the same
            influencer as one statement.
    """

    plain: str
    first: str
    second: str
    kinds: tuple[str, str]
    influencer: str | None = None
    others: Mapping[str, str] = _NONE
    beside: bool = False


RELATIONS: Final[Mapping[str, Relation]] = {
    "Generation": Relation(
        "wasGeneratedBy", "entity", "activity", (ENTITY, ACTIVITY), "activity", _TIME
    ),
    "Usage": Relation("used", "activity", "entity", (ACTIVITY, ENTITY), "entity", _TIME),
    "Communication": Relation(
        "wasInformedBy", "informed", "informant", (ACTIVITY, ACTIVITY), "activity", beside=True
    ),
    "Start": Relation(
        "wasStartedBy",
        "activity",
        "trigger",
        (ACTIVITY, ENTITY),
        "entity",
        {"hadActivity": "starter", **_TIME},
    ),
    "End": Relation(
        "wasEndedBy",
        "activity",
        "trigger",
        (ACTIVITY, ENTITY),
        "entity",
        {"hadActivity": "ender", **_TIME},
    ),
    "Invalidation": Relation(
        "wasInvalidatedBy", "entity", "activity", (ENTITY, ACTIVITY), "activity", _TIME
    ),
    "Derivation": Relation(
        "wasDerivedFrom",
        "generatedEntity",
        "usedEntity",
        (ENTITY, ENTITY),
        "entity",
        {"hadActivity": "activity", "hadGeneration": "generation", "hadUsage": "usage"},
    ),
    "Attribution": Relation(
        "wasAttributedTo", "entity", "agent", (ENTITY, AGENT), "agent", beside=True
    ),
    "Association": Relation(
        "wasAssociatedWith",
        "activity",
        "agent",
        (ACTIVITY, AGENT),
        "agent",
        {"hadPlan": "plan"},
        beside=True,
    ),
    "Delegation": Relation(
        "actedOnBehalfOf",
        "delegate",
        "responsible",
        (AGENT, AGENT),
        "agent",
        {"hadActivity": "activity"},
        beside=True,
    ),
    "Influence": Relation(
        "wasInfluencedBy", "influencee", "influencer", (_ANY, _ANY), "influencer", beside=True
    ),
    "Specialization": Relation(
        "specializationOf", "specificEntity", "generalEntity", (ENTITY, ENTITY)
    ),
    "Alternate": Relation("alternateOf", "alternate1", "alternate2", (ENTITY, ENTITY)),
    "Mention": Relation("mentionOf", "specificEntity", "generalEntity", (ENTITY, ENTITY)),
    "Membership": Relation("hadMember", "collection", "entity", (ENTITY, ENTITY)),
}
"""The relations, keyed by the PROV-O class of their qualified nodes.

The last four keys are not classes of PROV-O.
"""

ARGUMENTS: Final[Mapping[str, tuple[str, ...]]] = {
    "entity": (),
    "activity": ("startTime", "endTime"),
    "agent": (),
    **{each.plain: (each.first, each.second, *each.others.values()) for each in RELATIONS.values()},
    "mentionOf": ("specificEntity", "generalEntity", "bundle"),
}
"""The formal arguments of each kind of statement, except the id, in the order of PROV-N."""

FORMAL: Final[Mapping[str, tuple[str, ...]]] = {
    kind: tuple(f"prov:{name}" for name in names) for kind, names in ARGUMENTS.items()
}
"""The formal arguments of each kind of statement, as PROV-JSON names them (``prov:entity``)."""

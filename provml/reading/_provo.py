"""PROV-O (W3C Recommendation, 2013): how PROV's statements are triples, as tables.

Imports `vocabulary`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from provml.model.vocabulary import PROV, RDF

RDF_TYPE: Final = f"{RDF}type"
RDFS_LABEL: Final = "http://www.w3.org/2000/01/rdf-schema#label"


@dataclass(frozen=True)
class Relation:
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
RELATIONS: Final = {
    "Generation": Relation("wasGeneratedBy", "entity", "activity", (_E, _A), "activity", _TIME),
    "Usage": Relation("used", "activity", "entity", (_A, _E), "entity", _TIME),
    "Invalidation": Relation("wasInvalidatedBy", "entity", "activity", (_E, _A), "activity", _TIME),
    "Start": Relation(
        "wasStartedBy",
        "activity",
        "trigger",
        (_A, _E),
        "entity",
        {"hadActivity": "starter", **_TIME},
    ),
    "End": Relation(
        "wasEndedBy", "activity", "trigger", (_A, _E), "entity", {"hadActivity": "ender", **_TIME}
    ),
    "Communication": Relation(
        "wasInformedBy", "informed", "informant", (_A, _A), "activity", both=True
    ),
    "Attribution": Relation("wasAttributedTo", "entity", "agent", (_E, _G), "agent", both=True),
    "Association": Relation(
        "wasAssociatedWith", "activity", "agent", (_A, _G), "agent", {"hadPlan": "plan"}
    ),
    "Delegation": Relation(
        "actedOnBehalfOf",
        "delegate",
        "responsible",
        (_G, _G),
        "agent",
        {"hadActivity": "activity"},
        both=True,
    ),
    "Derivation": Relation(
        "wasDerivedFrom",
        "generatedEntity",
        "usedEntity",
        (_E, _E),
        "entity",
        {"hadActivity": "activity", "hadGeneration": "generation", "hadUsage": "usage"},
    ),
    "Influence": Relation(
        "wasInfluencedBy", "influencee", "influencer", (_ANY, _ANY), "influencer", both=True
    ),
    "Alternate": Relation("alternateOf", "alternate1", "alternate2", (_E, _E)),
    "Specialization": Relation("specializationOf", "specificEntity", "generalEntity", (_E, _E)),
    "Mention": Relation("mentionOf", "specificEntity", "generalEntity", (_E, _E)),
    "Membership": Relation("hadMember", "collection", "entity", (_E, _E)),
}
BY_PLAIN: Final = {each.plain: kind for kind, each in RELATIONS.items()}
DERIVATIONS: Final = ("Revision", "Quotation", "PrimarySource")
BESIDE: Final = ("Communication", "Attribution", "Association", "Delegation", "Influence")
"""The relations of which a plain triple and a node with the same influencer are one statement."""
NODE_KINDS: Final = tuple(kind for kind, each in RELATIONS.items() if each.influencer)
QUALIFIED: Final = {f"qualified{kind}": kind for kind in NODE_KINDS}
QUALIFIED_DERIVATIONS: Final = {f"qualified{kind}": kind for kind in DERIVATIONS}
MORE_INFLUENCERS: Final = {  # what else a reader takes for an argument of a node
    "Influence": {"entity": "influencer", "activity": "influencer", "agent": "influencer"},
    "Start": {"startedAtTime": "time", "activity": "starter"},
    "End": {"endedAtTime": "time", "activity": "ender"},
}
IMPLIED_TYPES: Final = frozenset(
    ("Influence", "EntityInfluence", "ActivityInfluence", "AgentInfluence", "InstantaneousEvent")
)
ELEMENTS: Final = (_E, _A, _G)
ELEMENT_OF: Final = {
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
ELEMENT_WITH: Final = {
    "startedAtTime": _A,
    "endedAtTime": _A,
    "generatedAtTime": _E,
    "invalidatedAtTime": _E,
    "value": _E,
    "wasRevisionOf": _E,
    "wasQuotedFrom": _E,
    "hadPrimarySource": _E,
}
TIMES: Final = {"startedAtTime": "startTime", "endedAtTime": "endTime"}
ATTRIBUTES: Final = {
    RDF_TYPE: "type",
    RDFS_LABEL: "label",
    f"{PROV}atLocation": "location",
    f"{PROV}hadRole": "role",
}

"""Tables of PROV-O (W3C Recommendation, 2013): the triples that express each PROV statement."""

from __future__ import annotations

from typing import Final

from provml.model.relations import ACTIVITY, AGENT, ENTITY, RELATIONS
from provml.model.vocabulary import PROV, RDF

RDF_TYPE: Final = f"{RDF}type"
RDFS_LABEL: Final = "http://www.w3.org/2000/01/rdf-schema#label"


BY_PLAIN: Final = {each.plain: kind for kind, each in RELATIONS.items()}
DERIVATIONS: Final = ("Revision", "Quotation", "PrimarySource")
BESIDE: Final = tuple(kind for kind, each in RELATIONS.items() if each.beside)
NODE_KINDS: Final = tuple(kind for kind, each in RELATIONS.items() if each.influencer)
QUALIFIED: Final = {f"qualified{kind}": kind for kind in NODE_KINDS}
QUALIFIED_DERIVATIONS: Final = {f"qualified{kind}": kind for kind in DERIVATIONS}
MORE_INFLUENCERS: Final = {  # other properties that readers accept for an argument of a relation
    "Influence": {"entity": "influencer", "activity": "influencer", "agent": "influencer"},
    "Start": {"startedAtTime": "time", "activity": "starter"},
    "End": {"endedAtTime": "time", "activity": "ender"},
}
IMPLIED_TYPES: Final = frozenset(
    ("Influence", "EntityInfluence", "ActivityInfluence", "AgentInfluence", "InstantaneousEvent")
)
ELEMENT_CLASSES: Final = (ENTITY, ACTIVITY, AGENT)
ELEMENT_OF: Final = {
    "SoftwareAgent": AGENT,
    "Person": AGENT,
    "Organization": AGENT,
    "Plan": ENTITY,
    "Collection": ENTITY,
    "EmptyCollection": ENTITY,
    "Bundle": ENTITY,
    "Dictionary": ENTITY,
    "EmptyDictionary": ENTITY,
}
ELEMENT_WITH: Final = {
    "startedAtTime": ACTIVITY,
    "endedAtTime": ACTIVITY,
    "generatedAtTime": ENTITY,
    "invalidatedAtTime": ENTITY,
    "value": ENTITY,
    "wasRevisionOf": ENTITY,
    "wasQuotedFrom": ENTITY,
    "hadPrimarySource": ENTITY,
}
TIME_PROPERTIES: Final = {"startedAtTime": "startTime", "endedAtTime": "endTime"}
ATTRIBUTES_BY_PREDICATE: Final = {
    RDF_TYPE: "type",
    RDFS_LABEL: "label",
    f"{PROV}atLocation": "location",
    f"{PROV}hadRole": "role",
}

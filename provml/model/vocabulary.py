"""The terms that provml writes, as data. Imports nothing of provml."""

from __future__ import annotations

from typing import Final

PROV: Final = "http://www.w3.org/ns/prov#"
XSD: Final = "http://www.w3.org/2001/XMLSchema#"
RDF: Final = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
PROVML: Final = "https://w3id.org/provml/ns#"

DEFAULT_NAMESPACE: Final = "urn:provml:"

ELEMENTS: Final = ("entity", "activity", "agent")
"""The kinds of statement that declare something, by their PROV-JSON names."""

RELATIONS: Final[dict[str, tuple[str, ...]]] = {
    "wasGeneratedBy": ("prov:entity", "prov:activity", "prov:time"),
    "used": ("prov:activity", "prov:entity", "prov:time"),
    "wasInformedBy": ("prov:informed", "prov:informant"),
    "wasStartedBy": ("prov:activity", "prov:trigger", "prov:starter", "prov:time"),
    "wasDerivedFrom": ("prov:generatedEntity", "prov:usedEntity", "prov:activity"),
    "wasAttributedTo": ("prov:entity", "prov:agent"),
    "wasAssociatedWith": ("prov:activity", "prov:agent", "prov:plan"),
    "actedOnBehalfOf": ("prov:delegate", "prov:responsible", "prov:activity"),
    "alternateOf": ("prov:alternate1", "prov:alternate2"),
    "hadMember": ("prov:collection", "prov:entity"),
}
"""The relations that provml states and their formal attributes, by their PROV-JSON names."""

KINDS: Final = (*ELEMENTS, *RELATIONS)

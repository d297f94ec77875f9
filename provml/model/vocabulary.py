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

_RELATIONS: Final = (
    "wasGeneratedBy",
    "used",
    "wasInformedBy",
    "wasStartedBy",
    "wasDerivedFrom",
    "wasAttributedTo",
    "wasAssociatedWith",
    "actedOnBehalfOf",
    "alternateOf",
    "hadMember",
)

KINDS: Final = (*ELEMENTS, *_RELATIONS)
"""The kinds of statement that provml makes, by their PROV-JSON names, in their order there."""

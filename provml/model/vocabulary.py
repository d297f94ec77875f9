"""The namespaces and the kinds of PROV statement that provml uses in its documents.

Imports nothing else from provml.
"""

from __future__ import annotations

from typing import Final

PROV: Final = "http://www.w3.org/ns/prov#"
XSD: Final = "http://www.w3.org/2001/XMLSchema#"
RDF: Final = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
PROVML: Final = "https://w3id.org/provml/ns#"

TAGS: Final = "https://w3id.org/provml/tags#"
"""The namespace of the attributes that contain a run's tags. Each tag is one attribute."""

DEFAULT_NAMESPACE: Final = "urn:provml:"

ELEMENTS: Final = ("entity", "activity", "agent")
"""The PROV-JSON names of the statements that declare entities, activities and agents."""

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
"""The PROV-JSON names of all kinds of statement that provml writes.

PROV-JSON documents list the statements in this order.
"""

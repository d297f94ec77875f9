"""Turtle (W3C Recommendation, 2014): RDF that people can read.

The triples follow PROV-O.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO, Final

from provml.export._rdf import describe_statements, rdf_prefixes
from provml.export._terse import prefix_lines, write_descriptions

if TYPE_CHECKING:
    from provml.model.mapping import RunMapping

SUFFIX: Final = ".ttl"


def write(mapping: RunMapping, sink: BinaryIO) -> None:
    """Write the triples of one run as Turtle."""
    sink.write(prefix_lines(rdf_prefixes(mapping.prefixes())) + b"\n")
    write_descriptions(describe_statements(mapping.statements()), sink)

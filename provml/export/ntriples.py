"""N-Triples (W3C Recommendation, 2014): one triple on each line, for RDF stores.

The triples follow PROV-O.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO, Final

from provml.export._lines import Lines
from provml.export._rdf import describe_statements, rdf_prefixes

if TYPE_CHECKING:
    from provml.model.mapping import RunMapping

SUFFIX: Final = ".nt"


def write(mapping: RunMapping, sink: BinaryIO, *, entailed: bool = False) -> None:
    """Write the triples of one run as N-Triples.

    Args:
        entailed: whether to also write the plain triples that qualified nodes entail. Queries need
            these triples.
    """
    lines = Lines(sink)
    prefixes = rdf_prefixes(mapping.prefixes())
    lines.write(describe_statements(mapping.statements(), entailed=entailed), prefixes)

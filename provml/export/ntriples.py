"""N-Triples (W3C Recommendation, 2014): a line a triple, for RDF stores and line tools.

The triples are those of PROV-O. Imports `_rdf`, `_text`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO, Final

from provml.export._lines import Lines
from provml.export._rdf import descriptions, rdf_prefixes

if TYPE_CHECKING:
    from provml.model.mapping import RunMapping

SUFFIX: Final = ".nt"


def write(mapping: RunMapping, sink: BinaryIO, *, entailed: bool = False) -> None:
    """Write a run's triples.

    Args:
        entailed: also the plain triples that the qualified ones entail, which queries look for.
    """
    lines = Lines(sink)
    prefixes = rdf_prefixes(mapping.prefixes())
    lines.write(descriptions(mapping.statements(), entailed=entailed), prefixes)

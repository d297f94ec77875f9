"""N-Quads (W3C Recommendation, 2014): N-Triples with a graph's name at a line's end.

One run is the default graph; of several, each is a named graph. Imports `_rdf`, `_lines`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO, Final

from provml.export._lines import Lines
from provml.export._rdf import bundle_descriptions, descriptions, rdf_prefixes

if TYPE_CHECKING:
    from provml.model.bundles import RunBundles
    from provml.model.mapping import RunMapping

SUFFIX: Final = ".nq"


def write(mapping: RunMapping, sink: BinaryIO) -> None:
    """Write a run's triples, in the default graph."""
    Lines(sink).write(descriptions(mapping.statements()), rdf_prefixes(mapping.prefixes()))


def write_bundles(bundles: RunBundles, sink: BinaryIO) -> None:
    """Write several runs, each as a named graph."""
    lines = Lines(sink)
    lines.write(bundle_descriptions(bundles), rdf_prefixes(bundles.prefixes()))
    for iri, mapping in zip(bundles.iris(), bundles, strict=True):
        statements = descriptions(mapping.statements())
        lines.write(statements, rdf_prefixes(mapping.prefixes()), graph=iri)

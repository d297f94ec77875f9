"""N-Quads (W3C Recommendation, 2014): N-Triples with the name of a graph on each line.

A single run is written to the default graph. If there are several runs, each is written to its own
named graph.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO, Final

from provml.export._lines import Lines
from provml.export._rdf import describe_bundles, describe_statements, rdf_prefixes

if TYPE_CHECKING:
    from provml.model.bundles import RunBundles
    from provml.model.mapping import RunMapping

SUFFIX: Final = ".nq"


def write(mapping: RunMapping, sink: BinaryIO) -> None:
    """Write the triples of one run as N-Quads, in the default graph."""
    Lines(sink).write(describe_statements(mapping.statements()), rdf_prefixes(mapping.prefixes()))


def write_bundles(bundles: RunBundles, sink: BinaryIO) -> None:
    """Write several runs as N-Quads, with a named graph for each run."""
    lines = Lines(sink)
    lines.write(describe_bundles(bundles), rdf_prefixes(bundles.prefixes()))
    for iri, mapping in zip(bundles.iris(), bundles, strict=True):
        statements = describe_statements(mapping.statements())
        lines.write(statements, rdf_prefixes(mapping.prefixes()), graph=iri)

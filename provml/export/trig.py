"""TriG (W3C Recommendation, 2014): Turtle with named graphs.

A single run is written to the default graph. If there are several runs, each is written to its own
named graph.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO, Final

from provml.export._rdf import describe_bundles, describe_statements, rdf_prefixes
from provml.export._terse import prefix_lines, write_descriptions
from provml.model.names import BUNDLE

if TYPE_CHECKING:
    from provml.model.bundles import RunBundles
    from provml.model.mapping import RunMapping

SUFFIX: Final = ".trig"


def write(mapping: RunMapping, sink: BinaryIO) -> None:
    """Write the triples of one run as TriG, in the default graph."""
    sink.write(prefix_lines(rdf_prefixes(mapping.prefixes())) + b"\n")
    write_descriptions(describe_statements(mapping.statements()), sink)


def write_bundles(bundles: RunBundles, sink: BinaryIO) -> None:
    """Write several runs as TriG: one named graph for each run, with the run's prefixes."""
    sink.write(prefix_lines(rdf_prefixes(bundles.prefixes())) + b"\n")
    write_descriptions(describe_bundles(bundles), sink)
    for mapping in bundles:
        sink.write(prefix_lines(mapping.prefixes()))
        sink.write(b"\n%b {\n\n" % BUNDLE.encode())
        write_descriptions(describe_statements(mapping.statements()), sink)
        sink.write(b"}\n\n")

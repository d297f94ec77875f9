"""TriG (W3C Recommendation, 2014): Turtle with named graphs.

One run is the default graph; of several, each is a named graph. Imports `_rdf`, `_terse`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO, Final

from provml.export._rdf import bundle_descriptions, descriptions, rdf_prefixes
from provml.export._terse import prefix_lines, write_descriptions
from provml.model.names import BUNDLE

if TYPE_CHECKING:
    from provml.model.bundles import RunBundles
    from provml.model.mapping import RunMapping

SUFFIX: Final = ".trig"


def write(mapping: RunMapping, sink: BinaryIO) -> None:
    """Write a run's triples, in the default graph."""
    sink.write(prefix_lines(rdf_prefixes(mapping.prefixes())) + b"\n")
    write_descriptions(descriptions(mapping.statements()), sink)


def write_bundles(bundles: RunBundles, sink: BinaryIO) -> None:
    """Write several runs, each as a named graph with prefixes of its own."""
    sink.write(prefix_lines(rdf_prefixes(bundles.prefixes())) + b"\n")
    write_descriptions(bundle_descriptions(bundles), sink)
    for mapping in bundles:
        sink.write(prefix_lines(mapping.prefixes()))
        sink.write(b"\n%b {\n\n" % BUNDLE.encode())
        write_descriptions(descriptions(mapping.statements()), sink)
        sink.write(b"}\n\n")

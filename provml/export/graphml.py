"""GraphML: the graph for yEd, Gephi, igraph and networkx."""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import TYPE_CHECKING, BinaryIO, Final

from provml.graph.view import GRAPH_OPTIONS, View

if TYPE_CHECKING:
    from provml.model.bundles import RunBundles
    from provml.model.mapping import RunMapping

SUFFIX: Final = ".graphml"
DETAIL: Final = "series"
OPTIONS: Final = GRAPH_OPTIONS

_ALL: Final = View()
_SPELLED: Final = ("boolean", "double")
_SPELLED_AS: Final = {"True": "true", "False": "false", "nan": "NaN", "inf": "INF", "-inf": "-INF"}
"""The XML Schema spelling of values that Python spells differently."""


def write(mapping: RunMapping, sink: BinaryIO, view: View = _ALL) -> None:
    """Write the graph of one run as GraphML."""
    _write_graphml([mapping], sink, view)


def write_bundles(bundles: RunBundles, sink: BinaryIO, view: View = _ALL) -> None:
    """Write the graph of several runs as GraphML. Each node and edge names its bundle."""
    _write_graphml(bundles, sink, view)


def _write_graphml(mappings: Iterable[RunMapping], sink: BinaryIO, view: View) -> None:
    from provml.graph.flat import flat_graph

    graph = flat_graph(mappings, view)
    from networkx.readwrite.graphml import GraphMLWriter

    writer = GraphMLWriter(graph, prettyprint=False, edge_id_from_attribute="id")
    numbers = {key.get("id") for key in writer.xml.iter("key") if key.get("attr.type") in _SPELLED}
    for value in writer.xml.iter("data"):
        if value.get("key") in numbers:
            value.text = _SPELLED_AS.get(value.text, value.text)
    held = io.BytesIO()  # networkx needs a seekable file
    writer.dump(held)
    sink.write(held.getvalue() + b"\n")

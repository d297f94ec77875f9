"""GEXF 1.2: the graph for Gephi."""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import TYPE_CHECKING, BinaryIO, Final

from provml.graph.view import GRAPH_OPTIONS, View

if TYPE_CHECKING:
    from provml.model.bundles import RunBundles
    from provml.model.mapping import RunMapping

SUFFIX: Final = ".gexf"
DETAIL: Final = "series"
OPTIONS: Final = GRAPH_OPTIONS

_ALL: Final = View()


def write(mapping: RunMapping, sink: BinaryIO, view: View = _ALL) -> None:
    """Write the graph of one run as GEXF."""
    _write_gexf([mapping], sink, view)


def write_bundles(bundles: RunBundles, sink: BinaryIO, view: View = _ALL) -> None:
    """Write the graph of several runs as GEXF. Each node and edge names its bundle."""
    _write_gexf(bundles, sink, view)


def _write_gexf(mappings: Iterable[RunMapping], sink: BinaryIO, view: View) -> None:
    from provml.graph.flat import flat_graph

    graph = flat_graph(mappings, view)
    from networkx.readwrite.gexf import GEXFWriter

    nodes = graph.nodes(data=True)
    times = [data["prov:startTime"] for _, data in nodes if "prov:startTime" in data]
    writer = GEXFWriter(prettyprint=False)
    writer.add_graph(graph)
    # networkx writes today's date, but equal graphs should give equal files
    for meta in writer.xml.iter("meta"):
        meta.set("lastmodifieddate", max(times, default="1970-01-01")[:10])
    held = io.BytesIO()
    writer.write(held)
    sink.write(held.getvalue() + b"\n")

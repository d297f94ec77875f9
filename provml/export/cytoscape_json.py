"""Cytoscape JSON: the graph for Cytoscape, Cytoscape.js and networkx."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, BinaryIO, Final

from provml.graph.view import GRAPH_OPTIONS, View

if TYPE_CHECKING:
    from provml.model.bundles import RunBundles
    from provml.model.mapping import RunMapping

SUFFIX: Final = ".cyjs"
DETAIL: Final = "series"
OPTIONS: Final = GRAPH_OPTIONS

_ALL: Final = View()


def write(mapping: RunMapping, sink: BinaryIO, view: View = _ALL) -> None:
    """Write the graph of one run as Cytoscape JSON."""
    _write_cytoscape([mapping], sink, view)


def write_bundles(bundles: RunBundles, sink: BinaryIO, view: View = _ALL) -> None:
    """Write the graph of several runs as Cytoscape JSON. Each node and edge names its bundle."""
    _write_cytoscape(bundles, sink, view)


def _write_cytoscape(mappings: Iterable[RunMapping], sink: BinaryIO, view: View) -> None:
    from provml.graph.flat import flat_graph, plain_text

    graph = flat_graph(mappings, view)
    from networkx import cytoscape_data

    for _, data in graph.nodes(data=True):
        for name, value in data.items():
            if isinstance(value, float) and not math.isfinite(value):
                data[name] = plain_text(value)  # JSON has no NaN or infinity
    content = json.dumps(cytoscape_data(graph), ensure_ascii=False, allow_nan=False)
    sink.write(content.encode() + b"\n")

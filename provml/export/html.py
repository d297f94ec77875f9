"""HTML: an interactive page of a run's graph that opens offline in any browser.

Groups of similar nodes, such as the parameters, the steps of a context or the samples of a series,
can be opened and closed. The page is built in memory, so `_diagram.MOST_NODES` limits the number of
nodes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, BinaryIO, Final

from provml.export._diagram import Diagram
from provml.graph.view import GRAPH_OPTIONS, View
from provml.page import write_page

if TYPE_CHECKING:
    from provml.model.bundles import RunBundles
    from provml.model.mapping import RunMapping

SUFFIX: Final = ".html"
OTHER_SUFFIXES: Final = (".htm",)
DETAIL: Final = "series"
OPTIONS: Final = GRAPH_OPTIONS

_ALL: Final = View()


def write(mapping: RunMapping, sink: BinaryIO, view: View = _ALL) -> None:
    """Write an interactive HTML page of one run.

    Raises:
        ExportError: the page would have too many nodes, or ``view.around`` matches no node or
            several nodes.
        MissingExtraError: the package that ships D3 is not installed, or there is a view but
            networkx is not installed.
    """
    _write_html([mapping], sink, view)


def write_bundles(bundles: RunBundles, sink: BinaryIO, view: View = _ALL) -> None:
    """Write an interactive HTML page of several runs. Nodes that the runs share appear once.

    Raises the same errors as `write`.
    """
    _write_html(bundles, sink, view)


def _write_html(mappings: Iterable[RunMapping], sink: BinaryIO, view: View) -> None:
    kept: set[str] | None = None
    if view.given():
        from provml.graph.build import runs_graph
        from provml.graph.shared_nodes import share_nodes
        from provml.graph.view import apply_view

        mappings = list(mappings)
        part = apply_view(share_nodes(runs_graph(mappings)), view)
        others = (iri for _, node in part.nodes(data=True) for iri, *_ in node.get("aliases", ()))
        kept = {*part, *others}
    diagram = Diagram(kept)
    for mapping in mappings:
        diagram.add(mapping)
    write_page(sink, "graph", diagram.title(), diagram.data())

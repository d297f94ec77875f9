"""HTML: one page of a run's graph that opens offline, to be looked at in a browser.

Groups of alike nodes (parameters, the series of a context, its steps, the samples of a series) are
opened and closed by the reader. The page is built in memory: it holds some tens of thousands of
nodes at most. Imports `_diagram`, `page`, `graph`.
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
DETAIL: Final = "series"
OPTIONS: Final = GRAPH_OPTIONS

_ALL: Final = View()


def write(mapping: RunMapping, sink: BinaryIO, view: View = _ALL) -> None:
    """Write a page of a run.

    Raises:
        ExportError: it has more nodes than a page can hold, or the view is around none of them.
        MissingExtraError: the package that ships D3 is not installed, or for a view networkx.
    """
    _write([mapping], sink, view)


def write_bundles(bundles: RunBundles, sink: BinaryIO, view: View = _ALL) -> None:
    """Write a page of several runs, each in a frame; what they share stands once. As `write`."""
    _write(bundles, sink, view)


def _write(mappings: Iterable[RunMapping], sink: BinaryIO, view: View) -> None:
    kept: set[str] | None = None
    if view.given():
        from provml.graph.build import runs_graph
        from provml.graph.view import apply_view

        mappings = list(mappings)
        kept = set(apply_view(runs_graph(mappings), view))
    diagram = Diagram(kept)
    for mapping in mappings:
        diagram.add(mapping)
    write_page(sink, "graph", diagram.title(), diagram.data())

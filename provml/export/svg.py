"""SVG: a picture of the graph, drawn by Graphviz."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO, Final

from provml.graph.view import PICTURE_OPTIONS, View

if TYPE_CHECKING:
    from provml.model.bundles import RunBundles
    from provml.model.mapping import RunMapping

SUFFIX: Final = ".svg"
DETAIL: Final = "series"
OPTIONS: Final = PICTURE_OPTIONS

_ALL: Final = View()


def write(mapping: RunMapping, sink: BinaryIO, view: View = _ALL) -> None:
    """Draw the graph of one run as SVG."""
    from provml.graph.render import draw_graph

    sink.write(draw_graph([mapping], view, "svg"))


def write_bundles(bundles: RunBundles, sink: BinaryIO, view: View = _ALL) -> None:
    """Draw the graph of several runs as SVG, with a cluster for each run."""
    from provml.graph.render import draw_graph

    sink.write(draw_graph(bundles, view, "svg"))

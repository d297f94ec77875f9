"""DOT: the graph in the language of Graphviz."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO, Final

from provml.graph.view import PICTURE_OPTIONS, View

if TYPE_CHECKING:
    from provml.model.bundles import RunBundles
    from provml.model.mapping import RunMapping

SUFFIX: Final = ".dot"
OTHER_SUFFIXES: Final = (".gv",)
DETAIL: Final = "series"
OPTIONS: Final = PICTURE_OPTIONS

_ALL: Final = View()


def write(mapping: RunMapping, sink: BinaryIO, view: View = _ALL) -> None:
    """Write the graph of one run in the DOT language."""
    from provml.graph.render import dot_text

    sink.write(dot_text([mapping], view))


def write_bundles(bundles: RunBundles, sink: BinaryIO, view: View = _ALL) -> None:
    """Write the graph of several runs in the DOT language, with a cluster for each run."""
    from provml.graph.render import dot_text

    sink.write(dot_text(bundles, view))

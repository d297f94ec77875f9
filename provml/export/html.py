"""HTML: one page of a run's graph that opens offline, to be looked at in a browser.

Groups of alike nodes (parameters, the series of a context, its steps, the samples of a series) are
opened and closed by the reader. The page is built in memory: it holds some tens of thousands of
nodes at most. Imports `_diagram`, `page`, `plot`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO, Final

from provml.export._diagram import Diagram
from provml.page import write_page

if TYPE_CHECKING:
    from provml.model.bundles import RunBundles
    from provml.model.mapping import RunMapping

SUFFIX: Final = ".html"
DETAIL: Final = "series"


def write(mapping: RunMapping, sink: BinaryIO) -> None:
    """Write a page of a run.

    Raises:
        ExportError: it has more nodes than a page can hold.
        MissingExtraError: the package that ships D3 is not installed.
    """
    diagram = Diagram()
    diagram.add(mapping)
    _write(diagram, sink)


def write_bundles(bundles: RunBundles, sink: BinaryIO) -> None:
    """Write a page of several runs, each in a frame; what they share stands once. As `write`."""
    diagram = Diagram()
    for mapping in bundles:
        diagram.add(mapping)
    _write(diagram, sink)


def _write(diagram: Diagram, sink: BinaryIO) -> None:
    write_page(sink, "graph", diagram.title(), diagram.data())

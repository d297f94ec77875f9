"""RDF in any syntax, read and written by pyoxigraph as a stream of quads.

Imports `_document`, `_graphs`, `_names`, `_source`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from provml.errors import DocumentError
from provml.reading._document import Document
from provml.reading._graphs import Graphs, oxigraph
from provml.reading._names import legal_prefix
from provml.reading._source import check_brackets, utf8_of

if TYPE_CHECKING:
    from pyoxigraph import Quad, RdfFormat

_COMMENTS: Final = r"(?:#[^\n]*\n|\s)*"
_TURTLE: Final = re.compile(
    _COMMENTS + r"(?:@prefix|@base|prefix\s|base\s|graph\s|<[^<>\s]*>|_:|\[|\(|\{|[\w.-]*:)", re.I
)
_LINE: Final = (
    _COMMENTS + r"(?:<[^<>\s]+>|_:\S+)[ \t]*<[^<>\s]+>[ \t]*"
    r'(?:<[^<>\s]+>|_:\S+|"(?:[^"\\\n]|\\.)*"(?:@[\w-]+|\^\^<[^<>\s]+>)?)[ \t]*'
)
_TRIPLE: Final = re.compile(_LINE + r"\.")
_QUAD: Final = re.compile(_LINE + r"(?:<[^<>\s]+>|_:\S+)[ \t]*\.")


def read_rdf(data: bytes, syntax: str, base: str | None) -> Document:
    """The document, in one of pyoxigraph's syntaxes. Raises DocumentError."""
    text = utf8_of(data)
    if syntax in ("TURTLE", "TRIG"):
        check_brackets(text)
    return Document(rdf=Graphs(text, getattr(oxigraph().RdfFormat, syntax), base))


def write_rdf(document: Document, sink: BinaryIO, syntax: str, named: bool = False) -> None:
    """Write the document's quads.

    Args:
        named: whether the syntax has named graphs.

    Raises:
        DocumentError: it has bundles and the syntax has no named graphs.
    """
    package = oxigraph()
    quads, prefixes = document.quads()
    if not named:
        quads = _only_default_graph(quads, getattr(package.RdfFormat, syntax))
    package.serialize(
        quads,
        sink,
        getattr(package.RdfFormat, syntax),
        prefixes={k: v for k, v in prefixes.items() if not k or legal_prefix(k)},
    )


def _only_default_graph(quads: Iterable[Quad], syntax: RdfFormat) -> Iterator[Any]:
    package = oxigraph()
    default = package.DefaultGraph()
    for quad in quads:
        if quad.graph_name != default:
            raise DocumentError(
                f"{syntax} has no named graphs, and the document has the bundle "
                f"{quad.graph_name}: TriG, N-Quads and JSON-LD have them"
            )
        yield quad.triple


def turtle_like(head: str) -> bool:
    """Whether a text may be Turtle or TriG: a declaration, a comment, or a first term."""
    return _TURTLE.match(head) is not None


def triples_like(head: str) -> bool:
    """Whether a text may be N-Triples: its first line is."""
    return _TRIPLE.match(head) is not None


def quads_like(head: str) -> bool:
    """Whether a text may be N-Quads: its first line names a graph."""
    return _QUAD.match(head) is not None

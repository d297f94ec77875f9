"""Read and write RDF in any syntax, as a stream of pyoxigraph quads."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from provml.errors import DocumentError
from provml.reading._document import Document
from provml.reading._graphs import Graphs, import_pyoxigraph
from provml.reading._names import is_legal_prefix
from provml.reading._source import check_brackets, convert_to_utf8

if TYPE_CHECKING:
    from pyoxigraph import Quad, RdfFormat

_COMMENTS: Final = r"(?:#[^\n]*\n|\s)*"
_TURTLE: Final = re.compile(
    _COMMENTS + r"(?:@prefix|@base|prefix\s|base\s|graph\s|<[^<>\s]*>|_:|\[|\(|\{|[\w.-]*:)", re.I
)
_TRIPLE_PARTS: Final = (
    _COMMENTS + r"(?:<[^<>\s]+>|_:\S+)[ \t]*<[^<>\s]+>[ \t]*"
    r'(?:<[^<>\s]+>|_:\S+|"(?:[^"\\\n]|\\.)*"(?:@[\w-]+|\^\^<[^<>\s]+>)?)[ \t]*'
)
_TRIPLE: Final = re.compile(_TRIPLE_PARTS + r"\.")
_QUAD: Final = re.compile(_TRIPLE_PARTS + r"(?:<[^<>\s]+>|_:\S+)[ \t]*\.")


def read_rdf(data: bytes, syntax: str, base: str | None) -> Document:
    """Read an RDF document. Raises DocumentError if it is invalid.

    Args:
        data: the document's bytes.
        syntax: the name of a member of pyoxigraph's ``RdfFormat``.
        base: the IRI against which relative IRIs are resolved.
    """
    text = convert_to_utf8(data)
    if syntax in ("TURTLE", "TRIG"):
        check_brackets(text)
    return Document(rdf=Graphs(text, getattr(import_pyoxigraph().RdfFormat, syntax), base))


def write_rdf(document: Document, sink: BinaryIO, syntax: str, named: bool = False) -> None:
    """Write a document's quads to a file, in an RDF syntax.

    Args:
        document: the document to write.
        sink: an open binary file.
        syntax: the name of a member of pyoxigraph's ``RdfFormat``.
        named: whether the syntax supports named graphs.

    Raises:
        DocumentError: PROV-O can't express a statement, or the document has bundles but the syntax
            does not support named graphs.
    """
    package = import_pyoxigraph()
    quads, prefixes = document.quads()
    if not named:
        quads = _only_default_graph(quads, getattr(package.RdfFormat, syntax))
    package.serialize(
        quads,
        sink,
        getattr(package.RdfFormat, syntax),
        prefixes={k: v for k, v in prefixes.items() if not k or is_legal_prefix(k)},
    )


def _only_default_graph(quads: Iterable[Quad], syntax: RdfFormat) -> Iterator[Any]:
    package = import_pyoxigraph()
    default = package.DefaultGraph()
    for quad in quads:
        if quad.graph_name != default:
            raise DocumentError(
                f"{syntax} can't represent the bundle {quad.graph_name}, because it does not "
                "support named graphs; use TriG, N-Quads or JSON-LD"
            )
        yield quad.triple


def looks_like_turtle(head: str) -> bool:
    """Return whether a text starts as Turtle or TriG does, with a declaration or an RDF term."""
    return _TURTLE.match(head) is not None


def looks_like_ntriples(head: str) -> bool:
    """Return whether a text starts as N-Triples does, with a triple."""
    return _TRIPLE.match(head) is not None


def looks_like_nquads(head: str) -> bool:
    """Return whether a text starts as N-Quads does, with a quad."""
    return _QUAD.match(head) is not None

"""Parse RDF in any syntax that pyoxigraph supports, and copy quads into an rdflib dataset.

Imports pyoxigraph and rdflib only when they are needed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final

from provml.errors import DocumentError, MissingExtraError
from provml.reading._engine import note_cut_times

if TYPE_CHECKING:
    from types import ModuleType

    from pyoxigraph import BlankNode, Quad, RdfFormat

_PARSER_PLACE: Final = re.compile(r"^Parser error (?:at |between )?")


def import_pyoxigraph() -> ModuleType:
    """Import pyoxigraph and return it. Raises MissingExtraError if it is not installed."""
    try:
        import pyoxigraph
    except ImportError:
        raise MissingExtraError("RDF", "pyoxigraph", "rdf") from None
    return pyoxigraph


class Graphs:
    """An RDF document, kept as bytes. Each call of `quads` parses the bytes again.

    Blank nodes are named b0, b1, ... in the order in which they appear, so equal input gives equal
    output. A `Graphs` object keeps the document's bytes in memory and, during parsing, the names of
    its blank nodes. The constructor raises DocumentError if the RDF is invalid.

    Attributes:
        prefixes: the prefixes that the document declares, with their IRIs.
        name: the name of the RDF syntax, for messages.
    """

    def __init__(self, data: bytes, syntax: RdfFormat, base: str | None) -> None:
        self._data, self._syntax, self._base = data, syntax, base
        self.prefixes: dict[str, str] = {}
        self.name = str(syntax)
        for _ in self.quads():  # find syntax errors before anything is written
            pass

    def losses(self) -> list[str]:
        """Return notes on the precision that is lost when the quads become PROV statements."""
        return note_cut_times(self._data)

    def quads(self) -> Iterator[Quad]:
        """Parse the document and yield its quads.

        Raises:
            DocumentError: the RDF is invalid or contains a triple term. For a syntax error, the
                message gives the line and column.
        """
        package = import_pyoxigraph()
        labels: dict[BlankNode, BlankNode] = {}
        quad_of, blank = package.Quad, package.BlankNode

        def labelled(term: Any) -> Any:
            if not isinstance(term, blank):
                return term
            found = labels.get(term)
            if found is None:
                found = labels[term] = blank(f"b{len(labels)}")
            return found

        try:
            parser = package.parse(self._data, format=self._syntax, base_iri=self._base)
            for quad in parser:
                subject, predicate, value, graph = quad
                if isinstance(value, package.Triple):
                    raise DocumentError(
                        f"{self.name}: the value of {predicate} for {subject} is a triple, "
                        "but triple terms are not supported"
                    )
                yield quad_of(labelled(subject), predicate, labelled(value), labelled(graph))
            self.prefixes = dict(parser.prefixes)
        except SyntaxError as error:
            raise DocumentError(f"{self.name}: {_syntax_message(error)}") from None
        except ValueError as error:
            raise DocumentError(f"{self.name}: {error}") from None


def _syntax_message(error: SyntaxError) -> str:
    message = _PARSER_PLACE.sub("", " ".join(str(error.msg).split()))
    if "No scheme found" in message:
        message += " (relative IRIs need a base: declare @base in the document, or pass a base)"
    return message


def to_rdflib(quads: Iterable[Quad], prefixes: dict[str, str]) -> Any:
    """Copy quads into a new rdflib Dataset that has exactly these prefixes.

    Raises:
        MissingExtraError: rdflib or pyoxigraph is not installed.
    """
    try:
        from rdflib import BNode, Dataset, Literal, URIRef
        from rdflib.graph import DATASET_DEFAULT_GRAPH_ID
        from rdflib.namespace import NamespaceManager
    except ImportError:
        raise MissingExtraError("an rdflib graph", "rdflib", "rdf") from None
    package = import_pyoxigraph()
    made = Dataset()
    made.namespace_manager = NamespaceManager(made, bind_namespaces="none")
    for prefix, iri in prefixes.items():
        made.bind(prefix, iri)

    def term(given: Any) -> Any:
        if isinstance(given, package.NamedNode):
            return URIRef(given.value)
        if isinstance(given, package.BlankNode):
            return BNode(given.value)
        if given.language:
            return Literal(given.value, lang=given.language)
        datatype = given.datatype.value
        if datatype == "http://www.w3.org/2001/XMLSchema#string":
            return Literal(given.value)
        return Literal(given.value, datatype=URIRef(datatype), normalize=False)

    graphs: dict[Any, Any] = {}
    for quad in quads:
        name = quad.graph_name
        graph = graphs.get(name)
        if graph is None:
            default = isinstance(name, package.DefaultGraph)
            graph = made.graph(DATASET_DEFAULT_GRAPH_ID if default else term(name))
            graphs[name] = graph
        graph.add((term(quad.subject), term(quad.predicate), term(quad.object)))
    return made

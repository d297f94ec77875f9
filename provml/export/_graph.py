"""Builds an ``rdflib`` graph of a run.

Imports rdflib and pyoxigraph only when they are needed.
"""

from __future__ import annotations

import tempfile
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from provml.errors import MissingExtraError
from provml.export import ntriples
from provml.export._rdf import rdf_prefixes
from provml.model.mapping import RunMapping

if TYPE_CHECKING:
    from rdflib import Graph

_TERMS_KEPT = 10_000


def rdflib_graph(mapping: RunMapping) -> Graph:
    """Build an ``rdflib`` graph of a run's triples. Literals keep every digit.

    This function avoids the parsers of rdflib, because they normalise literals: they would, for
    example, truncate times to microseconds.

    Raises:
        MissingExtraError: rdflib or pyoxigraph is not installed.
    """
    try:
        import pyoxigraph
        import rdflib
    except ImportError as error:
        raise MissingExtraError("an RDF graph", str(error.name), "rdf") from None

    @lru_cache(_TERMS_KEPT)
    def term(node: Any) -> Any:
        if isinstance(node, pyoxigraph.NamedNode):
            return rdflib.URIRef(node.value)
        if isinstance(node, pyoxigraph.BlankNode):
            return rdflib.BNode(node.value)
        datatype = rdflib.URIRef(node.datatype.value)
        if datatype == rdflib.XSD.string:
            return rdflib.Literal(node.value)
        return rdflib.Literal(node.value, datatype=datatype, normalize=False)

    graph = rdflib.Graph(bind_namespaces="none")
    for prefix, iri in rdf_prefixes(mapping.prefixes()).items():
        graph.bind(prefix, iri)
    with tempfile.TemporaryFile(prefix="provml-") as file:
        ntriples.write(mapping, file)
        file.seek(0)
        for quad in pyoxigraph.parse(file, format=pyoxigraph.RdfFormat.N_TRIPLES):
            graph.add((term(quad.subject), term(quad.predicate), term(quad.object)))
    return graph

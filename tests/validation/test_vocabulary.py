"""The vocabulary defines exactly the terms that provml writes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import rdflib
from rdflib import OWL, PROV, RDF, RDFS, XSD
from rdflib.collection import Collection

import provml
from provml.base.schema_files import read_schema, schema_folder
from provml.model.vocabulary import PROVML

TERM = rdflib.Namespace(PROVML)
ONTOLOGY = rdflib.URIRef(PROVML.rstrip("#"))
INTEGERS = (XSD.int, XSD.long, XSD.integer)

Graphs = list[rdflib.Graph]


def shipped(name: str) -> str:
    """A schema file of the installed package."""
    return read_schema(name).decode()


@pytest.fixture(scope="module")
def vocabulary() -> rdflib.Graph:
    """The vocabulary."""
    return rdflib.Graph().parse(data=shipped("provml.ttl"), format="turtle")


@pytest.fixture(scope="module")
def graphs(everything: provml.RecordedRun, graph_of: Callable[..., rdflib.Graph]) -> Graphs:
    """The documents of a run with everything."""
    return [graph_of(everything, detail) for detail in ("sample", "series")]


def terms(graph: rdflib.Graph) -> set[str]:
    """The provml terms in a graph: classes, properties, objects and datatypes."""
    used = set()
    for triple in graph:
        for node in triple:
            iri = node.datatype if isinstance(node, rdflib.Literal) else node
            if iri is not None and str(iri).startswith(PROVML):
                used.add(str(iri).removeprefix(PROVML))
    return used


def defined(vocabulary: rdflib.Graph) -> set[str]:
    """The terms that the vocabulary defines, without those of early versions."""
    subjects = set(vocabulary.subjects(RDFS.isDefinedBy, ONTOLOGY))
    subjects -= set(vocabulary.subjects(OWL.deprecated, rdflib.Literal(True)))
    return {str(subject).removeprefix(PROVML) for subject in subjects}


def test_every_term_written_is_defined_and_every_term_defined_is_written(
    vocabulary: rdflib.Graph, graphs: Graphs
) -> None:
    """A reader would meet an undefined term, or look for one that is never used."""
    pytest.importorskip("torch", reason="torch is not installed: its terms are not written")
    written = set().union(*(terms(graph) for graph in graphs))
    assert written - defined(vocabulary) == set()
    assert defined(vocabulary) - written == set()


def test_a_term_is_explained(vocabulary: rdflib.Graph) -> None:
    """A term would lack a label, a comment, a type or a parent in PROV."""
    for term in defined(vocabulary):
        kinds = set(vocabulary.objects(TERM[term], RDF.type))
        assert len(kinds) == 1 and kinds <= {OWL.Class, OWL.DatatypeProperty, RDFS.Datatype}, term
        assert len(set(vocabulary.objects(TERM[term], RDFS.label))) == 1, term
        assert len(set(vocabulary.objects(TERM[term], RDFS.comment))) == 1, term
        if kinds == {OWL.Class}:
            assert any(str(c).startswith(str(PROV)) for c in superclasses(vocabulary, TERM[term]))
        elif kinds == {OWL.DatatypeProperty}:
            comment = str(vocabulary.value(TERM[term], RDFS.comment))
            for what, word in ((RDFS.domain, "no domain"), (RDFS.range, "no range")):
                said = vocabulary.value(TERM[term], what) is not None
                assert said != (word in comment), (term, word)


def superclasses(vocabulary: rdflib.Graph, name: Any) -> set[Any]:
    """A class and all its superclasses."""
    return set(vocabulary.transitive_objects(name, RDFS.subClassOf))


def test_a_property_is_written_of_its_domain_with_values_of_its_range(
    vocabulary: rdflib.Graph, graphs: Graphs
) -> None:
    """The vocabulary would be wrong about a term."""
    pytest.importorskip("torch", reason="torch is not installed: its terms are not written")
    domains: dict[Any, set[Any]] = {}
    for graph in graphs:
        for subject, term, value in graph:
            if not str(term).startswith(PROVML):
                continue
            types = {
                c for t in graph.objects(subject, RDF.type) for c in superclasses(vocabulary, t)
            }
            domain = vocabulary.value(term, RDFS.domain)
            if domain is not None:
                union = vocabulary.value(domain, OWL.unionOf)
                allowed = {domain} if union is None else set(Collection(vocabulary, union))
                assert types & allowed, (subject, term)
                domains.setdefault(term, set()).update(types & allowed)
            assert in_range(vocabulary, term, value), (subject, term, value)
    for term in vocabulary.subjects(RDF.type, OWL.DatatypeProperty):
        domain = vocabulary.value(term, RDFS.domain)
        if isinstance(domain, rdflib.URIRef):
            assert domains[term] == {domain}


def in_range(vocabulary: rdflib.Graph, term: Any, value: Any) -> bool:
    """Whether a value is in a property's range."""
    range_ = vocabulary.value(term, RDFS.range)
    if not isinstance(value, rdflib.Literal):
        return False
    if range_ is None:
        return True
    choice = vocabulary.value(range_, OWL.oneOf)
    if choice is not None:
        return value in list(Collection(vocabulary, choice))
    own = value.datatype or XSD.string
    if vocabulary.value(range_, OWL.onDatatype) == XSD.string:
        return own == XSD.string and len(value) == 64
    if range_ == XSD.nonNegativeInteger:
        return own in INTEGERS and int(value) >= 0
    return own in INTEGERS if range_ == XSD.integer else own == range_


@pytest.mark.filterwarnings("ignore:ConjunctiveGraph is deprecated")  # rdflib's own
def test_the_json_ld_context_has_every_term(vocabulary: rdflib.Graph) -> None:
    """JSON-LD with the context would lose a term, or read a value with the wrong datatype."""
    context = json.loads(shipped("provml.context.jsonld"))["@context"]
    for term in defined(vocabulary) - {"decimal"}:
        entry = context[term]
        iri, datatype = (entry, None) if isinstance(entry, str) else (entry["@id"], entry["@type"])
        assert iri == f"provml:{term}"
        range_ = vocabulary.value(TERM[term], RDFS.range)
        typed = {XSD.dateTime: "xsd:dateTime", XSD.anyURI: "xsd:anyURI", RDF.JSON: "rdf:JSON"}
        assert datatype == typed.get(range_), term  # type: ignore[call-overload]
    document = {
        "@context": context,
        "@id": "urn:x:run",
        "@type": ["Activity", "Run"],
        "status": "finished",
        "startedAt": "2026-01-01T00:00:00Z",
        "arguments": "[1]",
        "qualifiedUsage": {"@type": "Usage", "entity": "urn:x:data"},
        "wasInformedBy": "urn:x:other",
    }
    graph = rdflib.Graph().parse(data=json.dumps(document), format="json-ld")
    run = rdflib.URIRef("urn:x:run")
    assert set(graph.objects(run, RDF.type)) == {PROV.Activity, TERM.Run}
    assert graph.value(run, TERM.status) == rdflib.Literal("finished")
    assert graph.value(run, TERM.startedAt).datatype == XSD.dateTime  # type: ignore[union-attr]
    assert graph.value(run, TERM.arguments) == rdflib.Literal("[1]", datatype=RDF.JSON)
    assert graph.value(run, PROV.wasInformedBy) == rdflib.URIRef("urn:x:other")
    usage = graph.value(run, PROV.qualifiedUsage)
    assert graph.value(usage, PROV.entity) == rdflib.URIRef("urn:x:data")


def test_every_file_of_the_schemas_is_in_their_table() -> None:
    """A file would ship without documentation."""
    table = shipped("README.md")
    folder = schema_folder()
    names = {Path(str(file)).name for file in folder.iterdir()} - {"README.md"}
    assert [name for name in names if f"| `{name}` |" not in table] == []

"""Every format says the same: the prov library reads equal documents, RDF parsers equal triples."""

from __future__ import annotations

import ast
import io
import json
import re
import shutil
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyoxigraph
import pytest
import rdflib
from hypothesis import HealthCheck, given, settings
from plans import RUNS, record
from prov.model import ProvDocument

import provml
from provml.base.format_names import format_names
from provml.export import (
    export_bundles,
    find_format,
    ntriples,
)
from provml.journal.reader import Journal
from provml.model.mapping import RunMapping
from provml.model.vocabulary import RDF

Comparable = Callable[[ProvDocument], Counter[Any]]

READERS: dict[str, tuple[str, dict[str, str]]] = {
    "provjson": ("json", {}),
    "provjsonld": ("jsonld", {}),
    "provn": ("provn", {}),
    "provxml": ("xml", {}),
    "ntriples": ("rdf", {"rdf_format": "nt"}),
    "nquads": ("rdf", {"rdf_format": "nquads"}),
    "turtle": ("rdf", {"rdf_format": "turtle"}),
    "trig": ("rdf", {"rdf_format": "trig"}),
    "jsonld": ("rdf", {"rdf_format": "json-ld"}),
}
"""What reads each form in the prov library."""

SYNTAXES = {
    "ntriples": pyoxigraph.RdfFormat.N_TRIPLES,
    "nquads": pyoxigraph.RdfFormat.N_QUADS,
    "turtle": pyoxigraph.RdfFormat.TURTLE,
    "trig": pyoxigraph.RdfFormat.TRIG,
    "jsonld": pyoxigraph.RdfFormat.JSON_LD,
}

GRAPHS = {"cytoscape-json", "dot", "gexf", "graphml", "html", "pdf", "png", "svg"}
"""Forms that state no PROV document: `test_graphs` and `tests/page` read them."""

SAMPLES = {"jsonl"}
"""Forms that hold samples alone: `test_jsonl` reads them."""

BUNDLED = [name for name in READERS if find_format(name).holds_several_runs]


def read(form: str, content: bytes) -> ProvDocument:
    """Read a document with the prov library."""
    reader, options = READERS[form]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a warning of rdflib's own parsers
        return ProvDocument.deserialize(content=content.decode(), format=reader, **options)


def written(recorded: provml.RecordedRun, form: str, detail: str) -> bytes:
    """Write the document."""
    sink = io.BytesIO()
    recorded.export(form, sink, detail)
    return sink.getvalue()


def quads(form: str, content: bytes) -> tuple[set[Any], int]:
    """Return the quads that pyoxigraph finds, and the number that rdflib finds."""
    dataset = rdflib.Dataset()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset.parse(data=content, format=READERS[form][1]["rdf_format"])
    number = sum(1 for _ in dataset.quads())  # its length counts triples that graphs share once
    return set(pyoxigraph.parse(content, format=SYNTAXES[form])), number


def canonical(found: set[Any]) -> pyoxigraph.Dataset:
    """Name the blank nodes of quads by their properties."""
    dataset = pyoxigraph.Dataset(found)
    dataset.canonicalize(pyoxigraph.CanonicalizationAlgorithm.UNSTABLE)
    return dataset


def test_every_prov_form_is_read_back() -> None:
    """A format could be added that no test reads back."""
    assert set(READERS) | GRAPHS | SAMPLES == set(format_names())
    assert {name for name in format_names() if find_format(name).samples_only} == SAMPLES


def in_xml(records: Counter[Any]) -> Counter[Any]:
    """Return comparable records as PROV-XML carries them; see the page of known losses."""
    not_xml = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

    def carried(attribute: tuple[str, str, str]) -> tuple[str, str, str]:
        name, kind, text = attribute
        value = ast.literal_eval(text) if kind in ("str", "Literal") else None
        if kind == "str" and not_xml.search(value):
            if name.endswith("#label"):
                return name, kind, repr(not_xml.sub("\ufffd", value))
            return name, "Literal", repr((json.dumps(value), f"{RDF}JSON", None))
        return attribute

    return Counter(
        {(kind, name, frozenset(map(carried, a))): n for (kind, name, a), n in records.items()}
    )


@pytest.mark.slow
@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(plan=RUNS)
def test_every_form_reads_as_the_same_document(
    plan: dict[str, Any], comparable: Comparable
) -> None:
    """A statement, value or name would be lost or changed in a format."""
    with tempfile.TemporaryDirectory() as store:
        recorded = record(store, plan)
        for detail in ("sample", "series"):
            expected = comparable(read("provjson", written(recorded, "provjson", detail)))
            for form in READERS:
                wanted = in_xml(expected) if form == "provxml" else expected
                assert comparable(read(form, written(recorded, form, detail))) == wanted, form


@pytest.mark.slow
@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(plan=RUNS)
def test_rdf_parsers_find_the_same_triples(plan: dict[str, Any]) -> None:
    """An RDF store would miss triples, or find different ones in another syntax."""
    with tempfile.TemporaryDirectory() as store:
        recorded = record(store, plan)
        for detail in ("sample", "series"):
            expected = None
            for form in SYNTAXES:
                found, number = quads(form, written(recorded, form, detail))
                assert len(found) == number, form
                expected = expected or canonical(found)
                assert canonical(found) == expected, form
            graph = recorded.to_rdflib(detail)
            assert len(graph) == number


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three runs of two experiments in two namespaces."""
    store, folders = tmp_path_factory.mktemp("store"), []
    for number, namespace in enumerate((None, None, "https://example.org/lab#")):
        options = {"store": store, "formats": (), "owner": "ada", "namespace": namespace}
        with provml.start_run(f"digits {number % 2}", **options) as run:
            for step in range(3):
                run.log_metric("loss", 1 / (step + 1), "training", step)
            run.log_model("m", {"w": number}, context="training", step=2)
        folders.append(run.path)
    return folders


@pytest.mark.parametrize("form", BUNDLED)
def test_several_runs_are_bundles_of_one_document(
    several: list[Path], form: str, comparable: Comparable
) -> None:
    """Runs written together would be mixed, or differ from the same runs written alone."""
    sink = io.BytesIO()
    export_bundles(several, form, sink)
    document = read(form, sink.getvalue())
    bundles = {bundle.identifier.uri: comparable(bundle) for bundle in document.bundles}
    alone = {}
    for folder in several:
        recorded = provml.load(folder)
        base = RunMapping(Journal(folder)).prefixes()["run"]
        alone[f"{base}bundle"] = comparable(read(form, written(recorded, form, "sample")))
    assert bundles == alone
    assert {record.identifier.uri for record in document.get_records()} == set(alone)
    if form in SYNTAXES:
        found, number = quads(form, sink.getvalue())
        assert len(found) == number
        graphs = {getattr(quad.graph_name, "value", "") for quad in found}
        assert graphs == {"", *alone}


@pytest.mark.parametrize("form", sorted(set(READERS) - set(BUNDLED)))
def test_a_form_without_bundles_refuses_several_runs(several: list[Path], form: str) -> None:
    """Several runs would merge into one graph that does not say which run states what."""
    sink = io.BytesIO()
    with pytest.raises(provml.ExportError, match=f"{form} supports only one run; .*trig"):
        export_bundles(several, form, sink)
    assert sink.getvalue() == b""


def test_two_runs_of_one_name_are_refused(several: list[Path], tmp_path: Path) -> None:
    """A run and a changed copy of it would become one bundle."""
    copied = tmp_path / several[0].name
    shutil.copytree(several[0], copied)
    with pytest.raises(provml.ExportError, match="both named urn:provml:"):
        export_bundles([several[0], copied], "trig", tmp_path / "out.trig")
    assert not (tmp_path / "out.trig").exists()


def test_queries_get_the_entailed_triples(several: list[Path]) -> None:
    """A query for the generation of a metric would have to use the qualified form."""
    sink = io.BytesIO()
    ntriples.write(RunMapping(Journal(several[0])), sink, entailed=True)
    store = pyoxigraph.Store()
    store.load(sink.getvalue(), format=pyoxigraph.RdfFormat.N_TRIPLES)
    prefixes = "PREFIX prov: <http://www.w3.org/ns/prov#> PREFIX : <https://w3id.org/provml/ns#> "
    plain = "SELECT ?m ?s { ?m a :Metric ; prov:wasGeneratedBy ?s . ?s a :Step }"
    qualified = "SELECT ?m ?s { ?m a :Metric ; prov:qualifiedGeneration/prov:activity ?s }"
    answers = [set(map(str, store.query(prefixes + query))) for query in (plain, qualified)]
    assert len(answers[0]) == 3
    assert answers[0] == answers[1]

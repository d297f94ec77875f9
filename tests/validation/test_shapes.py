"""The shapes accept what provml writes, and refuse documents that break a rule."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import rdflib
from rdflib import PROV, RDF, RDFS, XSD, Literal
from rdflib.namespace import SH

import provml
from provml.base.schema_files import read_schema
from provml.model.vocabulary import PROVML
from provml.validation.shapes import find_shape_violations, load_shapes

TERM = rdflib.Namespace(PROVML)
SHAPE = rdflib.Namespace("https://w3id.org/provml/shapes#")
LATE = Literal("2999-01-01T00:00:00Z", datatype=XSD.dateTime)

Graph = rdflib.Graph
Breaking = Callable[[Graph], Any]
REPORTING = sorted(str(shape).removeprefix(SHAPE) for shape in load_shapes().subjects(SH.message))


def one(graph: Graph, name: str) -> Any:
    """One node of a class."""
    return sorted(graph.subjects(RDF.type, TERM[name]))[-1]


def without(name: str, term: Any) -> Breaking:
    """Remove a property from a node of a class."""
    return lambda graph: graph.remove((one(graph, name), term, None))


def with_two(name: str, term: Any, value: Any) -> Breaking:
    """Add a second value to a property of a node of a class."""
    return lambda graph: graph.add((one(graph, name), term, Literal(value)))


def having(name: str, term: Any, value: Any) -> Breaking:
    """Change a property of a node of a class."""
    return lambda graph: graph.set((one(graph, name), term, Literal(value)))


def unnamed_by(name: str, term: Any) -> Breaking:
    """Remove all triples that refer to a node of a class by a property."""
    return lambda graph: graph.remove((None, term, one(graph, name)))


def not_a(name: str, kind: Any) -> Breaking:
    """Remove one of the other classes from a node of a class."""
    return lambda graph: graph.remove((one(graph, name), RDF.type, kind))


def generated_without(name: str, term: Any) -> Breaking:
    """Remove a property from the generation of a node of a class."""

    def broken(graph: Graph) -> None:
        graph.remove((graph.value(one(graph, name), PROV.qualifiedGeneration), term, None))

    return broken


def _unassociated(name: str) -> Breaking:
    def broken(graph: Graph) -> None:
        graph.remove((one(graph, name), PROV.wasAssociatedWith, None))
        graph.remove((one(graph, name), PROV.qualifiedAssociation, None))

    return broken


def _started_by_a_model(graph: Graph) -> None:
    start = graph.value(one(graph, "Alert"), PROV.qualifiedStart)
    graph.set((start, PROV.entity, one(graph, "Model")))


def _uncounted(graph: Graph) -> None:
    graph.remove((one(graph, "FlopsCounting"), PROV.wasAssociatedWith, None))
    graph.remove((one(graph, "FlopsCounting"), PROV.qualifiedAssociation, None))


def _too_high_a_minimum(graph: Graph) -> None:
    # the maximum may also be infinite, or belong to something that is no series
    series = next(
        node
        for node in graph.subjects(RDF.type, TERM.Series)
        for highest in graph.objects(node, TERM["max"])
        if float(highest) < 10**30
    )
    graph.set((series, TERM["min"], Literal(10**30)))


BROKEN: dict[str, Breaking] = {
    "alias": having("Context", TERM.alias, 7),
    "name": with_two("Metric", TERM.name, "another"),
    "label": without("Model", RDFS.label),
    "sample-value": with_two("Metric", PROV.value, 7),
    "unit": having("Metric", TERM.unit, 7),
    "setting-value": without("Parameter", PROV.value),
    "sample-series": unnamed_by("Metric", PROV.hadMember),
    "generation": without("Metric", PROV.qualifiedGeneration),
    "generation-activity": generated_without("Model", PROV.activity),
    "generation-time": generated_without("Metric", PROV.atTime),
    "reading-activity": generated_without("SystemReading", PROV.activity),
    "sampling-place": without("Sampling", PROV.wasInformedBy),
    "sampling-agent": _unassociated("Sampling"),
    "settings-value": with_two("Settings", PROV.value, "{}"),
    "device-index": having("Device", TERM["index"], "first"),
    "alert-observed": without("Alert", TERM.observed),
    "alert-threshold": having("Alert", TERM.threshold, 1e9),
    "alert-severity": having("Alert", TERM.severity, "grave"),
    "alert-agent": _unassociated("Alert"),
    "alert-trigger": _started_by_a_model,
    "series-count": having("Series", TERM["count"], -1),
    "series-min": _too_high_a_minimum,
    "series-max": with_two("Series", TERM["max"], 10**6),
    "series-extremes": without("Series", TERM["min"]),
    "series-rank": having("Series", TERM.rank, "one"),
    "series-first": having("Series", TERM.firstTime, "today"),
    "series-last-time": having("Series", TERM.lastTime, "today"),
    "series-order": having("Series", TERM.firstTime, LATE),
    "series-place": without("Series", PROV.wasGeneratedBy),
    "series-samples": without("Series", PROV.hadMember),
    "in-results": unnamed_by("Model", PROV.hadMember),
    "file-path": without("SamplesFile", TERM.path),
    "file-digest": without("SamplesFile", TERM.sha256),
    "file-size": without("SamplesFile", TERM["size"]),
    "file-run": without("SamplesFile", PROV.wasGeneratedBy),
    "file-series": unnamed_by("SamplesFile", PROV.wasDerivedFrom),
    "start": without("Step", PROV.startedAtTime),
    "end": without("Event", PROV.endedAtTime),
    "order": having("Step", PROV.startedAtTime, LATE),
    "step-number": without("Step", TERM.step),
    "step-epoch": having("Step", TERM.epoch, -1),
    "epoch-number": without("Epoch", TERM.epoch),
    "step-place": without("Step", PROV.wasInformedBy),
    "context-place": without("Context", PROV.wasInformedBy),
    "event-place": without("Event", PROV.wasInformedBy),
    "is-event": not_a("Span", TERM.Event),
    "span-start": without("Span", TERM.startEvent),
    "span-end": without("Span", TERM.endEvent),
    "loss-count": having("Loss", TERM["count"], 0),
    "run-id": without("Run", TERM.runId),
    "run-experiment": without("Run", TERM.experiment),
    "run-status": having("Run", TERM.status, "done"),
    "run-detail": having("Run", TERM.detail, "some"),
    "run-started": without("Run", TERM.startedAt),
    "run-ended": having("Run", TERM.endedAt, "today"),
    "end-once": with_two("Run", PROV.endedAtTime, LATE),
    "run-end": without("Run", PROV.endedAtTime),
    "run-agent": _unassociated("Run"),
    "experiment-results": without("Experiment", PROV.hadMember),
    "results-run": without("Results", PROV.wasGeneratedBy),
    "results-experiment": unnamed_by("Results", PROV.hadMember),
    "is-collection": not_a("Series", PROV.Collection),
    "content-kind": having("Model", TERM.kind, "thing"),
    "input-role": with_two("Input", TERM.role, "another"),
    "digest": without("Artifact", TERM.sha256),
    "sha256": having("Model", TERM.sha256, "abc"),
    "size": having("Model", TERM["size"], -1),
    "used": unnamed_by("Parameter", PROV.entity),
    "is-plan": not_a("Script", PROV.Plan),
    "diff-source": without("Diff", PROV.wasDerivedFrom),
    "environment-python": without("Environment", TERM.python),
    "environment-packages": without("Environment", TERM.packages),
    "flops-activity": generated_without("Flops", PROV.activity),
    "flops-place": without("FlopsCounting", PROV.wasInformedBy),
    "flops-workload": without("FlopsCounting", PROV.used),
    "flops-agent": _uncounted,
    "workload-value": having("Workload", PROV.value, -1),
    "workload-extent": having("Workload", TERM.extent, "year"),
    "workload-passes": without("Workload", TERM.passes),
    "workload-agent": without("Workload", PROV.wasAttributedTo),
    "window-place": without("Window", PROV.wasGeneratedBy),
    "window-use": unnamed_by("Window", PROV.entity),
    "summarising-place": without("Summarising", PROV.wasInformedBy),
    "summarising-window": without("Summarising", PROV.qualifiedUsage),
    "summarising-agent": _unassociated("Summarising"),
    "environment-variables": having("Environment", TERM.variables, "{}"),
}


@pytest.fixture(scope="module")
def written(everything: provml.RecordedRun, graph_of: Callable[..., Graph]) -> dict[str, Graph]:
    """A run with everything, as RDF at each detail."""
    return {detail: graph_of(everything, detail) for detail in ("sample", "series")}


@pytest.mark.parametrize("detail", ["sample", "series"])
def test_what_is_written_passes(written: dict[str, Graph], detail: str) -> None:
    """A document of our own would be called wrong."""
    assert list(find_shape_violations([written[detail]])) == []


def test_what_is_entailed_is_no_second_statement(everything: provml.RecordedRun) -> None:
    """Entailed triples, which queries need, would double each generation."""
    import io

    from provml.export import ntriples
    from provml.journal.reader import Journal
    from provml.model.mapping import RunMapping

    sink = io.BytesIO()
    ntriples.write(RunMapping(Journal(everything.path)), sink, entailed=True)
    graph = Graph().parse(data=sink.getvalue(), format="nt11")
    assert (one(graph, "Metric"), PROV.wasGeneratedBy, None) in graph
    assert list(find_shape_violations([graph])) == []


@pytest.mark.parametrize("status", ["running", "crashed", "empty"])
def test_a_run_in_any_state_passes(store: Any, graph_of: Callable[..., Graph], status: str) -> None:
    """A running, crashed or empty run would be called invalid."""
    run = provml.start_run("e", store=store, formats=())
    if status != "empty":
        run.log_metric("loss", float("nan"), "training", 0)
    if status == "crashed":
        run._writer.close(None, "crashed")
    elif status == "empty":
        run.end_run()
    for detail in ("sample", "series"):
        graph = graph_of(provml.load(run.path), detail)
        assert graph.value(one(graph, "Run"), TERM.status) is not None
        assert list(find_shape_violations([graph])) == []


@pytest.mark.parametrize("shape", REPORTING)
def test_every_shape_refuses_what_breaks_it(written: dict[str, Graph], shape: str) -> None:
    """A shape would have no effect, or its finding would not name it."""
    original = written["series" if shape.startswith("file-") else "sample"]
    graph = Graph()
    graph += original
    BROKEN[shape](graph)
    assert set(graph) != set(original)
    found = list(find_shape_violations([graph]))
    assert shape in {finding.rule.removeprefix(SHAPE) for finding in found}, found
    for finding in found:
        assert finding.message.startswith(
            str(load_shapes().value(rdflib.URIRef(finding.rule), SH.message))
        )
        assert len(finding.text().splitlines()) == 1


def test_every_shape_has_a_breaking_case_of_its_own() -> None:
    """A test case would belong to a shape that is gone."""
    assert sorted(BROKEN) == REPORTING


def test_shapes_have_names_in_their_namespace() -> None:
    """A finding would name a blank node, or have no message."""
    shapes = load_shapes()
    used = set(shapes.subjects(RDF.type, SH.NodeShape)) | set(
        shapes.subjects(RDF.type, SH.PropertyShape)
    )
    assert all(isinstance(shape, rdflib.URIRef) and shape in SHAPE for shape in used)
    for term in (SH.property, SH.node):
        assert set(shapes.objects(None, term)) <= used
    for shape in REPORTING:
        assert len(set(shapes.objects(SHAPE[shape], SH.name))) == 1
        assert len(set(shapes.objects(SHAPE[shape], SH.message))) == 1
    # what is reported by itself: the properties of what has a target, and what has one
    for target in shapes.subjects(SH.targetClass):
        parts = set(shapes.objects(target, SH.property))
        reported = parts or {target}
        assert {str(shape).removeprefix(SHAPE) for shape in reported} <= set(REPORTING), target


def test_every_class_of_the_vocabulary_has_a_shape() -> None:
    """Nodes of a class would be unchecked."""
    text = read_schema("provml.ttl")
    vocabulary = Graph().parse(data=text, format="turtle")
    classes = set(vocabulary.subjects(RDF.type, rdflib.OWL.Class))
    ours = {c for c in classes if isinstance(c, rdflib.URIRef)}
    assert set(load_shapes().objects(None, SH.targetClass)) == ours


def test_the_shapes_are_shacl() -> None:
    """Other engines would refuse the shapes, or ignore a misspelled part."""
    from pyshacl import validate as conforms

    assert conforms(Graph(), shacl_graph=load_shapes(), meta_shacl=True, inference="none")[0]
    used = {term for triple in load_shapes() for term in triple if str(term).startswith(str(SH))}
    assert [term for term in used if term not in SH] == []  # rdflib knows SHACL's own terms

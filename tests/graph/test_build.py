"""A run as a networkx graph says what its PROV-JSON says."""

from __future__ import annotations

import io
import json
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from plans import RUNS, record

import provml
from provml.graph.build import runs_graph
from provml.journal.reader import Journal
from provml.model.bundles import RunBundles
from provml.model.mapping import RunMapping

ENDS = {
    "wasGeneratedBy": ("prov:entity", "prov:activity"),
    "used": ("prov:activity", "prov:entity"),
    "wasInformedBy": ("prov:informed", "prov:informant"),
    "wasDerivedFrom": ("prov:generatedEntity", "prov:usedEntity"),
    "wasAttributedTo": ("prov:entity", "prov:agent"),
    "wasAssociatedWith": ("prov:activity", "prov:agent"),
    "actedOnBehalfOf": ("prov:delegate", "prov:responsible"),
    "alternateOf": ("prov:alternate1", "prov:alternate2"),
    "hadMember": ("prov:collection", "prov:entity"),
}
"""PROV-DM: the relations' first two arguments, from the later to the earlier."""


def document(recorded: provml.RecordedRun, detail: str) -> dict[str, Any]:
    """The run's PROV-JSON."""
    sink = io.BytesIO()
    recorded.export("provjson", sink, detail)
    content: dict[str, Any] = json.loads(sink.getvalue())
    return content


def stated(content: dict[str, Any]) -> tuple[dict[str, str], Counter[Any]]:
    """Return the nodes with their kinds, and the edges, that PROV-JSON states."""

    def iri(name: str) -> str:
        prefix, _, local = name.partition(":")
        return str(content["prefix"][prefix]) + local

    kinds = ("entity", "activity", "agent")
    nodes = {iri(name): kind for kind in kinds for name in content.get(kind, {})}
    edges: Counter[Any] = Counter()
    for relation, (source, goal) in ENDS.items():
        for body in content.get(relation, {}).values():
            edges[iri(body[source]), iri(body[goal]), relation] += 1
            if "prov:plan" in body:
                edges[iri(body[source]), iri(body["prov:plan"]), "hadPlan"] += 1
    return nodes, edges


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(plan=RUNS)
def test_a_graph_states_what_prov_json_states(plan: dict[str, Any]) -> None:
    """A node or edge would be missing, have another kind, or point the other way."""
    with tempfile.TemporaryDirectory() as store:
        recorded = record(store, plan)
        for detail in ("sample", "series"):
            nodes, edges = stated(document(recorded, detail))
            graph = recorded.to_networkx(detail)
            assert dict(graph.nodes(data="kind")) == nodes
            found = Counter((u, v, r) for u, v, r in graph.edges(data="relation"))
            assert found == edges


@pytest.fixture
def recorded(store: Path) -> provml.RecordedRun:
    """A run with values of several types."""
    with provml.start_run("digits", store=store, formats=(), owner="ada") as run:
        run.log_params({"lr": 0.1, "n": 2**70, "layers": [64, 10], "fast": True})
        run.log_param("lr", 0.2)
        run.log_param("lr", 0.2)
        run.log_dataset("digits.npy", np.arange(4), context="training")
        for step in range(6):
            run.log_metric("loss", 1 / (step + 1), "training", step, epoch=step // 3)
        run.log_metric("count", 3, "training", 0, epoch=0)
        run.log_metric("note", "fine")
        run.log_model("net", {"w": 1.0}, context="training", step=5)
    return provml.load(run.path)


def test_values_are_of_their_types(recorded: provml.RecordedRun) -> None:
    """A number, list, text or time would have another type, or be rounded."""
    graph = recorded.to_networkx("sample")
    (base,) = (iri.removesuffix("run") for iri in graph if iri.endswith("/run"))
    values = {"lr": 0.1, "lr/2": 0.2, "n": 2**70, "layers": [64, 10], "fast": True}
    for name, value in values.items():
        found = graph.nodes[f"{base}param/{name}"]["prov:value"]
        assert (type(found), found) == (type(value), value)
    sample = graph.nodes[f"{base}metric/training/loss/2"]
    assert sample["kind"] == "entity"
    assert sample["name"] == "run:metric/training/loss/2"
    assert sample["label"] == "loss"
    assert sample["types"] == ("provml:Metric",)
    assert (type(sample["prov:value"]), sample["prov:value"]) == (float, 1 / 3)
    assert graph.nodes[f"{base}metric/training/count/0"]["prov:value"] == 3
    assert graph.nodes[f"{base}metric/note/0"]["prov:value"] == "fine"
    arrays = recorded.series("loss", "training")
    made = graph.edges[
        f"{base}metric/training/loss/2", f"{base}step/training/0.2", "wasGeneratedBy"
    ]
    assert made["time_ns"] == arrays.time_ns[2]
    step = graph.nodes[f"{base}step/training/0.2"]
    assert (step["kind"], step["label"]) == ("activity", "step/training/0.2")
    assert (step["provml:step"], step["provml:epoch"]) == (2, 0)
    assert step["start_ns"] == step["end_ns"] == arrays.time_ns[2]
    series = graph.nodes[f"{base}series/training/loss"]
    assert series["types"] == ("prov:Collection", "provml:Series")
    assert series["provml:lastTime"] == np.datetime64(int(arrays.time_ns[-1]), "ns")
    assert series["provml:count"] == 6
    times = [data["time_ns"] for *_, data in graph.edges(data=True) if "time_ns" in data]
    times += [
        data[name]
        for _, data in graph.nodes(data=True)
        for name in ("start_ns", "end_ns")
        if name in data
    ]
    assert {type(time_ns) for time_ns in times} == {int}


def test_the_plan_is_an_attribute_and_a_node(recorded: provml.RecordedRun) -> None:
    """The script that a run followed could not be reached from the run."""
    graph = recorded.to_networkx()
    ((run, script),) = [(u, v) for u, v, r in graph.edges(data="relation") if r == "hadPlan"]
    (person,) = [node for node in graph if node.endswith("person/ada")]
    assert graph.nodes[run]["types"] == ("provml:Run",)
    assert "prov:Plan" in graph.nodes[script]["types"]
    assert graph.edges[run, person, "wasAssociatedWith"]["plan"] == script
    assert graph.edges[run, script, "hadPlan"]["agent"] == person


def test_what_is_stated_twice_is_two_edges(recorded: provml.RecordedRun) -> None:
    """The second use of a parameter would replace the first."""
    graph = recorded.to_networkx()
    (param,) = [node for node in graph if node.endswith("param/lr/2")]
    (run,) = [u for u, _, key in graph.in_edges(param, keys=True) if key == "used"]
    assert set(graph[run][param]) == {"used", "used/2"}
    times = [graph[run][param][key]["time_ns"] for key in ("used", "used/2")]
    assert times == sorted(times)
    assert {data["relation"] for data in graph[run][param].values()} == {"used"}


def test_several_runs_are_one_graph(store: Path) -> None:
    """Runs of one person would share no node, or nodes of different runs would be mixed."""
    folders = []
    for _ in range(2):
        with provml.start_run("digits", store=store, formats=(), owner="ada") as run:
            run.log_metric("loss", 1.0, "training", 0)
        folders.append(run.path)
    graph = runs_graph(RunBundles([Journal(folder) for folder in folders], "sample"))
    bundles = tuple(graph.graph["bundles"])
    assert len(bundles) == 2
    assert [about["run"] for about in graph.graph["bundles"].values()] == [f.name for f in folders]
    (person,) = [node for node in graph if node.endswith("person/ada")]
    assert graph.nodes[person]["bundles"] == bundles
    alone = [RunMapping(Journal(folder)) for folder in folders]
    for bundle, mapping in zip(bundles, alone, strict=True):
        assert bundle == mapping.prefixes()["run"] + "bundle"
        own = provml.load(mapping.journal.folder).to_networkx("sample")
        assert {n for n, b in graph.nodes(data="bundles") if bundle in b} == set(own)
        edges = Counter(
            (u, v, data["relation"])
            for u, v, data in graph.edges(data=True)
            if data["bundle"] == bundle
        )
        assert edges == Counter(own.edges(data="relation"))
    assert nx.is_weakly_connected(graph)

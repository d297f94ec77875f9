"""Lineage against reachability in the merged PROV-JSON documents, computed with networkx alone."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import networkx as nx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import provml

CONTEXTS = [None, "training", "validation"]
PLACED = st.tuples(st.integers(0, 5), st.sampled_from(CONTEXTS))
RUN = st.fixed_dictionaries(
    {
        "inputs": st.lists(PLACED, max_size=3),
        "outputs": st.lists(st.tuples(PLACED, st.sampled_from([None, 0, 1])), max_size=3),
        "interleaved": st.booleans(),
    }
)
STORES = st.lists(RUN, min_size=1, max_size=5)
CAUSES = {
    "wasGeneratedBy": ("prov:entity", "prov:activity"),
    "used": ("prov:activity", "prov:entity"),
    "wasInformedBy": ("prov:informed", "prov:informant"),
    "wasDerivedFrom": ("prov:generatedEntity", "prov:usedEntity"),
}
TYPES = {"provml:Dataset", "provml:Artifact", "provml:Model"}


def record(store: Path, work: Path, plan: dict[str, Any]) -> None:
    """A run that uses and makes contents by number; names differ from run to run."""
    with provml.start_run("e", store=store, formats=()) as run:
        steps: list[Any] = [("in", *placed, None) for placed in plan["inputs"]]
        outputs = [("out", *placed, step) for placed, step in plan["outputs"]]
        steps = [*outputs, *steps] if plan["interleaved"] else [*steps, *outputs]
        for way, content, context, step in steps:
            path = work / f"{content}.txt"
            if way == "in":
                run.log_dataset("data" if content % 2 else path.name, path, context=context)
            elif content % 2:
                run.log_model("model", path, context=context, step=step)
            else:
                run.log_artifact(path, context=context, step=step)


def merged(store: Path) -> tuple[nx.DiGraph[Any], set[str]]:
    """All documents as one graph, contents of one digest as one node; and the digests."""
    graph: nx.DiGraph[Any] = nx.DiGraph()
    digests: set[str] = set()
    for folder in sorted(store.glob("*/*")):
        if not (folder / "run.json").is_file():
            continue
        sink = io.BytesIO()
        provml.load(folder).export("provjson", sink, "series")
        document = json.loads(sink.getvalue())
        names: dict[str, Any] = {}
        for name, facts in document["entity"].items():
            kinds = facts.get("prov:type", [])
            kinds = kinds if isinstance(kinds, list) else [kinds]
            own = {kind["$"] if isinstance(kind, dict) else kind for kind in kinds}
            if own & TYPES:
                names[name] = facts["provml:sha256"]
                digests.add(facts["provml:sha256"])
        for kind, (source, target) in CAUSES.items():
            for edge in document.get(kind, {}).values():
                ends = [names.get(edge[end], (folder.name, edge[end])) for end in (source, target)]
                graph.add_edge(*ends)
        graph.add_nodes_from(names.values())
    return graph, digests


@pytest.mark.slow
@pytest.mark.parametrize("direction", ["up", "down"])
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(plans=STORES)
def test_lineage_is_reachability(
    tmp_path_factory: pytest.TempPathFactory, direction: str, plans: list[dict[str, Any]]
) -> None:
    """A content would be left out of another's lineage, or be in it without a way to it."""
    folder = tmp_path_factory.mktemp("reach")
    store, work = folder / "provenance", folder / "work"
    store.mkdir()
    work.mkdir()
    for content in range(6):
        (work / f"{content}.txt").write_text(f"content {content}")
    for plan in plans:
        record(store, work, plan)
    graph, digests = merged(store)
    opened = provml.open_store(store)
    for digest in digests:
        reach = nx.descendants(graph, digest) if direction == "up" else nx.ancestors(graph, digest)
        found = opened.lineage(digest, direction)
        kinds = {"dataset", "artifact", "model"}
        contents = {key for key, c in found.contents.items() if c.facts["kind"] in kinds}
        assert contents == (reach & digests) | {digest}
    for digest in sorted(digests)[:1]:  # the graph that is handed out has the same contents
        found = opened.lineage(digest, direction)
        nodes = found.to_networkx().nodes(data="provml:sha256")
        labelled = {sha256 for _, sha256 in nodes if sha256 is not None}
        assert set(found.contents) & digests <= labelled


@pytest.mark.slow
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(plans=STORES, depth=st.integers(0, 3))
def test_depth_counts_steps_from_content_to_content(
    tmp_path_factory: pytest.TempPathFactory, plans: list[dict[str, Any]], depth: int
) -> None:
    """--depth would cut too early or too late."""
    folder = tmp_path_factory.mktemp("depth")
    store, work = folder / "provenance", folder / "work"
    store.mkdir()
    work.mkdir()
    for content in range(6):
        (work / f"{content}.txt").write_text(f"content {content}")
    for plan in plans:
        record(store, work, plan)
    graph, digests = merged(store)
    for node in set(graph) - digests:  # a way between contents is one step, whatever lies between
        sources, targets = list(graph.predecessors(node)), list(graph.successors(node))
        graph.add_edges_from((s, t) for s in sources for t in targets)
        graph.remove_node(node)
    opened = provml.open_store(store)
    for digest in digests:
        lengths = nx.single_source_shortest_path_length(graph, digest, cutoff=depth)
        expected = {key: steps for key, steps in lengths.items() if key in digests}
        found = opened.lineage(digest, "up", depth)
        assert {key: c.up for key, c in found.contents.items() if key in digests} == expected

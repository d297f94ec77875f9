"""What a view shows of a run, and how similar nodes fold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pytest

import provml
from provml.graph.build import run_graph
from provml.graph.fold import find_groups, fold_graph
from provml.graph.sketch import add_sketches
from provml.graph.view import View, apply_view
from provml.journal.reader import Journal
from provml.model.mapping import RunMapping

STEPS = 40


@pytest.fixture
def graph(store: Path) -> Any:
    """A run of two contexts with many similar nodes."""
    with provml.start_run("digits", store=store, formats=(), owner="ada") as run:
        run.log_params({"lr": 0.1, "batch": 64, "seed": 1, "depth": 3})
        run.log_dataset("train", np.arange(4), context="training")
        run.log_dataset("test", np.arange(5), context="validation")
        for step in range(STEPS):
            for number, name in enumerate(("loss", "accuracy", "norm")):
                run.log_metric(name, float(step * number), "training", step, epoch=step // 10)
            if step % 10 == 9:
                run.log_event("saved", context="training", step=step)
                run.log_model("net", {"w": step}, context="training", step=step, epoch=step // 10)
        run.log_metric("loss", float("nan"), "validation")
    mapping = RunMapping(Journal(run.path), "series")
    graph = run_graph(mapping)
    add_sketches(graph, mapping)
    return graph


def names(graph: Any) -> set[str]:
    """Return the qualified names of the run's own nodes."""
    return {name.removeprefix("run:") for _, name in graph.nodes(data="name")}


def test_around_a_node_up_is_what_it_came_from(graph: Any) -> None:
    """A model would be shown without its data, or with unrelated nodes."""
    up = names(apply_view(graph, View(around="model/net/2", reach="up")))
    assert {"model/net/2", "model/net", "dataset/train", "context/training", "param/lr"} <= up
    assert not up & {"model/net/3", "dataset/test", "context/validation", "results"}
    down = names(apply_view(graph, View(around="model/net/2", reach="down")))
    assert {"model/net/2", "model/net/3", "model/net/4", "results"} <= down
    assert not down & {"model/net", "dataset/train", "context/training"}
    assert names(apply_view(graph, View(around="run:model/net/2"))) == up | down


def test_around_is_what_can_be_reached(graph: Any) -> None:
    """A node would be missing from a view, or appear in it by mistake."""
    for key in graph:
        up = set(apply_view(graph, View(around=key, reach="up")))
        down = set(apply_view(graph, View(around=key, reach="down")))
        assert up == {key, *nx.descendants(graph, key)}
        assert down == {key, *nx.ancestors(graph, key)}


def test_depth_counts_relations(graph: Any) -> None:
    """A view would show more, or less, than requested."""
    model = "model/net/2"
    assert names(apply_view(graph, View(around=model, depth=0))) == {model}
    one = names(apply_view(graph, View(around=model, depth=1, reach="up")))
    assert one == {model, "model/net", "step/training/1.19", "dataset/train"}


@pytest.mark.parametrize("text", ["net", "no such", "odel/net"])
def test_a_name_of_no_one_node_is_refused_with_those_there_are(graph: Any, text: str) -> None:
    """A picture of another node would be taken for the intended one."""
    with pytest.raises(provml.ExportError) as caught:
        apply_view(graph, View(around=text))
    assert text in str(caught.value)
    assert ("run:model/net/2" in str(caught.value)) == (text != "no such")


@pytest.mark.parametrize(
    ("subject", "there", "absent"),
    [
        ("metric", {"series/training/loss", "context/training", "run"}, {"model/net", "param/lr"}),
        ("model", {"model/net/4", "step/training/3.39", "run"}, {"series/training/loss"}),
        ("data", {"dataset/train", "context/validation", "run"}, {"model/net", "param/lr"}),
    ],
)
def test_only_a_subject(graph: Any, subject: str, there: set[str], absent: set[str]) -> None:
    """A view of the models would show unrelated nodes, or omit what made the models."""
    found = names(apply_view(graph, View(only=(subject,))))
    assert there <= found
    assert not found & absent
    assert "base:person/ada" in found


@pytest.mark.parametrize(
    "options",
    [
        {"reach": "sideways", "around": "x"},
        {"direction": "XX"},
        {"only": ("loss",)},
        {"depth": -1, "around": "x"},
        {"depth": 1},
        {"reach": "up"},
    ],
)
def test_a_view_that_makes_no_sense_is_refused(options: dict[str, Any]) -> None:
    """A mistyped option would silently have no effect."""
    with pytest.raises(provml.ExportError):
        View(**options)


def test_what_is_alike_folds_and_nothing_is_lost(graph: Any) -> None:
    """A picture would show every step, or a group would lack members."""
    found = find_groups(graph)
    made = fold_graph(graph, found)
    sizes = {
        data["label"]: len(data["members"])
        for _, data in made.nodes(data=True)
        if "members" in data
    }
    (run,) = [key for key, name in graph.nodes(data="name") if name == "run:run"]
    assert sizes == {
        f"4 parameters of {graph.nodes[run]['label']}": 4,
        "4 steps of training": 4,
        "4 events of training": 4,
        "3 series of training": 3,
        "net: 4 versions": 4,
    }
    assert len(made) == len(graph) - sum(size - 1 for size in sizes.values())
    stands = {member: group.key for group in found for member in group.members}
    for source, goal, relation in graph.edges(data="relation"):
        ends = stands.get(source, source), stands.get(goal, goal)
        assert ends[0] == ends[1] or any(
            data["relation"] == relation for data in made[ends[0]][ends[1]].values()
        )
    (series,) = [key for key, data in made.nodes(data=True) if data["name"] == "3 series"]
    (context,) = [key for key, name in made.nodes(data="name") if name == "run:context/training"]
    assert made.edges[series, context, "wasGeneratedBy"]["count"] == 3
    assert (run, context) not in made.edges
    assert (context, run, "wasInformedBy") in made.edges


def test_a_sketch_follows_its_series(graph: Any) -> None:
    """A plot in a picture would not match the samples."""
    nodes = {name: data for _, data in graph.nodes(data=True) if (name := data["name"])}
    course = nodes["run:series/training/accuracy"]["sketch"]
    assert len(course) == 32
    assert list(course) == sorted(course)
    assert (course[0], course[-1]) == (0.5, STEPS - 1.0)
    assert set(nodes["run:series/training/loss"]["sketch"]) == {0.0}
    assert nodes["run:series/validation/loss"]["sketch"] == (None,)
    training = nodes["run:context/training"]
    assert (training["steps"], training["epochs"]) == ((0, STEPS - 1), 4)
    assert "steps" not in nodes["run:context/validation"]

"""Pictures of several runs: what the runs share stands once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import provml
from provml import Context
from provml.errors import ExportError
from provml.graph.label_tables import build_table
from provml.graph.labels import node_texts
from provml.graph.picture import build_picture, dot_graph
from provml.graph.view import View
from provml.journal.reader import Journal
from provml.model.mapping import RunMapping


@pytest.fixture
def folders(store: Path) -> list[Path]:
    """A run that makes a file, and two runs that use it under another name."""
    store.mkdir(parents=True, exist_ok=True)
    made, used = store / "clean.csv", store / "copy.csv"
    made.write_text("a,b\n1,2\n")
    used.write_text("a,b\n1,2\n")
    (store / "empty").write_text("")
    found = []
    with provml.start_run("prepare", store=store, formats=(), owner="tester") as run:
        run.log_artifact(made)
        run.log_artifact(store / "empty", "nothing.log")
    found.append(run.path)
    for lr in (0.1, 0.2):
        with provml.start_run("train", store=store, formats=(), owner="tester") as run:
            run.log_params({"lr": lr, "epochs": 3})
            run.log_dataset("table", used, context="training")
            run.log_dataset("twin", used, context="training")
            run.log_artifact(store / "empty", "nothing.log")
            run.log_metric("loss", lr, Context.TRAINING, 0)
        found.append(run.path)
    return found


def picture(folders: list[Path], **view: Any) -> Any:
    """Build the picture of several runs."""
    return build_picture([RunMapping(Journal(one), "series") for one in folders], View(**view))


def labels(graph: Any, kind: str) -> list[str]:
    """Return the sorted labels of all nodes of a type."""
    return sorted(n["label"] for _, n in graph.nodes(data=True) if f"provml:{kind}" in n["types"])


def test_equal_contents_and_settings_are_one_node(folders: list[Path]) -> None:
    """Three runs of one file would be three islands."""
    graph = picture(folders)
    assert labels(graph, "Run") == sorted(
        f"{name} {folder.name}"
        for name, folder in zip(("prepare", "train", "train"), folders, strict=True)
    )
    # the file has its maker's name; empty files are not the same
    assert labels(graph, "Artifact") == ["clean.csv", "nothing.log", "nothing.log", "nothing.log"]
    assert labels(graph, "Dataset") == []
    assert labels(graph, "Parameter") == ["epochs", "lr", "lr"]
    (key,) = [key for key, node in graph.nodes(data=True) if node["label"] == "clean.csv"]
    assert {data["relation"] for *_, data in graph.in_edges(key, data=True)} >= {"used"}
    assert {data["relation"] for *_, data in graph.out_edges(key, data=True)} == {"wasGeneratedBy"}
    assert "also table, twin" in node_texts(graph, key, graph.nodes[key])[1]
    people = [node for _, node in graph.nodes(data=True) if "prov:Person" in node["types"]]
    assert len(people) == 1
    assert dot_graph(graph).to_string().count("clean.csv") >= 1


def test_a_shared_node_is_found_by_each_of_its_names(folders: list[Path]) -> None:
    """``--around table`` would miss the run that made the file."""
    for name in ("clean.csv", "table", "dataset/table"):
        graph = picture(folders, around=name, reach="both")
        assert labels(graph, "Context") == ["training", "training"]
    with pytest.raises(ExportError, match="no node is named"):
        picture(folders, around="copy")


def test_a_picture_folds_the_machine_and_its_readings(store: Path) -> None:
    """Readings would drown the metrics, or the settings would be left out."""
    with provml.start_run("digits", store=store, formats=()) as run:
        run.log_params({f"torch.flag_{number}": False for number in range(30)})
        run.log_params({f"setting_{number}": number for number in range(20)})
        run.log_environment()
        for context in (Context.TRAINING, Context.VALIDATION):
            run.log_metric("loss", 0.5, context, 0)
            run.log_system_metrics(context, 0)
    graph = picture([run.path])
    by_label = {node["label"]: (key, node) for key, node in graph.nodes(data=True)}
    key, node = by_label["machine"]
    title, lines = node_texts(graph, key, node)
    assert title == ["machine"]
    assert any("CPUs" in line for line in lines)
    _, node = by_label["readings"]
    table = build_table(graph, node)
    assert table is not None
    names = [" ".join(row[0]) for row in table.rows]
    assert names[0].startswith("machine ")
    assert names[0].endswith(" (%)")
    assert len(names) == len(set(names))  # one row for each reading, not one for each context
    assert not [label for label in labels(graph, "Series") if "usage" in label]
    (settings,) = [n for _, n in graph.nodes(data=True) if n["name"] == "50 parameters"]
    table = build_table(graph, settings)
    assert table is not None
    shown = {" ".join(row[0]) for row in table.rows}
    assert shown == {f"setting_{number}" for number in range(20)}
    assert (table.left_out, table.ends) == (30, True)

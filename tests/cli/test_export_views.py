"""``provml export`` of a part of a run."""

from __future__ import annotations

import subprocess
from pathlib import Path

import networkx as nx
import numpy as np
import pytest
from command_line import run_command

import provml


def call(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Export by the command line, in the run's store."""
    return run_command("export", "latest", "--store", folder, *arguments)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store with one run."""
    with provml.start_run("digits", store=tmp_path, formats=()) as run:
        run.log_param("lr", 0.1)
        run.log_dataset("train", np.arange(3), context="training")
        run.log_metric("loss", 0.5, "training", 0)
        run.log_model("net", {"w": 1}, context="training", step=0)
    return tmp_path


def labels(path: Path) -> set[str]:
    """What a GraphML file has of models, data, parameters and series."""
    kinds = {"provml:Model", "provml:Dataset", "provml:Parameter", "provml:Series"}
    nodes = nx.read_graphml(path).nodes(data=True)
    return {data["label"] for _, data in nodes if kinds.intersection(data["types"].split())}


@pytest.mark.parametrize(
    ("options", "shown"),
    [
        ((), {"net", "train", "lr", "loss"}),
        (("--around", "net"), {"net", "train", "lr"}),
        (("--around", "model/net", "--up", "--depth", "1"), {"net", "train"}),
        (("--around", "net", "--down"), {"net"}),
        (("--around", "train", "--down"), {"net", "train", "loss"}),
        (("--only", "model"), {"net"}),
        (("--only", "data", "--only", "metric"), {"train", "loss"}),
    ],
)
def test_a_part_is_written(store: Path, options: tuple[str, ...], shown: set[str]) -> None:
    """An option would be without effect, or show another part."""
    done = call(store, "-o", str(store / "part.graphml"), *options)
    assert done.returncode == 0, done.stderr
    assert labels(store / "part.graphml") == shown


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("--format", "turtle", "--only", "model"), "turtle does not support only"),
        (("--format", "gexf", "--direction", "LR"), "gexf does not support direction"),
        (("--format", "dot", "--around", "nett"), "no node is named 'nett'"),
        (("--format", "dot", "--depth", "2"), "choose one with around"),
    ],
)
def test_an_option_of_no_use_is_one_line(
    store: Path, options: tuple[str, ...], complaint: str
) -> None:
    """Somebody would take the whole for the part that was asked for."""
    done = call(store, "-o", str(store / "part"), *options)
    assert done.returncode == 2
    assert complaint in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (store / "part").exists()

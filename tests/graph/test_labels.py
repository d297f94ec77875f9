"""The texts in the nodes of a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import provml
from provml.graph.label_tables import build_table
from provml.graph.labels import node_texts, number_text, range_text, wrap_name
from provml.graph.picture import build_picture
from provml.graph.view import View
from provml.journal.reader import Journal
from provml.model.mapping import RunMapping


@pytest.fixture
def graph(store: Path) -> Any:
    """Build the graph of a run's picture."""
    start = 1_000_000_000
    with provml.start_run("digits", store=store, run_id="one", formats=(), owner="ada") as run:
        run.log_params({"lr": 0.012345, "n": 12_345_678, "big": 2**70, "layers": [64, 10]})
        run.log_dataset("train", np.arange(4), context="training")
        for step in range(30):
            when = start + step
            for name in ("loss", "accuracy", "norm"):
                run.log_metric(name, step / 3, "training", step, epoch=step // 10, timestamp=when)
            if step in (4, 9, 14):
                run.log_model("net", {"w": step}, context="training", step=step)
        run.log_metric("accuracy", 0.5, "evaluation")
        for _ in range(3):
            run.log_event("saved", source="disk")
    return build_picture([RunMapping(Journal(run.path), "series")], View())


def said(graph: Any, name: str) -> tuple[str, list[str]]:
    """Return the title and lines of a node."""
    ((key, node),) = [(k, n) for k, n in graph.nodes(data=True) if n["name"] == name]
    title, lines = node_texts(graph, key, node)
    return " ".join(title), lines


def table(graph: Any, name: str) -> tuple[str, list[list[Any]]]:
    """Return the title and cells of a group, without plots."""
    (node,) = [n for _, n in graph.nodes(data=True) if n["name"] == name]
    made = build_table(graph, node)
    assert made is not None
    rows = [
        [" ".join(cell) if isinstance(cell, list) else cell for cell in row] for row in made.rows
    ]
    return " ".join(made.title), rows


def test_contexts_and_steps_say_their_ranges(graph: Any) -> None:
    """A reader would not see how long the training was, or where a model was made."""
    title, lines = said(graph, "run:context/training")
    assert (title, lines[1:]) == ("training", ["steps 0–29, 3 epochs"])
    assert said(graph, "3 steps") == ("steps 4, 9, 14", ["of training", "epochs 0–1"])


def test_series_are_a_table_with_plots(graph: Any) -> None:
    """A series would lack its plot, or its last value."""
    title, rows = table(graph, "3 series")
    assert title == "3 series of training, 30 samples each"
    assert [[row[0], *row[2:]] for row in rows] == [
        [name, "9.67", "0", "9.67"] for name in ("loss", "accuracy", "norm")
    ]
    assert all(len(row[1]) == 30 for row in rows)
    title, lines = said(graph, "run:series/evaluation/accuracy")
    assert (title, lines[1]) == ("accuracy", "1 sample, last 0.5")


def test_parameters_models_and_events_are_tables(graph: Any) -> None:
    """A value would be missing, or a checkpoint would lack its step."""
    assert table(graph, "4 parameters") == (
        "4 parameters of digits one",
        [
            ["lr", "0.0123"],
            ["n", "12,345,678"],
            ["big", "1180591620717411…"],
            ["layers", "[64, 10]"],
        ],
    )
    title, rows = table(graph, "3 versions")
    assert title == "net: 3 versions"
    assert [row[:2] for row in rows] == [
        ["version 1", "step 4"],
        ["version 2", "step 9"],
        ["version 3", "step 14"],
    ]
    assert table(graph, "3 events") == ("3 events of digits one", [["saved", "×3"]])


def test_long_names_keep_their_ends() -> None:
    """The end of a long name, which distinguishes it from others, would be cut off."""
    lines = wrap_name("a" * 200 + "/7")
    assert len(lines) == 3
    assert lines[-1].endswith("/7")
    assert "…" in "".join(lines)
    assert wrap_name("one two") == ["one two"]
    assert wrap_name(" ") == ['" "']
    assert wrap_name("a\nb\x1b") == ["a\\nb\\x1b"]


def test_numbers_and_ranges_are_short() -> None:
    """A number would look like another, or fill the picture."""
    assert [number_text(value) for value in (0.1, 1e-9, True, -3, 10**15, "x" * 99, [1])] == [
        "0.1",
        "1e-09",
        "true",
        "-3",
        "1000000000000000",
        "x" * 31 + "…",
        "[1]",
    ]
    assert [range_text(numbers) for numbers in ([5], [3, 1, 2], [1, 9], [1, 3, 5, 7, 9])] == [
        "5",
        "1–3",
        "1, 9",
        "1–9",
    ]

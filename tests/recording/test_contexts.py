"""The words for the three standard contexts: one rule in verbs, queries and commands."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import provml
from provml.base.context import Context

TRAINING, EVALUATION = Context.TRAINING, Context.EVALUATION

WORDS = [
    ("train", "training"),
    ("training", "training"),
    ("val", "validation"),
    ("valid", "validation"),
    ("validation", "validation"),
    ("eval", "evaluation"),
    ("evaluation", "evaluation"),
    ("test", "evaluation"),
    ("testing", "evaluation"),
]

VERBS: list[Callable[[provml.Run, Any], object]] = [
    lambda run, context: run.log_metric("loss", 1.0, context),
    lambda run, context: run.log_metric("big", 2**70, context),
    lambda run, context: run.log_metrics({"loss": 1.0}, context),
    lambda run, context: run.log_event("happened", context),
    lambda run, context: run.log_dataset("data", [1], context),
    lambda run, context: run.log_artifact(__file__, None, context),
    lambda run, context: run.log_model("model", __file__, context),
    lambda run, context: run.log_system_metrics(context),
    lambda run, context: run.log_current_execution_time("elapsed", context),
    lambda run, context: run.metrics(context).log(loss=1.0),
    lambda run, context: run.metrics[context].append(loss=1.0),
    lambda run, context: run.metrics(context).summary_cache.store(loss=1.0),
]


def context_activities(recorded: provml.RecordedRun) -> dict[str, list[str]]:
    """The aliases of each context in the run's document, by the context's name."""
    found = {}
    for statement in recorded.statements():
        attributes = list(statement.attributes)
        if ("prov:type", "provml:Context") in attributes:
            own = [value for key, value in attributes if key == "provml:alias"]
            found[dict(attributes)["provml:name"]] = own
    return found


@pytest.fixture
def start(tmp_path: Path) -> Callable[[], provml.Run]:
    """Start a run that reads nothing in the background and writes no document."""
    return lambda: provml.start_run("e", store=tmp_path, formats=(), sample_interval_s=0)


@pytest.mark.parametrize(("word", "name"), WORDS)
def test_a_word_means_its_standard_context(
    start: Callable[[], provml.Run], word: str, name: str
) -> None:
    """Two scripts that call one phase `val` and `valid` could not be compared."""
    with start() as run:
        run.log_metric("loss", 0.5, word)
        run.metrics.log(epoch=1, **{word: {"accuracy": 0.75}})
    recorded = provml.load(run.path)
    assert recorded.series_names() == [("loss", Context(name)), ("accuracy", Context(name))]
    for asked in (word, name, Context(name), Context(word)):
        assert recorded.series("loss", asked).value.tolist() == [0.5]
        assert recorded.points(asked)["total"] == 1


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_follows_the_rule_and_keeps_the_word(
    start: Callable[[], provml.Run], verb: Callable[[provml.Run, Any], object]
) -> None:
    """What one verb logs for `train` would lie beside what another does, or the word be lost."""
    with start() as run:
        verb(run, "train")
        verb(run, "train")
    assert context_activities(provml.load(run.path)) == {"training": ["train"]}


def test_the_verbs_of_flops_follow_the_rule(start: Callable[[], provml.Run]) -> None:
    """FLOPs would lie in another context than the samples of the same loop."""
    torch = pytest.importorskip("torch", reason="torch is not installed")
    with start() as run:
        model = torch.nn.Linear(2, 1)
        run.log_model("m", model)
        run.log_flops_per_batch("a", "train", batch=torch.ones(3, 2))
        run.log_flops_per_epoch("b", 6, "test")
        with run.count_flops("c", "val"):
            torch.ones(2, 2) @ torch.ones(2, 2)
    assert context_activities(provml.load(run.path)) == {
        "training": ["train"],
        "evaluation": ["test"],
        "validation": ["val"],
    }


def test_the_rule_holds_for_the_outermost_name_alone(start: Callable[[], provml.Run]) -> None:
    """A context of the user's own, such as `Train` or a fold named `test`, would be renamed."""
    own = [Context("Train"), Context("test", Context("folds")), Context("")]
    with start() as run:
        for context in own:
            run.log_metric("loss", 1.0, context)
        run.log_metric("loss", 1.0, Context("warm-up", Context("train")))
    recorded = provml.load(run.path)
    assert [context for _, context in recorded.series_names()] == [
        *own,
        Context("warm-up", TRAINING),
    ]
    assert context_activities(recorded)["training"] == ["train"]


def test_a_word_in_a_refused_call_is_not_recorded(start: Callable[[], provml.Run]) -> None:
    """A refused call would leave a trace."""
    with start() as run:
        with pytest.raises(provml.InvalidMetricError):
            run.log_metric("loss", None, "train")
        with pytest.raises(provml.InvalidArgumentError):
            run.log_event("happened", "train", step="x")  # type: ignore[arg-type]
        run.log_metric("loss", 1.0, TRAINING)
    assert context_activities(provml.load(run.path)) == {"training": []}


@pytest.fixture
def early_run(start: Callable[[], provml.Run]) -> provml.RecordedRun:
    """A run whose journal has the contexts `train`, `training` and `test`."""
    run = start()
    with run:
        for value, path in ((1.0, ("train",)), (2.0, ("training",)), (3.0, ("test",))):
            key = ("metric", "loss", path, None, "f64")
            run._writer.sample(key, 10**18 + int(value), 0, None, value)
    return provml.load(run.path)


def test_an_early_journal_reads_as_before(early_run: provml.RecordedRun) -> None:
    """A context named `train` of an early version would be merged or could not be found."""
    assert [str(context) for _, context in early_run.series_names()] == [
        "train",
        "training",
        "test",
    ]
    for asked, value in (
        ("train", 1.0),
        (Context("train"), 1.0),
        ("training", 2.0),
        (TRAINING, 2.0),
        ("test", 3.0),
    ):
        np.testing.assert_array_equal(early_run.series("loss", asked).value, [value])
    with pytest.raises(LookupError):
        early_run.series("loss", EVALUATION)
    assert context_activities(early_run) == {"train": [], "training": [], "test": []}


def test_conditions_follow_the_rule(
    start: Callable[[], provml.Run], early_run: provml.RecordedRun, tmp_path: Path
) -> None:
    """`metrics.loss.train` would find the runs of one version of provml only."""
    pytest.importorskip("duckdb", reason="duckdb is not installed")
    with start() as run:
        run.log_metric("loss", 0.25, "train")
        run.log_metric("loss", 0.125, Context("warm-up", TRAINING))
    store = provml.open_store(tmp_path)
    answer = store.runs(show=["metrics.loss.train", "metrics.loss.training"])
    assert sorted(tuple(row[-2:]) for row in answer.rows) == [(0.25, 0.25), (1.0, 2.0)]
    inner = store.runs('metrics.loss["train", "warm-up"] == 0.125')
    assert [row[inner.columns.index("id")] for row in inner.rows] == [run.id]


def test_a_plot_follows_the_rule(
    start: Callable[[], provml.Run], early_run: provml.RecordedRun, tmp_path: Path
) -> None:
    """`provml plot --context train` would not find what `train` was given to a verb for."""
    from provml.charts.selection import read_charts
    from provml.journal.reader import Journal

    with start() as run:
        run.log_metric("loss", 0.25, "train", 0)
        run.log_metric("loss", 0.5, "val", 0)
    for path, drawn in ((run.path, "training"), (early_run.path, "train")):
        charts = read_charts([Journal(path)], (), ("train",), None, False, 100)
        assert [entry.label for entry in charts.legend()] == [drawn]


def test_the_journal_notes_a_word_once(start: Callable[[], provml.Run]) -> None:
    """The events file would grow by a line for each call."""
    with start() as run:
        for step in range(3):
            run.log_metric("loss", 1.0, "train", step)
            run.log_event("happened", "train", step)
    (events,) = (run.path / "journal").glob("*.events.jsonl")
    noted = [json.loads(line) for line in events.read_text().splitlines() if '"context"' in line]
    assert [record["alias"] for record in noted if record["record"] == "context"] == ["train"]

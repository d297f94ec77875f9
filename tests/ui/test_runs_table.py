"""The answer for the table of runs: right rows, exact values, and never an unreadable store."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import provml
from provml import Context
from provml.errors import InvalidArgumentError, QueryError
from provml.ui.answers import find_answer
from provml.ui.browsed_store import BrowsedStore
from provml.ui.queries import Query

Ask = Callable[..., dict[str, Any]]


@pytest.fixture
def ask(store: Path) -> Ask:
    """Ask for a page of the table; the answer is what a browser would get as JSON."""
    browsed = BrowsedStore(store)

    def request(show: tuple[str, ...] = (), **parameters: str) -> dict[str, Any]:
        answer = find_answer("runs")
        assert answer is not None
        query = Query([*parameters.items(), *(("show", value) for value in show)])
        made: dict[str, Any] = json.loads(json.dumps(answer(browsed, query), allow_nan=False))
        return made

    return request


def record(store: Path, run_id: str, parent: Path | None = None, **params: Any) -> Path:
    with provml.start_run(
        "sweep", store=store, formats=(), collect=(), run_id=run_id, parent=parent
    ) as run:
        run.log_params(params)
        for step in range(100):
            run.log_metric("loss", 1 / (step + 1), Context.TRAINING, step)
            if step % 5 == 0:
                run.log_metric("loss", 2 / (step + 1), Context.VALIDATION, step)
    return run.path


def ids(answer: dict[str, Any]) -> list[str]:
    return [run["id"] for run in answer["runs"]]


def test_a_page_has_what_the_table_shows(store: Path, ask: Ask) -> None:
    """A row would be empty, or a column could not be chosen."""
    path = record(store, "a", lr=0.1, name="adam")
    record(store, "b", lr=0.01)
    answer = ask(("params.lr", "metrics.loss.validation.min"), limit="1")
    assert (answer["total"], answer["offset"], ids(answer)) == (2, 0, ["b"])
    assert answer["columns"] == {
        "params": ["lr", "name"],
        "tags": [],
        "metrics": [["loss", ["training", "validation"]]],
    }
    assert "groups" not in answer
    (run,) = ask(("params.lr", "metrics.loss.validation.min"), offset="1")["runs"]
    assert run["values"] == {"params.lr": 0.1, "metrics.loss.validation.min": 2 / 96}
    assert (run["key"], run["status"], run["samples"]) == ("sweep/a", "finished", 120)
    assert store / run["key"] == path
    assert int(run["ended_ns"]) - int(run["started_ns"]) == round(run["duration_s"] * 1e9)
    assert (run["curve"]["name"], run["curve"]["context"]) == ("loss", "validation")
    assert len(run["curve"]["y"]) == 20
    assert run["curve"]["y"][0] == 2.0


def test_values_are_exact(store: Path, ask: Ask) -> None:
    """A person would read a number that was never logged."""
    values = {
        "int": 3,
        "big": 2**60 + 1,
        "float": 0.1,
        "nan": math.nan,
        "low": -math.inf,
        "yes": True,
        "text": "0.10",
        "none": None,
        "list": [1, 2],
        "decimal": Decimal("0.10"),
    }
    with provml.start_run("e", store=store, formats=(), collect=()) as run:
        run.log_params(values)
        run.log_metric("nan", math.nan)
        run.log_metric("big", 2**60 + 1)
        run.log_metric("text", Decimal("0.10"))
        run.log_metric("deep", 1, Context("b", parent=Context("a")))
        run.log_metric("a b.c", 7, "training")
        run.set_tag("stage", "dev")
    show = tuple(f"params.{name}" for name in values)
    (row,) = ask(show)["runs"]
    assert [row["values"][value] for value in show] == [
        3,
        str(2**60 + 1),
        0.1,
        "NaN",
        "-Infinity",
        True,
        "0.10",
        None,
        "[1,2]",
        "0.10",
    ]
    others = {
        "metrics.nan": "NaN",
        "metrics.nan.count": 1,
        "metrics.nan.min": None,
        "metrics.big": str(2**60 + 1),
        "metrics.deep[None]": None,
        'metrics.deep["a", "b"].max': 1,
        'metrics["a b.c"].train': 7,
        "tags.stage": "dev",
        "params.missing": None,
        "metrics.missing.min": None,
        "experiment": "e",
        "children": 0,
        "sample_count": 5,
    }
    answer = ask(tuple(others))
    assert answer["runs"][0]["values"] == others
    assert ["deep", [["a", "b"]]] in answer["columns"]["metrics"]
    assert ["nan", [None]] in answer["columns"]["metrics"]


def test_the_table_and_the_command_line_find_the_same_values(store: Path, ask: Ask) -> None:
    """The page and ``provml runs`` would contradict each other."""
    for number in range(6):
        with provml.start_run("e", store=store, formats=(), collect=()) as run:
            if number:
                run.log_params({"lr": 0.1 * number, "mixed": number if number % 2 else "text"})
            for step in range(number):
                run.log_metric("loss", float(step - number), ("training", None)[step % 2], step)
                run.log_metric("loss", float(number), "validation", step)
    show = (
        "params.lr",
        "params.mixed",
        "metrics.loss",
        "metrics.loss.min",
        "metrics.loss[None].max",
        "metrics.loss.val.count",
    )
    for sort in ("-metrics.loss.min", "params.mixed", "started"):
        found = provml.open_store(store).runs(sort=sort, show=show)
        rows = ask(show, sort=sort)["runs"]
        assert [run["id"] for run in rows] == found.column("id")
        for value in show:
            shown = [
                None if run["values"][value] is None else str(run["values"][value]) for run in rows
            ]
            column = found.column(value)
            kind = float if value.startswith("metrics.loss") and "count" not in value else str
            assert [None if v is None else kind(v) for v in shown] == [
                None if v is None else kind(v) for v in column
            ], value


def test_runs_below_their_parent_come_when_asked_for(store: Path, ask: Ask) -> None:
    """A sweep of a thousand runs would hide all other runs."""
    top = record(store, "top", lr=1)
    for number in range(3):
        record(store, f"child-{number}", top, lr=number)
    inner = record(store, "inner", top.with_name("child-0"), lr=9)
    answer = ask()
    assert (answer["total"], ids(answer)) == (1, ["top"])
    assert (answer["runs"][0]["children"], answer["runs"][0]["parent"]) == (3, None)
    below = ask(parent="sweep/top", sort="id")
    assert ids(below) == ["child-0", "child-1", "child-2"]
    assert [run["children"] for run in below["runs"]] == [1, 0, 0]
    assert {run["parent"] for run in below["runs"]} == {"sweep/top"}
    assert ids(ask(parent=below["runs"][0]["key"])) == [inner.name]
    # if the parent does not match, the child is at the top
    alone = ask(where="params.lr == 9")
    assert (ids(alone), alone["runs"][0]["parent"]) == (["inner"], below["runs"][0]["key"])
    assert ids(ask(parent="sweep/gone")) == []


def test_runs_that_name_each_other_as_parents_are_all_listed(store: Path, ask: Ask) -> None:
    """Runs of a damaged store would vanish, or a page would ask for children without end."""
    for own, other in (("a", "b"), ("b", "a"), ("c", "c")):
        record(store, own)
        file = store / "sweep" / own / "run.json"
        content = json.loads(file.read_text()) | {
            "parent": {"id": other, "experiment": "sweep", "folder": f"sweep/{other}"}
        }
        content.pop("checksum", None)
        file.write_text(json.dumps(content))
    found = ids(ask(sort="id"))
    seen: list[str] = []
    while found:
        run = found.pop()
        assert run not in seen
        seen.append(run)
        found += ids(ask(parent=f"sweep/{run}"))
    assert sorted(seen) == ["a", "b", "c"]


def test_groups_are_counted_and_in_order(store: Path, ask: Ask) -> None:
    """The heading of a group would stand above runs of another group."""
    for number, value in enumerate((32, 16, 128, 16, "auto", None)):
        record(store, f"r{number}", **({} if value is None else {"size": value}))
    answer = ask(group="params.size", sort="id")
    assert [(g["value"], g["count"]) for g in answer["groups"]] == [
        (16, 2),
        (32, 1),
        (128, 1),
        ("auto", 1),
        (None, 1),
    ]
    assert ids(answer) == ["r1", "r3", "r0", "r2", "r4", "r5"]
    assert [run["group"] for run in answer["runs"]] == [16, 16, 32, 128, "auto", None]
    second = ask(group="params.size", sort="id", offset="2", limit="2")
    assert (ids(second), len(second["groups"])) == (["r0", "r2"], 5)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"where": "params.lr = 3"}, "column 11 .* use == "),
        ({"where": "params.lr <"}, "at column 12"),
        ({"where": "lr < 3"}, "column 1, 'lr': unknown name"),
        ({"sort": "metrics"}, "add a name"),
        ({"group": "1 +"}, "not an expression"),
        ({"show": ("nope",)}, "unknown name"),
    ],
)
def test_a_mistake_says_what_and_where(
    store: Path, ask: Ask, parameters: dict[str, Any], message: str
) -> None:
    """A person who types a condition would not learn what is wrong with it."""
    record(store, "a", lr=1)
    with pytest.raises(QueryError, match=message):
        ask(**parameters)


@pytest.mark.parametrize("parameters", [{"limit": "1001"}, {"offset": "-1"}, {"limit": "x"}])
def test_a_page_has_a_limit(store: Path, ask: Ask, parameters: dict[str, str]) -> None:
    """One request could ask for all of a large store."""
    store.mkdir()
    with pytest.raises(InvalidArgumentError):
        ask(**parameters)


def test_a_store_without_runs_has_an_empty_table(store: Path, ask: Ask) -> None:
    """The first page that a new user sees would be an error."""
    store.mkdir()
    answer = ask(group="params.lr")
    assert (answer["total"], answer["runs"], answer["groups"]) == (0, [], [])
    assert answer["columns"] == {"params": [], "tags": [], "metrics": []}


def test_runs_that_change_vanish_or_cannot_be_read(store: Path, ask: Ask) -> None:
    """A page that stays open would show runs as they were, or fail."""
    kept = record(store, "kept")
    gone = record(store, "gone")
    with provml.start_run("live", store=store, formats=(), collect=(), run_id="live") as run:
        for step in range(1, 4):
            run.log_metric("loss", 1 / step, Context.TRAINING, step)
            row = ask(("metrics.loss",), where="status == 'running'")["runs"][0]
            assert (row["samples"], row["values"]["metrics.loss"]) == (step, 1 / step)
            assert row["duration_s"] >= 0
            assert row["ended_ns"] is None
        assert row["curve"] == {"name": "loss", "context": "training", "y": [1.0, 0.5, 1 / 3]}
    assert ids(ask(where="status == 'running'")) == []
    shutil.rmtree(gone)
    (store / "sweep" / "link").symlink_to(kept)
    (kept / "run.json").write_text("not JSON")
    kept.rename(kept.with_name("renamed"))
    answer = ask(sort="id")
    assert sorted(run["key"] for run in answer["runs"]) == ["live/live", "sweep/renamed"]
    (unread,) = answer["unread"]
    assert unread["path"] == str(store / "sweep" / "link")
    assert "link" in unread["reason"]
    damaged = next(run for run in answer["runs"] if run["key"] == "sweep/renamed")
    assert "can't be read" in damaged["damage"]

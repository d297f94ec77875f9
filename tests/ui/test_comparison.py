"""The answers of the page that compares runs."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

import provml
from provml.errors import InvalidArgumentError, RunNotFoundError
from provml.ui.browsed_store import BrowsedStore
from provml.ui.comparison import answer_comparison
from provml.ui.queries import Query


def ask(store: Path, keys: list[str], **parameters: str) -> dict[str, Any]:
    """Ask for a comparison of runs."""
    pairs = [("run", key) for key in keys]
    return answer_comparison(BrowsedStore(store), Query([*pairs, *parameters.items()]))


def record(store: Path, params: dict[str, Any], loss: float, code: str | None = None) -> str:
    """Record a run, and return its key."""
    with provml.start_run("digits", store=store) as run:
        run.log_params(params)
        run.log_metric("loss", loss, "validation", 1)
        run.log_system_metrics("validation", 1)
        data = store.parent / "data.csv"
        data.write_text(f"{params}\n")
        run.log_dataset("table", data)
        if code is not None:
            path = store.parent / "model.py"
            path.write_text(code)
            run.log_source_code(path)
    return f"{run.path.parent.name}/{run.path.name}"


def entries(answer: dict[str, Any], part: str) -> dict[str, tuple[bool, list[Any]]]:
    return {entry["name"]: (entry["differs"], entry["values"]) for entry in answer["parts"][part]}


def test_values_that_differ_come_one_for_each_run(tmp_path: Path) -> None:
    """The page would fold what differs, or show rounded or changed values."""
    store = tmp_path / "store"
    first = record(store, {"lr": 0.1, "big": 2**70, "__proto__": "a", "same": [1, 2]}, 0.5)
    other = record(store, {"lr": 0.2, "big": 2**70 + 1, "same": [1, 2]}, float("nan"))
    answer = ask(store, [other, first])
    assert [run["key"] for run in answer["runs"]] == [other, first]
    assert entries(answer, "params") == {
        "lr": (True, ["0.2", "0.1"]),
        "big": (True, [str(2**70 + 1), str(2**70)]),
        "__proto__": (True, [None, "a"]),
        "same": (False, ["[1,2]"]),
    }
    differs, digests = entries(answer, "data")["dataset table"]
    assert differs and all(len(digest) == 64 for (digest,) in digests)
    (metric,) = answer["metrics"]
    assert (metric["name"], metric["context"]) == ("loss", ["validation"])
    assert [value["last"] for value in metric["values"]] == ["NaN", 0.5]


def test_code_is_compared_with_the_first_run(tmp_path: Path) -> None:
    """A change of the code would be missing, or shown for the wrong run."""
    store = tmp_path / "store"
    codes = ["W = 1\n", "W = 1\n", "W = 2\n", None]
    keys = [record(store, {"n": n}, 1.0, code) for n, code in enumerate(codes)]
    answer = ask(store, keys, part="code")
    files = {pair["run"]: pair["files"] for pair in answer["pairs"]}
    assert files[keys[1]] == files[keys[3]] == []
    (changed,) = files[keys[2]]
    assert changed["name"] == "model.py"
    assert changed["lines"][-2:] == ["-W = 1", "+W = 2"]
    assert answer["unrecorded"] == [keys[3]]


def test_series_of_the_machine_are_apart_from_metrics(tmp_path: Path) -> None:
    """The page would draw the machine's readings among the metrics."""
    key = record(tmp_path / "store", {}, 1.0)
    by_kind = {
        kind: ask(tmp_path / "store", [key], part="series", kind=kind)["series"]
        for kind in ("metric", "reading", "all")
    }
    assert [series["name"] for series in by_kind["metric"]] == ["loss"]
    assert {series["kind"] for series in by_kind["reading"]}.isdisjoint({"metric", "sampling"})
    assert by_kind["all"] == by_kind["metric"] + by_kind["reading"]


def test_removed_runs_are_named(tmp_path: Path) -> None:
    """The comparison would fail as a whole if one of its runs was removed."""
    store = tmp_path / "store"
    first, other = record(store, {"lr": 1}, 1.0), record(store, {"lr": 2}, 1.0)
    shutil.rmtree(store / other)
    answer = ask(store, [first, other])
    assert ([run["key"] for run in answer["runs"]], answer["missing"]) == ([first], [other])
    shutil.rmtree(store / first)
    with pytest.raises(RunNotFoundError, match="none of these runs"):
        ask(store, [first, other])


def test_number_of_runs_is_limited(tmp_path: Path) -> None:
    """A request for thousands of runs would occupy the server."""
    for count in (0, 51):
        with pytest.raises(InvalidArgumentError, match=f"{count} runs were given"):
            ask(tmp_path, [f"a/{n}" for n in range(count)])

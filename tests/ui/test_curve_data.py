"""The curves that the pages ask for, as JSON."""

from __future__ import annotations

import json
import os
import shutil
import threading
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import provml
from provml import Context
from provml.base.store_files import store_root
from provml.ui.browsed_store import BrowsedStore
from provml.ui.curve_data import answer_curves
from provml.ui.queries import Query

orjson = pytest.importorskip("orjson", reason="provml ui needs orjson")


def ask(store: BrowsedStore | Path, *runs: provml.Run, **parameters: Any) -> dict[str, Any]:
    """Ask for curves; return the answer as the browser gets it."""
    browsed = store if isinstance(store, BrowsedStore) else BrowsedStore(store)
    pairs = [("run", f"{run.path.parent.name}/{run.path.name}") for run in runs]
    for name, value in parameters.items():
        values = value if isinstance(value, list) else [value]
        pairs += [(name.rstrip("_"), str(one)) for one in values]
    answer: dict[str, Any] = json.loads(orjson.dumps(answer_curves(browsed, Query(pairs))))
    return answer


def start(store: Path, name: str = "e", **options: Any) -> provml.Run:
    """Start a run that records only what the test logs."""
    return provml.start_run(name, store=store, formats=(), collect=(), **options)


def test_an_answer_has_what_the_page_draws(store: Path) -> None:
    """The page could not draw or label a curve."""
    with start(store) as run:
        for step in range(4):
            run.log_metric("loss", 0.5 / (step + 1), Context.TRAINING, step, epoch=step // 2)
        run.log_metric("loss", 0.4, Context.VALIDATION, 3, unit="nats")
        run.log_metric("flag", 1)
    answer = ask(store, run)
    (own,) = answer["runs"]
    assert (own["key"], own["status"]) == (f"e/{run.path.name}", "finished")
    training, validation, flag = own["series"]
    last = training["last"]
    assert training == {
        "name": "loss",
        "context": ["training"],
        "rank": None,
        "of": None,
        "unit": None,
        "kind": "metric",
        "count": 4,
        "in_range": 4,
        "thinned": False,
        "unplaced": 0,
        "x": [0, 1, 2, 3],
        "y": [0.5, 0.25, 0.5 / 3, 0.125],
        "marks": [],
        "marks_count": 0,
        "last": {"value": 0.125, "step": 3, "time_ns": last["time_ns"]},
        "band": None,
    }
    assert int(last["time_ns"]) > int(own["started_ns"])
    assert (validation["unit"], validation["x"]) == ("nats", [3])
    assert (flag["context"], flag["unplaced"], flag["x"]) == (None, 1, [])
    assert (answer["axis"], answer["events"], answer["notes"]) == ("step", [], [])


def test_each_axis_has_its_positions(store: Path) -> None:
    """A curve by epoch or time would be drawn at other places."""
    with start(store) as run:
        for step in range(4):
            run.log_metric("m", step, Context.TRAINING, 10 * step, epoch=step // 2)
    found = {
        axis: ask(store, run, axis=axis)["runs"][0] for axis in ("step", "epoch", "time", "wall")
    }
    x = {axis: own["series"][0]["x"] for axis, own in found.items()}
    assert x["step"] == [0, 10, 20, 30]
    assert x["epoch"] == [0, 0, 1, 1]
    started = int(found["wall"]["started_ns"]) / 1e9
    assert x["time"] == sorted(x["time"]) and 0 <= x["time"][0] < 60
    for since_start, wall in zip(x["time"], x["wall"], strict=True):
        assert wall == pytest.approx(started + since_start, abs=1e-5)


def test_gaps_restarts_and_exact_last_values_survive(store: Path) -> None:
    """A NaN would be joined by a line, or a large integer would be rounded."""
    with start(store) as run:
        for step, value in enumerate([1.0, float("nan"), 2, float("-inf"), Decimal("0.5")]):
            run.log_metric("m", value, Context.TRAINING, step)
        run.log_metric("m", 2**63 + 1, Context.TRAINING, 2)
        run.log_metric("text", "no number", Context.TRAINING, 2)
    m, text = ask(store, run)["runs"][0]["series"]
    assert m["x"] == [0, 1, 2, 3, 4, 2, 2]
    assert m["y"] == [1, None, 2, None, 0.5, None, float(2**63)]
    assert (m["marks"], m["marks_count"]) == ([[1, "NaN"], [3, "-Infinity"]], 2)
    assert m["last"]["value"] == str(2**63 + 1)
    assert (text["x"], text["last"]["value"]) == ([], "no number")


def test_a_zoom_gives_the_samples_in_the_range_and_their_neighbours(store: Path) -> None:
    """A zoom would show the thinned curve, or a line that ends before the edge of the chart."""
    with start(store) as run:
        for step in range(5_000):
            run.log_metric("m", step % 7, Context.TRAINING, step)
    (whole,) = ask(store, run, points=100)["runs"][0]["series"]
    assert whole["thinned"] and len(whole["x"]) <= 400
    (part,) = ask(store, run, points=100, from_=1000.5, to=1020)["runs"][0]["series"]
    assert part["x"] == list(range(1000, 1022))
    assert (part["in_range"], part["count"], part["thinned"]) == (20, 5_000, False)


def test_ranks_are_a_band_unless_each_is_asked_for(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A distributed run would be several lines on top of each other."""
    for rank in (0, 1, 2):
        monkeypatch.setenv("RANK", str(rank))
        with start(store, run_id="one") as run:
            for step in range(3):
                value = float("nan") if (rank, step) == (2, 2) else rank + 10.0 * step
                run.log_metric("loss", value, Context.TRAINING, step)
            if rank == 0:
                run.log_metric("lr", 0.1, Context.TRAINING, 0)
    loss, lr = ask(store, run)["runs"][0]["series"]
    assert (loss["rank"], loss["count"], loss["marks"]) == (None, 9, [[2, "NaN"]])
    assert loss["band"] == {
        "x": [0, 1, 2],
        "low": [0, 10, 20],
        "mean": [1, 11, 20.5],
        "high": [2, 12, 21],
        "ranks": 3,
    }
    assert (loss["x"], loss["y"]) == ([0, 1, 2], [1, 11, 20.5])
    assert (lr["rank"], lr["band"]) == (0, None)
    each = ask(store, run, ranks="each", series="loss")["runs"][0]["series"]
    assert [(one["rank"], one["band"], one["y"]) for one in each] == [
        (0, None, [0, 10, 20]),
        (1, None, [1, 11, 21]),
        (2, None, [2, 12, None]),
    ]


def test_readings_are_apart_from_metrics(store: Path) -> None:
    """The machine's readings would drown the metrics."""
    with start(store) as run:
        run.log_metric("loss", 1.0, Context.TRAINING, 0)
        run.log_system_metrics(Context.TRAINING, 0)
    kinds = {
        kind: {one["kind"] for one in ask(store, run, kind=kind)["runs"][0]["series"]}
        for kind in ("metric", "reading", "all")
    }
    assert kinds["metric"] == {"metric"}
    assert kinds["reading"] and not kinds["reading"] & {"metric", "sampling"}
    assert kinds["all"] == kinds["metric"] | kinds["reading"]


def test_events_and_alerts_are_placed_on_the_axis(store: Path) -> None:
    """An event without a step would be missing from a curve by step."""
    with start(store) as run:
        run.log_event("before")
        for step in range(300):
            run.log_metric("m", step, Context.TRAINING, step, epoch=step // 100)
        run.log_event("<b>after</b>", metadata={"reason": "x" * 1_000, "level": "warning"})
        run.log_event("own", step=17)
        for step in range(300, 1_000):
            run.log_metric("m", step, Context.TRAINING, step, epoch=step // 100)
    by_step = ask(store, run)["events"]
    assert [(event["name"], event["x"]) for event in by_step] == [
        ("<b>after</b>", 299),
        ("own", 17),
    ]
    assert by_step[0]["level"] == "warning"
    assert len(by_step[0]["text"]) <= 300
    assert [event["x"] for event in ask(store, run, axis="epoch")["events"]] == [2, 2]
    by_time = ask(store, run, axis="time")["events"]
    assert [event["name"] for event in by_time] == ["before", "<b>after</b>", "own"]


def test_a_live_run_grows_and_its_end_is_seen(store: Path) -> None:
    """A page would have to be loaded again to show the progress of a run."""
    browsed = BrowsedStore(store)
    run = start(store)
    lengths = []
    for turn in range(4):
        for step in range(200):
            run.log_metric("m", step, Context.TRAINING, 200 * turn + step)
        (own,) = ask(browsed, run)["runs"]
        lengths.append((own["status"], own["series"][0]["count"]))
    run.end_run()
    assert lengths == [("running", 200 * turn) for turn in range(1, 5)]
    (own,) = ask(browsed, run)["runs"]
    assert (own["status"], own["series"][0]["count"]) == ("finished", 800)


def test_a_run_that_is_removed_or_unknown_is_an_error(store: Path) -> None:
    """A page would show a run that is gone, or fail without a reason."""
    browsed = BrowsedStore(store)
    with start(store) as run:
        run.log_metric("loss", 1.0)
    ask(browsed, run)
    with pytest.raises(provml.SeriesNotFoundError, match=r"no run has a metric 'nope'; .* 'loss'"):
        ask(browsed, run, series="nope")
    shutil.rmtree(run.path)
    with pytest.raises(provml.RunNotFoundError):
        ask(browsed, run)
    for key in ("../x", "e/..", "e", ".tables/x"):
        with pytest.raises(provml.RunNotFoundError):
            answer_curves(browsed, Query([("run", key)]))


@pytest.mark.parametrize(
    "parameters",
    [
        {"axis": "width"},
        {"kind": "none"},
        {"points": 4_001},
        {"points": "-1"},
        {"from_": "nan"},
        {"from_": 2, "to": 1},
        {"ranks": "x"},
        {"series": [f"m{number}" for number in range(201)]},
    ],
)
def test_an_invalid_request_is_refused(store: Path, parameters: dict[str, Any]) -> None:
    """A mistake would be answered with something else, or with a huge answer."""
    with start(store) as run:
        run.log_metric("loss", 1.0)
    with pytest.raises(provml.InvalidArgumentError):
        ask(store, run, **parameters)


def test_more_series_than_fit_are_left_out_with_a_note(store: Path) -> None:
    """A run with thousands of series would block the page."""
    with start(store) as run:
        for number in range(250):
            run.log_metric(f"m{number}", 1.0, Context.TRAINING, 0)
    answer = ask(store, run)
    assert len(answer["runs"][0]["series"]) == 200
    assert answer["notes"] == [
        "only the first 200 of 250 series are included: ask for the others by name, or look "
        "at the run with provml ui"
    ]
    assert len(ask(store, run, series="m249")["runs"][0]["series"]) == 1


def test_several_requests_at_once_get_whole_answers(store: Path) -> None:
    """Two browsers would see each other's half-read samples."""
    browsed = BrowsedStore(store)
    runs = [start(store, run_id=f"r{number}") for number in range(3)]
    for run in runs:
        for step in range(3_000):
            run.log_metric("m", step, Context.TRAINING, step)
    found: list[Any] = []

    def look(order: list[provml.Run]) -> None:
        for _ in range(3):
            answer = ask(browsed, *order)
            found.append([own["series"][0]["count"] for own in answer["runs"]])

    threads = [threading.Thread(target=look, args=(own,)) for own in (runs, runs[::-1], runs[1:])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for run in runs:
        run.end_run()
    assert len(found) == 9
    assert all(count == 3_000 for counts in found for count in counts)


def test_a_deleted_cache_is_written_again(store: Path, monkeypatch: Any, tmp_path: Path) -> None:
    """A page would fail until the server is started again."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    browsed = BrowsedStore(store)
    with start(store) as run:
        for step in range(70_000):
            run.log_metric("m", step, Context.TRAINING, step)
    before = ask(browsed, run)
    (cached,) = tmp_path.rglob("*.curves")
    assert store_root(run.path) not in cached.parents
    os.unlink(cached)
    assert ask(browsed, run) == before
    assert cached.exists()


def test_a_run_that_cannot_be_read_leaves_the_others(store: Path) -> None:
    """One run of a newer version would leave the whole chart empty."""
    runs = [start(store, run_id=f"r{number}") for number in range(2)]
    for run in runs:
        run.log_metric("m", 1.0, Context.TRAINING, 0)
        run.end_run()
    (samples,) = runs[0].path.glob("journal/*.samples")
    content = bytearray(samples.read_bytes())
    content[8:10] = (99).to_bytes(2, "little")
    samples.write_bytes(content)
    answer = ask(store, *runs)
    assert [(own["status"], len(own["series"])) for own in answer["runs"]] == [
        ("unreadable", 0),
        ("finished", 1),
    ]
    (note,) = answer["notes"]
    assert note.startswith("run e/r0 can't be read: ")


def test_a_run_that_takes_the_place_of_another_is_read_anew(store: Path) -> None:
    """A page would show the samples of a run that was removed."""
    browsed = BrowsedStore(store)
    for count in (300, 5):
        run = start(store, run_id="one")
        for step in range(count):
            run.log_metric("m", step, Context.TRAINING, step)
        (series,) = ask(browsed, run)["runs"][0]["series"]
        assert series["count"] == count
        run.end_run()
        shutil.rmtree(run.path)

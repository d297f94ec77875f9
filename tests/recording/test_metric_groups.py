"""Metrics by groups: points that wait for their epoch, batches, reading, summaries."""

from __future__ import annotations

import json
import math
import os
import signal
import statistics
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import damaging
import pytest

import provml
from provml.export import find_format
from provml.validation import validate

TRAINING = provml.Context.TRAINING


def points(run: provml.Run, name: str, context: Any) -> list[tuple[Any, int | None, int | None]]:
    """Value, epoch and step of each sample of a metric, as a reader finds them."""
    series = provml.load(run.path).series(name, context)
    columns = zip(series.value.tolist(), series.epoch.tolist(), series.step.tolist(), strict=True)
    return [(v, None if e < 0 else e, None if s < -(2**62) else s) for v, e, s in columns]


def rows(run: provml.Run, group: str) -> list[dict[str, Any]]:
    """What a group's `read` gives."""
    return [point["data"] for point in run.metrics(group).read()["data"]]


@pytest.mark.parametrize(
    ("group", "context"),
    [
        ("train", "training"),
        ("training", "training"),
        ("val", "validation"),
        ("validation", "validation"),
        ("eval", "evaluation"),
        ("evaluation", "evaluation"),
        ("system", "system"),
        ("🦉/é", "🦉/é"),
    ],
)
def test_a_group_is_a_context(run: provml.Run, group: str, context: str) -> None:
    """Points of a group would be found in no context, or in another one."""
    run.metrics.log(epoch=2, **{group: {"loss": 0.5, "accuracy": 7}})
    assert points(run, "loss", context) == [(0.5, 2, None)]
    assert points(run, "accuracy", context) == [(7, 2, None)]


def test_all_groups_of_a_call_have_its_epoch_and_step(run: provml.Run) -> None:
    """A group would lack the epoch or step, or have the one of the call before."""
    for epoch in range(2):
        run.metrics.log(
            epoch=epoch, step=10 * epoch, train={"loss": 0.5}, system={"gpu": 4.2}, lr={"value": 1}
        )
    assert points(run, "loss", TRAINING) == [(0.5, 0, 0), (0.5, 1, 10)]
    assert points(run, "gpu", "system") == [(4.2, 0, 0), (4.2, 1, 10)]
    assert points(run, "value", "lr") == [(1, 0, 0), (1, 1, 10)]


def test_points_get_the_epoch_that_is_said_after_them(run: provml.Run) -> None:
    """Points logged before their epoch would have none, or the epoch of others."""
    for epoch in range(3):
        run.metrics("train").log(loss=epoch / 2, accuracy=epoch)
        run.metrics("eval").log(loss=epoch / 4)
        run.metrics.log(epoch=epoch, step=5).flush()
    assert points(run, "loss", TRAINING) == [(0.0, 0, 5), (0.5, 1, 5), (1.0, 2, 5)]
    assert points(run, "accuracy", TRAINING) == [(0, 0, 5), (1, 1, 5), (2, 2, 5)]
    assert points(run, "loss", "evaluation") == [(0.0, 0, 5), (0.25, 1, 5), (0.5, 2, 5)]


def test_points_get_the_epoch_that_was_said_before_them(run: provml.Run) -> None:
    """An epoch said first would be lost, or reach the points of the next one."""
    for epoch in (1, 2):
        run.metrics.log(epoch=epoch)
        run.metrics("train").log(loss=float(epoch))
        run.metrics.flush()
    run.metrics("train").log(loss=3.0)
    run.metrics.flush()
    assert points(run, "loss", TRAINING) == [(1.0, 1, None), (2.0, 2, None), (3.0, None, None)]


def test_another_epoch_flushes_what_is_pending_under_the_one_before(run: provml.Run) -> None:
    """A forgotten flush would move an epoch's points into the next."""
    for epoch in (1, 2):
        run.metrics.log(epoch=epoch)
        run.metrics("train").log(loss=float(epoch))
    run.metrics.flush()
    assert points(run, "loss", TRAINING) == [(1.0, 1, None), (2.0, 2, None)]


def test_the_place_of_a_call_with_groups_is_that_call_s_alone(run: provml.Run) -> None:
    """A step would leak into the groups that are logged later."""
    run.metrics.log(step=100, train={"loss": 1.0})
    run.metrics("other").log(loss=2.0)
    run.metrics.flush()
    for epoch in (1, 2):
        run.metrics.log(epoch=epoch, train={"late": float(epoch)})
        run.metrics("train").log(style=float(epoch))
        run.metrics.log(epoch=epoch).flush()
    assert points(run, "loss", TRAINING) == [(1.0, None, 100)]
    assert points(run, "loss", provml.Context("other")) == [(2.0, None, None)]
    assert points(run, "style", TRAINING) == [(1.0, 1, None), (2.0, 2, None)]


def test_a_point_keeps_its_own_epoch_and_step(run: provml.Run) -> None:
    """What a point says of itself would be overwritten by what comes later."""
    run.metrics("train").log(loss=1, epoch=7)
    run.metrics("train").log(loss=2, step=8)
    run.metrics("train").log(loss=3, epoch=7, step=8)
    run.metrics.log(epoch=1, step=2).flush()
    assert points(run, "loss", TRAINING) == [(1, 7, 2), (2, 1, 8), (3, 7, 8)]


def test_values_of_every_kind_wait_for_their_epoch(run: provml.Run) -> None:
    """A text, or an int beyond 64 bits, which lie in another file, would stay without an epoch."""
    run.metrics("train").log(a=0.5, b=1, c="text", d=b"\x00", e=2**70)
    run.metrics.log(epoch=4).flush()
    for name, value in (("a", 0.5), ("b", 1), ("c", "text"), ("d", b"\x00"), ("e", 2**70)):
        assert points(run, name, TRAINING) == [(value, 4, None)]
    assert rows(run, "train") == [
        {"a": 0.5, "b": 1, "c": "text", "d": b"\x00", "e": 2**70, "epoch": 4}
    ]


def test_what_is_pending_at_the_end_is_recorded(store: Path) -> None:
    """Points whose epoch was said, but not flushed, or never said, would be lost at the end."""
    with provml.start_run("e", store=store) as run:
        run.metrics("train").log(loss=1.0)
    with provml.start_run("e", store=store) as said:
        said.metrics("train").log(loss=1.0)
        said.metrics.log(epoch=3)
    assert points(run, "loss", TRAINING) == [(1.0, None, None)]
    assert points(said, "loss", TRAINING) == [(1.0, 3, None)]


KILLED = """
import os, signal, sys, provml
run = provml.start_run("e", store=sys.argv[1], run_id="killed")
run.metrics("train").log(loss=0.25, accuracy=1)
run.metrics.log(epoch=1).flush()
run.metrics("train").log(loss=0.5, accuracy=2)
cache = run.metrics("train").summary_cache
cache.store(loss=1.0)
raw = run.metrics("eval").summary_cache
raw.keep_raw = True
raw.store(loss=2.0)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_process_loses_no_point_and_says_what_was_stored(store: Path) -> None:
    """A point that waits for its epoch would be lost, or a lost window be told nowhere."""
    process = subprocess.run([sys.executable, "-c", KILLED, str(store)], check=False)
    assert process.returncode == -signal.SIGKILL
    run = provml.load("killed", store)
    assert run.series("loss", TRAINING).value.tolist() == [0.25, 0.5]
    assert run.series("loss", TRAINING).epoch.tolist() == [1, -1]
    assert run.series("loss", "evaluation").value.tolist() == [2.0]
    losses = [s for s in run.statements() if ("prov:type", "provml:Loss") in s.attributes]
    assert [dict(s.attributes)["provml:name"] for s in losses] == ["stored values not summarised"]
    assert dict(losses[0].attributes)["provml:count"] == 2
    command = [sys.executable, "-m", "provml", "show", "killed", "--store", str(store)]
    shown = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert "values for 2 missing summaries" in " ".join(shown.split())


def test_a_batch_tells_its_indices(run: provml.Run) -> None:
    """The points of a batch could not be found again."""
    group = run.metrics("train_loss")
    first = group.append_batch([{"value": 0.5, "step": 1, "epoch": 1}, {"value": 0.45, "step": 2}])
    assert first == provml.AppendedBatch(2, 0, 1)
    assert group.append(value=1) == provml.AppendedPoint(2)
    generated = group.append_batch({"value": n / 10} for n in range(3))
    assert generated == provml.AppendedBatch(3, 3, 5)
    assert group.append_batch([]) == provml.AppendedBatch(0, 6, 5)
    assert rows(run, "train_loss") == [
        {"value": 0.5, "step": 1, "epoch": 1},
        {"value": 0.45, "step": 2},
        {"value": 1},
        {"value": 0.0},
        {"value": 0.1},
        {"value": 0.2},
    ]
    assert points(run, "value", "train_loss")[:2] == [(0.5, 1, 1), (0.45, None, 2)]


def test_several_fields_are_one_point(run: provml.Run) -> None:
    """A point of several metrics would fall apart, or two points would become one."""
    for epoch in range(3):
        run.metrics("all").append(epoch=epoch, train_loss=0.5, val_loss=0.5, val_acc=epoch)
    assert rows(run, "all") == [
        {"train_loss": 0.5, "val_loss": 0.5, "val_acc": epoch, "epoch": epoch} for epoch in range(3)
    ]


BAD = [
    {"value": True},
    {"value": None},
    {"value": [1.0]},
    {"value": 0.5, "step": "one"},
    {"value": 0.5, "step": -(2**63)},
    {"value": 0.5, "epoch": -1},
    {"value": 0.5, "epoch": True},
    {"step": 1},
    {},
    {1: 0.5},
    [("value", 0.5)],
    None,
    "value",
]


@pytest.mark.parametrize("bad", BAD)
def test_a_bad_point_rejects_its_batch(run: provml.Run, bad: Any) -> None:
    """Half a batch would be recorded, and recorded again when it is sent again."""
    with pytest.raises(provml.ProvMLError, match="point 1"):
        run.metrics("train").append_batch([{"value": 0.5}, bad, {"value": 0.5}])
    if isinstance(bad, dict) and 1 not in bad:
        with pytest.raises(provml.ProvMLError):
            run.metrics("train").append(**bad)
        with pytest.raises(provml.ProvMLError):
            run.metrics("train").log(**bad)
        with pytest.raises(provml.ProvMLError):
            run.metrics.log(eval={"loss": 0.5}, train=bad)
    assert run.metrics("train").read()["total"] == 0
    assert provml.load(run.path).series_names() == []
    assert run.metrics("train").append(value=1) == provml.AppendedPoint(0)


@pytest.mark.parametrize("bad", [None, 5, {"value": 1}, "text", b"bytes"])
def test_a_batch_that_is_none_is_refused(run: provml.Run, bad: Any) -> None:
    """The keys of a mapping, or the letters of a text, would be taken for points."""
    with pytest.raises(provml.InvalidMetricError, match="list of mappings"):
        run.metrics("train").append_batch(bad)


@pytest.mark.parametrize("bad", [None, 3, b"train", "\ud800", "x" * 5000])
def test_a_group_without_a_name_is_refused(run: provml.Run, bad: Any) -> None:
    """Points would be recorded in a context that no document can name."""
    with pytest.raises(provml.InvalidArgumentError):
        run.metrics(bad)


def test_a_group_that_is_no_mapping_is_refused(run: provml.Run) -> None:
    """A value would be recorded under the name of a group, or as nothing."""
    for bad in (0.5, None, [1], "text", {}):
        with pytest.raises(provml.InvalidMetricError):
            run.metrics.log(epoch=1, train={"loss": 1}, eval=bad)  # type: ignore[arg-type]
    for place in ({"epoch": -1}, {"step": "x"}, {"step": 1.5}):
        with pytest.raises(provml.InvalidArgumentError):
            run.metrics.log(train={"loss": 1}, **place)  # type: ignore[arg-type]
    assert provml.load(run.path).series_names() == []


def test_a_result_can_be_read_by_key(run: provml.Run) -> None:
    """A script that reads `result["count"]` would break."""
    result = run.metrics("train").append_batch([{"loss": 0.5}])
    assert result["count"] == result.count == 1
    assert dict(result) == {"count": 1, "start_index": 0, "end_index": 0}
    for point in run.metrics("train").read()["data"]:
        assert (point["index"], point["data"]) == (0, {"loss": 0.5})
    with pytest.raises(KeyError):
        result["nonsense"]


def test_reading_goes_by_pages(run: provml.Run) -> None:
    """A page would miss points, give them twice, or not say that there are more."""
    group = run.metrics("loss")
    for step in range(25):
        group.append(value=1 / (step + 1), step=step)
    found, start = [], 0
    while True:
        page = group.read(start_index=start, limit=10)
        assert page["total"] == 25
        found += page["data"]
        start += len(page["data"])
        if not page["has_more"]:
            break
    assert found == [provml.Point(n, {"value": 1 / (n + 1), "step": n}) for n in range(25)]
    assert group.read(limit=0) == provml.PointPage([], 25, True)
    assert group.read(25) == provml.PointPage([], 25, False)
    assert [group.read(20, limit)["has_more"] for limit in (4, 5, 6)] == [True, False, False]
    assert group.read(2**62)["data"] == []


def test_reading_crosses_the_chunks_of_a_file(run: provml.Run, monkeypatch: Any) -> None:
    """A point whose samples lie in two chunks would be read as two points."""
    from provml.journal import point_pages

    monkeypatch.setattr(point_pages, "_PART_RECORDS", 3)
    group = run.metrics("a")
    group.append_batch({"x": n, "y": -n, "z": 0.5, "text": str(n)} for n in range(50))
    expected = [{"x": n, "y": -n, "z": 0.5, "text": str(n)} for n in range(50)]
    assert [point["data"] for point in group.read()["data"]] == expected
    assert group.read(7, 3)["data"][0] == provml.Point(7, expected[7])


def test_reading_sees_points_that_wait(run: provml.Run) -> None:
    """What was just logged could not be read before a flush."""
    run.metrics("train").log(loss=0.5)
    assert rows(run, "train") == [{"loss": 0.5}]
    run.metrics.log(epoch=3).flush()
    assert rows(run, "train") == [{"loss": 0.5, "epoch": 3}]


def test_what_is_logged_otherwise_is_no_point(run: provml.Run) -> None:
    """The index of points would count samples that no group recorded."""
    run.log_metric("loss", 0.25, TRAINING, 1)
    run.metrics("train").log(loss=0.5)
    run.log_metric("loss", 0.75, TRAINING, 2)
    assert rows(run, "train") == [{"loss": 0.5}]
    assert [p[0] for p in points(run, "loss", TRAINING)] == [0.25, 0.5, 0.75]


@pytest.mark.parametrize("bad", [-1, 1.5, True, None, "3", 2**70])
def test_reading_checks_its_arguments(run: provml.Run, bad: Any) -> None:
    """A page would begin from the end, or fill the memory."""
    with pytest.raises(provml.InvalidArgumentError, match="start_index"):
        run.metrics("train").read(start_index=bad)
    with pytest.raises(provml.InvalidArgumentError, match="limit"):
        run.metrics("train").read(limit=bad)
    with pytest.raises(provml.InvalidArgumentError, match="limit"):
        run.metrics("train").read(limit=1_000_001)


def test_the_index_goes_on_over_a_resume(store: Path) -> None:
    """The index of a resumed run's points would begin at 0 again."""
    with provml.start_run("e", store=store, run_id="r") as run:
        run.metrics("train").append_batch([{"loss": n} for n in range(3)])
    with provml.start_run("e", store=store, run_id="r", resume=True) as run:
        assert run.metrics("train").append(loss=3) == provml.AppendedPoint(3)
        assert run.metrics("train").append_batch([{"loss": 4}]) == provml.AppendedBatch(1, 4, 4)
        assert run.metrics("eval").append(loss=0) == provml.AppendedPoint(0)
        assert [row["loss"] for row in rows(run, "train")] == [0, 1, 2, 3, 4]


def test_points_of_many_threads_stay_whole(run: provml.Run) -> None:
    """Points logged at once would mix their fields or share an index."""
    taken: list[int] = []

    def work(number: int) -> None:
        for step in range(50):
            taken.append(run.metrics("t").append(a=number, b=number, step=step)["index"])

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == list(range(400))
    found = rows(run, "t")
    assert len(found) == 400
    assert all(row["a"] == row["b"] for row in found)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_child_leaves_what_its_parent_has_pending(run: provml.Run) -> None:
    """A child would give its parent's points an epoch, or summarise its parent's values."""
    run.metrics("train").log(loss=1)
    cache = run.metrics("train").summary_cache
    cache.store(loss=1)
    child = os.fork()
    if child == 0:
        run.metrics.log(epoch=9).flush()
        cache.summarize()
        run.metrics("train").append(loss=2)
        run._writer.close(None, "helper closed")
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert points(run, "loss", TRAINING) == [(1, None, None), (2, None, None)]
    assert cache.peek("loss") == [1]
    run.metrics.log(epoch=3).flush()
    assert points(run, "loss", TRAINING)[0] == (1, 3, None)


def test_more_pending_points_than_are_held_are_kept_without_an_epoch(
    run: provml.Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A script that never flushes would fill the memory, or lose points."""
    monkeypatch.setattr("provml.recording.metric_groups._MOST_PENDING", 10)
    with pytest.warns(provml.ProvMLWarning, match="flush"):
        for step in range(12):
            run.metrics("train").log(loss=step)
    run.metrics.log(epoch=1).flush()
    assert [epoch for _, epoch, _ in points(run, "loss", TRAINING)] == [None] * 2 + [1] * 10


def test_pending_points_outlive_the_segment_they_stand_in(run: provml.Run) -> None:
    """The epoch of points logged before the file grew would be written elsewhere, or lost."""
    for step in range(5000):
        run.metrics("train").log(loss=step)
    run.metrics.log(epoch=6).flush()
    assert points(run, "loss", TRAINING) == [(step, 6, None) for step in range(5000)]


# -- summaries -------------------------------------------------------------------------------------


def test_a_summary_is_of_what_was_stored(run: provml.Run) -> None:
    """A summary's figures would be wrong, or not recorded where they belong."""
    values = [0.5, 0.25, 1.0, 0.75]
    cache = run.metrics("train").summary_cache
    for value in values:
        cache.store(loss=value)
    cache.set(epoch=3, lr=0.01)
    figures = cache.summarize()
    expected = {
        "lr": 0.01,
        "loss.mean": statistics.mean(values),
        "loss.min": 0.25,
        "loss.max": 1.0,
        "loss.std": statistics.stdev(values),
        "loss.count": 4,
    }
    assert figures == pytest.approx(expected)
    assert rows(run, "train") == [figures | {"epoch": 3}]
    for name, value in figures.items():
        assert points(run, name, TRAINING) == [(value, 3, None)]


@pytest.mark.parametrize(
    ("values", "figures"),
    [
        ([2], {"mean": 2.0, "min": 2, "max": 2, "std": 0.0, "count": 1}),
        (
            [math.nan, 1.0, math.nan, 3.0],
            {"mean": 2.0, "min": 1.0, "max": 3.0, "std": math.sqrt(2), "count": 2},
        ),
        ([math.nan], {"count": 0}),
        ([1e308, 1e308], {"mean": 1e308, "min": 1e308, "max": 1e308, "std": 0.0, "count": 2}),
        (
            [1e200, -1e200],
            {"mean": 0.0, "min": -1e200, "max": 1e200, "std": math.sqrt(2) * 1e200, "count": 2},
        ),
        ([2**60, 2**60], {"mean": 2.0**60, "min": 2**60, "max": 2**60, "std": 0.0, "count": 2}),
    ],
)
def test_awkward_values_are_summarised(run: provml.Run, values: Any, figures: Any) -> None:
    """One value would have no deviation, NaN would swallow all, large numbers would raise."""
    cache = run.metrics("train").summary_cache
    for value in values:
        cache.store(x=value)
    found = cache.summarize()
    assert found == pytest.approx({f"x.{name}": value for name, value in figures.items()})
    assert {name: type(value) for name, value in found.items()} == {
        f"x.{name}": type(value) for name, value in figures.items()
    }


def test_infinities_are_summarised(run: provml.Run) -> None:
    """A diverged training would make the summary raise."""
    cache = run.metrics("train").summary_cache
    for value in (math.inf, -math.inf, 1.0):
        cache.store(x=value)
    found = cache.summarize()
    assert (found["x.min"], found["x.max"], found["x.count"]) == (-math.inf, math.inf, 3)
    assert math.isnan(found["x.mean"])
    assert math.isnan(found["x.std"])


def test_a_summary_begins_anew_or_goes_on(run: provml.Run) -> None:
    """A rolling window would keep old values, a cumulative one would lose them."""
    cache = run.metrics("train").summary_cache
    cache.store(x=1)
    assert cache.summarize()["x.count"] == 1
    cache.store(x=2)
    assert cache.summarize(clear=False)["x.mean"] == 2
    cache.store(x=4)
    assert cache.summarize(clear=False)["x.mean"] == 3
    cache.store(x=6)
    assert cache.summarize()["x.count"] == 3
    assert cache.summarize() == {}
    assert run.metrics("train").read()["total"] == 4


def test_what_is_set_is_of_one_summary(run: provml.Run) -> None:
    """The epoch of one summary would become that of the next."""
    cache = run.metrics("train").summary_cache
    run.metrics.log(epoch=8)
    for fields in ({"epoch": 1, "step": 4, "lr": 0.1}, {}):
        cache.store(x=1)
        cache.set(**fields)
        cache.summarize()
    assert points(run, "x.mean", TRAINING) == [(1.0, 1, 4), (1.0, 8, None)]
    assert points(run, "lr", TRAINING) == [(0.1, 1, 4)]


def test_peeking_changes_nothing(run: provml.Run) -> None:
    """A look at what is stored would take it out, or hand out the list itself."""
    cache = run.metrics("train").summary_cache
    for value in (1, 2.5, 3):
        cache.store(x=value)
    assert cache.peek("x") == [1, 2.5, 3]
    assert cache.peek("x", limit=2) == [2.5, 3]
    assert cache.peek("x", limit=0) == []
    assert cache.peek("y") == []
    cache.peek("x").clear()
    assert cache.summarize()["x.count"] == 3
    for bad in (-1, 1.5, True, "2"):
        with pytest.raises(provml.InvalidArgumentError, match="limit"):
            cache.peek("x", limit=bad)  # type: ignore[arg-type]


@pytest.mark.parametrize("bad", ["text", None, True, 2**70, [1], b"x"])
def test_what_is_no_number_is_not_stored(run: provml.Run, bad: Any) -> None:
    """A summary would raise at the end of the epoch, far from the mistake."""
    cache = run.metrics("train").summary_cache
    with pytest.raises(provml.InvalidMetricError, match="'y'"):
        cache.store(x=1, y=bad)
    assert cache.peek("x") == []
    for place in ("epoch", "step"):
        with pytest.raises(provml.InvalidArgumentError, match=r"set\(\)"):
            cache.store(x=1, **{place: 1})
    for fields in ({"epoch": -1}, {"step": 0.5}, {"lr": None}):
        with pytest.raises(provml.ProvMLError):
            cache.set(**fields)


def test_what_is_stored_at_the_end_is_summarised(store: Path) -> None:
    """The last values of a run would be lost."""
    with provml.start_run("e", store=store) as run:
        run.metrics("train").summary_cache.store(x=1)
        kept = run.metrics("eval").summary_cache
        kept.store(x=1)
        kept.summarize(clear=False)  # nothing new since
        run.metrics("plain").summary_cache.set(lr=0.1, epoch=3)
        run.metrics("place").summary_cache.set(epoch=3)
        recorded = run.metrics("recorded").summary_cache
        recorded.set(lr=0.1)
        recorded.summarize(clear=False)
    assert points(run, "x.count", TRAINING) == [(1, None, None)]
    assert points(run, "x.count", "evaluation") == [(1, None, None)]
    assert points(run, "lr", "plain") == [(0.1, 3, None)]
    assert points(run, "lr", "recorded") == [(0.1, None, None)]


WORKERS = """
import multiprocessing, sys, provml
def work(run):
    cache = run.metrics("train").summary_cache
    cache.store(x=1)
    cache.store(x=2)
    run.metrics("val").log(acc=0.5)
    run.metrics.log(epoch=2)
if __name__ == "__main__":
    with provml.start_run("e", store=sys.argv[1], run_id="workers") as run:
        worker = multiprocessing.get_context("fork").Process(target=work, args=(run,))
        worker.start()
        worker.join()
        assert worker.exitcode == 0
"""


def test_what_is_pending_in_a_worker_is_recorded(store: Path) -> None:
    """A forked worker leaves without the interpreter's exit functions: its values would be lost."""
    subprocess.run([sys.executable, "-c", WORKERS, str(store)], check=True)
    recorded = provml.load("workers", store)
    assert recorded.points("train")["data"][0]["data"]["x.mean"] == 1.5
    assert recorded.points("val")["data"] == [provml.Point(0, {"acc": 0.5, "epoch": 2})]


def test_a_groups_points_are_of_no_model(run: provml.Run) -> None:
    """What the points are said to be of would be a metric of that name."""
    for call in (run.metrics("eval").append, run.metrics("eval").log):
        with pytest.raises(provml.InvalidArgumentError, match=r"run\.log_metric"):
            call(acc=1.0, of="net")


def test_raw_values_can_be_kept(run: provml.Run) -> None:
    """Values of which only the summary is recorded could not be asked for."""
    cache = run.metrics("train").summary_cache
    cache.keep_raw = True
    for value in (1, 2.5):
        cache.store(x=value)
    assert points(run, "x", TRAINING) == [(1, None, None), (2.5, None, None)]
    assert run.metrics("train").read()["total"] == 0


def relations(run: provml.Run, kind: str) -> set[tuple[str, ...]]:
    """The relations of a kind in the run's document, by what they relate."""
    return {
        tuple(str(value) for value in statement.arguments.values() if isinstance(value, str))
        for statement in provml.load(run.path).statements("sample")
        if statement.kind == kind
    }


def test_a_summary_was_derived_from_its_window(run: provml.Run) -> None:
    """Of a summary nobody could say from which values it came."""
    cache = run.metrics("train").summary_cache
    cache.keep_raw = True
    for clear in (False, True):
        cache.store(x=1)
        cache.store(x=2)
        cache.summarize(clear=clear)
    used = relations(run, "used")
    windows = sorted((a, w) for a, w in used if w.startswith("run:window/training/x/"))
    assert len(windows) == 2
    for number, (activity, window) in enumerate(windows):
        for statistic in ("mean", "min", "max", "std", "count"):
            sample = f"run:metric/training/x.{statistic}/{number}"
            assert (sample, activity) in relations(run, "wasGeneratedBy")
            assert (sample, window) in relations(run, "wasDerivedFrom")
        for raw in (2 * number, 2 * number + 1):
            assert (window, f"run:metric/training/x/{raw}") in relations(run, "hadMember")
        assert (activity, "run:context/training") in relations(run, "wasInformedBy")
    # the second goes on from the first
    assert (windows[1][1], windows[0][1]) in relations(run, "wasDerivedFrom")
    attributes = {
        str(s.id): dict(s.attributes) for s in provml.load(run.path).statements("sample") if s.id
    }
    assert [attributes[window]["provml:count"] for _, window in windows] == [2, 4]


FORMS = ("provn", "provxml", "ntriples", "nquads", "turtle", "trig", "jsonld", "provjsonld")


@pytest.mark.slow
@pytest.mark.parametrize("detail", ["sample", "series"])
def test_documents_of_such_a_run_are_valid_and_alike(
    store: Path, detail: str, tmp_path: Path
) -> None:
    """A form would break the schema, the constraints of PROV or the shapes, or say less."""
    with provml.start_run("e", store=store, formats=(), external_id="1") as run:
        cache = run.metrics("train").summary_cache
        cache.store(loss=0.5)  # before anything else is in the context
        for epoch in range(3):
            cache.keep_raw = epoch == 1
            cache.store(loss=0.5, accuracy=epoch)
            cache.set(epoch=epoch, lr=0.1)
            cache.summarize(clear=epoch != 1)
            run.metrics("eval").log(loss=0.25, verdict="good")
            run.metrics.log(epoch=epoch, step=3).flush()
            run.metrics("all").append_batch([{"value": 1, "step": 2}, {"value": 2.5}])
            run.update_metadata("layers", {"number": epoch})
            run.log_model("net", {"epoch": epoch})
            run.log_metric("accuracy", 0.5, "evaluation", of="net")
            run.log_metric("verdict", "good", of="net")
            run.log_event("served", of="net", source="server")
        cache.store(loss=1)
    recorded = provml.load(run.path)
    recorded.export("provjson", first := tmp_path / "run.json", detail)
    assert validate(first).findings == []
    for form in FORMS:
        path = tmp_path / f"run{find_format(form).suffix}"
        recorded.export(form, path, detail)
        # the shapes take seconds, and all forms become the same RDF
        assert validate(path, shapes=form == "turtle").findings == []
        assert provml.equivalent(first, path)


def test_a_summary_without_its_record_is_a_plain_metric(run: provml.Run) -> None:
    """A damaged line would have a document name an activity that is declared nowhere."""
    cache = run.metrics("train").summary_cache
    cache.store(x=1)
    cache.set(epoch=2)
    cache.summarize()
    run.end_run()
    damaging.remove_checksums(run.path)
    (events,) = run.path.glob("journal/*.events.jsonl")
    lines = events.read_bytes().splitlines(keepends=True)
    damaged = [
        b"?" * (len(line) - 1) + b"\n" if b'"summary","time"' in line else line for line in lines
    ]
    assert damaged != lines
    events.write_bytes(b"".join(damaged))
    generated = relations(run, "wasGeneratedBy")
    assert ("run:metric/training/x.mean/0", "run:epoch/training/2") in generated
    assert not any("run:window" in "".join(pair) for pair in relations(run, "wasDerivedFrom"))


def test_an_ended_run_takes_no_more(store: Path) -> None:
    """What is logged after the end would seem recorded."""
    with provml.start_run("e", store=store) as run:
        group, metrics = run.metrics("train"), run.metrics
        group.append(loss=1)
    for call in (
        lambda: group.log(loss=1),
        lambda: group.append(loss=1),
        lambda: group.append_batch([{"loss": 1}]),
        lambda: group.summary_cache.store(loss=1),
        lambda: group.summary_cache.summarize(),
        lambda: metrics.log(train={"loss": 1}),
        lambda: metrics.flush(),
    ):
        with pytest.raises(provml.RunClosedError):
            call()
    assert group.read()["total"] == 1
    assert provml.load(run.path).points("train") == group.read()


@pytest.mark.parametrize("fields", [3, [], [3], [{"name": "x"}], [{"name": 3, "stored": 1}], None])
def test_a_summary_that_makes_no_sense_is_passed_over(run: provml.Run, fields: Any) -> None:
    """A damaged record would have a document name what is declared nowhere."""
    group = run.metrics("train")
    group.summary_cache.store(x=1)
    group.summary_cache.summarize()
    (events,) = run.path.glob("journal/*.events.jsonl")
    lines = events.read_text().splitlines(keepends=True)
    for number, line in enumerate(lines):
        record = json.loads(line)
        if record["record"] == "summary":
            lines[number] = json.dumps(record | {"fields": fields}) + "\n"
    events.write_text("".join(lines))
    damaging.seal_again(events)
    statements = list(provml.load(run.path).statements("sample"))
    declared = {str(s.id) for s in statements if s.kind in ("entity", "activity", "agent")}
    named = {
        str(value) for s in statements for value in s.arguments.values() if isinstance(value, str)
    }
    assert named <= declared

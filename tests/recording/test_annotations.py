"""What a run is told of in words and values, and how it is read back."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import provml
from provml import Event, EventSource

TRAINER = EventSource(name="trainer")


def pairs(run: provml.Run, kind: str, detail: str = "sample") -> set[tuple[str, ...]]:
    """The relations of a kind in the run's document, by what they relate."""
    return {
        tuple(str(value) for value in statement.arguments.values() if isinstance(value, str))
        for statement in provml.load(run.path).statements(detail)
        if statement.kind == kind
    }


def test_a_run_is_told_what_it_is(store: Path) -> None:
    """An experiment's owner, group, outer id, framework or task could not be found again."""
    options = {"owner": "foo@bar.com", "project": "cv", "external_id": "ext1"}
    options |= {"framework": "pytorch", "task": "detection"}
    metadata = {"hyperparams": {"fc_layers": 3}, "note": "first"}
    with provml.start_run("yolo-v4", store=store, metadata=metadata, **options) as run:  # type: ignore[arg-type]
        pass
    recorded = provml.load(run.path)
    assert {key: getattr(recorded, key) for key in options} == options
    assert recorded.experiment == "yolo-v4"
    assert recorded.metadata == metadata
    (own,) = [s for s in recorded.statements() if s.id == "run:run"]
    attributes = dict(own.attributes)
    assert attributes["provml:externalId"] == "ext1"
    assert attributes["provml:framework"] == "pytorch"
    assert attributes["provml:task"] == "detection"
    assert ("run:results", "base:person/foo%40bar.com") in pairs(run, "wasAttributedTo")


class Framework(str, Enum):  # noqa: UP042 - what str() of a StrEnum gives is its text anyway
    """As some libraries name frameworks."""

    PYTORCH = "pytorch"


def test_names_of_an_enumeration_are_their_texts(store: Path) -> None:
    """``str()`` of such a member is ``Framework.PYTORCH``: names and values would be that."""
    own = Framework.PYTORCH
    with provml.start_run("e", store=store, framework=own, metadata={own: own}) as run:
        run.log_metric(own, own, own)
        run.log_param(own, own)
        run.log_event(own, metadata={"array": np.arange(3)})
    recorded = provml.load(run.path)
    assert recorded.framework == "pytorch"
    assert recorded.metadata == recorded.params == {"pytorch": "pytorch"}
    assert list(recorded.series("pytorch", "pytorch").value) == ["pytorch"]
    (event,) = recorded.events("pytorch")
    assert event.metadata["array"].tolist() == [0, 1, 2]


@pytest.mark.parametrize("field", ["external_id", "framework", "task"])
def test_what_a_run_is_told_must_be_text(store: Path, field: str) -> None:
    """A wrong field would be recorded as its repr, or break the document."""
    for bad in (3, b"x", "\ud800"):
        with pytest.raises(provml.InvalidArgumentError, match=field):
            provml.start_run("e", store=store, **{field: bad})  # type: ignore[arg-type]
    with pytest.raises(provml.InvalidArgumentError, match="metadata"):
        provml.start_run("e", store=store, metadata=["x"])  # type: ignore[arg-type]
    assert not store.exists()


def test_what_was_created_before_says_that_it_exists(store: Path) -> None:
    """A second run of an id would write over the first, or silently be another."""
    with provml.start_run("e", store=store, run_id="a", external_id="1"):
        pass
    with pytest.raises(provml.RunExistsError, match="exists"):
        provml.start_run("e", store=store, run_id="a")
    with provml.start_run("e", store=store, run_id="a", resume=True) as run:
        assert provml.load(run.path).external_id == "1"


def test_metadata_is_kept_with_its_types(run: provml.Run) -> None:
    """An int would come back as a float, or a mapping in pieces."""
    value = {"fc_layers": 3, "lr": 0.0002, "big": 2**60, "names": ["a", None], "on": True}
    before = datetime.now(UTC)
    result = run.update_metadata(key="hyperparams", value=value)
    assert result.num_keys_written == 1
    assert before - timedelta(seconds=1) <= result.updated_at <= datetime.now(UTC)
    assert result.updated_at.utcoffset() == timedelta(0)
    back = provml.load(run.path).metadata["hyperparams"]
    assert repr(back) == repr(value)
    provml.update_metadata("seed", 7)
    assert provml.load(run.path).metadata["seed"] == 7


def test_an_update_of_metadata_is_a_revision(run: provml.Run) -> None:
    """The value before an update would be gone, or not be known as its predecessor."""
    for layers in (3, 4, 4):
        run.update_metadata("hyperparams", {"fc_layers": layers})
    assert provml.load(run.path).metadata == {"hyperparams": {"fc_layers": 4}}
    derived = pairs(run, "wasDerivedFrom")
    assert derived == {("run:metadata/hyperparams/2", "run:metadata/hyperparams")}
    assert ("run:run", "run:metadata/hyperparams/2") in pairs(run, "used")


def test_secrets_in_metadata_are_masked(run: provml.Run) -> None:
    """A password would be published with the run."""
    run.update_metadata("login", {"password": "hunter2"})
    assert "hunter2" not in "".join(p.read_text() for p in run.path.glob("journal/*.jsonl"))


def test_metadata_that_is_none_is_refused(run: provml.Run) -> None:
    """A key that no document can carry would be recorded."""
    for key, value in ((3, 1), ("\ud800", 1), ("k", "\ud800")):
        with pytest.raises(provml.InvalidArgumentError):
            run.update_metadata(key, value)  # type: ignore[arg-type]
    assert provml.load(run.path).metadata == {}


def test_metrics_take_floats_texts_bytes_and_tensors(run: provml.Run) -> None:
    """A value of a kind that can be logged would be refused or changed."""
    torch = pytest.importorskip("torch", reason="torch is not installed")
    tensor = torch.tensor([1.5, 2.5])
    metrics = {"loss": 2.4, "accu": 97.6, "verdict": "good", "raw": b"\x00\xff"}
    metrics |= {"tensor": tensor.numpy(), "serialised": tensor.numpy().tobytes()}
    run.log_metrics(metrics=metrics, step=10, timestamp=12345)
    recorded = provml.load(run.path)
    for name, value in metrics.items():
        series = recorded.series(name)
        assert series.step.tolist() == [10]
        assert series.time_ns.tolist() == [12345 * 10**9]
        if name == "tensor":
            assert np.array_equal(series.value[0], value)
        else:
            assert series.value.tolist() == [value]


def test_params_are_set_and_read(run: provml.Run) -> None:
    """Parameters set by keyword would be lost, or could not be read in the run."""
    run.params.set(learning_rate=0.001, batch_size=32, opt={"name": "adam"})
    run.log_param("batch_size", 64)
    expected = {"learning_rate": 0.001, "batch_size": 64, "opt.name": "adam"}
    assert dict(run.params) == expected
    assert len(run.params) == 3
    assert run.params["batch_size"] == 64
    assert provml.load(run.path).params == expected


def test_a_message_is_an_event(run: provml.Run) -> None:
    """A message would be lost, or lack its level or metadata."""
    run.log("Starting training")
    run.log("Epoch 1 complete", level="debug", metadata={"train_loss": 0.5})
    run.log("x" * 5000)
    first, second, third = run.events()
    assert (first.name, first.metadata) == ("Starting training", {})
    assert second.metadata == {"train_loss": 0.5, "level": "debug"}
    assert third.metadata == {"message": "x" * 5000}
    for bad in ({"message": 3}, {"message": "m", "level": 3}, {"message": "m", "metadata": [1]}):
        with pytest.raises(provml.InvalidArgumentError):
            run.log(**bad)
    assert len(run.events()) == 3


def test_events_keep_the_time_that_they_are_given(run: provml.Run) -> None:
    """An event's own time would be replaced by the time of the call."""
    metadata = {"chk_size": 2345}
    run.log_event(Event("checkpoint_started", TRAINER, 12000, metadata))
    run.log_event(Event("checkpoint_finish", TRAINER, 12500, {"write_speed": 2000}))
    first, second = run.events(source="trainer")
    assert (first.time_ns, second.time_ns) == (12000 * 10**9, 12500 * 10**9)
    assert first.metadata == metadata
    assert repr(first.metadata["chk_size"]) == "2345"


def test_a_start_and_its_finish_are_one_span(run: provml.Run) -> None:
    """How long a checkpoint took could not be asked."""
    run.log_event(Event("checkpoint_started", TRAINER, 12000, {"chk_size": 2345}))
    run.log_event(Event("checkpoint_finish", TRAINER, 12500, {"write_speed": 2000}))
    run.log_event("other_started", timestamp=12100)
    checkpoint, other = run.spans()
    assert checkpoint.name == "checkpoint"
    assert checkpoint.source == "trainer"
    assert checkpoint.duration_s == 500.0
    assert checkpoint.start == datetime.fromtimestamp(12000, UTC)
    assert checkpoint.end == datetime.fromtimestamp(12500, UTC)
    assert checkpoint.metadata == {"chk_size": 2345, "write_speed": 2000}
    assert (other.name, other.end, other.duration_s) == ("other", None, None)
    assert provml.load(run.path).spans() == [checkpoint, other]


def test_spans_pair_as_documents_do(run: provml.Run) -> None:
    """The spans that are read and those of the documents would not be the same."""
    moment = 1000
    for name, source in (
        ("a_start", "x"), ("a_started", "y"), ("a_end", "x"), ("a_start", "x"), ("a_start", "x"),
        ("a_finished", "x"), ("a_ended", "x"), ("a_finish", "x"), ("a_ended", "y"), ("b_end", None),
    ):  # fmt: skip
        moment += 1
        run.log_event(name, source=source, timestamp=moment)
    run.log_event("late_start", timestamp=2000)
    run.log_event("late_end", timestamp=1999)
    found = [(s.name, s.start, s.end) for s in run.spans() if s.end is not None]
    document = provml.load(run.path).to_prov()
    from prov.model import ProvActivity

    stated = [
        (str(record.label), record.get_startTime(), record.get_endTime())
        for record in document.get_records(ProvActivity)
        if any(str(kind) == "provml:Span" for kind in record.get_asserted_types())
    ]
    assert sorted(found) == sorted(stated)
    assert len(found) == 4


def test_events_are_found_by_name_source_and_time(run: provml.Run) -> None:
    """Events of interest could not be told from the others."""
    for second in range(5):
        run.log_event("tick", source="clock" if second % 2 else None, timestamp=1000 + second)
    run.log_event("tock", timestamp=1002)
    recorded = provml.load(run.path)
    for asked in (run, recorded):
        assert len(asked.events()) == 6
        assert len(asked.events("tick")) == 5
        assert [e.time_ns for e in asked.events(source="clock")] == [1001 * 10**9, 1003 * 10**9]
        assert len(asked.events(since=1002)) == 4
        assert len(asked.events(until=1002.0)) == 4
        moment = datetime.fromtimestamp(1002, UTC)
        assert [e.name for e in asked.events(since=moment, until=moment)] == ["tick", "tock"]
        for bad in (True, "today", datetime(2026, 1, 1)):
            with pytest.raises(provml.InvalidArgumentError):
                asked.events(since=bad)  # type: ignore[arg-type]


def test_spans_are_found_by_name_source_and_time(run: provml.Run) -> None:
    """A span that reaches into the time asked for would be left out."""
    for name, first, last in (("a", 1000, 1010), ("b", 1020, 1030)):
        run.log_event(f"{name}_start", source=name, timestamp=first)
        run.log_event(f"{name}_end", source=name, timestamp=last)
    for asked in (run, provml.load(run.path)):
        assert [s.name for s in asked.spans("a")] == ["a"]
        assert [s.name for s in asked.spans(source="b")] == ["b"]
        assert [s.name for s in asked.spans(since=1005)] == ["a", "b"]
        assert [s.name for s in asked.spans(since=1015)] == ["b"]
        assert [s.name for s in asked.spans(until=1019)] == ["a"]


def test_events_of_the_run_s_other_processes_are_read(store: Path) -> None:
    """A live run would see only its own events."""
    with provml.start_run("e", store=store, run_id="r") as run:
        run.log_event("first")
    with provml.start_run("e", store=store, run_id="r", resume=True) as run:
        run.log_event("second")
        assert [e.name for e in run.events()] == ["first", "second"]


# -- of a model ------------------------------------------------------------------------------------


def test_a_metric_is_of_the_version_that_there_was(run: provml.Run, tmp_path: Path) -> None:
    """The accuracy of one checkpoint would be that of another."""
    checkpoint = tmp_path / "model.ckpt"
    net = type("Net", (), {})()
    for epoch in range(2):
        checkpoint.write_text(f"weights {epoch}")
        run.log_artifact(checkpoint, "checkpoint", epoch=epoch)
        run.log_model("net", net)
        for value in (0.5, 1):  # the careful way and the fast one, two storages
            run.log_metric("accuracy", value, "evaluation", of="checkpoint")
            run.log_metrics({"accuracy": value, "verdict": "good"}, "evaluation", of=net)
    derived = pairs(run, "wasDerivedFrom")
    for name, entity in (
        ("accuracy~artifact~checkpoint", "run:artifact/checkpoint"),
        ("accuracy~model~net", "run:model/net"),
        ("verdict~model~net", "run:model/net"),
    ):
        own = {pair for pair in derived if pair[0].startswith(f"run:metric/evaluation/{name}/")}
        prefix = f"run:metric/evaluation/{name}"
        first = {(f"{prefix}/{n}", entity) for n in range(2)}
        assert own == first | {(f"{prefix}/{n}", f"{entity}/2") for n in (2, 3)}
    by_series = pairs(run, "wasDerivedFrom", "series")
    series = "run:series/evaluation/accuracy~model~net"
    assert {(series, "run:model/net"), (series, "run:model/net/2")} <= by_series
    recorded = provml.load(run.path)
    assert recorded.series("accuracy", "evaluation", of="net").value.tolist() == [0.5, 1] * 2
    assert len(recorded.series("accuracy", "evaluation", of=("model", "net"))) == 4
    with pytest.raises(provml.SeriesNotFoundError, match="choose one with of=\\('"):
        recorded.series("accuracy", "evaluation")  # of each of two: one curve would be neither's
    run.log_metric("accuracy", 0.25, "evaluation")
    assert list(provml.load(run.path).series("accuracy", "evaluation").value) == [0.25]


def test_a_name_is_of_a_model_before_an_artifact(run: provml.Run, tmp_path: Path) -> None:
    """A metric would be of another thing of the same name."""
    (tmp_path / "net").write_text("x")
    run.log_artifact(tmp_path / "net")
    run.log_model("net", {"w": 1})
    run.log_metric("a", 1, of="net")
    run.log_metric("b", 1, of=("artifact", "net"))
    derived = pairs(run, "wasDerivedFrom")
    assert ("run:metric/a~model~net/0", "run:model/net") in derived
    assert ("run:metric/b~artifact~net/0", "run:artifact/net") in derived


@pytest.mark.parametrize(
    "bad", ["no such", ("model", "no such"), ("dataset", "d"), ("model",), 3, object(), b"net"]
)
def test_what_was_not_logged_can_t_be_measured(run: provml.Run, bad: Any) -> None:
    """A metric would be of something that no document holds."""
    run.log_model("net", {"w": 1})
    for call in (
        lambda: run.log_metric("a", 1, of=bad),
        lambda: run.log_metrics({"a": 1}, of=bad),
        lambda: run.log_event("a", of=bad),
    ):
        with pytest.raises(provml.InvalidArgumentError, match="'net'"):
            call()
    assert provml.load(run.path).series_names() == []
    assert run.events() == []


def test_another_process_logs_against_a_model(store: Path) -> None:
    """A serving system could not say of which model its event or metric is."""
    with provml.start_run("e", store=store, run_id="r") as run:
        run.log_model("net", {"w": 1})
        run.log_model("net", {"w": 2})
    with provml.start_run("e", store=store, run_id="r", resume=True) as run:
        run.log_event(Event("served", EventSource("api")), of="net")
        run.log_metric("latency", 0.25, "serving", of="net", unit="s")
        (event,) = run.events("served")
        assert event.of == ("model", "net")
    used = [pair for pair in pairs(run, "used") if pair[0].startswith("run:event/")]
    assert [entity for _, entity in used] == ["run:model/net/2"]
    assert ("run:metric/serving/latency~model~net/1.0", "run:model/net/2") in pairs(
        run, "wasDerivedFrom"
    )


def test_what_is_of_no_model_is_another_series(run: provml.Run) -> None:
    """The curves of two models, or of none, would be one zigzag."""
    run.log_model("net", {"w": 1})
    run.log_metric("a", 1)
    run.log_metric("a", 2, of="net")
    recorded = provml.load(run.path)
    assert recorded.series("a", of="net").value.tolist() == [2]
    assert recorded.series("a").value.tolist() == [1]
    with pytest.raises(provml.SeriesNotFoundError, match="of"):
        recorded.series("a", of="other")
    names = {str(s.id) for s in recorded.statements() if str(s.id).startswith("run:series/")}
    assert names == {"run:series/a", "run:series/a~model~net"}


def test_a_sample_from_before_the_model_is_of_none(run: provml.Run) -> None:
    """A document would say that something came of what was made after it."""
    before = time.time() - 100
    run.log_model("net", {"w": 1})
    run.log_metric("a", 1, of="net", timestamp=before)
    run.log_event("e", of="net", timestamp=before)
    assert pairs(run, "wasDerivedFrom") == set()
    assert not any(pair[0].startswith("run:event/") for pair in pairs(run, "used"))


def test_a_model_is_not_kept_alive_by_being_measured(run: provml.Run) -> None:
    """A script that measures many models would run out of memory."""
    import gc
    import weakref

    class Net:
        pass

    net = Net()
    run.log_model("net", net)
    run.log_metric("a", 1.0, of=net)
    run.log_metric("a", 1.0, of=net)
    reference = weakref.ref(net)
    del net
    gc.collect()
    assert reference() is None


# -- disabled --------------------------------------------------------------------------------------


def test_a_disabled_run_takes_all_of_it() -> None:
    """A script with recording switched off would fail."""
    options: dict[str, Any] = {"external_id": "1", "metadata": {"a": 1}, "disabled": True}
    with provml.start_run("e", **options) as run:
        assert run.metrics.log(epoch=1, train={"loss": 1}) is not None
        run.metrics("train").log(loss=1).flush()
        run.metrics.log(epoch=1).flush()
        assert "index" in run.metrics("train").append(value=1)
        batch = run.metrics("train").append_batch([{"value": 1}, {"value": 2}])
        assert batch == provml.AppendedBatch(2, 0, 1)
        assert run.metrics("train").read() == provml.PointPage([], 0, False)
        cache = run.metrics("train").summary_cache
        cache.keep_raw = True
        cache.store(loss=1)
        cache.set(epoch=1)
        assert cache.summarize() == {}
        assert cache.peek("loss") == []
        run.params.set(lr=0.1)
        assert dict(run.params) == {}
        assert run.update_metadata("k", 1).updated_at.utcoffset() is not None
        run.log("message", level="info")
        run.log_metric("a", 1, of="nothing")
        run.log_metrics({"a": 1}, of="nothing")
        run.log_event("e", of="nothing")
        assert run.events() == []
        assert run.spans() == []


def test_read_parameters_stay_as_recorded_and_up_to_date(run: provml.Run) -> None:
    """A change to what was read would change the run, or a later parameter would not be seen."""
    run.log_param("layers", [1, 2])
    recorded, params = provml.load(run.path), run.params
    for read in (recorded.params, dict(params)):
        read["layers"].append(3)
    assert recorded.params == dict(params) == {"layers": [1, 2]}
    run.log_param("layers", [4])
    run.log_param("lr", 0.1)
    assert recorded.params == dict(params) == {"layers": [4], "lr": 0.1}
    with pytest.raises(KeyError):
        params["other"]

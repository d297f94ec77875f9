"""Readings as PROV: who took them, when, in which step, and which alerts they set off."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from collect.nvml import Device, FakeNvml
from prov.model import ProvDocument
from waiting import until

import provml
from provml.collect.gpu import GpuCollector
from provml.collect.snapshot import Snapshot
from provml.collect.system import SystemMetricsCollector
from provml.journal.values import Moment
from provml.model.statements import Statement

TRAINING = provml.Context.TRAINING
RUN = "run:run"


@pytest.fixture
def graph_of() -> Callable[..., Any]:
    """Return a run as RDF."""
    return lambda recorded: recorded.to_rdflib()


class Room:
    """A collector of a temperature that is always too high."""

    name = "room"
    thresholds = {"temperature": 20}
    collect_interval = 0.002
    readings = 0

    def collect(self) -> dict[str, float]:
        self.readings += 1
        return {"temperature": 21.5, "humidity_percent": 40}


@pytest.fixture
def recorded(store: Path) -> provml.RecordedRun:
    """A run whose room temperature is read during its steps, and that logs its system once."""
    room = Room()
    options: dict[str, Any] = {"store": store, "owner": "o", "collect": [room]}
    with provml.start_run("readings", sample_interval_s=5, **options) as run:
        for step in range(3):
            run.log_metric("loss", 1.0, TRAINING, step, epoch=0)
            seen = room.readings
            until(lambda seen=seen: room.readings >= seen + 3)
    return provml.load(run.path)


def of(recorded: provml.RecordedRun, kind: str, detail: str = "sample") -> list[Statement]:
    return [statement for statement in recorded.statements(detail) if statement.kind == kind]


def typed(statements: list[Statement], name: str) -> dict[str, Statement]:
    return {str(s.id): s for s in statements if ("prov:type", f"provml:{name}") in s.attributes}


def test_a_reading_is_generated_by_its_sampling(recorded: provml.RecordedRun) -> None:
    """Nobody could tell what took a reading, when, and in which step of which context."""
    readings = typed(of(recorded, "entity"), "Reading")
    samplings = typed(of(recorded, "activity"), "Sampling")
    steps = typed(of(recorded, "activity"), "Step")
    informed = {s.arguments["prov:informed"]: s for s in of(recorded, "wasInformedBy")}
    agents = {s.arguments["prov:activity"]: s for s in of(recorded, "wasAssociatedWith")}
    generations = [
        s for s in of(recorded, "wasGeneratedBy") if s.arguments["prov:entity"] in readings
    ]
    assert len(readings) == len(generations) == 2 * len(samplings)
    assert {g.arguments["prov:activity"] for g in generations} == set(samplings)
    for generation in generations:
        sampling = samplings[str(generation.arguments["prov:activity"])]
        assert generation.arguments["prov:time"] == sampling.arguments["prov:endTime"]
    places = set()
    for name, sampling in samplings.items():
        start, end = sampling.arguments["prov:startTime"], sampling.arguments["prov:endTime"]
        assert isinstance(start, Moment) and isinstance(end, Moment) and start < end
        assert agents[name].arguments["prov:agent"] == "run:collector/room"
        place = str(informed[name].arguments["prov:informant"])
        places.add(place)
        if place in steps:  # it was informed: the step had begun by then
            assert steps[place].arguments["prov:startTime"] <= end
    assert {f"run:step/training/0.{step}" for step in range(3)} <= places
    ends = sorted(s.arguments["prov:endTime"] for s in samplings.values())
    starts = sorted(s.arguments["prov:startTime"] for s in samplings.values())
    assert starts[1:] == ends[:-1]  # each covers the time since the one before


def test_the_collector_is_an_agent_with_settings(recorded: provml.RecordedRun) -> None:
    """The graph would not say which collector read the machine, and how."""
    (agent,) = [a for a in of(recorded, "agent") if a.id == "run:collector/room"]
    assert ("prov:type", "prov:SoftwareAgent") in agent.attributes
    behalf = {s.arguments["prov:delegate"] for s in of(recorded, "actedOnBehalfOf")}
    assert agent.id in behalf
    (settings,) = typed(of(recorded, "entity"), "Settings").values()
    value = dict(settings.attributes)["prov:value"]
    assert value.lexical == '{"interval_s":0.002,"thresholds":{"temperature":20}}'
    used = [
        s.arguments["prov:activity"]
        for s in of(recorded, "used")
        if s.arguments["prov:entity"] == settings.id
    ]
    assert used == [RUN]


@pytest.mark.parametrize("detail", ["sample", "series"])
def test_an_alert_is_started_by_the_reading(recorded: provml.RecordedRun, detail: str) -> None:
    """An alert would have no cause, or name a reading that the document does not state."""
    ((name, alert),) = typed(of(recorded, "activity", detail), "Alert").items()
    attributes = dict(alert.attributes)
    assert attributes["provml:observed"] == 21.5
    assert attributes["provml:threshold"] == 20.0
    assert attributes["provml:severity"] == "warning"
    (start,) = of(recorded, "wasStartedBy", detail)
    assert start.arguments["prov:activity"] == name
    entities = {str(s.id): s for s in of(recorded, "entity", detail)}
    trigger = entities[str(start.arguments["prov:trigger"])]
    assert ("provml:name", "temperature") in trigger.attributes
    if detail == "sample":
        (generation,) = [
            s for s in of(recorded, "wasGeneratedBy") if s.arguments["prov:entity"] == trigger.id
        ]
        assert generation.arguments["prov:time"] == alert.arguments["prov:startTime"]


def test_series_have_a_mean_and_readings_taken_are_no_series(
    recorded: provml.RecordedRun,
) -> None:
    """A series of readings would lack its mean, or the taking of readings would be a series."""
    for detail in ("sample", "series"):
        series = typed(of(recorded, "entity", detail), "Series")
        assert not [name for name in series if "sampling" in name]
        means = {
            dict(s.attributes)["provml:mean"]
            for name, s in series.items()
            if name.endswith("/temperature")
        }
        assert means == {21.5}
        assert "provml:mean" not in dict(series["run:series/training/loss"].attributes)


def test_many_readings_are_stated_as_series(
    recorded: provml.RecordedRun,
    monkeypatch: pytest.MonkeyPatch,
    graph_of: Callable[..., Any],
) -> None:
    """A long run's system readings would make its document gigabytes large."""
    from provml.model import mapping

    monkeypatch.setattr(mapping, "READING_DETAIL_LIMIT", 3)
    statements = list(recorded.statements())
    assert len(typed(statements, "Metric")) == 3
    assert not typed(statements, "Reading") and not typed(statements, "Sampling")
    assert len(typed(statements, "SamplesFile")) == 1
    (run,) = typed(statements, "Run").values()
    assert "readings are stated as series" in dict(run.attributes)["provml:note"]
    (start,) = [s for s in statements if s.kind == "wasStartedBy"]
    assert str(start.arguments["prov:trigger"]).startswith("run:series/room/")
    known = {s.id for s in statements if s.id is not None}
    derived = [s for s in statements if s.kind == "wasDerivedFrom"]
    assert {s.arguments["prov:usedEntity"] for s in derived} <= known
    assert typed(list(recorded.statements("sample")), "Reading")
    from provml.validation.shapes import find_shape_violations

    assert list(find_shape_violations([graph_of(recorded)])) == []


def test_names_are_declared_once_and_times_nest(recorded: provml.RecordedRun) -> None:
    """The document would break PROV's constraints."""
    statements = list(recorded.statements("sample"))
    elements = [s.id for s in statements if s.id is not None]
    assert len(elements) == len(set(elements))
    known = set(elements)
    for statement in statements:
        if statement.id is None:
            names = [v for v in statement.arguments.values() if isinstance(v, str)]
            assert set(names) <= known, statement
    (run,) = typed(statements, "Run").values()
    for statement in statements:
        if statement.kind == "activity":
            start, end = (statement.arguments[f"prov:{which}Time"] for which in ("start", "end"))
            assert run.arguments["prov:startTime"] <= start <= end <= run.arguments["prov:endTime"]


def test_the_prov_library_reads_the_same(
    recorded: provml.RecordedRun,
    read_back: Callable[..., ProvDocument],
    comparable: Callable[[ProvDocument], Any],
) -> None:
    """Readings would be lost or changed in a document."""
    assert comparable(read_back(recorded, "sample")) == comparable(recorded.to_prov("sample"))


# -- log_system_metrics ----------------------------------------------------------------------------


def test_log_system_metrics(run: provml.Run) -> None:
    """A script that logs its system's state would record other values, or in another place."""
    before = time.time_ns()
    provml.log_system_metrics(TRAINING, step=4)
    provml.log_system_metrics("validation", 0, epoch=2)
    provml.log_system_metrics()
    recorded = provml.load(run.path)
    for context, step in ((TRAINING, 4), (provml.Context.VALIDATION, 0), (None, -(2**63))):
        for name in ("Memory usage", "Disk usage"):
            series = recorded.series(name, context, kind="system")
            assert series.step.tolist() == [step]
            assert 0 < series.value[0] <= 100
            assert before < series.time_ns[0] < time.time_ns()
    names = {name for name, _ in recorded.series_names("system")}
    assert names <= {"Memory usage", "Disk usage", "Gpu memory usage", "Gpu usage"}
    samplings = list(typed(of(recorded, "activity"), "Sampling").values())
    moments = [(s.arguments["prov:startTime"], s.arguments["prov:endTime"]) for s in samplings]
    ordered = sorted(moments, key=lambda pair: pair[1])
    assert [start for start, _ in ordered[1:]] == [end for _, end in ordered[:-1]]
    units = {
        dict(s.attributes)["provml:unit"] for s in typed(of(recorded, "entity"), "Series").values()
    }
    assert units == {"%"}


def test_log_system_metrics_later_and_at_a_time_of_one_s_own(run: provml.Run) -> None:
    """Reading in another thread would lose the call, or change a given time."""
    run.log_system_metrics(TRAINING, 1, synchronous=False)
    run.log_system_metrics(TRAINING, 2, timestamp=1_700_000_000)
    run.log_system_metrics(TRAINING, 2, timestamp=1_700_000_000)
    run.log_system_metrics(TRAINING, 3, timestamp=1_700_000_000.5)
    run.end_run()
    recorded = provml.load(run.path)
    series = recorded.series("Memory usage", TRAINING, kind="system")
    assert sorted(series.step.tolist()) == [1, 2, 2, 3]
    given = dict(zip(series.step.tolist(), series.time_ns.tolist(), strict=True))
    assert (given[2], given[3]) == (1_700_000_000 * 10**9, 1_700_000_000_500_000_000)
    elements = [s.id for s in recorded.statements() if s.id is not None]
    assert len(elements) == len(set(elements))


def test_log_system_metrics_in_a_forked_child(run: provml.Run) -> None:
    """A child that logs its system's state would write into its parent's files, or not at all."""
    run.log_system_metrics(TRAINING, 0)
    pid = os.fork()
    if pid == 0:
        run.log_system_metrics(TRAINING, 1)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    recorded = provml.load(run.path)
    steps = recorded.series("Memory usage", TRAINING, kind="system").step.tolist()
    assert sorted(steps) == [0, 1]
    elements = [s.id for s in recorded.statements() if s.id is not None]
    assert len(elements) == len(set(elements))


@pytest.mark.parametrize(
    "options", [{"step": "one"}, {"timestamp": "now"}, {"context": 3}, {"epoch": -1}]
)
def test_log_system_metrics_misused(run: provml.Run, options: dict[str, Any]) -> None:
    """A misspelt argument would be recorded as something else."""
    with pytest.raises(provml.InvalidArgumentError):
        run.log_system_metrics(**options)
    with pytest.raises(provml.RunClosedError):
        run.end_run()
        run.log_system_metrics()


def test_log_system_metrics_of_gpus() -> None:
    """One of several GPUs would stand for all, or one with unused memory would not count."""
    gpus = FakeNvml(
        Device(utilization=90, memory_total=100, memory_used=10),
        Device(uuid="GPU-1", utilization=30, memory_total=300, memory_used=110),
    )
    snapshot = Snapshot(SystemMetricsCollector(gpu=GpuCollector(gpus)))
    snapshot.initialize()
    values = snapshot.collect()
    assert (values["Gpu usage"], values["Gpu memory usage"]) == (60.0, 30.0)
    assert set(values) == set(snapshot.units) == {*values}
    assert set(snapshot.units.values()) == {"%"}
    without = Snapshot(SystemMetricsCollector(track_gpu=False)).collect()
    assert set(without) == {"Memory usage", "Disk usage"}  # and not 0


def test_log_system_metrics_covers_the_time_since_the_start(run: provml.Run) -> None:
    """The first call would cover no time, or a time zone would shift an aware time."""
    moment = datetime.now(timezone(timedelta(hours=2))) + timedelta(hours=1)
    run.log_system_metrics(TRAINING, timestamp=moment)
    recorded = provml.load(run.path)
    (sampling,) = typed(of(recorded, "activity"), "Sampling").values()
    (own,) = typed(of(recorded, "activity"), "Run").values()
    start, end = (sampling.arguments[f"prov:{which}Time"] for which in ("start", "end"))
    began = own.arguments["prov:startTime"]
    assert isinstance(start, Moment) and isinstance(end, Moment) and isinstance(began, Moment)
    assert 0 <= start.time_ns - began.time_ns < 60 * 10**9
    assert end.time_ns == round(moment.timestamp() * 10**6) * 1000
    assert recorded.series("Memory usage", TRAINING).step.tolist() == [-(2**63)]

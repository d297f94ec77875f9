"""Background readings: when they are taken, what they belong to, and failures."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from waiting import LIMIT_S, until

import provml
from provml.collect.collector_thread import find_next_due

TRAINING = provml.Context.TRAINING


class Counting:
    """A collector that counts its readings and can call a function at each."""

    def __init__(self, name: str = "counting", then: Callable[[int], Any] | None = None) -> None:
        self.name = name
        self.readings = 0
        self.closed = False
        self._then = then

    def collect(self) -> dict[str, Any]:
        self.readings += 1
        if self._then is not None:
            self._then(self.readings)
        return {"count": self.readings}

    def close(self) -> None:
        self.closed = True


def threads() -> set[str]:
    return {thread.name for thread in threading.enumerate() if thread.name.startswith("provml-")}


@pytest.fixture
def start(store) -> Callable[..., provml.Run]:
    """Start runs without documents."""
    options = {"store": store, "formats": (), "owner": "o"}
    return lambda **given: provml.start_run("sampled", **(options | given))


def test_a_reading_at_once_and_one_at_the_end(start) -> None:
    """A short run would have no readings, or would lack the machine's state at its end."""
    counting = Counting()
    with start(sample_interval_s=1000, collect=[counting]) as run:
        until(lambda: counting.readings == 1)
    assert counting.readings == 2
    assert counting.closed
    recorded = provml.load(run.path)
    assert recorded.series("count", kind="counting").value.tolist() == [1, 2]


def test_every_run_has_readings_of_its_machine(start, monkeypatch) -> None:
    """A script that does not ask for readings would have none."""
    monkeypatch.delenv("PROVML_SAMPLE_INTERVAL_S")
    with start() as run:
        until(lambda: b'"name":"network_packets_recv"' in _journal(run))
        until(lambda: b'"name":"threads"' in _journal(run))
    recorded = provml.load(run.path)
    names = {name for name, _ in recorded.series_names("system")}
    assert {"cpu_percent", "memory_percent", "disk_percent", "network_bytes_sent"} <= names
    assert {"memory_rss", "threads"} <= {name for name, _ in recorded.series_names("process")}
    assert recorded.series_names() == []


def _journal(run: provml.Run) -> bytes:
    return b"".join(path.read_bytes() for path in run.path.glob("journal/*.jsonl"))


def test_a_reading_belongs_to_the_current_step(start) -> None:
    """Nobody could tell what the machine did in which part of a training."""
    counting = Counting()
    with start(sample_interval_s=0.001, collect=[counting]) as run:
        for step in range(3):
            run.log_metric("loss", 1.0, TRAINING, step, epoch=1)
            seen = counting.readings
            until(lambda seen=seen: counting.readings > seen + 2)
        run.log_metric("loss", 1.0, "validation")
        seen = counting.readings
        until(lambda: counting.readings > seen + 2)
    recorded = provml.load(run.path)
    training = recorded.series("count", TRAINING, kind="counting")
    assert set(training.step.tolist()) == {0, 1, 2}
    assert set(training.epoch.tolist()) == {1}
    assert (training.step[1:] >= training.step[:-1]).all()
    validation = recorded.series("count", provml.Context.VALIDATION, kind="counting")
    assert len(validation) >= 2
    assert set(validation.step.tolist()) == {-(2**63)}


def test_the_last_position_is_found_over_segments_and_other_records(start) -> None:
    """A reading would be linked to an old step once the samples file has grown."""
    with start() as run:
        writer = run._writer
        assert writer.last_position() is None
        for step in range(5000):
            run.log_metric("loss", 1.0, TRAINING, step)
            if step % 97 == 0:
                assert writer.last_position() == (("training",), step, None)
        for number in range(3000):
            writer.sample(("other", "x", None, None, "i64"), number, None, None, number)
        assert writer.last_position() == (("training",), 4999, None)
        run.log_metric("text", "a", epoch=7)
        assert writer.last_position() == (None, None, 7)


@pytest.mark.parametrize(
    ("due", "interval_s", "now", "expected"),
    [
        (10.0, 5.0, 10.2, 15.0),
        (10.0, 5.0, 14.9, 15.0),
        (10.0, 5.0, 15.1, 20.0),
        (10.0, 5.0, 111.0, 115.0),  # asleep for 20 readings: none of them is made up for
        (10.0, 5.0, 9.0, 15.0),
    ],
)
def test_the_rhythm_is_a_grid(due, interval_s, now, expected) -> None:
    """Readings would drift by their own duration, or pile up after a stall."""
    assert find_next_due(due, interval_s, now) == expected


def test_a_raising_collector_is_reported_once_and_retried(start) -> None:
    """A failing collector would stop the others, flood the record, or never come back."""

    def fails(reading: int) -> None:
        if 1 < reading < 4:
            raise ValueError(f"no reading {reading}")

    failing, other = Counting("failing", fails), Counting("other")
    with start(sample_interval_s=0.001, collect=[failing, other]) as run:
        until(lambda: failing.readings > 6 and other.readings > 20)
    recorded = provml.load(run.path)
    (failed,) = recorded.events("collector failed")
    assert failed.metadata == {"collector": "failing", "error": "ValueError: no reading 2"}
    (again,) = recorded.events("collector recovered")
    assert again.metadata == {"collector": "failing", "failures": 2}
    assert recorded.series("count", kind="failing").value.tolist()[:3] == [1, 4, 5]
    assert recorded.status == "finished"


def test_a_failing_collector_is_retried_less_often(start) -> None:
    """A collector that never works would cost as much as one that does."""

    def fails(reading: int) -> None:
        raise OSError("gone")

    failing, other = Counting("failing", fails), Counting("other")
    with start(sample_interval_s=0.001, collect=[failing, other]):
        until(lambda: other.readings > 300)
    assert failing.readings < other.readings / 5


def test_a_hung_collector_does_not_block_the_end(start) -> None:
    """A training would never end because a driver does not answer."""
    go_on, hangs = threading.Event(), threading.Event()

    def hang(reading: int) -> None:
        hangs.set()
        go_on.wait(LIMIT_S)

    hanging, other = Counting("hanging", hang), Counting("other")
    with start(sample_interval_s=0.001, collect=[hanging, other]) as run:
        hangs.wait(LIMIT_S)
        seen = other.readings
        until(lambda: other.readings > seen + 5)
        before = time.monotonic()
    assert time.monotonic() - before < 30
    recorded = provml.load(run.path)
    assert recorded.status == "finished"
    go_on.set()
    until(lambda: "provml-hanging" not in threads())
    assert recorded.series_names("hanging") == []


def test_the_end_leaves_no_thread(start) -> None:
    """A process with many runs would run out of threads."""
    for _ in range(20):
        with start(sample_interval_s=0.001, collect=[Counting(), "system", "process", "gpu"]):
            pass
    until(lambda: threads() <= {"provml-sync"} or not threads())


def test_a_forked_child_has_no_sampler_and_the_parent_goes_on(start) -> None:
    """Each data loader process would read the machine again, or the run would stop reading."""
    counting = Counting()
    with start(sample_interval_s=0.001, collect=[counting]) as run:
        until(lambda: counting.readings > 2)
        pid = os.fork()
        if pid == 0:
            run.log_metric("child", 1.0)
            os._exit(len(threads() - {"provml-sync"}))
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        seen = counting.readings
        until(lambda: counting.readings > seen + 2)
    values = provml.load(run.path).series("count", kind="counting").value.tolist()
    assert values == list(range(1, len(values) + 1))


def test_a_fork_keeps_the_thread_of_a_hung_collector(start) -> None:
    """A slow collector would be lost after a fork, or be read by two threads at once."""
    go_on, hangs = threading.Event(), threading.Event()

    def hang(reading: int) -> None:
        if reading == 1:
            hangs.set()
            go_on.wait(LIMIT_S)

    hanging = Counting("hanging", hang)
    with start(sample_interval_s=0.001, collect=[hanging]):
        hangs.wait(LIMIT_S)
        pid = os.fork()
        if pid == 0:
            os._exit(0)
        os.waitpid(pid, 0)
        assert "provml-hanging" in threads()
        go_on.set()
        until(lambda: hanging.readings > 3)


@pytest.mark.parametrize("options", [{"sample_interval_s": 0}, {"disabled": True}])
def test_no_threads_if_sampling_is_off(start, options) -> None:
    """A run without readings would start threads."""
    counting = Counting()
    with start(collect=[counting], **options):
        assert threads() <= {"provml-sync"}
    assert counting.readings == 0


def test_the_environment_sets_interval_and_collectors(start, monkeypatch) -> None:
    """A job script could not set the interval and the collectors."""
    monkeypatch.setenv("PROVML_SAMPLE_INTERVAL_S", "0.002")
    monkeypatch.setenv("PROVML_COLLECT", "process, network")
    with start() as run:
        until(lambda: _journal(run).count(b'"record":"collector"') == 2)
    recorded = provml.load(run.path)
    assert {name for name, _ in recorded.series_names("system")} <= {
        f"network_{what}" for what in ("bytes_sent", "bytes_recv", "packets_sent", "packets_recv")
    }
    assert recorded.series_names("process")
    monkeypatch.setenv("PROVML_SAMPLE_INTERVAL_S", "often")
    with pytest.raises(provml.InvalidArgumentError, match="PROVML_SAMPLE_INTERVAL_S"):
        start()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"collect": ("system", "moon")}, "unknown collector 'moon': choose from system, disk"),
        ({"collect": "system"}, "collect= must be a tuple"),
        ({"collect": [object()]}, "must be an object with a name and a collect"),
        ({"collect": [Counting]}, "must be an object with a name and a collect"),
        ({"collect": [Counting("two words")]}, "must start with a letter"),
        ({"collect": [Counting("param")]}, "can't be named 'param'"),
        ({"sample_interval_s": -1}, "sample_interval_s"),
        ({"sample_interval_s": "5"}, "sample_interval_s"),
        ({"sample_interval_s": True}, "sample_interval_s"),
    ],
)
def test_misuse_raises_before_anything_is_recorded(start, store, options, message) -> None:
    """A misspelt collector would be noticed only after the training."""
    with pytest.raises(provml.InvalidArgumentError, match=message):
        start(**options)
    assert not store.exists()


def test_a_collector_of_another_package(start, tmp_path, monkeypatch) -> None:
    """A third party's collector could not be chosen by name."""
    package = tmp_path / "weather-1.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: weather\nVersion: 1\n")
    (package / "entry_points.txt").write_text(
        "[provml.collectors]\nweather = weather_station:Weather\nbroken = weather_station:nothing\n"
    )
    (tmp_path / "weather_station.py").write_text(
        "class Weather:\n    name = 'weather'\n    units = {'wind': 'm/s'}\n"
        "    def collect(self):\n        return {'wind': 3.5, 'text': 'calm', 'on': True}\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    with start(sample_interval_s=0.001, collect=("weather", "broken")) as run:
        until(lambda: b'"wind"' in _journal(run) and b"unavailable" in _journal(run))
    recorded = provml.load(run.path)
    assert recorded.series_names("weather") == [("wind", None)]
    (use,) = recorded.resources()
    assert (use.kind, use.name, use.unit, use.mean) == ("weather", "wind", "m/s", 3.5)
    (event,) = recorded.events("collector unavailable")
    assert event.metadata["collector"] == "broken"


def test_ranks_of_one_machine_read_it_once(start, monkeypatch) -> None:
    """Eight processes on one machine would count its energy eight times."""
    monkeypatch.setenv("LOCAL_RANK", "1")
    with start(sample_interval_s=0.001, collect=("system", "energy", "process")) as run:
        until(lambda: b'"memory_rss"' in _journal(run))
    assert provml.load(run.path).series_names("system") == []


def test_costly_collectors_are_read_less_often(start) -> None:
    """A collector that uses a whole CPU would slow the training down for good."""

    def work(reading: int) -> None:
        deadline = time.thread_time() + 0.002
        while time.thread_time() < deadline:
            pass

    costly = Counting("costly", work)
    with start(sample_interval_s=0.001, collect=[costly]) as run:
        until(lambda: b"slowed down" in _journal(run))
    event = provml.load(run.path).events("collector slowed down")[0]
    assert event.metadata["overhead_percent"] > 5
    assert event.metadata["interval_s"] > 0.001


def test_a_full_disk_is_not_a_collector_failure(start) -> None:
    """Losses on the disk would be reported as a collector's failure, or stop the readings."""
    counting = Counting()
    with start(sample_interval_s=0.001, collect=[counting]) as run:
        until(lambda: counting.readings > 1)
        run._writer._samples.grow = _no_room
        for _ in range(5000):
            run.log_metric("m", 1.0)
        seen = counting.readings
        until(lambda: counting.readings > seen + 3)
        assert run.dropped[0] > 0
    assert provml.load(run.path).events("collector failed") == []


def _no_room() -> None:
    raise OSError(28, "No space left on device")


def test_readings_are_summarised(start) -> None:
    """To see how busy the machine was, a user would have to read every sample."""

    class Meter(Counting):
        def collect(self) -> dict[str, Any]:
            count = super().collect()["count"]
            return {
                "busy_percent": 10.0 * count,
                "cpu_per_core": [1.0, 2.0],
                "used_joules": 1.5,
                "note": "none",
                "count": count,
            }

    with start(sample_interval_s=1000, collect=[Meter("meter")]) as run:
        until(lambda: run.path.joinpath("journal").is_dir() and len(_settled(run)))
    readings = provml.load(run.path).series("busy_percent", kind="meter").value
    assert provml.load(run.path).params == {}
    assert provml.load(run.path).reading_summaries == {
        "system.meter.busy_percent.mean": sum(readings) / len(readings),
        "system.meter.busy_percent.max": max(readings),
        "system.meter.used_joules.sum": 1.5 * len(readings),
    }


def _settled(run: provml.Run) -> list[Any]:
    return [s for s in provml.load(run.path).series_names("meter") if s[0] == "busy_percent"]

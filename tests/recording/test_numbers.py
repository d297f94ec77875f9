"""Steps, epochs, times and parameters in the forms in which libraries hand them over."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import pytest

import provml
from provml.base.clock import ClockWatch, to_time_ns

TRAINING = provml.Context.TRAINING


def test_whole_floats_are_steps_and_epochs(run: provml.Run) -> None:
    """A loop that counts in floats, as TensorBoard's examples do, would end with an error."""
    run.log_metric("loss", 0.5, TRAINING, 4096.0, 3.0)
    series = provml.load(run.path).series("loss", TRAINING)
    assert (series.step.tolist(), series.epoch.tolist()) == ([4096], [3])


def test_a_fractional_epoch_is_exact(run: provml.Run) -> None:
    """Hugging Face's trainer counts epochs in fractions; their fraction would be lost."""
    run.log_metrics({"loss": 0.5, "acc": 1}, TRAINING, 10, epoch=0.33)
    run.log_metrics({"loss": 0.45}, TRAINING, 15, epoch=0.5)  # a known series
    run.log_metric("loss", 0.4, TRAINING, 20, 0.67)
    run.log_event("saved", TRAINING, 20, 0.67)
    run.metrics.log(train={"x": 1})
    run.metrics.log(epoch=2.5).flush()
    recorded = provml.load(run.path)
    assert recorded.series("loss", TRAINING).epoch.tolist() == [0, 0, 0]
    epochs = recorded.series("epoch", TRAINING)
    assert epochs.value.tolist() == [0.33, 0.5, 0.67, 2.5]
    assert epochs.epoch.tolist() == [0, 0, 0, 2]


@pytest.mark.parametrize(
    "place", [{"step": 0.5}, {"step": float("inf")}, {"epoch": float("nan")}, {"epoch": -0.5}]
)
def test_other_floats_are_refused(run: provml.Run, place: dict[str, Any]) -> None:
    """A step between two steps would be rounded."""
    with pytest.raises(provml.InvalidArgumentError, match=next(iter(place))):
        run.log_metric("loss", 0.5, TRAINING, **place)
    assert provml.load(run.path).series_names() == []


def test_times_of_pandas_and_numpy_keep_their_nanoseconds() -> None:
    """The last three digits of a time would be lost."""
    numpy, pandas = pytest.importorskip("numpy"), pytest.importorskip("pandas")
    expected = 1_767_225_600_123_456_789
    assert to_time_ns(pandas.Timestamp("2026-01-01T01:00:00.123456789+01:00")) == expected
    assert to_time_ns(numpy.datetime64("2026-01-01T00:00:00.123456789")) == expected
    assert to_time_ns(numpy.datetime64("2026-01-01")) == expected // 10**9 * 10**9
    for wrong in (pandas.NaT, numpy.datetime64("NaT"), numpy.datetime64("3000-01-01")):
        with pytest.raises(provml.InvalidArgumentError, match="timestamp"):
            to_time_ns(wrong)
    for wrong in (numpy.timedelta64(5, "s"), numpy.array([1, 2]), numpy.bool_(True)):
        with pytest.raises(provml.InvalidArgumentError, match="timestamp"):
            to_time_ns(wrong)


def test_a_tensor_is_a_time() -> None:
    """A float tensor would raise torch's own error."""
    torch = pytest.importorskip("torch")
    assert to_time_ns(torch.tensor(1.5, dtype=torch.float64)) == 1_500_000_000
    for wrong in (torch.tensor([1.0, 2.0]), torch.empty(1, device="meta"), torch.tensor(True)):
        with pytest.raises(provml.InvalidArgumentError, match="timestamp"):
            to_time_ns(wrong)


def test_params_of_a_namespace_and_names_that_collide(run: provml.Run) -> None:
    """The commonest configuration would be refused, or one of two values lost."""
    run.log_params(argparse.Namespace(lr=0.1, weights={0: 1.0, 1: 5.0}))
    assert provml.load(run.path).params == {"lr": 0.1, "weights.0": 1.0, "weights.1": 5.0}
    with pytest.raises(provml.InvalidArgumentError, match=r"both be named 'a\.b'"):
        run.log_params({"a": {"b": 1}, "a.b": 2})
    with pytest.raises(provml.InvalidArgumentError, match="log_params takes a mapping"):
        run.log_params([1])


_SET_BACK = """
import sys, time
import provml
from provml.base import clock
real, offset = time.time_ns, [0]
time.time_ns = lambda: real() + offset[0]
with provml.start_run("c", store=sys.argv[1], run_id="r", sample_interval_s=0) as run:
    provml.log_event("fit_started")
    provml.log_execution_start_time()
    offset[0] = -3600 * 10**9
    provml.log_metric("m", 2, "training", 1)
    provml.log_current_execution_time("t", "training", 1)
    provml.log_event("fit_finish")
"""


def test_a_clock_that_is_set_back(tmp_path: Path) -> None:
    """Durations would be negative, and the run would seem to last for an hour."""
    import subprocess
    import sys

    subprocess.run([sys.executable, "-c", _SET_BACK, str(tmp_path)], check=True)
    recorded = provml.load(tmp_path / "c" / "r")
    assert 0 <= recorded.series("t", TRAINING).value[0] < 60
    (event,) = recorded.events("clock changed")
    assert event.metadata["by_s"] == pytest.approx(-3600, abs=1)
    span = next(span for span in recorded.spans() if span.name == "fit")
    assert span.duration_s is not None and 0 <= span.duration_s < 60
    assert recorded.ended is not None
    assert 0 <= (recorded.ended - recorded.started).total_seconds() < 60
    activities = json.loads((recorded.path / "provenance.json").read_text())["activity"]
    for activity in activities.values():
        if "provml:Span" in json.dumps(activity) or activity is activities["run:run"]:
            assert activity["prov:startTime"] <= activity["prov:endTime"]
            assert activity["prov:startTime"][:13] == activity["prov:endTime"][:13]


def test_the_clock_watch_ignores_slow_corrections(monkeypatch: pytest.MonkeyPatch) -> None:
    """NTP's ordinary work would fill the record with events."""
    watch = ClockWatch()
    real = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: real() + 900_000_000)
    assert watch.find_change_ns() == 0
    monkeypatch.setattr(time, "time_ns", lambda: real() + 3_000_000_000)
    assert watch.find_change_ns() == pytest.approx(2_100_000_000, abs=50_000_000)
    assert watch.find_change_ns() == 0
    assert abs(watch.end_time_ns() - real()) < 50_000_000


@pytest.mark.filterwarnings("ignore")  # torch's own, about nested tensors
def test_refusals_say_what_is_wrong(run: provml.Run) -> None:
    """The message would speak of rounding, or torch's own error would end the training."""
    import numpy as np

    torch = pytest.importorskip("torch", reason="torch is not installed")
    refused = {
        "meta device": torch.empty((), device="meta"),
        "is masked": np.ma.masked,
        "masked array of shape": np.ma.array([1.0, 2.0], mask=[0, 1]),
        "can't be read": torch.nn.LazyLinear(2).weight,
        "sizes": torch.nested.nested_tensor([torch.ones(2)]),
        "imaginary": torch.ones((), dtype=torch.complex64),
        "in seconds": np.timedelta64(1, "s"),
    }
    for reason, value in refused.items():
        with pytest.raises(provml.InvalidMetricError, match=reason):
            run.log_metric("m", value)
    assert provml.load(run.path).series_names() == []

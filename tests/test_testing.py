"""The helper for users' own tests."""

from __future__ import annotations

import gc
import os
from pathlib import Path

import pytest

import provml
from provml.testing import capture


def train(epochs: int) -> None:
    """Some user's training."""
    provml.log_param("epochs", epochs)
    for epoch in range(epochs):
        provml.log_metric("loss", 1 / (epoch + 1), provml.Context.TRAINING, epoch)


def test_what_a_script_logs_can_be_read_after_the_block() -> None:
    """A user could not assert on what was logged."""
    with capture() as recorded:
        train(epochs=2)
        assert len(recorded.series("loss", "training")) == 2
    assert recorded.params == {"epochs": 2}
    assert recorded.status == "finished"
    assert provml.active_run() is None


def test_a_script_that_starts_its_own_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A script with its own start_run would write into the working folder."""
    monkeypatch.chdir(tmp_path)
    with capture(start=False) as recorded:
        with provml.start_run("mine"):
            train(epochs=1)
        with provml.start_run("mine"):
            train(epochs=3)
    assert [run.params["epochs"] for run in recorded.runs] == [1, 3]
    assert recorded.experiment == "mine"
    assert list(tmp_path.iterdir()) == []
    assert "PROVML_STORE" not in os.environ


def test_an_error_passes_through_and_is_recorded() -> None:
    """A failing script would seem to pass."""
    with pytest.raises(ValueError, match="no"), capture() as recorded:
        raise ValueError("no")
    assert recorded.status == "failed"


def test_recording_is_on_within_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    """A CI that switches recording off would fail the tests of what is logged."""
    monkeypatch.setenv("PROVML_DISABLED", "1")
    with capture() as recorded:
        train(epochs=1)
    assert recorded.params == {"epochs": 1}
    assert os.environ["PROVML_DISABLED"] == "1"


def test_what_is_captured_does_not_join_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A test suite that runs inside a run would log into that, and find nothing itself."""
    with provml.start_run("outer", store=tmp_path) as outer:
        monkeypatch.setenv("PROVML_JOINED_RUN", str(outer.path))
        with capture(start=False) as captured, provml.start_run("mine"):
            provml.log_metric("loss", 0.5, provml.Context.TRAINING)
        assert os.environ["PROVML_JOINED_RUN"] == str(outer.path)
    assert captured.series("loss", provml.Context.TRAINING).value.tolist() == [0.5]
    assert provml.load(outer.path).series_names() == []


def test_nothing_recorded_is_said() -> None:
    """A test of a script that logs nothing would be an IndexError."""
    with capture(start=False) as recorded:
        pass
    with pytest.raises(provml.RunNotFoundError):
        recorded.series_names()


def test_the_temporary_folder_goes_away() -> None:
    """Every test would leave a folder behind."""
    with capture() as recorded:
        provml.log_metric("m", 1.0)
    path = recorded.run.path
    assert path.exists()
    del recorded
    gc.collect()
    assert not path.exists()


def test_the_machine_is_read_only_when_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user's test would find readings, or have threads, that its script did not ask for."""
    with capture() as recorded:
        train(epochs=1)
    assert recorded.resources() == []
    monkeypatch.setenv("PROVML_SAMPLE_INTERVAL_S", "0.001")
    with capture(sample=True) as recorded:
        while not recorded.resources():
            os.sched_yield()
    assert {use.kind for use in recorded.resources()} <= {"system", "process", "gpu", "energy"}

"""Emissions: the readings of codecarbon's tracker, and its failures."""

from __future__ import annotations

from pathlib import Path

import pytest

import provml
from provml.collect.emissions import EmissionsCollector
from provml.collect.readings import UnavailableError


class Tracker:
    """A tracker like codecarbon's: `flush` returns the kilograms since the start."""

    def __init__(self, *kilograms: float | None) -> None:
        self.calls: list[str] = []
        self._kilograms = list(kilograms)

    def start(self) -> None:
        self.calls.append("start")

    def flush(self) -> float | None:
        self.calls.append("flush")
        return self._kilograms.pop(0)

    def stop(self) -> float | None:
        self.calls.append("stop")
        return None


def test_kilograms_since_the_last_reading(store: Path) -> None:
    """Emissions would be counted twice, or the tracker's threads outlive the run."""
    tracker = Tracker(0.0, 0.25, 1.0)
    options = {"store": store, "formats": (), "sample_interval_s": 1000}
    collector = EmissionsCollector("FRA", tracker)
    with provml.start_run("e", collect=[collector], **options) as run:
        while tracker.calls.count("flush") < 2:
            pass
    assert tracker.calls == ["start", "flush", "flush", "flush", "stop"]
    (use,) = provml.load(run.path).resources()
    assert (use.kind, use.name, use.unit, use.total) == ("emissions", "emissions_kg", "kg", 1.0)


def test_a_failing_tracker_is_reported() -> None:
    """A run would have no emissions, and nobody would learn why."""
    problem = "'Utopia' is not a three-letter ISO 3166-1 country code"
    with pytest.raises(UnavailableError, match=problem):
        EmissionsCollector("Utopia", Tracker(None)).initialize()


def test_without_codecarbon_the_message_names_the_pip_command(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A user would not learn what to install."""
    monkeypatch.setitem(__import__("sys").modules, "codecarbon", None)
    with pytest.raises(UnavailableError, match=r"pip install 'provml\[emissions\]'"):
        EmissionsCollector("FRA").initialize()


def test_codecarbon_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A function renamed in codecarbon would go unnoticed, or codecarbon would write files."""
    pytest.importorskip("codecarbon", reason="codecarbon is not installed")
    monkeypatch.chdir(tmp_path)
    collector = EmissionsCollector("FRA")
    collector.initialize()
    assert collector.collect()["emissions_kg"] >= 0
    collector.close()
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")

"""Emissions: what codecarbon's tracker gives, and what it does where it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

import provml
from provml.collect.emissions import EmissionsCollector
from provml.collect.readings import UnavailableError


class Tracker:
    """A tracker as codecarbon has it: `flush` gives the kilograms since the start."""

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


def test_a_tracker_that_refuses_is_told() -> None:
    """A run would have no emissions, and nobody learn why."""
    with pytest.raises(UnavailableError, match="'Utopia' must be an ISO 3166-1 country code"):
        EmissionsCollector("Utopia", Tracker(None)).initialize()


def test_without_codecarbon_the_command_that_installs_it_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A user would not learn what to install."""
    monkeypatch.setitem(__import__("sys").modules, "codecarbon", None)
    with pytest.raises(UnavailableError, match=r"pip install 'provml\[emissions\]'"):
        EmissionsCollector("FRA").initialize()


def test_codecarbon_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """What codecarbon's names are by now would be missed, or it write files and to the terminal."""
    pytest.importorskip("codecarbon", reason="codecarbon is not installed")
    monkeypatch.chdir(tmp_path)
    collector = EmissionsCollector("FRA")
    collector.initialize()
    assert collector.collect()["emissions_kg"] >= 0
    collector.close()
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")

"""``provml show --resources``: what of the machine a run used."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from command_line import run_command

import provml


def call(*arguments: object) -> subprocess.CompletedProcess[str]:
    return run_command(*arguments)


class Room:
    """A collector whose values rise, of a name that is no plain text."""

    thresholds = {"temperature": 21.0, "\x1b[31mheat": 1e9}

    def __init__(self, name: str) -> None:
        self.name = name
        self._value = 20

    def collect(self) -> dict[str, float]:
        self._value += 1
        return {"temperature": self._value, "\x1b[31mheat": 1.0, "cpu_time_s": self._value * 2.0}


@pytest.fixture
def path(store: Path) -> Path:
    """A run with two readings of a room and of energy."""
    rooms = [Room("room"), Room("energy")]
    with provml.start_run("r", store=store, sample_interval_s=1000, collect=rooms) as run:
        run.log_metric("loss", 1.0, "training", 1)
        while run._sampler is not None and run._sampler._threads[1]._next_due is None:
            pass  # the first reading is on its way
    return run.path


def test_means_extremes_and_totals(path: Path) -> None:
    """A number of the summary would be wrong, or of another reading."""
    done = call("show", path, "--resources", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    found = {(use["kind"], use["name"]): use for use in json.loads(done.stdout)}
    use = found["room", "temperature"]
    assert (use["count"], use["mean"], use["minimum"], use["maximum"]) == (2, 21.5, 21, 22)
    assert (use["last"], use["threshold"], use["total"]) == (22, 21.0, None)
    assert use["above_s"] > 0
    counted = found["room", "cpu_time_s"]
    assert (counted["total"], counted["mean"]) == (2.0, None)
    energy = found["energy", "temperature"]
    assert energy["total"] == sum(part["total"] for part in energy["contexts"]) == 43
    resources = provml.load(path).resources()
    assert [(use.kind, use.name) for use in resources] == list(found)


def test_it_is_shown_as_a_table(path: Path) -> None:
    """A name in a run could write control codes to the terminal, or break the table."""
    done = call("show", path, "--resources")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["kind", "name", "mean", "min", "max", "total", "above", "unit"]
    assert "\x1b" not in done.stdout
    assert "\\x1b[31mheat" in done.stdout
    (line,) = [line for line in lines if line.split()[:2] == ["room", "temperature"]]
    assert line.split()[2:5] == ["21.5", "21", "22"]
    assert "> 21" in line


def test_show_tells_metrics_from_readings(path: Path) -> None:
    """A run's own series would be lost among those of its machine."""
    shown = call("show", path).stdout
    assert "loss" in shown
    assert "temperature" not in shown.partition("\nseries\n")[2].partition("readings")[0]
    assert "3 values, 6 readings" in shown


def test_a_run_without_readings(store: Path) -> None:
    """It would seem that a run used nothing, or the command fail."""
    with provml.start_run("r", store=store, formats=()) as run:
        pass
    done = call("show", run.path, "--resources")
    assert (done.returncode, done.stdout) == (0, "the run has no system readings\n")
    assert json.loads(call("show", run.path, "--resources", "--json").stdout) == []

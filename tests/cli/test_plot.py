"""``provml plot``, as it is called."""

from __future__ import annotations

import contextlib
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
import waiting

import provml
from provml import Context


def plot(*arguments: object, text: bool = True) -> subprocess.CompletedProcess[str]:
    """Run the command."""
    command = [sys.executable, "-m", "provml", "plot", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, encoding="utf-8" if text else None)


@pytest.fixture
def folder(store: Path) -> Path:
    """A run of two contexts."""
    with provml.start_run("digits", store=store, formats=()) as run:
        for step in range(12):
            run.log_metric("loss", 1 / (step + 1), Context.TRAINING, step, unit="nat")
            run.log_metric("loss", 2 / (step + 1), Context.VALIDATION, step)
        run.log_metric("\x1b[31mred", float("nan"), Context.TRAINING, 0)
        run.log_metric("loss", 0.125, Context.EVALUATION)
        run.log_metric("final", 1.0)
    return run.path


def test_all_series_are_a_line_each(folder: Path) -> None:
    """A look at a run would need a picture viewer."""
    done = plot(folder)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["name", "context", "first", "last", "min", "max"]
    assert "█▄▃▂▂▂▁▁▁▁▁▁" in lines[1]
    assert lines[1].split()[-4:] == ["1", "0.0833333", "0.0833333", "1"]
    (last,) = (line for line in lines if "(no step)" in line)
    assert last.split()[-4:] == ["0.125"] * 4
    assert r"\x1b[31mred" in done.stdout
    assert "\x1b" not in done.stdout


def test_a_named_series_is_drawn_in_large(folder: Path) -> None:
    """Contexts could not be compared on a terminal."""
    done = plot(folder, "loss", "--log", "--by", "time")
    assert (done.returncode, done.stderr) == (0, "")
    assert "2 ┤" in done.stdout
    assert "0.0833333 ┤" in done.stdout
    assert "time since the start" in done.stdout
    assert any("\u2801" <= c <= "\u28ff" for c in done.stdout)
    assert "validation" in done.stdout


def test_one_point_and_none_are_drawn(folder: Path) -> None:
    """A metric logged once, or without numbers, would fail."""
    done = plot(folder, "final", "\x1b[31mred")
    assert (done.returncode, done.stderr) == (0, "")
    assert "no numbers to show" in done.stdout


def test_a_file_is_written_in_the_format_its_ending_says(folder: Path) -> None:
    """A picture would have to be converted."""
    for ending, start in (("png", b"\x89PNG"), ("svg", b"<?xml"), ("html", b"<!doctype html>")):
        path = folder / f"chart.{ending}"
        done = plot(folder, "loss", "-o", path)
        assert (done.returncode, done.stdout) == (0, "")
        # matplotlib says so where it has to look for fonts first
        assert done.stderr.endswith(f"wrote {path}: 1 chart\n")
        assert path.read_bytes().startswith(start)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nope"], "'nope' is neither a run nor a series of the runs; the series are: "),
        (["--series", "nope"], "no series 'nope'; it has: 'loss', '\\x1b[31mred', 'final'"),
        (["--follow"], "--follow redraws on a terminal"),
        (["--follow", "-o", "x.svg"], "leave out -o"),
        (
            ["loss", "--context", "x"],
            "no context 'x' with these series; it has: 'training', 'validation'",
        ),
        (["-o", "chart.bmp"], "the format of 'chart.bmp' is unknown"),
        (["-o", "-"], "--format"),
        (["--format", "png"], "-o"),
    ],
)
def test_misuse_is_one_line(folder: Path, arguments: list[str], said: str) -> None:
    """A mistake would be answered by a traceback, or by nothing."""
    done = plot(folder, *arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert said in done.stderr


@pytest.fixture
def runs(store: Path) -> list[Path]:
    """Two runs of one experiment with other learning rates; the second has a metric more."""
    folders = []
    for lr in (0.1, 0.2):
        with provml.start_run("digits", store=store, formats=()) as run:
            run.log_params({"lr": lr, "layers": 2})
            for step in range(6):
                run.log_metric("loss", lr / (step + 1), Context.TRAINING, step)
            if lr == 0.2:
                run.log_metric("final", 1.0, Context.VALIDATION)
        folders.append(run.path)
    return folders


def test_runs_are_drawn_over_one_another(runs: list[Path], store: Path) -> None:
    """Two runs could only be compared side by side, each in axes of its own."""
    first, second = runs
    done = plot(first.name, second.name, "loss", "--store", store)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("step") == 1  # one chart with one axis
    assert f"lr=0.1 {first.name}  training" in done.stdout
    assert f"lr=0.2 {second.name}  training" in done.stdout
    assert "layers" not in done.stdout


def test_an_argument_is_a_run_or_a_series_of_any_run(runs: list[Path], store: Path) -> None:
    """A series of the second run would be taken for an unknown run, or a run for a series."""
    done = plot(*(run.name for run in runs), "final", "--store", store)
    assert (done.returncode, done.stderr) == (0, "")
    assert "validation" in done.stdout
    with provml.start_run("digits", store=store, run_id="loss", formats=()) as run:
        run.log_metric("loss", 1.0, Context.TRAINING, 0)
    done = plot(runs[0].name, "loss", "--store", store)
    assert done.returncode == 2
    assert "'loss' is the name of a run and of a series" in done.stderr
    assert "--series loss" in done.stderr
    done = plot(runs[0].name, "--series", "loss", "--store", store)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("command", [["plot", "live", "loss"], ["show", "live"]])
def test_commands_follow_a_run_until_it_ends(store: Path, command: list[str]) -> None:
    """To watch a training, the command would have to be called again and again."""
    master, slave = pty.openpty()
    with provml.start_run("digits", store=store, run_id="live", formats=()) as run:
        run.log_metric("loss", 0.5, Context.TRAINING, 0)
        process = subprocess.Popen(
            [sys.executable, "-m", "provml", *command, "--follow", "--store", store],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=os.environ | {"TERM": "xterm-256color", "COLUMNS": "100"},
        )
        os.close(slave)
        shown = bytearray()

        def has_shown(text: bytes) -> bool:
            shown.extend(os.read(master, 65536))
            return text in shown

        waiting.until(lambda: has_shown(b"0.5"))
        run.log_metric("loss", 0.0625, Context.TRAINING, 1)
        waiting.until(lambda: has_shown(b"0.0625"))
    with contextlib.suppress(OSError):  # the command has closed its side
        while os.read(master, 65536):
            pass
    os.close(master)
    assert process.wait(waiting.LIMIT_S) == 0

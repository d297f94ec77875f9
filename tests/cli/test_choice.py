"""Names with several meanings: a question on the terminal, an error in a pipe."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import run_command, run_on_terminal

import provml


@pytest.fixture
def ambiguous(store: Path) -> Path:
    """A store with two runs whose ids begin alike, one of which has a series named like the other.

    The folder of the store is returned.
    """
    for name in ("loss-a", "loss-b"):
        with provml.start_run("digits", store=store, run_id=name, formats=()) as run:
            run.log_metric("loss", 0.25, step=0)
            run.log_metric("loss-b", 0.5, step=0)
    return store


def test_the_beginning_of_several_ids_is_asked_about(ambiguous: Path) -> None:
    """The user would have to copy an id from a message."""
    shown = run_on_terminal("show", "loss", "--store", ambiguous, typed="2\n")
    assert "1  digits/loss-a  finished, started " in shown
    assert "loss-b" in shown.split("which one")[1]
    done = run_command("show", "loss", "--store", ambiguous)
    assert done.returncode == 2
    assert "'loss' matches 2 runs (digits/loss-a, digits/loss-b)" in done.stderr


@pytest.mark.parametrize("command", ["lineage", "check"])
def test_every_command_asks(ambiguous: Path, command: str) -> None:
    """One command would refuse the name that another asks about."""
    if command == "lineage":
        pytest.importorskip("duckdb")
    shown = run_on_terminal(command, "loss-", "--store", ambiguous, typed="1\n")
    assert "which one" in shown and "loss-a" in shown.split("which one")[1]
    done = run_command(command, "loss-", "--store", ambiguous)
    assert done.returncode == 2
    assert "matches 2 runs (digits/loss-a, digits/loss-b)" in done.stderr


def test_a_run_and_a_series_of_one_name_are_asked_about(ambiguous: Path) -> None:
    """`plot` would draw something else than the user meant, or nothing."""
    names = ("plot", "loss-a", "loss-b", "--store", ambiguous)
    shown = run_on_terminal(*names, typed="2\n")
    assert "2  the series loss-b" in shown and "0.5 ┤" in shown
    shown = run_on_terminal(*names, typed="1\n")
    assert "digits/loss-b" in shown and "┤" not in shown
    done = run_command(*names)
    assert done.returncode == 2
    assert "'loss-b' is the name of a run and of a series: write digits/loss-b" in done.stderr


def test_a_series_comes_before_the_beginning_of_an_id(ambiguous: Path) -> None:
    """A run that is named after a metric would make the metric undrawable by name."""
    done = run_command("plot", "loss-a", "loss", "--store", ambiguous)
    assert (done.returncode, done.stderr) == (0, "")
    assert "0.25 ┤" in done.stdout


def test_a_beginning_that_is_no_series_is_asked_about(ambiguous: Path) -> None:
    """An ambiguous id would be called unknown."""
    shown = run_on_terminal("plot", "loss-a", "lo", "--store", ambiguous, typed="2\n")
    assert "loss-b" in shown.split("which one")[1]
    done = run_command("plot", "loss-a", "lo", "--store", ambiguous)
    assert done.returncode == 2
    assert "'lo' matches 2 runs" in done.stderr

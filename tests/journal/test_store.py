"""Which run a name refers to."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import provml
from provml.journal.store import find_run


def record(store: Path, experiment: str, run_id: str) -> Path:
    """Record an empty run; return its folder."""
    with provml.start_run(experiment, store=store, run_id=run_id, formats=()) as run:
        return run.path


def test_an_experiment_distinguishes_equal_ids(store: Path) -> None:
    """Two runs with one id in two experiments could be reached only by their paths."""
    first, second = record(store, "a: b", "same"), record(store, "c", "same")
    assert find_run(f"{first.parent.name}/same", store) == first
    assert find_run("c/same", store) == second
    assert find_run("c/sa", store) == second


def test_an_ambiguous_name_lists_names_that_can_be_given(store: Path) -> None:
    """The names that the message offers would be rejected, or others would be left out."""
    folders = [record(store, f"e{number}", "same") for number in range(7)]
    with pytest.raises(provml.RunNotFoundError, match="matches 7 runs") as raised:
        find_run("same", store)
    message = str(raised.value)
    offered = message.partition("(")[2].partition(" and ")[0].split(", ")
    assert [find_run(name, store) for name in offered] == folders[:5]
    assert "and 2 more" in message
    with pytest.raises(provml.RunNotFoundError, match=r"\(e0/same, e1/same\): give a full name"):
        for folder in folders[2:]:
            folder.rename(folder.with_name(f"x{folder.parent.name}"))
        find_run("same", store)


@pytest.mark.parametrize("name", ["../other/e/id", "e/../e/id", "/e/id", "./e/id", "e//id"])
def test_a_name_does_not_lead_out_of_the_store(
    store: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An id could refer to a run of another store."""
    record(store, "e", "id")
    record(store.parent / "other", "e", "id")
    os.makedirs(store.parent / "away" / "far")
    monkeypatch.chdir(store.parent / "away" / "far")
    with pytest.raises(provml.RunNotFoundError):
        find_run(name, store)

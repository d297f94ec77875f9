"""Large stores: a page looks only at the runs that can have changed, and still shows the truth."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import provml
from provml.lineage import database
from provml.lineage.questions import Store


@pytest.fixture
def opened(store: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """A store that counts as large, with three runs that have ended."""
    monkeypatch.setattr(database, "_QUICK_SCAN_S", 0.0)
    monkeypatch.setattr(database, "_REST", 10**6)
    for name in ("a", "b", "c"):
        record(store, name)
    found = provml.open_store(store)
    assert listed(found) == ["a", "b", "c"]
    assert found._database._known_until > 0
    yield found


def record(store: Path, run_id: str, lr: float = 0.1) -> Path:
    with provml.start_run("e", store=store, formats=(), collect=(), run_id=run_id) as run:
        run.log_param("lr", lr)
    return run.path


def listed(store: Store, **options: int) -> list[str]:
    return [run.facts["id"] for run in store.list_page(sort="id", **options).runs]


def test_new_and_removed_runs_are_seen_at_once(opened: Store) -> None:
    """A run would appear seconds after it started, or stay after it was removed."""
    record(opened.path, "d")
    shutil.rmtree(opened.path / "e" / "b")
    assert listed(opened) == ["a", "c", "d"]


def test_a_run_in_progress_is_seen_to_change_and_to_end(opened: Store) -> None:
    """The table would show old values of a run in progress."""
    with provml.start_run("e", store=opened.path, formats=(), collect=(), run_id="d") as run:
        for step in range(3):
            run.log_metric("loss", step, "training", step)
            page = opened.list_page("status == 'running'", show=["metrics.loss"])
            assert [one.values["metrics.loss"] for one in page.runs] == [step]
    (ended,) = opened.list_page("id == 'd'").runs
    assert ended.facts["status"] == "finished"


def test_a_run_on_the_page_that_was_resumed_is_read_again(opened: Store) -> None:
    """A row would show what the run was before it went on."""
    with provml.start_run(
        "e", store=opened.path, formats=(), collect=(), run_id="b", resume=True
    ) as run:
        run.log_param("lr", 0.5)
        page = opened.list_page(sort="id", show=["params.lr"])
        rows = {
            one.facts["id"]: (one.facts["status"], one.values["params.lr"]) for one in page.runs
        }
        assert rows["b"] == ("running", 0.5)
        assert rows["a"] == ("finished", 0.1)


def test_other_questions_look_at_every_run(opened: Store) -> None:
    """A script would compute with the values of a run before it went on."""
    with provml.start_run(
        "e", store=opened.path, formats=(), collect=(), run_id="b", resume=True
    ) as run:
        run.log_param("lr", 0.5)
    assert listed(opened, limit=0) == []
    assert opened.runs("params.lr == 0.5").column("id") == ["b"]

"""Which run a name refers to, and what a store contains besides runs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import provml
from provml.journal import layout
from provml.journal.reader import Journal
from provml.journal.store import RunEntry, UnreadRun, find_run, list_run_folders, scan_runs


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


def test_a_link_in_a_store_is_reported_and_not_followed(store: Path, tmp_path: Path) -> None:
    """A link could add the runs of another store to a listing, or vanish from it unnoticed."""
    record(store, "x", "good")
    elsewhere = record(tmp_path / "other", "y", "away")
    (store / "x" / "linked").symlink_to(elsewhere)
    (store / "experiment").symlink_to(elsewhere.parent)
    unread = {run.path.name: run.reason for run in scan_runs(store) if isinstance(run, UnreadRun)}
    assert set(unread) == {"linked", "experiment"}
    assert all("symbolic link" in reason for reason in unread.values())
    assert list_run_folders(store) == [store / "x" / "good"]


def test_a_link_to_a_run_is_refused_with_the_place_that_it_leads_to(
    store: Path, tmp_path: Path
) -> None:
    """A user who names a link to a run would not learn which folder to name."""
    run = record(store, "x", "a")
    link = tmp_path / "link"
    link.symlink_to(run)
    for open_run in (find_run, provml.load, Journal):
        with pytest.raises(provml.StoreError, match=f"symbolic link.*{run}"):
            open_run(link)


def test_a_name_is_an_id_although_a_link_has_that_name(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A link called ``latest`` beside a script would hide the latest run."""
    run = record(store, "x", "a")
    (tmp_path / "latest").symlink_to(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert find_run("latest", store) == run


def test_a_pipe_in_the_place_of_a_file_is_damage(store: Path) -> None:
    """A pipe would hang the listing, or the rest of the run would be lost with it."""
    run = record(store, "x", "a")
    (samples,) = run.glob("journal/*.samples")
    for path in (samples, run / "run.json"):
        path.unlink()
        os.mkfifo(path)
    (entry,) = scan_runs(store)
    assert isinstance(entry, RunEntry)
    assert entry.state.status == "finished"
    assert entry.damage is not None
    assert "samples file that is not a regular file" in entry.damage
    assert "run.json" in entry.damage


def test_a_run_without_a_regular_journal_file_is_unread(store: Path) -> None:
    """A run whose files are all links would read as a run that recorded nothing."""
    run = record(store, "x", "a")
    for path in run.glob("journal/*"):
        path.unlink()
        path.symlink_to("/dev/zero")
    (entry,) = scan_runs(store)
    assert isinstance(entry, UnreadRun)
    assert "symbolic link" in entry.reason


def test_the_samples_after_a_hole_of_a_sparse_file_are_read(store: Path) -> None:
    """Skipping the holes of a sparse file would skip samples, or read the holes for minutes."""
    with provml.start_run("x", store=store, formats=()) as run:
        run.log_metric("loss", 0.5)
    (path,) = run.path.glob("journal/*.samples")
    record_bytes = path.read_bytes()[layout.HEADER_SIZE :]
    with open(path, "r+b") as file:
        for slot in (10**6, 10**10):
            file.seek(layout.HEADER_SIZE + slot * layout.RECORD_SIZE)
            file.write(record_bytes)
    assert provml.load(run.path).series("loss").value.tolist() == [0.5] * 3
    (files,) = Journal(run.path).writers
    end = layout.HEADER_SIZE + (10**10 + 1) * layout.RECORD_SIZE
    assert files.find_samples_end() == end
    assert files.count_data_slots() < 10_000


def test_the_lines_after_a_hole_of_an_events_file_are_read(store: Path) -> None:
    """One line of zeros would be read in parts, each of them a damaged line."""
    run = record(store, "x", "a")
    (path,) = run.glob("journal/*.events.jsonl")
    event = b'{"record":"event","name":"late","time":1}\n'
    with open(path, "r+b") as file:
        file.seek(300 * 10**9)
        file.write(b"\n" + event)
    assert [own.name for own in provml.load(run).events()] == ["late"]
    (files,) = Journal(run).writers
    assert sum(1 for _ in files.records()) > 1
    assert files.damage == {"unreadable line": 1}

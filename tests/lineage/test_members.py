"""A folder and the files in it are found from each other, by content."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from command_line import run_on_terminal

import provml
from provml.collect.content import MAX_LISTED_FILES
from provml.lineage.questions import open_store
from provml.lineage.trace import Lineage

pytest.importorskip("duckdb", reason="the extra lineage is not installed")

_TREE = ("model", "digits", "train.bin", "download")
TEXTS = {"train.bin": "train", "deep/test.bin": "test", "line\nfeed": "odd", "empty": ""}


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _make_folder(folder: Path) -> Path:
    for name, text in TEXTS.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def _names(lineage: Lineage) -> set[str]:
    """The names of the contents, but for the script that all runs here used."""
    places = [place for content in lineage.contents.values() for place in content.places]
    return {place["name"] for place in places if place["kind"] != "script"}


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, in which the store is."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _train(work: Path, name: str = "train") -> None:
    """Record a run that uses the folder ``data`` and makes a model."""
    with provml.start_run(name, formats=()) as run:
        run.log_dataset("digits", "data")
        (work / "model").write_text("m")
        run.log_artifact("model")


def test_file_of_a_folder_that_was_used(work: Path) -> None:
    """``provml lineage data/train.bin`` would say that no run used it."""
    _make_folder(work / "data")
    _train(work)
    store = open_store()
    for start in ("data/train.bin", _sha256("train"), "data/line\nfeed"):
        found = store.lineage(start, "down")
        assert _names(found) == {"digits", "model"}
        assert "of the folder digits" in found.notes[0]
    (work / "copy").write_text("test")
    assert _names(store.lineage("copy", "down")) == {"digits", "model"}
    with pytest.raises(provml.errors.QueryError, match="no run"):
        store.lineage("data/empty")


def test_files_that_runs_made_before_they_became_a_folder(work: Path) -> None:
    """The run that prepared a file would be missing in the lineage of the model."""
    with provml.start_run("download", formats=()) as run:
        _make_folder(work / "data")
        run.log_artifact("data/train.bin")
    _train(work)
    store = open_store()
    found = store.lineage("model")
    assert _names(found) == {"model", "digits", "train.bin"}
    assert [(found.contents[e].facts["name"], c) for e, c in found.members] == [
        ("digits", _sha256("train"))
    ]
    assert _names(store.lineage("data/train.bin", "down")) == {"model", "digits", "train.bin"}


def test_file_of_a_folder_that_a_run_made(work: Path) -> None:
    """A checkpoint's weights would have no origin."""
    (work / "in").write_text("i")
    with provml.start_run("train", formats=()) as run:
        run.log_dataset("in", "in")
        _make_folder(work / "checkpoint")
        run.log_artifact("checkpoint")
    with provml.start_run("serve", formats=()) as run:
        run.log_dataset("weights", "checkpoint/train.bin")
        (work / "answer").write_text("a")
        run.log_artifact("answer")
    store = open_store()
    assert _names(store.lineage("answer")) == {"answer", "weights", "checkpoint", "in"}
    assert _names(store.lineage("in", "down")) == {"in", "checkpoint", "weights", "answer"}


def test_the_other_files_of_a_folder_are_not_related(work: Path) -> None:
    """The lineage of one file would contain what was made from another file beside it."""
    _make_folder(work / "data")
    with provml.start_run("other", formats=()) as run:
        run.log_dataset("test", "data/deep/test.bin")
        (work / "score").write_text("s")
        run.log_artifact("score")
    _train(work)
    assert _names(open_store().lineage("data/train.bin", "both")) == {"digits", "model"}


def test_large_folder_is_hashed_in_the_background(work: Path) -> None:
    """The files of a folder with many files would not be found."""
    (work / "data").mkdir()
    for number in range(1100):
        (work / "data" / f"{number}").write_text(f"n{number}")
    _train(work)
    assert _names(open_store().lineage("data/1099", "down")) == {"digits", "model"}


def test_folder_of_too_many_files_has_no_manifest(work: Path) -> None:
    """A data set of a million files would fill the store."""
    (work / "data").mkdir()
    for number in range(MAX_LISTED_FILES + 1):
        (work / "data" / f"{number}").touch()
    _train(work)
    (digits,) = (item for item in provml.load("latest").artifacts() if item.name == "digits")
    assert digits.sha256 is not None
    assert "manifest" not in digits.facts


def test_manifest_is_checked(work: Path) -> None:
    """A store of someone else could name any file as the manifest of a folder."""
    _make_folder(work / "data")
    _train(work)
    run = provml.load("latest").path
    (manifest,) = (run / "artifacts").rglob("files.sha256")
    manifest.write_bytes(manifest.read_bytes().replace(b"train.bin", b"other.bin"))
    with pytest.raises(provml.errors.QueryError, match="no run"):
        open_store().lineage("data/train.bin")


def test_one_run_represents_all_with_the_folder(work: Path) -> None:
    """A folder would be listed once for each run, or vanish with the run that lists it."""
    _make_folder(work / "data")
    _train(work)
    _train(work, "again")
    store = open_store()
    rows = store.sql("SELECT name, member FROM members ORDER BY name").rows
    assert rows == sorted((n, _sha256(t)) for n, t in TEXTS.items() if t)
    (run,) = store.sql("SELECT DISTINCT run FROM members").rows[0]
    for path in sorted(store.run_folder(run).rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    store.run_folder(run).rmdir()
    assert len(store.sql("SELECT * FROM members").rows) == len(rows)
    assert _names(store.lineage("data/train.bin", "down")) == {"digits", "model"}


def test_tree_shows_the_file_below_the_folder(work: Path) -> None:
    """The command would show a folder without the files that it was made from."""
    with provml.start_run("download", formats=()) as run:
        _make_folder(work / "data")
        run.log_artifact("data/train.bin")
    _train(work)
    lines = run_on_terminal("lineage", "model", columns=100, NO_COLOR="1").splitlines()
    places = [next(i for i, line in enumerate(lines) if name in line) for name in _TREE]
    assert places == sorted(places)

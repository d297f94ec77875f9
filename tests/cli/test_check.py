"""``provml check``: what it prints, and how it exits."""

from __future__ import annotations

import json
from pathlib import Path

import damaging
import pytest
from click.testing import CliRunner, Result

import provml
from provml.cli import program
from provml.errors import RunNotFoundError


def check(*arguments: object) -> Result:
    return CliRunner().invoke(program, ["check", *map(str, arguments)])


@pytest.fixture
def runs(tmp_path: Path) -> list[Path]:
    """Two runs with a copy and a document each."""
    text = tmp_path / "weights.txt"
    text.write_text("weights", encoding="utf-8")
    folder = tmp_path / "folder"
    (folder / "inner").mkdir(parents=True)
    (folder / "inner" / "file.txt").write_text("inner", encoding="utf-8")
    paths = []
    for run_id in "ab":
        store = tmp_path / "store"
        with provml.start_run("check", store=store, run_id=run_id, formats=("provjson",)) as run:
            run.log_metric("loss", 0.5)
            run.log_artifact(text)
            run.log_artifact(folder)
        paths.append(run.path)
    return paths


def test_intact_runs(runs):
    """A store without damage would fail a job that checks it."""
    result = check(runs[0].parent.parent)
    assert (result.exit_code, result.output) == (0, "check/a: ok\ncheck/b: ok\n")


@pytest.mark.parametrize(
    ("pattern", "says"),
    [
        ("journal/*.samples", "record 1 is damaged"),
        ("journal/*.events.jsonl", "is damaged or missing"),
        ("run.json", "run.json: the file is damaged"),
        ("artifacts/*/weights.txt", "weights.txt: the copy is damaged"),
        ("artifacts/*/folder/inner/file.txt", "folder: the copy is damaged"),
        ("provenance.json", "provenance.json: the document has changed"),
    ],
)
def test_each_file_of_a_run(runs, pattern, says):
    """Damage in one of a run's files would pass the check, or hide the other run."""
    (path,) = runs[0].glob(pattern)
    content = bytearray(path.read_bytes())
    content[70 if len(content) > 70 else 3] ^= 1
    path.write_bytes(content)
    result = check(runs[0].parent.parent)
    first, second = result.output.splitlines()
    assert result.exit_code == 1
    assert first.startswith("check/a: ")
    assert says in first
    assert second == "check/b: ok"


@pytest.mark.parametrize("pattern", ["artifacts/*/weights.txt", "provenance.json", "run.json"])
def test_a_missing_file(runs, pattern):
    """A file that was deleted would pass the check."""
    (path,) = runs[0].glob(pattern)
    path.unlink()
    result = check(runs[0])
    assert result.exit_code == 1
    assert f"{path.name}: the " in result.output
    assert "missing" in result.output


def test_json(runs):
    """A program could not read what is damaged."""
    (path,) = runs[1].glob("journal/*.samples")
    path.write_bytes(path.read_bytes()[:-32])
    result = check(runs[0], runs[1], "--json")
    intact, damaged = json.loads(result.stdout)
    assert result.exit_code == 1
    assert intact == {
        "run": "check/a",
        "path": str(runs[0]),
        "ok": True,
        "damage": [],
        "not_covered": [],
    }
    assert damaged["damage"][0]["file"] == path.name
    assert damaged["damage"][0]["unit"] == "records"


def test_a_run_without_checksums(runs):
    """An old run would fail the check, or pass it without a word."""
    damaging.remove_checksums(runs[0])
    (runs[0] / "documents.sha256").unlink()
    result = check(runs[0])
    assert result.exit_code == 0
    assert "ok; not covered: 1 of 1 pairs of journal files have no checksums" in result.output
    assert "provenance.json is not named in documents.sha256" in result.output


def test_a_link_in_the_place_of_a_run(runs):
    """A link in a store would be followed, or hide the other runs."""
    (runs[0].parent / "link").symlink_to(runs[0])
    result = check(runs[0].parent.parent)
    assert result.exit_code == 1
    assert result.output.count("\n") == 3
    assert "check/link: can't be checked" in result.output


def test_misuse(tmp_path):
    """A wrong name would look like a store without damage."""
    assert isinstance(check(tmp_path / "nothing").exception, RunNotFoundError)
    assert check().exit_code == 2


def test_a_document_that_is_written_again(runs):
    """Writing a document once more would look like damage."""
    result = CliRunner().invoke(program, ["export", str(runs[0])])
    assert result.exit_code == 0
    target = runs[0] / "provenance.ttl"
    result = CliRunner().invoke(program, ["export", str(runs[0]), "-o", str(target)])
    assert result.exit_code == 0
    lines = (runs[0] / "documents.sha256").read_text(encoding="utf-8").splitlines()
    assert [line[66:] for line in lines] == ["provenance.json", "provenance.ttl"]
    assert check(runs[0]).output == "check/a: ok\n"

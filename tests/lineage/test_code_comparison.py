"""The code of runs is compared file by file, and what can't be compared is named."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

import provml
from provml.collect.code_files import OPENED, CodeFolder, read_code_file
from provml.lineage.compare import Comparison
from provml.recording.code_log import build_code_record
from provml.run_check import check_run


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder for code."""
    folder = tmp_path / "project"
    folder.mkdir()
    return folder


def record(store: Path, *files: Path) -> Path:
    """Record a run that used these files, and return its folder."""
    with provml.start_run("e", store=store, formats=()) as run, CodeFolder(run.path) as folder:
        for path in files:
            role = "source code" if path.suffix == ".py" else "configuration"
            file = read_code_file(str(path), role, OPENED, run._clock.end_time_ns())
            assert file is not None
            run._append(build_code_record(path.name, file, folder))
    return run.path


def found_damage(runs: list[Path]) -> list[provml.Damage]:
    """What a check of the runs finds, including their copies."""
    return [damage for run in runs for damage in check_run(run).damage]


def compare(store: Path, *runs: Path) -> Comparison:
    """Compare runs of a store."""
    return provml.open_store(store).diff(*runs)


def test_added_and_removed_files(store: Path, project: Path) -> None:
    """A module or configuration file that only one run used would go unnoticed."""
    (project / "model.py").write_text("W = 1\n")
    (project / "old.yaml").write_text("a: 1\n")
    (project / "new.yaml").write_text("b: 2\n")
    model = project / "model.py"
    first, second = record(store, model, project / "old.yaml"), record(store, model)
    third = record(store, model, project / "new.yaml")
    found = compare(store, first, second, third)
    names = [f"e/{path.name}" for path in (first, second, third)]
    assert set(found.code) == {"old.yaml", "new.yaml"}
    assert found.code["new.yaml"] == [
        "--- /dev/null",
        f"+++ {names[2]}/new.yaml",
        "@@ -0,0 +1 @@",
        "+b: 2",
    ]
    assert (
        "-a: 1" in found.code["old.yaml"] and f"--- {names[0]}/old.yaml" in found.code["old.yaml"]
    )


def test_files_without_a_text(store: Path, project: Path) -> None:
    """Nothing would be said about a binary file, or one whose copy is missing."""
    binary, lost, equal = (project / name for name in ("a.conf", "lost.py", "equal.py"))
    equal.write_text("pass\n")
    runs = []
    for number in range(2):
        binary.write_bytes(bytes([0, number]))
        lost.write_text(f"a = {number}\n")
        runs.append(record(store, binary, lost, equal))
    (copy,) = runs[1].glob("artifacts/code/*-lost.py")
    copy.unlink()
    found = compare(store, *runs)
    assert set(found.code) == {"a.conf", "lost.py"}
    assert "differ" in found.code["a.conf"][0] and "it is not text" in found.code["a.conf"][0]
    assert "its copy is missing" in found.code["lost.py"][0]


def test_a_run_without_code(store: Path, project: Path) -> None:
    """All code would seem to be new, or nothing to differ, if one run has recorded none."""
    (project / "model.py").write_text("W = 1\n")
    first, second = record(store, project / "model.py"), record(store)
    found = compare(store, first, second)
    assert found.code == {}
    assert found.unrecorded["code"] == [f"e/{second.name}"]


def test_secrets_that_differ(store: Path, project: Path) -> None:
    """Two versions of a file would seem equal, because their copies are masked alike."""
    runs = []
    for number in range(2):
        (project / "a.py").write_text(f"password = 'hunter{number}'\n")
        runs.append(record(store, project / "a.py"))
    (line,) = compare(store, *runs).code["a.py"]
    assert line.endswith("differ only in masked secrets")
    assert found_damage(runs) == []


def test_a_comparison_of_long_files_is_bounded(store: Path, project: Path) -> None:
    """Two generated files would keep diff busy for an hour."""
    runs = []
    for number in range(2):
        lines = (f"{line * 7919 % 100_003}: {number}" for line in range(40_000))
        (project / "a.yaml").write_text("\n".join(lines))
        runs.append(record(store, project / "a.yaml"))
    assert len(compare(store, *runs).code["a.yaml"]) <= 2001


def test_it_is_said_what_is_not_known(store: Path, project: Path) -> None:
    """A file that changed before it was recorded would seem to be equal in both runs."""
    (project / ".env").write_text("TOKEN=hunter2\n")
    (project / "a.py").write_text("")
    runs = [record(store, project / "a.py", project / ".env") for _ in range(2)]
    for run in runs:
        shutil.rmtree(run / "artifacts")
    found = compare(store, *runs)
    assert found.code == {}
    assert any("not known" in note and ".env" in note for note in found.notes)


def test_commands_and_environments(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two runs with other arguments or variables would seem to be equal."""
    runs = []
    for number in range(2):
        monkeypatch.setattr(sys, "orig_argv", ["train", "--name", f"a {number}"])
        with provml.start_run("e", store=store, formats=()) as run:
            environment = {"record": "environment", "time": run._clock.end_time_ns()}
            facts = {"python": "3.13", "packages": {}, "variables": {"OMP_NUM_THREADS": number}}
            run._append(environment | facts)
        runs.append(run.path)
    found = compare(store, *runs)
    assert found.differing("environment") == {"variables.OMP_NUM_THREADS": ["0", "1"]}
    assert found.differing("state")["command"] == ["train --name 'a 0'", "train --name 'a 1'"]

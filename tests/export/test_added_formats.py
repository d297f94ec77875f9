"""Formats that other packages add, and provml imported from a zip."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import zipfile
from importlib import import_module
from pathlib import Path

import pytest
from waiting import LIMIT_S

import provml
from provml.base.format_names import BUILT_IN

THEIRS = '''
"""Theirs: one line for each statement."""
SUFFIX = ".theirs"

def write(mapping, sink):
    """Write a run."""
    for statement in mapping.statements():
        sink.write(f"{statement.kind}\\n".encode())
'''
BROKEN = "import a_package_that_is_missing\n"
UNFINISHED = 'SUFFIX = ".unfinished"\n'
ENTRY_POINTS = """
[provml.formats]
theirs = their_format
broken = their_broken_format
unfinished = their_unfinished_format
turtle = their_format
"""


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A folder with an installed distribution that adds formats."""
    folder = tmp_path / "packages"
    metadata = folder / "their_formats-1.0.dist-info"
    metadata.mkdir(parents=True)
    (folder / "their_format.py").write_text(THEIRS)
    (folder / "their_broken_format.py").write_text(BROKEN)
    (folder / "their_unfinished_format.py").write_text(UNFINISHED)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: their-formats\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(ENTRY_POINTS)
    return folder


def run_python(path: Path, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run Python with a folder or zip at the front of its import path."""
    environment = {**os.environ, "PYTHONPATH": str(path), "PROVML_STORE": str(cwd / "store")}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
    )


def run_provml(path: Path, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a provml command."""
    return run_python(path, "-P", "-m", "provml", *arguments, cwd=cwd)


def test_the_list_and_the_modules_agree() -> None:
    """A format in the package could not be used, or one in the list would not exist."""
    folder = Path(import_module("provml.export").__file__ or "").parent
    modules = {path.stem for path in folder.glob("[!_]*.py")}
    assert {name.replace("-", "_") for name in BUILT_IN} == modules
    assert list(BUILT_IN) == sorted(BUILT_IN)


def test_a_run_is_written_in_an_added_format(package: Path, tmp_path: Path) -> None:
    """`start_run` would not accept another package's format, or not write its document."""
    script = """
    import provml
    with provml.start_run("added", run_id="one", formats=("theirs",)) as run:
        run.log_metric("loss", 0.5)
    """
    done = run_python(package, "-c", textwrap.dedent(script), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    document = tmp_path / "store" / "added" / "one" / "provenance.theirs"
    assert "entity\n" in document.read_text()


def test_the_commands_know_an_added_format(package: Path, tmp_path: Path) -> None:
    """A format that a package adds could not be listed, exported, or guessed by its ending."""
    with provml.start_run("added", run_id="one", store=tmp_path / "store", formats=()):
        pass
    listed = run_provml(package, "formats", "--json", cwd=tmp_path)
    assert listed.returncode == 0, listed.stderr
    described = {row["name"]: row for row in json.loads(listed.stdout)}
    assert set(described) == {*BUILT_IN, "theirs"}
    assert described["theirs"] == {
        "name": "theirs",
        "ending": ".theirs",
        "several_runs": False,
        "about": "Theirs: one line for each statement",
    }
    assert described["turtle"]["ending"] == ".ttl"
    assert "the package their-formats adds the format 'broken'" in listed.stderr
    assert "a_package_that_is_missing" in listed.stderr
    assert "the package their-formats adds the format 'unfinished'" in listed.stderr
    for number, arguments in enumerate((["--format", "theirs", "-o", "a"], ["-o", "b.theirs"])):
        done = run_provml(package, "export", "one", *arguments, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert "activity\n" in (tmp_path / ("a", "b.theirs")[number]).read_text()


@pytest.mark.parametrize("name", ["broken", "unfinished"])
def test_an_added_format_that_fails_to_load_names_its_package(
    package: Path, tmp_path: Path, name: str
) -> None:
    """A user would not learn which package to repair, or only after the training."""
    with provml.start_run("added", run_id="one", store=tmp_path / "store", formats=()):
        pass
    done = run_provml(package, "export", "one", "--format", name, cwd=tmp_path)
    assert done.returncode == 2
    assert f"the package their-formats adds the format '{name}'" in done.stderr
    assert "Traceback" not in done.stderr
    script = f"import provml\nprovml.start_run('added', formats=('provjson', '{name}'))"
    done = run_python(package, "-c", script, cwd=tmp_path)
    assert "ExportError: the package their-formats adds" in done.stderr
    assert [path.name for path in (tmp_path / "store" / "added").iterdir()] == ["one"]


def test_two_formats_do_not_overwrite_each_other(package: Path, tmp_path: Path) -> None:
    """One of a run's documents would be lost without a word."""
    (package / "their_format.py").write_text(THEIRS.replace(".theirs", ".json"))
    script = "import provml\nwith provml.start_run('x', formats=('provjson', 'theirs')):\n    pass"
    done = run_python(package, "-c", script, cwd=tmp_path)
    assert "theirs would overwrite provenance.json" in done.stderr


def test_built_in_formats_do_not_search_the_installed_packages(tmp_path: Path) -> None:
    """Starting a run would take twice as long."""
    script = """
    import sys, provml
    run = provml.start_run("x", formats=("provjson", "turtle"))
    assert "importlib.metadata" not in sys.modules
    run.end_run()
    """
    done = run_python(tmp_path, "-c", textwrap.dedent(script), cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_provml_runs_from_a_zip(tmp_path: Path) -> None:
    """A frozen or zipped application could not record, or not write its document."""
    source = Path(provml.__file__).parent
    archive = tmp_path / "provml.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in source.rglob("*.py"):
            file.write(path, Path("provml", path.relative_to(source)))
    script = """
    import provml
    assert ".zip" in provml.__file__, provml.__file__
    with provml.start_run("zipped", run_id="one", formats=("provjson",)) as run:
        run.log_metric("loss", 0.5)
    """
    done = run_python(archive, "-W", "error", "-P", "-c", textwrap.dedent(script), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    document = tmp_path / "store" / "zipped" / "one" / "provenance.json"
    assert json.loads(document.read_text())["entity"]

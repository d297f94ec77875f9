"""The code and configuration files that the processes of ``provml run`` use are recorded."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from waiting import LIMIT_S, until

import provml
from provml.journal.history import read_records
from provml.journal.reader import Journal


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project whose script imports a module, and reads a configuration file and data."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "model.py").write_text("W = 1\n")
    (folder / "settings.py").write_text("lr = 0.1\n")
    (folder / "settings.yaml").write_text("lr: 0.1\n")
    (folder / "data.csv").write_text("1,2\n")
    (folder / "train.py").write_text(
        "import model\n"
        "exec(open('settings.py').read())\n"
        "for name in ('settings.yaml', 'data.csv'):\n    open(name).read()\n"
    )
    return folder


def command_line(project: Path, *words: str, options: tuple[str, ...] = ()) -> list[str]:
    """The command line that records a command into the store beside the project."""
    store = str(project.parent / "store")
    program = [sys.executable, "-m", "provml", "run", "--store", store, "--formats", ""]
    return [*program, *options, "--", *(words or (sys.executable, "train.py"))]


def environment() -> dict[str, str]:
    """The environment of a user who has not turned off anything."""
    unset = ("PROVML_CODE", "PYTHONSAFEPATH", "PYTHONDONTWRITEBYTECODE")
    return {name: value for name, value in os.environ.items() if name not in unset}


def record(project: Path, *words: str, options: tuple[str, ...] = ()) -> provml.RecordedRun:
    """Record a command, and return its run."""
    command = command_line(project, *words, options=options)
    subprocess.run(command, cwd=project, env=environment(), check=True, timeout=LIMIT_S)
    return provml.load("latest", project.parent / "store")


def code_of(run: provml.RecordedRun) -> dict[str, dict[str, Any]]:
    """The records of code and configuration, by the name of the file."""
    records = list(read_records(Journal(run.path), "code"))
    assert len({(r["name"], r["content"].get("sha256")) for r in records}) == len(records)
    return {record["name"]: record for record in records}


def copied(run: provml.RecordedRun, name: str) -> str:
    """The text of the copy of a file."""
    return (run.path / code_of(run)[name]["content"]["copy"]).read_text()


def test_code_and_configuration_of_an_unchanged_script(project: Path) -> None:
    """Two runs with other modules or hyperparameters would seem to be equal."""
    run = record(project)
    assert set(code_of(run)) == {"train.py", "model.py", "settings.py", "settings.yaml"}
    assert copied(run, "settings.py") == "lr = 0.1\n"
    roles = {name: record["role"] for name, record in code_of(run).items()}
    assert roles["model.py"] == "source code" and roles["settings.yaml"] == "configuration"
    assert [r["name"] for r in read_records(Journal(run.path), "dataset")] == ["data.csv"]
    assert not list(run.path.glob("journal/*.sources"))
    (project / "model.py").write_text("W = 5\n")
    (project / "settings.yaml").write_text("lr: 0.5\n")
    found = provml.open_store(project.parent / "store").diff(run.path, record(project).path)
    assert set(found.code) == {"model.py", "settings.yaml"}
    assert {"-W = 1", "+W = 5"} <= set(found.code["model.py"])


def test_code_of_workers(project: Path) -> None:
    """The modules that only a worker process imports would be missing."""
    (project / "worker.py").write_text("# worker\n")
    (project / "train.py").write_text(
        "import subprocess, sys, os\n"
        "subprocess.run([sys.executable, '-c', 'import worker'], check=True)\n"
        "if not os.fork():\n    import model\n    os._exit(0)\n"
        "os.wait()\n"
    )
    assert set(code_of(record(project))) == {"train.py", "worker.py", "model.py"}


def test_a_file_that_changes_while_the_command_runs(project: Path) -> None:
    """The copy would show code that the user wrote after the command had imported it."""
    (project / "train.py").write_text(
        "import model\nopen('model.py', 'w').write('W = 22')\nopen('settings.yaml').read()\n"
    )
    run = record(project)
    content = code_of(run)["model.py"]["content"]
    if "copy" in content:  # provml was fast enough
        assert copied(run, "model.py") == "W = 1\n"
    else:
        (event,) = run.events("code left out")
        assert event.metadata == {"it changed before it was copied": 1}
    assert len(content["sha256"]) == 64


def test_the_command_line_names_a_configuration(project: Path) -> None:
    """The configuration of a program that is not Python would be missing."""
    (project / "out.json").write_text("{}")
    command = 'cat "$0"; echo > "$1"'
    run = record(project, "sh", "-c", command, "settings.yaml", "out.json")
    assert set(code_of(run)) == {"settings.yaml"}


def test_it_can_be_turned_off(project: Path) -> None:
    """Code that must not leave its folder would be copied."""
    run = record(project, options=("--no-code",))
    assert code_of(run) == {}
    assert json.loads((run.path / "run.json").read_text())["code"] is False


def _rename_notes(journal: Path, pid: int) -> None:
    """Give all notes the number of another process, and a time long before its start."""
    notes = [path for path in journal.iterdir() if path.suffix in (".opened", ".sources")]
    assert notes
    for path in notes:
        command, _, rest = path.name.partition("-")
        created, _, random = rest.split("-")
        earlier_ns = int(created) - 60 * 10**9
        path.rename(journal / f"{command}-{earlier_ns:020d}-{pid}-{random}")


@pytest.mark.parametrize("is_recycled", [False, True])
def test_code_of_a_killed_command_is_recovered(project: Path, is_recycled: bool) -> None:
    """A node that fails would take the record of the code with it.

    The same would happen if the system has given the number of the script's process again.
    """
    (project / "train.py").write_text(
        "import model, os, time\nopen('ready', 'w').close()\nopen('settings.yaml').read()\n"
        "open('done', 'w').close()\ntime.sleep(600)\n"
    )
    command = command_line(project)
    with subprocess.Popen(
        command, cwd=project, env=environment(), start_new_session=True
    ) as process:
        until((project / "done").exists)
        os.killpg(process.pid, signal.SIGKILL)
    (folder,) = (project.parent / "store" / "train").iterdir()
    with subprocess.Popen(["sleep", "600"]) as other:
        try:
            if is_recycled:
                _rename_notes(folder / "journal", other.pid)
            recover = [sys.executable, "-m", "provml", "recover", str(folder)]
            subprocess.run(recover, cwd=project, env=environment(), check=True, timeout=LIMIT_S)
        finally:
            other.kill()
    run = provml.load(folder)
    assert {"model.py", "settings.yaml"} <= set(code_of(run))
    assert copied(run, "model.py") == "W = 1\n"


def test_forged_notes_copy_nothing(project: Path, run: provml.Run) -> None:
    """A store from someone else would have private files of the reader copied into it."""
    from provml.capture.code.code_recorder import CodeRecorder

    secret = project / "secret.yaml"
    secret.write_text("pin: 1234\n")
    note = {"path": str(secret), "role": "configuration", "found_by": "opened", "time": 1}
    forged = [{**note, "facts": {"sha256": "0" * 64}}, {**note, "facts": {}}, {"path": 3}, 7]
    text = "".join(f"S1 {json.dumps(fields)}\0" for fields in forged)
    (run.path / "journal" / "0-1-ab.00001.sources").write_text(text)
    CodeRecorder(run, "", None).finish()
    run.end_run()
    texts = [path.read_bytes() for path in run.path.rglob("*") if path.is_file()]
    assert not any(b"1234" in text for text in texts)

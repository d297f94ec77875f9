"""The code and configuration files that a script uses are recorded without a call."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from waiting import LIMIT_S

import provml
from provml.journal.history import read_records
from provml.journal.reader import Journal

HEAD = """
import json, os, sys
import provml
"""
START = """
with provml.start_run("e", store=os.environ["STORE"], formats=()) as run:
    pass
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The folder of a script."""
    folder = tmp_path / "project"
    folder.mkdir()
    return folder


def run_script(project: Path, script: str, *arguments: str, **variables: str) -> provml.RecordedRun:
    """Run a script in its own folder as a user does, and return the run that it recorded."""
    (project / "train.py").write_text(script)
    start_script(project, *arguments, **variables)
    return provml.load("latest", project.parent / "store")


def start_script(project: Path, *arguments: str, **variables: str) -> None:
    """Run the script of a project."""
    unset = ("PROVML_CODE", "PYTHONSAFEPATH", "PYTHONDONTWRITEBYTECODE")
    environment = {name: value for name, value in os.environ.items() if name not in unset}
    environment |= {"STORE": str(project.parent / "store"), **variables}
    command = [sys.executable, "train.py", *arguments]
    subprocess.run(command, cwd=project, env=environment, check=True, timeout=LIMIT_S)


def recorded_code(run: provml.RecordedRun) -> dict[str, dict[str, Any]]:
    """The records of code and configuration, by the name of the file."""
    records = list(read_records(Journal(run.path), "code"))
    assert len({(r["name"], r["content"].get("sha256")) for r in records}) == len(records)
    return {record["name"]: record for record in records}


def copied(run: provml.RecordedRun, name: str) -> str:
    """The text of the copy of a file."""
    return (run.path / recorded_code(run)[name]["content"]["copy"]).read_text()


def test_the_script_and_what_it_imports_are_copied(project: Path) -> None:
    """A run outside git could not be repeated, because its modules have changed since."""
    (project / "package").mkdir()
    for name in ("model.py", "package/__init__.py", "package/inner.py", "late.py", "unused.py"):
        (project / name).write_text(f"# {name}\n")
    late = START.replace("pass", "import late")
    run = run_script(project, f"{HEAD}import model, package.inner, colorsys\n{late}")
    modules = {"model.py", "package/__init__.py", "package/inner.py", "late.py"}
    assert set(recorded_code(run)) == {"train.py", *modules}
    assert all(copied(run, name) == f"# {name}\n" for name in modules)
    assert {record["role"] for record in recorded_code(run).values()} == {"source code"}


READING = """
import configparser, runpy, tomllib
from pathlib import Path
exec(open("settings.py").read())
runpy.run_path("defaults.py")
json.load(open("a.json"))
tomllib.load(open("b.toml", "rb"))
configparser.ConfigParser().read("c.ini")
Path("d.yaml").read_text()
os.close(os.open(b"e.gin", os.O_RDONLY))
"""
CONFIGURATION = {
    "settings.py": "lr = 0.1\n",
    "defaults.py": "layers = 2\n",
    "a.json": '{"a": 1}\n',
    "b.toml": "b = 1\n",
    "c.ini": "[c]\nc = 1\n",
    "d.yaml": "d: 1\n",
    "e.gin": "e = 1\n",
}


@pytest.mark.parametrize("before_start", [True, False])
def test_files_that_are_read_as_configuration_are_copied(project: Path, before_start: bool) -> None:
    """A hyperparameter in a configuration file would be lost, read before the run or during it."""
    for name, text in CONFIGURATION.items():
        (project / name).write_text(text)
    indented = READING.replace("\n", "\n    ")
    body = f"{READING}{START}" if before_start else START.replace("pass", indented)
    run = run_script(project, HEAD + body)
    assert {name: copied(run, name) for name in CONFIGURATION} == CONFIGURATION
    roles = {name: record["role"] for name, record in recorded_code(run).items()}
    assert roles["settings.py"] == "source code" and roles["d.yaml"] == "configuration"


def test_a_file_that_the_command_line_names_is_configuration(project: Path, tmp_path: Path) -> None:
    """A configuration file that a library reads in C code would be missed."""
    (tmp_path / "named.yaml").write_text("a: 1\n")
    run = run_script(project, HEAD + START, f"--config={tmp_path / 'named.yaml'}")
    (record,) = (
        r for r in read_records(Journal(run.path), "code") if r["name"].endswith("named.yaml")
    )
    assert (record["role"], record["found_by"]) == ("configuration", "command line")


def test_an_output_that_the_command_line_names_is_not_configuration(project: Path) -> None:
    """The result of the previous run would be an input of this run."""
    (project / "result.json").write_text('{"loss": 1}')
    body = "json.dump({'loss': 22}, open(sys.argv[2], 'w'))"
    script = HEAD + START.replace("pass", body)
    run = run_script(project, script, "--output", "result.json")
    assert set(recorded_code(run)) == {"train.py"}


DATA = """
os.makedirs("labels", exist_ok=True)
for number in range(30):
    with open(f"labels/{number}.json", "w") as file:
        json.dump({"label": number}, file)
os.rename("labels", "read")
for number in range(30):
    open(f"read/{number}.json").read()
json.load(open("rows.json"))
with open("made.json", "w") as file:
    file.write("{}")
open("made.json").read()
"""


def test_data_is_not_configuration(project: Path) -> None:
    """The graph would call thousands of data files, or the script's own output, configuration."""
    (project / "rows.json").write_text("[1, 2]")
    run = run_script(project, HEAD + START.replace("pass", DATA.replace("\n", "\n    ")))
    # on a busy machine, the first files are recorded before the folder is known to hold data
    first = {f"read/{number}.json" for number in range(20)}
    assert {"train.py"} <= set(recorded_code(run)) <= {"train.py", *first}
    (event,) = run.events("code left out")
    assert event.metadata == {"more than 20 opened files in one folder": 10}


def test_secrets_in_copies_are_masked(project: Path) -> None:
    """A copy would contain a password, or the digest of one."""
    (project / ".env").write_text("NAME=x\nAPI_TOKEN=hunter2\nexport LEVEL=3\n")
    (project / "id_rsa.conf").write_text("hunter2")
    (project / "settings.py").write_text("password = 'hunter2'\n")
    script = f"{HEAD}import settings\nopen('.env').read()\nopen('id_rsa.conf').read()\n{START}"
    run = run_script(project, script)
    assert copied(run, ".env") == "NAME=***\nAPI_TOKEN=***\nexport LEVEL=3\n"
    assert copied(run, "settings.py") == "password = '***'\n"
    code = recorded_code(run)
    assert "sha256" not in code[".env"]["content"]
    assert {"copy", "sha256"}.isdisjoint(code["id_rsa.conf"]["content"])
    texts = [path.read_bytes() for path in run.path.rglob("*") if path.is_file()]
    assert not any(b"hunter2" in text for text in texts)


def test_contents_without_secrets_are_searched_once(project: Path, tmp_path: Path) -> None:
    """Each run would search the same code for secrets again."""
    (project / "settings.py").write_text("password = 'hunter2'\n")
    for _ in range(2):
        run = run_script(project, f"{HEAD}import settings\n{START}", XDG_CACHE_HOME=str(tmp_path))
        assert copied(run, "settings.py") == "password = '***'\n"
    (known,) = (tmp_path / "provml").rglob("0*")
    digest = recorded_code(run)["train.py"]["content"]["sha256"]
    assert known.read_bytes() == bytes.fromhex(digest)


def test_a_module_that_changed_after_its_import_is_not_copied(project: Path) -> None:
    """The record would contain code that the run did not use."""
    (project / "model.py").write_text("W = 1\n")
    change = "open('model.py', 'w').write('W = 22\\n')\n"
    run = run_script(project, f"{HEAD}import model\n{change}{START}")
    content = recorded_code(run)["model.py"]["content"]
    assert "changed after it was imported" in content["unread"]
    assert {"copy", "sha256"}.isdisjoint(content)


def test_a_module_that_changes_during_the_run_is_copied_as_imported(project: Path) -> None:
    """The copy would show the code of the next run if the user edits it meanwhile."""
    (project / "model.py").write_text("W = 1\n")
    (project / "late.py").write_text("V = 1\n")
    change = "import late\n    for n in ('model', 'late'):\n        open(f'{n}.py', 'w').write('')"
    run = run_script(project, f"{HEAD}import model\n{START.replace('pass', change)}")
    assert (copied(run, "model.py"), copied(run, "late.py")) == ("W = 1\n", "V = 1\n")


def test_installed_packages_are_left_out(project: Path) -> None:
    """The packages of an environment inside the project would be copied as the user's own code."""
    packages = project / "env" / "lib" / "site-packages"
    packages.mkdir(parents=True)
    (packages / "installed.py").write_text("")
    (packages / "installed.yaml").write_text("")
    reading = f"import installed\nopen({str(packages / 'installed.yaml')!r}).read()\n"
    run = run_script(project, f"{HEAD}sys.path.append({str(packages)!r})\n{reading}{START}")
    assert set(recorded_code(run)) == {"train.py"}


def test_names_are_relative_to_the_repository(project: Path) -> None:
    """Two checkouts of one project could not be compared by name."""
    (project / ".git").mkdir()
    library = project / "lib" / "helper.py"
    library.parent.mkdir()
    library.write_text("")
    source = project / "src"
    source.mkdir()
    run = run_script(source, f"{HEAD}sys.path.append('../lib')\nimport helper\n{START}")
    assert set(recorded_code(run)) == {"src/train.py", "lib/helper.py"}


OFF = 'with provml.start_run("e", store=os.environ["STORE"], formats=(), code=False) as run: pass'


@pytest.mark.parametrize(("start", "variable"), [(OFF, "on"), (START, "off")])
def test_it_can_be_turned_off(project: Path, start: str, variable: str) -> None:
    """Code that must not leave its folder would be copied."""
    run = run_script(project, HEAD + start, PROVML_CODE=variable)
    assert recorded_code(run) == {} and not (run.path / "artifacts").exists()
    assert json.loads((run.path / "run.json").read_text())["code"] is False


WORKERS = """
import multiprocessing

def work(number):
    import worker
    provml.log_metric("m", number)

if __name__ == "__main__":
    context = multiprocessing.get_context(os.environ["METHOD"])
    with provml.start_run("e", store=os.environ["STORE"], formats=()):
        process = context.Process(target=work, args=(1,))
        process.start()
        process.join()
"""


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_what_workers_import_is_copied(project: Path, method: str) -> None:
    """The code of a data loader would be missing."""
    (project / "worker.py").write_text("# worker\n")
    run = run_script(project, HEAD + WORKERS, METHOD=method)
    names = [record["name"] for record in read_records(Journal(run.path), "code")]
    assert {"train.py", "worker.py"} <= set(names)


def test_code_of_a_killed_run_is_kept(project: Path) -> None:
    """A run that was killed would not say which code it ran."""
    (project / "model.py").write_text("W = 1\n")
    wait = """run._code._join(60)
    import signal
    os.kill(os.getpid(), signal.SIGKILL)"""
    (project / "train.py").write_text(f"{HEAD}import model\n{START.replace('pass', wait)}")
    with pytest.raises(subprocess.CalledProcessError):
        start_script(project)
    run = provml.load("latest", project.parent / "store")
    assert copied(run, "model.py") == "W = 1\n"


def test_each_run_of_a_process_has_the_code(project: Path) -> None:
    """The second trial of a search would have no code."""
    (project / "model.py").write_text("W = 1\n")
    run_script(project, f"{HEAD}import model\n{START}{START}")
    folders = list((project.parent / "store" / "e").iterdir())
    assert len(folders) == 2
    for folder in folders:
        assert set(recorded_code(provml.load(folder))) == {"train.py", "model.py"}


def test_a_child_run_has_the_code_of_its_parent(project: Path) -> None:
    """A search of a thousand trials would copy the same code a thousand times."""
    nested = """
    for trial in range(2):
        with provml.start_run("e", run_id=f"trial{trial}", formats=()):
            pass"""
    run_script(project, HEAD + START.replace("pass", nested))
    store = project.parent / "store"
    assert not list((store / "e" / "trial0").glob("artifacts/*"))
    found = provml.open_store(store).diff("trial0", "trial1")
    assert found.code == {} and "code" not in found.unrecorded


def test_log_source_code_does_not_repeat_the_script(project: Path) -> None:
    """The script would be two entities, one of them without its git state."""
    run = run_script(project, HEAD + START.replace("pass", "run.log_source_code()"))
    entities = [
        dict(statement.attributes)
        for statement in run.statements()
        if ("prov:type", "provml:SourceCode") in statement.attributes
    ]
    (entity,) = entities
    assert entity["provml:copy"] and "not a git repository" in entity["provml:gitUnread"]


def test_a_logged_file_is_one_entity_with_its_copy(project: Path) -> None:
    """A configuration file that the script logs itself would be in the graph twice."""
    (project / "a.json").write_text('{"a": 1}')
    body = "json.load(open('a.json'))\n    run.log_input('a.json', 'settings', role='settings')"
    run = run_script(project, HEAD + START.replace("pass", body))
    digest = recorded_code(run)["a.json"]["content"]["sha256"]
    entities = [
        dict(statement.attributes)
        for statement in run.statements()
        if ("provml:sha256", digest) in statement.attributes
    ]
    (entity,) = entities
    assert entity["provml:name"] == "settings" and entity["provml:copy"]

"""Source code, environment and command line, and that none of them leaks a secret."""

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
from provml.collect.environment import describe_environment
from provml.collect.secrets import MASK, is_secret_file, is_secret_name, mask_argv, mask_text
from provml.journal.history import read_records
from provml.journal.reader import Journal


def git(folder: Path, *arguments: str) -> str:
    """Run git as a developer would."""
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.org")
    command = ["git", *identity, *arguments]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout


def run_script(script: Path, *arguments: object, cwd: Path | None = None) -> None:
    """Run a script as a user does, with its own folder on the path."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONSAFEPATH"}
    command = [sys.executable, str(script), *map(str, arguments)]
    subprocess.run(command, check=True, cwd=cwd, env=environment)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with one commit, a change, and an untracked file."""
    folder = tmp_path / "code"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    (folder / "train.py").write_text("print(1)\n")
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "one")
    git(folder, "remote", "add", "origin", "https://ana:hunter2@example.org/code.git")
    (folder / "train.py").write_text("print(2)\n")
    (folder / "new file.py").write_text("")
    return folder


def source_attributes(run: provml.Run) -> dict[str, Any]:
    """The attributes of the source code entity."""
    return next(
        dict(s.attributes)
        for s in provml.load(run.path).statements()
        if ("prov:type", "provml:SourceCode") in s.attributes
    )


def test_git_state_and_diff_are_recorded(run: provml.Run, repository: Path) -> None:
    """Nobody could tell afterwards which code ran."""
    run.log_source_code(repository / "train.py")
    attributes = source_attributes(run)
    assert attributes["provml:gitCommit"] == git(repository, "rev-parse", "HEAD").strip()
    assert attributes["provml:gitBranch"] == "main"
    assert attributes["provml:gitDirty"] is True
    assert json.loads(attributes["provml:gitUntracked"].lexical) == ["new file.py"]
    assert attributes["provml:gitRemote"] == "https://***@example.org/code.git"
    (diff,) = run.path.glob("artifacts/*/source.diff")
    assert "+print(2)" in diff.read_text()
    assert "hunter2" not in "".join(
        path.read_text() for path in run.path.rglob("*") if path.suffix in (".jsonl", ".json")
    )


def test_git_is_only_read(run: provml.Run, repository: Path) -> None:
    """Recording would refresh the index, or run programs that a repository configures."""
    marker = repository.parent / "ran"
    git(repository, "config", "core.fsmonitor", f"touch {marker}")
    git(repository, "config", "diff.external", f"touch {marker}")
    os.utime(repository / "train.py", ns=(1, 1))
    index = (repository / ".git" / "index").read_bytes()
    run.log_source_code(repository)
    assert (repository / ".git" / "index").read_bytes() == index
    assert not marker.exists()


def test_a_missing_repository_is_not_an_error(run: provml.Run, tmp_path: Path) -> None:
    """A script outside of git would fail, or would appear to be committed."""
    script = tmp_path / "script.py"
    script.write_text("pass\n")
    run.log_source_code(script)
    attributes = source_attributes(run)
    assert "not a git repository" in attributes["provml:gitUnread"]
    assert attributes["provml:sha256"]
    assert "provml:gitDirty" not in attributes


def test_environment_lists_packages_and_allowed_variables(
    run: provml.Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The record would contain a variable that was not allowed, or a wrong package version."""
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "leak-one")
    monkeypatch.setenv("NCCL_API_KEY", "leak-two")
    run.log_environment()
    attributes = next(
        dict(s.attributes)
        for s in provml.load(run.path).statements()
        if ("prov:type", "provml:Environment") in s.attributes
    )
    variables = json.loads(attributes["provml:variables"].lexical)
    assert variables["OMP_NUM_THREADS"] == "3"
    assert variables["NCCL_API_KEY"] == MASK
    assert "AWS_SECRET_ACCESS_KEY" not in variables
    assert json.loads(attributes["provml:packages"].lexical)["numpy"]
    assert "leak" not in "".join(path.read_text() for path in run.path.rglob("*.jsonl"))


IMPORTING = """
import provml, sys
import helper, package.inner, colorsys
with provml.start_run("e", store=sys.argv[1], formats=(), code=False) as run:
    run.log_source_code()
"""


def imported(folder: Path) -> dict[str, str]:
    """Run a script that imports modules beside it; return the text of the kept modules."""
    (folder / "package").mkdir()
    (folder / "script.py").write_text(IMPORTING)
    for name in ("helper.py", "package/__init__.py", "package/inner.py", "unused.py"):
        (folder / name).write_text(f"# {name}\n")
    if (folder / ".git").exists():
        git(folder, "add", "script.py", "package")
        git(folder, "commit", "-q", "-m", "two")
    store = folder.parent / "store"
    run_script(folder / "script.py", store)
    recorded = provml.load("latest", store)
    modules = next(read_records(Journal(recorded.path), "source")).get("modules", {})
    return {name: (recorded.path / m["copy"]).read_text() for name, m in modules.items()}


def test_without_git_the_script_and_what_it_imports_is_kept(tmp_path: Path) -> None:
    """A run outside of git could not be repeated."""
    folder = tmp_path / "code"
    folder.mkdir()
    assert imported(folder) == {
        "script.py": IMPORTING,
        "helper.py": "# helper.py\n",
        "package/__init__.py": "# package/__init__.py\n",
        "package/inner.py": "# package/inner.py\n",
    }


def test_untracked_files_are_kept(repository: Path) -> None:
    """A new file that nobody has added to git yet would be lost."""
    assert imported(repository) == {"helper.py": "# helper.py\n"}


NOTEBOOK = """
import provml
run = provml.start_run("e", store={store!r}, formats=())
"""


def test_a_notebook_is_recorded_by_its_cells(store: Path) -> None:
    """The code of a notebook would be lost, or its secrets would be recorded."""
    import nbformat
    from nbclient import NotebookClient

    cells = [NOTEBOOK.format(store=str(store)), "token = 'sk-abcdefghijklmnopqrstuv'"]
    cells += ["run.log_source_code()\nrun.end_run()"]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in cells])
    NotebookClient(notebook, timeout=LIMIT_S, kernel_name="python3").execute()
    recorded = provml.load("latest", store)
    (source,) = read_records(Journal(recorded.path), "source")
    assert source["content"]["cells"] == 3
    text = (recorded.path / source["content"]["copy"]).read_text()
    assert "# In[1]:" in text and "provml.start_run" in text and "run.log_source_code()" in text
    assert "sk-abc" not in text and MASK in text


def test_the_machine_is_recorded(run: provml.Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A figure could not be traced to its machine, or a variable would be left out."""
    monkeypatch.setenv("MY_SITE", "north")
    monkeypatch.setenv("MY_TOKEN", "leak")
    monkeypatch.setenv("YOUR_SITE", "south")
    monkeypatch.setenv("APPTAINER_CONTAINER", "/images/train.sif")
    run.log_environment(["MY_*"])
    (environment,) = read_records(Journal(run.path), "environment")
    variables = environment["variables"]
    assert (variables["MY_SITE"], variables["MY_TOKEN"]) == ("north", MASK)
    assert "YOUR_SITE" not in variables
    assert environment["platform"] and environment["cpu"]
    assert environment["container"]["image"] == "/images/train.sif"
    with pytest.raises(provml.InvalidArgumentError, match="a list of names"):
        run.log_environment("MY_*")


@pytest.mark.parametrize(
    ("version", "driver"),
    [
        ("NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat Aug 19", "535.104.05"),
        (
            "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  565.57.01  Release Build",
            "565.57.01",
        ),
        (
            "NVRM version: NVIDIA UNIX Open Kernel Module for aarch64  35.3.1  Release Build",
            "35.3.1",
        ),
    ],
)
def test_gpus_driver_and_container_are_recorded(tmp_path: Path, version: str, driver: str) -> None:
    """Nobody could tell afterwards which GPUs and which image were used."""
    files = {
        "proc/driver/nvidia/version": f"{version}\nGCC version:  gcc version 12.2.0 (GCC)\n",
        "proc/driver/nvidia/gpus/0000:01:00.0/information": "Model: \t\t NVIDIA A10\nIRQ:  \t 5\n",
        "proc/driver/nvidia/gpus/0000:02:00.0/information": "Model: \t\t Tesla T4\n",
        "run/.containerenv": 'engine="podman-4.3.1"\nimage="docker.io/a/b:1"\nid="0f"\n',
    }
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    facts = describe_environment(root=f"{tmp_path}/")
    assert facts["gpus"] == ["NVIDIA A10", "Tesla T4"]
    assert facts["cuda"]["driver"] == driver
    assert facts["container"] == {"image": "docker.io/a/b:1", "id": "0f"}
    (tmp_path / "run/.containerenv").unlink()
    (tmp_path / ".dockerenv").touch()
    (tmp_path / "proc/self").mkdir()
    (tmp_path / "proc/self/cgroup").write_text("0::/\n")
    (tmp_path / "proc/self/mountinfo").write_text(
        f"6 1 0:1 /var/lib/docker/containers/{'ab' * 32}/hostname /etc/hostname rw\n"
    )
    assert describe_environment(root=f"{tmp_path}/")["container"] == {"id": "ab" * 32}


SCRIPT = """
import provml, sys
with provml.start_run("e", store=sys.argv[1], owner="ana"):
    pass
"""


def test_the_script_and_its_masked_command_line_are_recorded(tmp_path: Path) -> None:
    """The plan of a run would be missing, or a password on its command line recorded."""
    script = tmp_path / "train.py"
    script.write_text(SCRIPT)
    arguments = [str(tmp_path / "store"), "--password", "hunter2", "--api-key=abc", "--lr", "0.1"]
    run_script(script, *arguments, cwd=tmp_path)
    recorded = provml.load("latest", tmp_path / "store")
    by_id = {str(s.id): s for s in recorded.statements() if s.id}
    command = json.loads(dict(by_id["run:run"].attributes)["provml:commandLine"].lexical)
    assert command[1] == str(script)
    assert command[3:] == ["--password", MASK, f"--api-key={MASK}", "--lr", "0.1"]
    (plan,) = [
        s.arguments["prov:plan"]
        for s in recorded.statements()
        if s.kind == "wasAssociatedWith" and "prov:plan" in s.arguments
    ]
    assert plan == "run:script/train.py"
    assert ("prov:type", "prov:Plan") in by_id[plan].attributes
    assert dict(by_id[plan].attributes)["provml:path"] == str(script)


@pytest.mark.parametrize(
    "name",
    [
        "password",
        "passwords",
        "api_keys",
        "db.password",
        "API_KEY",
        "apiKey",
        "hfToken",
        "token",
        "client-secret",
    ],
)
def test_secret_names(name: str) -> None:
    """A secret would be recorded."""
    assert is_secret_name(name)


@pytest.mark.parametrize(
    "name", ["max_tokens", "pad_token", "tokenizer", "keyboard", "num_keys", "passes", "lr"]
)
def test_names_that_only_resemble_secrets(name: str) -> None:
    """A hyperparameter would be masked."""
    assert not is_secret_name(name)


def test_command_lines_and_texts_are_masked() -> None:
    """A token would be readable in a command line or a URL."""
    assert mask_argv(["x", "--token", "a", "b", "--secret=c", "password=d", "--token"]) == [
        "x", "--token", MASK, "b", f"--secret={MASK}", f"password={MASK}", "--token",
    ]  # fmt: skip
    assert mask_text("https://a:b@host/x") == f"https://{MASK}@host/x"
    assert mask_text("key sk-abcdefghijklmnopqrstuv end") == f"key {MASK} end"


def test_masking_takes_linear_time() -> None:
    """A script that logs a long word, such as a protein, would stand still."""
    for part in ("x", "token", "pass", "eyJ-", "://", "bearer ", "secret_"):
        text = part * (400_000 // len(part))
        assert mask_text(text) == text


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        ("mlruns/0/x/params/password", True),
        ("hf_token", True),
        (".env", True),
        ("tokens.bin", False),
        ("secret_garden.txt", False),
        ("params/lr", False),
    ],
)
def test_secret_files(name: str, secret: bool) -> None:
    """The digest of a short password reveals the password."""
    assert is_secret_file(name) is secret

"""A process inside a run records into it, and never ends it."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import provml
from provml.capture.bootstrap import SITE
from provml.capture.metric_contexts import context_from_name


def _inside(run: provml.Run, script: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PROVML_JOINED_RUN": str(run.path)}
    command = [sys.executable, "-c", script]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_start_run_joins(run: provml.Run, store: Path) -> None:
    """A script's own start_run would create a second run, or end the outer run."""
    script = """
import provml
with provml.start_run("mine", owner="someone", tags={"t": 1}) as run:
    provml.log_metric("loss", 0.5, provml.Context.TRAINING, step=3)
    provml.log_param("lr", 0.1)
"""
    done = _inside(run, script)
    assert (done.returncode, done.stderr) == (0, "")
    assert not run.closed
    run.log_metric("after", 1.0)
    run.end_run()
    recorded = provml.load(run.path)
    assert recorded.status == "finished"
    assert recorded.params["lr"] == 0.1
    assert recorded.tags["t"] == 1
    assert list(recorded.series("loss", provml.Context.TRAINING).step) == [3]
    started, ended = recorded.events(source="provml")
    assert started.metadata == {"experiment": "mine", "owner": "someone"}
    assert ended.metadata["status"] == "finished"
    assert {path.name for path in store.iterdir()} == {"store.json", "test"}


def test_failure_of_the_script_is_told(run: provml.Run) -> None:
    """Why the script failed would be lost, as the command only has an exit status."""
    script = """
import provml
try:
    with provml.start_run("mine"):
        raise ValueError("too hot")
except ValueError:
    pass
"""
    assert _inside(run, script).returncode == 0
    run.end_run()
    (ended,) = provml.load(run.path).events("run_finished")
    assert ended.metadata["status"] == "failed"
    assert ended.metadata["exception"]["message"] == "too hot"


def test_what_records_from_outside_has_files_of_its_own(run: provml.Run) -> None:
    """Records captured after the script's end_run would be lost, or raise an error."""
    script = """
import provml
from provml.capture.outer_run import note_missed, get_outer_run
with provml.start_run("mine") as run:
    get_outer_run().log_metric("m", 1.0)
assert run.closed
get_outer_run().log_metric("m", 2.0)
note_missed("tool.call", TypeError("no"))
note_missed("tool.call", TypeError("again"))
"""
    done = _inside(run, script)
    assert (done.returncode, done.stderr) == (0, "")
    run.end_run()
    recorded = provml.load(run.path)
    assert list(recorded.series("m").value) == [1.0, 2.0]
    (event,) = recorded.events("capture missed")
    assert event.metadata == {"what": "tool.call", "reason": "TypeError: no"}
    (counts,) = recorded.events("capture missed in all")
    assert counts.metadata == {"tool.call: TypeError": 2}


def test_nothing_around(tmp_path: Path) -> None:
    """A script without an outer run, or with one that was deleted, would fail."""
    script = "from provml.capture.outer_run import get_outer_run; print(get_outer_run())"
    for folder in ("", str(tmp_path / "gone")):
        environment = {**os.environ, "PROVML_JOINED_RUN": folder}
        command = [sys.executable, "-c", script]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        assert done.stdout == "None\n"


@pytest.mark.parametrize(
    ("name", "context"),
    [
        ("train/loss", provml.Context.TRAINING),
        ("val_loss", provml.Context.VALIDATION),
        ("Loss/test", provml.Context.EVALUATION),
        ("Loss/Valid", provml.Context.VALIDATION),
        ("eval.accuracy", provml.Context.EVALUATION),
        ("loss", None),
        ("train", None),
        ("value", None),
        ("training time of test", provml.Context.TRAINING),
        ("interval_s", None),
    ],
)
def test_context_of_name(name: str, context: provml.Context | None) -> None:
    """A metric would get a context that its name does not imply."""
    assert context_from_name(name) is context


@pytest.mark.parametrize("own", [None, "print('own')", "import nothing_of_that_name"])
def test_site_leaves_no_trace(tmp_path: Path, own: str | None) -> None:
    """A script would find another sys.path, or its environment's sitecustomize would not run."""
    if own is not None:
        (tmp_path / "sitecustomize.py").write_text(own)
    command = [sys.executable, "-c", "import sys; print(sys.path)"]

    def run(*folders: str) -> tuple[str, str, int]:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([*folders, str(tmp_path)])}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        return done.stdout, done.stderr, done.returncode

    assert run(str(SITE)) == run()


def test_any_python_can_read_what_it_reads_first() -> None:
    """A Python too old for annotations would print a syntax error at each start."""
    source = (SITE / "sitecustomize.py").read_text()
    tree = ast.parse(source, feature_version=(3, 4))
    newer = (ast.AnnAssign, ast.JoinedStr, ast.AsyncFunctionDef, ast.Nonlocal)
    for node in ast.walk(tree):
        assert not isinstance(node, newer), ast.unparse(node)
        if isinstance(node, ast.FunctionDef):
            arguments = (*node.args.args, *node.args.kwonlyargs)
            assert node.returns is None
            assert all(argument.annotation is None for argument in arguments)
    assert source.isascii()

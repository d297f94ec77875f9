"""``provml run`` finds the files of a command in the way that the system allows, and says so."""

from __future__ import annotations

import functools
import hashlib
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from command_line import run_command
from waiting import LIMIT_S, until

import provml
from provml.base.file_events import FILES_LEFT_OUT, FILES_WATCHED
from provml.capture.command.program import find_program
from provml.capture.command.tracer import TracerProbe, find_obstacle
from provml.capture.files.ignore_rules import compile_pattern

FAST = ("--formats", "", "--sample-interval", "0", "--no-settings", "--no-code")


@functools.cache
def _reason_not_to_trace() -> str:
    return TracerProbe().finish().reason


needs_trace = pytest.mark.skipif("_reason_not_to_trace()")


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with an input."""
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / "in.csv").write_text("2\n1\n")
    monkeypatch.chdir(folder)
    return folder


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _run(*arguments: str) -> provml.RecordedRun:
    """Run ``provml run`` in a process of its own, because it ends its process."""
    command = [sys.executable, "-m", "provml", "run", *FAST, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=LIMIT_S)
    assert (done.returncode, done.stderr) == (0, "")
    return provml.load("latest")


def _files(run: provml.RecordedRun) -> tuple[dict[str, Any], dict[str, Any]]:
    used = {item.name: item.sha256 for item in run.artifacts() if item.kind == "dataset"}
    made = {item.name: item.sha256 for item in run.artifacts() if item.kind == "artifact"}
    return used, {name: own for name, own in made.items() if name not in ("stdout", "stderr")}


def test_comparison_of_folders(work: Path) -> None:
    """Without strace, a pipeline would have no inputs and outputs."""
    (work / "old").write_text("o")
    (work / "unchanged").write_text("u")
    script = "sort in.csv > out; mv out final; cp -p old copy; rm old; mkdir d; cp in.csv d/deep"
    run = _run("--trace", "off", "--", "sh", "-c", script)
    made = {"final": _sha256("1\n2\n"), "copy": _sha256("o"), "d/deep": _sha256("2\n1\n")}
    assert _files(run) == ({"in.csv": _sha256("2\n1\n")}, made)
    (watched,) = run.events(FILES_WATCHED)
    assert watched.metadata["reason"] == "tracing is turned off"
    assert watched.metadata["not_seen"]


def test_patterns(work: Path) -> None:
    """A user could neither leave out a log nor record a file in a hidden folder."""
    home = work.parent / "home"
    (home / ".data").mkdir(parents=True)
    (home / ".data" / "x").write_text("x")
    command = f"cat {home}/.da*/x > out; echo 1 > a.log; sort in.csv > sorted"
    patterns = ["--include", f"{home}/.data", "--exclude", "*.log", "--exclude", "sorted"]
    run = _run("--trace", "off", *patterns, "--", "sh", "-c", command)
    assert set(_files(run)[1]) == {"out"}
    (left_out,) = run.events(FILES_LEFT_OUT)
    assert left_out.metadata == {"excluded by a pattern": 2}
    shown = run_command("show", "latest").stdout
    assert "2 (excluded by a pattern)" in shown
    assert "a comparison of folders, because tracing is turned off" in shown


@needs_trace
def test_scratch_and_redirections(work: Path, tmp_path: Path) -> None:
    """Staged data, and files that the shell opens for the command, would be missed."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    (scratch / "staged").write_text("s")
    command = [sys.executable, "-m", "provml", "run", *FAST, "--", "sh", "-c"]
    script = f"cd {scratch}; cat - staged; echo x > kept; echo y > gone; rm gone"
    with open(work / "in.csv") as source, open(work / "out", "w") as sink:
        environment = {**os.environ, "TMPDIR": str(scratch)}
        subprocess.run([*command, script], stdin=source, stdout=sink, env=environment, check=True)
    used, made = _files(provml.load("latest"))
    assert used == {"in.csv": _sha256("2\n1\n"), f"{scratch}/staged": _sha256("s")}
    assert made == {"out": _sha256("2\n1\ns"), f"{scratch}/kept": _sha256("x\n")}


@needs_trace
def test_python_process_that_is_traced_too(work: Path) -> None:
    """A file that both the audit hook and strace see would be recorded twice."""
    (work / "train.py").write_text("open('out', 'w').write(open('in.csv').read())")
    run = _run("--", sys.executable, "train.py")
    assert len([item for item in run.artifacts() if item.kind in ("dataset", "artifact")]) == 2
    assert _files(run) == ({"in.csv": _sha256("2\n1\n")}, {"out": _sha256("2\n1\n")})


@needs_trace
def test_program_that_is_executed(work: Path) -> None:
    """A run would not say which program of the user's made its files."""
    (work / "step.sh").write_text("#!/bin/sh\nsort in.csv > out\n")
    (work / "step.sh").chmod(0o755)
    run = _run("--", "sh", "-c", "true; ./step.sh")
    programs = [item for item in run.artifacts() if item.kind == "input"]
    assert [(item.name, item.role) for item in programs] == [("step.sh", "program")]


@needs_trace
def test_killed_while_the_command_runs(work: Path) -> None:
    """If ``provml run`` is killed, the files of its command would be lost."""
    os.mkfifo("go")
    script = "sort in.csv > first; read line < go; sort in.csv > second; touch done"
    command = [sys.executable, "-m", "provml", "run", *FAST, "--", "sh", "-c", script]
    process = subprocess.Popen(command)
    until(lambda: (work / "first").exists(), "the command")
    process.send_signal(signal.SIGKILL)
    process.wait(LIMIT_S)
    (work / "go").write_text("on\n")
    until(lambda: (work / "done").exists(), "the command's end")
    folder = provml.load("latest").path
    until(lambda: run_command("recover", str(folder)) and _files(provml.load(folder))[1])
    used, made = _files(provml.load(folder))
    assert used == {"in.csv": _sha256("2\n1\n")}
    assert {"first", "second"} <= set(made)
    assert made["first"] == _sha256("1\n2\n")
    assert not list((folder / "journal").glob("*.strace"))


@needs_trace
def test_process_that_outlives_the_command(work: Path) -> None:
    """Provml would wait for a service that the command has started, or break it."""
    os.mkfifo("go")
    script = "(read line < go; cat in.csv > late) > /dev/null 2>&1 &"
    run = _run("--", "sh", "-c", script)
    (missed,) = run.events("capture missed")
    assert "left running" in missed.metadata["reason"]
    (work / "go").write_text("on\n")
    until(lambda: (work / "late").exists() and (work / "late").read_text() == "2\n1\n")


@pytest.mark.parametrize(
    ("words", "obstacle"),
    [
        (["sh", "-c", "sort in.csv"], None),
        (["sh", "-c", "echo gdb; echo x | sort"], None),
        (["sh", "-c", "true && gdb -batch x"], "gdb"),
        (["gdb", "x"], "gdb"),
        (["env", "sudo", "sort"], "sudo"),
        (["bash", "step.sh"], "sudo"),
        (["python3", "train.py"], "strace"),
    ],
)
def test_commands_that_must_not_be_traced(
    work: Path, words: list[str], obstacle: str | None
) -> None:
    """A debugger or ``sudo`` in a command would fail under provml."""
    (work / "step.sh").write_text("# gdb\nset -e\nif true; then sudo sort in.csv; fi\n")
    (work / "train.py").write_text("# gdb\nimport os; os.system('strace -c true')\n")
    found = find_obstacle(find_program(words))
    if words[0] == "gdb" and found is not None and "not found" in found:
        pytest.skip("gdb is not installed")
    assert (found is None) if obstacle is None else (found is not None and obstacle in found)


def test_unknown_ways_and_patterns(work: Path) -> None:
    """A mistyped option would be ignored."""
    assert run_command("run", "--trace", "perhaps", "--", "true").returncode == 2
    done = run_command("run", "--exclude", "**/**/**/x", "--", "true")
    assert done.returncode == 2
    assert "invalid path pattern" in done.stderr
    with pytest.raises(ValueError, match="invalid path pattern"):
        compile_pattern("")

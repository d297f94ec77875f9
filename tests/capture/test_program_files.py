"""The files that any program reads and writes are recorded, with the right digests."""

from __future__ import annotations

import functools
import hashlib
import os
import shutil
import subprocess
import sys
import textwrap
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from file_cases import C_PROGRAMS, CASES, Case
from waiting import LIMIT_S

import provml
from provml.base.file_events import FILES_WATCHED
from provml.capture.command.tracer import TracerProbe

_RUN_CASES = """
import os, sys
from provml.capture.command.supervisor import CommandOptions, record_command
store, way, *folders = sys.argv[1:]
for folder in folders:
    child = os.fork()
    if not child:
        os.chdir(folder)
        options = CommandOptions(output=False, settings=False, trace=way)
        name = os.path.basename(folder)
        record_command(["bash", "case.sh"], options, experiment=name, store=store, formats=(),
                       sample_interval_s=0).leave()
    os.waitpid(child, 0)
"""
"""Records one case after the other, each in a process of its own, which need not import provml."""

_INPUTS = """
import sqlite3
from importlib.util import find_spec
db = sqlite3.connect("in.db"); db.execute("create table t (a)"); db.commit(); db.close()
if find_spec("numpy"):
    import numpy as np
    np.arange(8, dtype="u1").tofile("in.map"); np.save("in.npy", np.zeros(2))
if find_spec("h5py"):
    import h5py
    with h5py.File("in.h5", "w") as file: file["a"] = [1]
"""


@functools.cache
def _reason_not_to_trace() -> str:
    return TracerProbe().finish().reason


_needs_trace = pytest.mark.skipif("_reason_not_to_trace()")


def _digests(folder: Path, names: tuple[str, ...]) -> dict[str, str]:
    found = {name: folder / name for name in names}
    return {n: hashlib.sha256(p.read_bytes()).hexdigest() for n, p in found.items() if p.exists()}


def _can_run(case: Case) -> bool:
    return all(shutil.which(name) or find_spec(name) for name in case.needs)


def _make_inputs(folder: Path) -> None:
    """Create the files that the cases use."""
    folder.mkdir()
    texts = {"in.csv": "1,a\n3,b\n2,a\n", "log": "log\n", "old/x": "x", "old/y": "y"}
    texts |= {"main.c": "int main() { return 0; }\n", "one": "1", "two": "2"}
    texts["in.svm"] = "1 1:0.5 2:1\n0 1:0.1 2:3\n1 1:0.7 2:2\n0 1:0.2 2:5\n" * 10
    (folder / "old").mkdir()
    for name, text in texts.items():
        (folder / name).write_text(text)
    subprocess.run(["tar", "cf", "in.tar", "one", "two"], cwd=folder, check=True)
    for name in ("one", "two"):
        (folder / name).unlink()
    command = [sys.executable, "-W", "ignore", "-c", _INPUTS]
    subprocess.run(command, cwd=folder, check=True, timeout=LIMIT_S)


class _Recorded:
    """The cases that ran in one way: their folders, runs and expected digests."""

    def __init__(self, base: Path, way: str) -> None:
        self.store = base / way
        self.expected: dict[str, tuple[dict[str, str], dict[str, str]]] = {}
        folders = []
        before = {}
        for name, case in CASES.items():
            if _can_run(case):
                folder = base / f"{way}-{name}"
                shutil.copytree(base / "inputs", folder)
                (folder / "case.sh").write_text(textwrap.dedent(case.script))
                folders.append(str(folder))
                before[name] = _digests(folder, case.used)
                if "way" in case.used:
                    before[name]["way"] = _digests(folder, ("in.csv",))["in.csv"]
        environment = {**os.environ, "PATH": f"{base / 'bin'}:{os.environ['PATH']}"}
        environment["PYTHONPATH"] = str(Path(provml.__file__).parents[1])
        subprocess.run(
            [sys.executable, "-c", _RUN_CASES, str(self.store), way, *folders],
            env=environment,
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=LIMIT_S,
        )
        for name, used in before.items():
            made = _digests(base / f"{way}-{name}", CASES[name].made)
            self.expected[name] = (used, made)

    def find(self, name: str) -> provml.RecordedRun:
        """Return the run of a case."""
        (folder,) = next(self.store.glob(f"*{name.replace(' ', '*')}")).iterdir()
        return provml.load(folder)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the inputs of all cases, and with the compiled programs."""
    folder = tmp_path_factory.mktemp("programs")
    _make_inputs(folder / "inputs")
    (folder / "bin").mkdir()
    if shutil.which("gcc"):
        for name, text in C_PROGRAMS.items():
            (folder / f"{name}.c").write_text(text)
            how = ["-static"] if name == "copy" else ["-pthread"]
            made = [str(folder / "bin" / name), str(folder / f"{name}.c")]
            subprocess.run(["gcc", *how, "-o", *made], check=True, timeout=LIMIT_S)
    return folder


@pytest.fixture(scope="module")
def traced(base: Path) -> _Recorded:
    """All cases, traced with strace."""
    return _Recorded(base, "strace")


def _found(run: provml.RecordedRun) -> tuple[dict[str, Any], dict[str, Any]]:
    contents = run.artifacts()
    used = {item.name: item.sha256 for item in contents if item.kind == "dataset"}
    made = {item.name: item.sha256 for item in contents if item.kind == "artifact"}
    return used, made


@_needs_trace
@pytest.mark.parametrize("name", sorted(CASES))
def test_case(traced: _Recorded, name: str) -> None:
    """A file would be missed, recorded too much, or have the digest of another content."""
    if name not in traced.expected:
        pytest.skip(f"needs {', '.join(CASES[name].needs)}")
    used, made = traced.expected[name]
    assert set(made) == set(CASES[name].made)
    run = traced.find(name)
    assert _found(run) == (used, made)
    assert not run.events("capture missed")
    (watched,) = run.events(FILES_WATCHED)
    assert watched.metadata["method"] == "strace"

"""The run that scripts join, as ``provml run`` creates one."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from waiting import LIMIT_S

import provml
from provml.capture.bootstrap import SITE

Script = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, separate from the store."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def inside(run: provml.Run, work: Path) -> Script:
    """Runs a script in the working folder, inside the run, and returns the finished process."""
    package = str(Path(provml.__file__).parents[1])

    def start(
        script: str, *, capture: str = "files", name: str = "script.py", **variables: str
    ) -> subprocess.CompletedProcess[str]:
        (work / name).write_text(script)
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONSAFEPATH"} | {
            "PROVML_JOINED_RUN": str(run.path),
            "PROVML_CAPTURE": capture,
            "PYTHONPATH": os.pathsep.join([str(SITE), package]),
            **variables,
        }
        return subprocess.run(
            [sys.executable, name],
            cwd=work,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=LIMIT_S,
        )

    return start

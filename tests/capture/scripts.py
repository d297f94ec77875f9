"""Runs scripts alone and under ``provml run``, to compare both."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any, NamedTuple

from waiting import LIMIT_S

import provml
from provml.capture.bootstrap import SITE


class Done(NamedTuple):
    """The results of a script without and with recording, and what was recorded."""

    plain: subprocess.CompletedProcess[str]
    recorded: subprocess.CompletedProcess[str]
    run: provml.RecordedRun


def seen(done: subprocess.CompletedProcess[str]) -> tuple[int, str, str]:
    """What a user sees of a script, without memory addresses, which differ in every process."""
    return done.returncode, done.stdout, re.sub(r"\b0x[0-9a-f]+", "0x", done.stderr)


def script_done(folder: Path, script: str, *packages: Path, **variables: str) -> Done:
    """Run a script twice, each time in an empty folder of the same path.

    Args:
        folder: an empty folder.
        script: its text.
        packages: folders to import from.
        variables: of the environment.
    """
    text = textwrap.dedent(script)
    plain = run_script(folder / "work", text, packages, variables)
    (folder / "work").rename(folder / "plain")
    with provml.start_run("test", store=folder / "store", formats=()) as run:
        joined = {**variables, "PROVML_JOINED_RUN": str(run.path)}
        recorded = run_script(folder / "work", text, (SITE, *packages), joined)
    return Done(plain, recorded, provml.load(run.path))


def run_script(
    folder: Path, script: str, packages: tuple[Path, ...], variables: dict[str, str]
) -> subprocess.CompletedProcess[str]:
    """Run a script in a new folder."""
    folder.mkdir(parents=True)
    (folder / "train.py").write_text(script)
    path = [*map(str, packages), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, path)), **variables}
    command = [sys.executable, "train.py"]
    return subprocess.run(
        command,
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=LIMIT_S,
    )


def values(run: provml.RecordedRun, name: str, context: object = None) -> list[object]:
    """The values of a series."""
    return list(run.series(name, context).value)  # type: ignore[arg-type]


def logged_params(run: provml.RecordedRun) -> dict[str, Any]:
    """The parameters of a run without the settings of torch, which provml reads by itself."""
    return {name: value for name, value in run.params.items() if not name.startswith("torch.")}


def steps(run: provml.RecordedRun, name: str, context: object = None) -> list[int]:
    """The steps of a series."""
    return [int(step) for step in run.series(name, context).step]  # type: ignore[arg-type]


def missed(run: provml.RecordedRun) -> list[object]:
    """What could not be recorded, according to the run."""
    return [event.metadata for event in run.events("capture missed")]


def models(run: provml.RecordedRun) -> list[str]:
    """The names of the models that a run has recorded."""
    return [content.name for content in run.artifacts() if content.kind == "model"]


def datasets(run: provml.RecordedRun) -> list[provml.RecordedContent]:
    """The datasets that a run has recorded."""
    return [content for content in run.artifacts() if content.kind == "dataset"]

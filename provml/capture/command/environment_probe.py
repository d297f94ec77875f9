"""Describes the source code and environment of a running command, from another process."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from provml.base.settings import CAPTURE_VARIABLE, JOINED_VARIABLE
from provml.capture.command.program import Program
from provml.collect.environment import describe_environment
from provml.collect.source import describe_source

_PYTHON_FACTS: Final = ("python", "implementation", "executable", "packages")
_PROBE_SCRIPT: Final = """
import json, sys
from importlib import metadata
packages = {}
for one in metadata.distributions():
    try:
        packages.setdefault(str(one.metadata["Name"]), str(one.version))
    except Exception:
        pass
print(json.dumps({"python": sys.version, "implementation": sys.implementation.name,
                  "executable": sys.executable, "packages": packages}))
"""
_PROBE_TIMEOUT_S: Final = 20


def probe_environment(
    program: Program, run_folder: Path, note_missed: Callable[[str, str], None]
) -> Iterator[dict[str, Any]]:
    """Yield a record of the command's source code, and a record of its environment.

    Costs a few git calls, and about a millisecond per installed package. If the command uses a
    different Python, this function also starts that Python once, to list its packages.

    Args:
        program: the program that the command runs.
        run_folder: the run's folder.
        note_missed: a function to call with the name of each record that can't be created, and
            with the reason.
    """
    try:
        if program.script is not None:
            facts = describe_source(program.script, run_folder, with_modules=False)
            yield {"record": "source", "time": time.time_ns(), **facts}
    except Exception as error:
        note_missed("source code", f"{type(error).__qualname__}: {error}")
    try:
        facts = describe_environment()
        if not program.runs_here:
            facts = {key: value for key, value in facts.items() if key not in _PYTHON_FACTS}
            if program.interpreter is not None:
                facts |= _ask_interpreter(program.interpreter)
        yield {"record": "environment", "time": time.time_ns(), **facts}
    except Exception as error:
        note_missed("environment", f"{type(error).__qualname__}: {error}")


def _ask_interpreter(interpreter: str) -> dict[str, Any]:
    """Start another Python and return the facts that it prints about itself.

    Raises:
        OSError, SubprocessError: the other Python can't be started, or it failed.
        ValueError, LookupError: its output is not in the expected form.
    """
    ours = (CAPTURE_VARIABLE, JOINED_VARIABLE)
    done = subprocess.run(
        [interpreter, "-c", _PROBE_SCRIPT],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        timeout=_PROBE_TIMEOUT_S,
        env={name: value for name, value in os.environ.items() if name not in ours},
    )
    if done.returncode:
        last = done.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2]
        raise OSError(f"{interpreter} could not list its packages: {last[:200]}")
    found = json.loads(done.stdout.splitlines()[-1])  # startup files may print lines first
    found["packages"] = dict(sorted(found["packages"].items(), key=lambda item: item[0].lower()))
    return {key: found[key] for key in _PYTHON_FACTS}

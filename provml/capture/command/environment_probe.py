"""Describes the source code and environment of a running command, from another process."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from provml.base.settings import CAPTURE_VARIABLE, JOINED_VARIABLE
from provml.capture.command.program import Program
from provml.collect.environment import describe_environment
from provml.collect.packages import list_packages
from provml.collect.source import describe_source

_PROBE_SCRIPT: Final = """
import json, sys
print(json.dumps({"python": sys.version, "implementation": sys.implementation.name,
                  "executable": sys.executable, "path": sys.path}))
"""
_PROBE_TIMEOUT_S: Final = 20


def probe_environment(
    program: Program, run_folder: Path, note_missed: Callable[[str, str], None]
) -> Iterator[dict[str, Any]]:
    """Yield a record of the command's source code, and a record of its environment.

    Costs a few git calls, and about 20 microseconds per installed package. If the command uses a
    different Python, this function also starts that Python once, to find its packages.

    Args:
        program: the program that the command runs.
        run_folder: the run's folder.
        note_missed: a function to call for each record that can't be created, with the name of
            the record and the reason.
    """
    try:
        if program.script is not None:
            facts = describe_source(program.script, run_folder, with_modules=False)
            yield {"record": "source", "time": time.time_ns(), **facts}
    except Exception as error:
        note_missed("source code", f"{type(error).__qualname__}: {error}")
    try:
        facts = describe_environment(with_python=program.runs_here)
        if not program.runs_here and program.interpreter is not None:
            facts |= _ask_interpreter(program.interpreter)
        yield {"record": "environment", "time": time.time_ns(), **facts}
    except Exception as error:
        note_missed("environment", f"{type(error).__qualname__}: {error}")


def _ask_interpreter(interpreter: str) -> dict[str, Any]:
    """Start another Python once. Return its version, implementation, executable and packages.

    Raises:
        OSError, SubprocessError: the other Python can't be started, or it failed.
        ValueError, LookupError: the output of the other Python is not in the expected form.
    """
    import subprocess  # slow to import

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
        raise OSError(f"can't find the version and packages of {interpreter}: {last[:200]}")
    found = json.loads(done.stdout.splitlines()[-1])  # Python's startup files may print lines first
    packages = list_packages(found.pop("path"))
    return {key: found[key] for key in ("python", "implementation", "executable")} | {
        "packages": packages
    }

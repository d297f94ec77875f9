"""A command's code and environment, found out from outside while it runs.

Imports `program`, `collect`.
"""

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

_OF_PYTHON: Final = ("python", "implementation", "executable", "packages")
_ASK: Final = """
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
_ASK_TIMEOUT_S: Final = 20


def probe_environment(
    program: Program, run_folder: Path, miss: Callable[[str, str], None]
) -> Iterator[dict[str, Any]]:
    """The records of source code and environment; what can't be found out is told to `miss`.

    Costs a few git calls and about a millisecond an installed package; where the command runs by
    another Python than this one, that one is asked, in a process of its own.
    """
    try:
        if program.script is not None:
            facts = describe_source(program.script, run_folder)
            yield {"record": "source", "time": time.time_ns(), **facts}
    except Exception as error:
        miss("source code", f"{type(error).__qualname__}: {error}")
    try:
        facts = describe_environment()
        if not program.runs_here:
            facts = {key: value for key, value in facts.items() if key not in _OF_PYTHON}
            if program.interpreter is not None:
                facts |= _asked(program.interpreter)
        yield {"record": "environment", "time": time.time_ns(), **facts}
    except Exception as error:
        miss("environment", f"{type(error).__qualname__}: {error}")


def _asked(interpreter: str) -> dict[str, Any]:
    """What another Python says of itself.

    Raises OSError, ValueError, LookupError, SubprocessError.
    """
    ours = (CAPTURE_VARIABLE, JOINED_VARIABLE)
    done = subprocess.run(
        [interpreter, "-c", _ASK],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        timeout=_ASK_TIMEOUT_S,
        env={name: value for name, value in os.environ.items() if name not in ours},
    )
    if done.returncode:
        last = done.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2]
        raise OSError(f"{interpreter} did not say what it has: {last[:200]}")
    found = json.loads(done.stdout.splitlines()[-1])  # its own start may print
    found["packages"] = dict(sorted(found["packages"].items(), key=lambda item: item[0].lower()))
    return {key: found[key] for key in _OF_PYTHON}

"""Finds the programs that a command line names. Imports nothing else from provml."""

from __future__ import annotations

import os
import sys


def find_executable(name: str) -> str | None:
    """Return the path of the program that a command name runs, as `shutil.which` does.

    Returns None if there is no such program. This function does not import `shutil`, because the
    import loads libraries for compression, and so takes longer than finding the program.
    """
    if sys.platform == "win32":
        from shutil import which

        return which(name)
    if os.path.dirname(name):
        return name if _is_executable(name) else None
    path = os.environ.get("PATH")
    if path is None:
        try:
            path = os.confstr("CS_PATH")
        except (AttributeError, ValueError):
            path = os.defpath
    places = (os.path.join(folder, name) for folder in (path or "").split(os.pathsep))
    return next(filter(_is_executable, places), None) if path else None


def _is_executable(path: str) -> bool:
    return os.path.isfile(path) and os.access(path, os.X_OK)

"""Read ``run.json``, up to 1 MiB of it; refuse a file with a newer format version.

Imports `layout`, `errors`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from provml.errors import JournalError
from provml.journal import layout

_MAX_DESCRIPTION_BYTES: Final = 2**20


def read_description(folder: Path) -> dict[str, Any] | None:
    """Read a run's ``run.json``. Returns None if the file can't be read.

    Raises JournalError if it has a newer format version.
    """
    try:
        with open(folder / layout.RUN_FILE, "rb") as file:
            known = json.loads(file.read(_MAX_DESCRIPTION_BYTES))
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(known, dict):
        return None
    check_format_version(folder, known.get("format"))
    return known


def check_format_version(path: Path, version: object) -> None:
    """Raise JournalError if a file has a newer format version than this provml can read."""
    if isinstance(version, int) and version > layout.FORMAT_VERSION:
        raise JournalError(
            f"{path} has the format version {version}, and this provml reads versions up to "
            f"{layout.FORMAT_VERSION}: upgrade provml to read it"
        )

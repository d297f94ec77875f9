"""Reading ``run.json``: bounded, and refused where it is of a newer version.

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
    """What a run's ``run.json`` says; None where it can't be read.

    Raises JournalError where it is of a newer version.
    """
    try:
        with open(folder / layout.RUN_FILE, "rb") as file:
            known = json.loads(file.read(_MAX_DESCRIPTION_BYTES))
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(known, dict):
        return None
    version = known.get("format")
    if isinstance(version, int) and version > layout.FORMAT_VERSION:
        raise JournalError(
            f"{folder} has the format version {version}, this provml knows those up to "
            f"{layout.FORMAT_VERSION}: upgrade provml"
        )
    return known

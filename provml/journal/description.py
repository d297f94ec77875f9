"""Reads ``run.json``, the file that describes a run, and checks the version of its format.

Reads at most 1 MiB. Imports only `layout` and `errors` from provml.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from provml.base import store_files
from provml.errors import JournalError
from provml.journal import checksums, layout

_MAX_DESCRIPTION_BYTES: Final = 2**20


def read_description(folder: Path) -> dict[str, Any] | None:
    """Return the contents of a run's ``run.json``, or None if the file can't be read.

    Raises JournalError if the file has a newer format version than this provml can read.
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


def find_description_checksum(folder: Path) -> str | None:
    """Return the checksum of a run's ``run.json``; None if the file is missing or damaged."""
    root = store_files.store_root(folder)
    try:
        path = root / folder.parent.name / folder.name / layout.RUN_FILE
        content = store_files.read_file(root, path, _MAX_DESCRIPTION_BYTES)
    except OSError:
        return None
    if checksums.check_description(content) is False:
        return None
    return checksums.format_checksum(content)


def encode_description(content: dict[str, Any]) -> bytes:
    """Return a run's description as the content of ``run.json``, with a checksum."""
    own = {name: value for name, value in content.items() if name != checksums.FIELD}
    return checksums.seal_description(json.dumps(own, indent=1).encode("ascii") + b"\n")


def check_format_version(path: Path, version: object) -> None:
    """Raise JournalError if a file has a newer format version than this provml can read."""
    if isinstance(version, int) and version > layout.FORMAT_VERSION:
        raise JournalError(
            f"{path} has format version {version}, but this provml only reads versions up to "
            f"{layout.FORMAT_VERSION}: upgrade provml to read it"
        )

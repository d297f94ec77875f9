"""Reads ``run.json``, the file that describes a run, and checks the version of its format.

Reads at most 1 MiB. Imports only `base.store_files`, `layout` and `errors` from provml.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path
from typing import Any, Final

from provml.base.store_files import OpenFolder, store_root
from provml.errors import JournalError, StoreError
from provml.journal import layout

_MAX_DESCRIPTION_BYTES: Final = 2**20


def read_description(folder: Path) -> dict[str, Any] | None:
    """Return the contents of a run's ``run.json``, or None if the file can't be read.

    Raises JournalError if the file has a newer format version than this provml can read.
    """
    try:
        with OpenFolder(store_root(folder), Path(os.path.abspath(folder))) as held:
            return read_description_in(held, Counter())
    except OSError:
        return None


def read_description_in(folder: OpenFolder, damage: Counter[str]) -> dict[str, Any] | None:
    """Return the contents of ``run.json`` in an open folder, as `read_description` does.

    If the file exists but can't be read, counts the reason in ``damage``.
    """
    try:
        known = json.loads(folder.read_file(layout.RUN_FILE, _MAX_DESCRIPTION_BYTES))
    except StoreError:
        damage["run.json that is not a regular file of at most 1 MiB"] = 1
        return None
    except OSError:
        return None
    except (ValueError, RecursionError):
        known = None
    if not isinstance(known, dict):
        damage["unreadable run.json"] = 1
        return None
    check_format_version(folder.path, known.get("format"))
    return known


def check_format_version(path: Path, version: object) -> None:
    """Raise JournalError if a file has a newer format version than this provml can read."""
    if isinstance(version, int) and version > layout.FORMAT_VERSION:
        raise JournalError(
            f"{path} has format version {version}, but this provml only reads versions up to "
            f"{layout.FORMAT_VERSION}: upgrade provml to read it"
        )

"""Creates and reads the random id of a store.

The id makes the names in the store's documents unique. It is kept in the file ``store.json`` in the
store's folder. Imports only `base.store_files`, `description`, `layout` and `errors` from provml.
"""

from __future__ import annotations

import base64
import json
import os
import re
import time
from pathlib import Path
from typing import Any, Final

from provml.base import store_files
from provml.errors import StoreError
from provml.journal import layout
from provml.journal.description import check_format_version

_ID_BYTES: Final = 10
_ID: Final = re.compile(r"[A-Za-z0-9-]{8,64}")
_MAX_STORE_FILE_BYTES: Final = 2**16


def open_store_id(store: str | os.PathLike[str]) -> str:
    """Return a store's id. Create the store and its id if they do not exist yet.

    If several processes create the id at once, all of them get the same id. Costs three system
    calls, or one fsync for a new store.

    Raises:
        StoreError: the file ``store.json`` is not a regular file, or contains no id.
        JournalError: a newer version of provml created the store.
        OSError: the store or its id can't be created or read.
    """
    root = Path(store).absolute()
    path = root / layout.STORE_FILE
    try:
        return _read_store_id(root, path)
    except FileNotFoundError:
        store_files.make_folder(root, root)
        store_files.create_file(root, path, _describe_new_store())
        return _read_store_id(root, path)


def _describe_new_store() -> bytes:
    description = {
        "format": layout.FORMAT_VERSION,
        "id": base64.b32encode(os.urandom(_ID_BYTES)).decode("ascii").lower(),
        "created": time.time_ns(),
    }
    return (json.dumps(description, indent=1) + "\n").encode("ascii")


def _read_store_id(root: Path, path: Path) -> str:
    content = store_files.read_file(root, path, _MAX_STORE_FILE_BYTES)
    try:
        known: Any = json.loads(content)
    except (ValueError, RecursionError):
        known = None
    if isinstance(known, dict):
        check_format_version(path, known.get("format"))
        found = known.get("id")
        if isinstance(found, str) and _ID.fullmatch(found):
            return found
    raise StoreError(
        f"{path} contains no valid id: restore the file from a backup, or remove it to give the "
        "store a new id"
    )

"""Opens the user's cache folder, for files that provml can recreate but can't keep in a store.

Imports only `base.settings`, `base.store_files` and `errors` from provml.
"""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

from provml.base import store_files
from provml.base.settings import cache_folder
from provml.errors import StoreError


def open_cache_of_store(store: Path, kind: str) -> tuple[Path, Path]:
    """Create a folder in the user's cache for one store's files of one kind.

    Args:
        store: the store's folder.
        kind: the kind of file, such as ``tables``.

    Returns:
        The cache folder, which is the root to pass to `store_files`, and the created folder in it.

    Raises:
        OSError: the folder can't be created, the cache belongs to another user, or other users can
            write to it.
    """
    root = open_user_cache()
    own = hashlib.sha256(os.fsencode(os.path.realpath(store))).hexdigest()[:16]
    folder = root / kind / own
    store_files.make_folder(root, folder)
    return root, folder


def open_user_cache() -> Path:
    """Create the user's cache folder if it is missing, and return its path.

    Raises StoreError if the folder belongs to another user, or if other users can write to it.
    """
    folder = cache_folder()
    try:
        os.makedirs(folder.parent, 0o700, exist_ok=True)
        os.mkdir(folder, 0o700)
    except FileExistsError:
        pass
    status = os.stat(folder)
    if status.st_uid != os.geteuid():
        raise StoreError(
            f"the cache folder {folder} belongs to another user: set XDG_CACHE_HOME to a folder of "
            "your own"
        )
    if stat.S_IMODE(status.st_mode) & 0o022:
        raise StoreError(
            f"other users can write to the cache folder {folder}: run chmod go-w {folder}"
        )
    return folder

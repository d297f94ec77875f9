"""The lock that shows that a journal's writer is alive.

A writer locks its events file with ``flock`` before any reader can see the file. The kernel
releases the lock when the process ends, however it ends, and keeps it while the process is stopped.
Processes in other containers see the lock, and processes on other hosts see it if the file system
supports that. Imports only `base.store_files` from provml.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Any, Final

from provml.base import store_files

LOCK_KIND: Final = "flock"


def acquire_lock(fd: int) -> dict[str, Any]:
    """Lock a new events file without waiting, and return the facts that its first line records.

    The facts are empty if the file system does not support locks.
    """
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return {}
    return {"lock": LOCK_KIND, "file_system": os.fstat(fd).st_dev}


def is_lock_held(root: Path, path: Path, writer: dict[str, Any]) -> bool | None:
    """Return whether a process holds the lock of an events file; None if the answer is unknown.

    A free lock proves nothing if the writer could not lock the file, or if it reached the file
    through another mount. A file system may keep separate locks for each mount.

    Args:
        root: the store's root.
        path: the path of the events file.
        writer: the file's ``writer`` record; empty if it can't be read.
    """
    try:
        fd = store_files.open_file(root, path)
    except OSError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return None
    else:
        is_same_mount = writer.get("file_system") == os.fstat(fd).st_dev
        return False if writer.get("lock") == LOCK_KIND and is_same_mount else None
    finally:
        os.close(fd)

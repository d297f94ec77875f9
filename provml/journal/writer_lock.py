"""The lock that shows that a journal's writer is alive.

A writer locks its events file with ``flock`` before any reader can see the file. The kernel
releases the lock when the process ends, for whatever reason. A suspended process keeps the lock.
Processes in other containers see the lock, and processes on other hosts see it if the file system
supports that. Imports no other module of provml.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from typing import Any, Final

LOCK_KIND: Final = "flock"


def acquire_lock(fd: int) -> dict[str, Any]:
    """Lock a new events file without waiting, and return facts about the lock for its first line.

    Returns an empty dict if the file system does not support locks.
    """
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return {}
    return {"lock": LOCK_KIND, "file_system": os.fstat(fd).st_dev}


def is_lock_held(fd: int, writer: dict[str, Any]) -> bool | None:
    """Return whether a process holds the lock on an events file; None if this can't be determined.

    A free lock proves nothing if the writer could not lock the file. It also proves nothing if the
    writer opened the file through another mount, because each mount may have separate locks.

    Args:
        fd: a descriptor of the events file, opened for reading.
        writer: the file's ``writer`` record; empty if it can't be read.
    """
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return None
    is_same_mount = writer.get("file_system") == os.fstat(fd).st_dev
    return False if writer.get("lock") == LOCK_KIND and is_same_mount else None


def look_for_lock(fd: int, writer: dict[str, Any]) -> bool | None:
    """Return what `is_lock_held` returns, but do not keep the lock.

    If the lock is free, `is_lock_held` takes it and keeps it until the descriptor is closed. This
    function releases the lock at once, so use it for a descriptor that stays open.
    """
    is_held = is_lock_held(fd, writer)
    if not is_held:
        with suppress(OSError):
            fcntl.flock(fd, fcntl.LOCK_UN)
    return is_held

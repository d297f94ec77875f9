"""Decides which of the files named in a run's notes may be hashed after the run has ended.

Anyone may have written the notes, and a note can name any file. So `HashingLimits` allows only
files that the user who owns the notes may read. Imports only `base.store_files` from provml.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from provml.base import store_files

NOT_READABLE: Final = "the user who recorded the run may not read it"
OF_KERNEL: Final = "it is not on a disk: it shows the state of the system"

_KERNEL_FOLDERS: Final = ("/proc", "/sys", "/dev", "/sys/kernel/debug", "/sys/kernel/tracing")


class HashingLimits:
    """The limits on hashing the files of one run after that run has ended."""

    def __init__(self, root: Path, notes: Iterable[Path]) -> None:
        """Find out which users and groups own the notes.

        Args:
            root: the store's root folder.
            notes: the paths of the run's access logs.
        """
        self._users: set[int] = set()
        self._groups: set[int] = set()
        for path in notes:
            try:
                status = store_files.read_status(root, path)
            except OSError:
                continue
            self._users.add(status.st_uid)
            self._groups.add(status.st_gid)
        self._kernel_devices = {device for device in map(_find_device, _KERNEL_FOLDERS) if device}

    def find_reason(self, status: os.stat_result) -> str | None:
        """Return why the file with this status must not be hashed; None if hashing is allowed."""
        if status.st_dev in self._kernel_devices:
            return OF_KERNEL
        return None if self._may_read(status) else NOT_READABLE

    def _may_read(self, status: os.stat_result) -> bool:
        if 0 in self._users or status.st_mode & stat.S_IROTH:
            return True
        if status.st_gid in self._groups and status.st_mode & stat.S_IRGRP:
            return True
        return status.st_uid in self._users


def _find_device(folder: str) -> int | None:
    try:
        return os.stat(folder).st_dev
    except OSError:
        return None

"""Limits which of the files that a store's notes name are hashed after the run has ended.

Notes may come from anyone, and they can name any file. So only files that the recording process
could have read are hashed. Imports only `base.store_files` from provml.
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
    """The limits for one run, whose notes are read after its end."""

    def __init__(self, root: Path, notes: Iterable[Path]) -> None:
        """Find out who wrote the notes.

        Args:
            root: the store's root.
            notes: the files with the notes.
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
        """Return why the file with this status must not be hashed; None if it may be."""
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

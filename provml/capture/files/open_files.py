"""Reads from Linux's ``/proc`` which processes have a file open, and which process traces another.

Only processes of the same user can be examined. Imports nothing else from provml.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator


def find_open_file(number: int) -> str | None:
    """Return the path of the regular file that a descriptor of this process leads to.

    Returns None if the descriptor does not lead to a regular file, or if that file is no longer at
    its path.
    """
    try:
        status = os.fstat(number)
        if not stat.S_ISREG(status.st_mode):
            return None
        path = os.readlink(f"/proc/self/fd/{number}")
        return path if os.path.samestat(os.stat(path), status) else None
    except OSError:
        return None


def find_processes_with_file(link: str) -> set[int]:
    """Return the ids of the other processes that have a file, pipe or terminal open.

    Args:
        link: the target of the link in ``/proc/<pid>/fd`` for the file, pipe or terminal, for
            example ``pipe:[123]``.
    """
    found = set()
    for process, path in _list_descriptors():
        try:
            if os.readlink(path) == link:
                found.add(process)
        except OSError:
            continue
    return found


def find_processes_with_inode(device: int, inode: int) -> set[int]:
    """Return the ids of the other processes that have the file with this device and inode open."""
    found = set()
    for process, path in _list_descriptors():
        try:
            status = os.stat(path)
        except OSError:
            continue
        if (status.st_dev, status.st_ino) == (device, inode):
            found.add(process)
    return found


def _list_descriptors() -> Iterator[tuple[int, str]]:
    for name in _list_folder("/proc"):
        if name.isdecimal() and int(name) != os.getpid():
            for number in _list_folder(f"/proc/{name}/fd"):
                yield int(name), f"/proc/{name}/fd/{number}"


def _list_folder(path: str) -> list[str]:
    try:
        return os.listdir(path)
    except OSError:
        return []


def find_tracer(pid: int) -> int:
    """Return the id of the process that traces a process; 0 if there is no such process."""
    try:
        with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
            for line in file:
                if line.startswith("TracerPid:"):
                    return int(line.split()[1])
    except (OSError, ValueError, IndexError):
        pass
    return 0


def is_running(pid: int) -> bool:
    """Return whether a process exists and has not ended."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[0] not in ("Z", "X")
    except (OSError, IndexError):
        return False

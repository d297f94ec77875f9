"""Identifies the process that writes a journal, and checks whether that process is still alive.

Imports nothing else from provml.
"""

from __future__ import annotations

import os
from typing import Any


def _read_boot_id() -> str | None:
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return None


def _read_start_ticks(pid: int) -> int | None:
    """Return a process's start time in clock ticks since boot; None if it can't be read.

    A different start time shows that another process now has the same pid.
    """
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
        return int(fields[19])
    except (OSError, IndexError, ValueError):
        return None


def _read_pid_namespace() -> int | None:
    """Return the number of this process's pid namespace; None if it can't be read.

    Processes in different namespaces, such as containers, can have the same pid.
    """
    try:
        return os.stat("/proc/self/ns/pid").st_ino
    except OSError:
        return None


def describe_process() -> dict[str, Any]:
    """Return facts about this process that let a reader check later whether it is still alive."""
    pid = os.getpid()
    return {
        "pid": pid,
        "host": os.uname().nodename,
        "boot_id": _read_boot_id(),
        "pid_namespace": _read_pid_namespace(),
        "start_ticks": _read_start_ticks(pid),
    }


def is_process_alive(writer: dict[str, Any]) -> bool | None:
    """Return whether the process that `describe_process` described is alive; None if unknown.

    The answer is unknown for a process on another host or in another pid namespace.
    """
    if writer.get("host") != os.uname().nodename:
        return None
    if writer.get("boot_id") != _read_boot_id():
        return False
    if writer.get("pid_namespace") not in (None, _read_pid_namespace()):
        return None
    pid = writer.get("pid")
    if not isinstance(pid, int) or pid <= 0:
        return False
    started, ticks = writer.get("start_ticks"), _read_start_ticks(pid)
    if started is not None and ticks is not None:
        return ticks == started and not _is_zombie(pid)
    try:  # /proc is missing, or hides other users' processes (hidepid)
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _is_zombie(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[0] in (b"Z", b"X")
    except (OSError, IndexError):
        return True

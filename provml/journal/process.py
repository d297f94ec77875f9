"""Identifies the process that writes a journal, and checks whether that process is still alive.

Imports only `base.clock` from provml.
"""

from __future__ import annotations

import os
import time
from typing import Any, Final, NamedTuple

from provml.base.clock import boot_ns

_INITIAL_PID_NAMESPACE: Final = 0xEFFFFFFC
"""The number of Linux's initial pid namespace, which is outside all containers.

The kernel calls this constant ``PROC_PID_INIT_INO``.
"""
_MACHINE_ID_LENGTH: Final = 32


def read_boot_id() -> str | None:
    """Return the id that the machine got when it last booted; None if the id can't be read."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return None


def read_start_ticks(pid: int) -> int | None:
    """Return a process's start time in clock ticks since boot; None if it can't be read.

    If the start time for a pid has changed, another process now has that pid.
    """
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
        return int(fields[19])
    except (OSError, IndexError, ValueError):
        return None


def read_start_time_ns(pid: int) -> int | None:
    """Return when a process started, in nanoseconds since the epoch; None if that can't be read.

    The result is wrong if the machine's clock was adjusted after the process started.
    """
    ticks = read_start_ticks(pid)
    if ticks is None:
        return None
    return time.time_ns() - boot_ns() + ticks * 1_000_000_000 // os.sysconf("SC_CLK_TCK")


def read_parent(pid: int) -> int:
    """Return the pid of a process's parent; 0 if that pid can't be read."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
        return int(fields[1])
    except (OSError, IndexError, ValueError):
        return 0


def _read_pid_namespace() -> int | None:
    """Return the number of this process's pid namespace; None if it can't be read.

    Processes in different namespaces, such as containers, can have the same pid.
    """
    try:
        return os.stat("/proc/self/ns/pid").st_ino
    except OSError:
        return None


def _read_machine_id() -> str | None:
    """Return a digest of this machine's id; None if unknown. The id itself must stay secret."""
    try:
        with open("/etc/machine-id", "rb") as file:
            own_id = file.read(64).strip()
    except OSError:
        return None
    if len(own_id) != _MACHINE_ID_LENGTH:  # the id is empty or not yet set
        return None
    import hashlib

    return hashlib.sha256(b"provml:" + own_id).hexdigest()[:32]


def describe_process() -> dict[str, Any]:
    """Return the facts with which a reader can check later whether this process is alive."""
    pid = os.getpid()
    return {
        "pid": pid,
        "host": os.uname().nodename,
        "machine_id": _read_machine_id(),
        "boot_id": read_boot_id(),
        "pid_namespace": _read_pid_namespace(),
        "start_ticks": read_start_ticks(pid),
    }


def identify_process(pid: int) -> str:
    """Return a digest that identifies a process uniquely, even among several machines."""
    import hashlib

    facts = (read_boot_id() or os.uname().nodename, _read_pid_namespace(), pid)
    return hashlib.sha256(repr((*facts, read_start_ticks(pid))).encode()).hexdigest()[:16]


class Liveness(NamedTuple):
    """The result of checking whether a process is alive.

    Attributes:
        is_alive: whether the process is alive; None if the current process can't find out.
        doubt: why the current process can't find out; an empty string if it can.
    """

    is_alive: bool | None
    doubt: str = ""


def check_process(writer: dict[str, Any], is_lock_held: bool | None) -> Liveness:
    """Return whether the process that `describe_process` described is alive.

    Uses no clock, because the clocks of two machines can differ.

    Args:
        writer: the facts from `describe_process`, as the process recorded them.
        is_lock_held: the result of `writer_lock.is_lock_held` for the process's events file.
    """
    if is_lock_held:
        return Liveness(True)
    host = writer.get("host")
    if _is_same_boot(writer):
        if is_lock_held is False:
            return Liveness(False)
        if _is_same_pid_namespace(writer):
            return Liveness(_is_pid_alive(writer))
        return Liveness(None, "the process ran in another container, which has its own pids")
    if host != os.uname().nodename:
        return Liveness(
            None, f"the process ran on {host}, but this machine is {os.uname().nodename}"
        )
    if _is_same_machine(writer):
        return Liveness(False)  # the machine has restarted since
    return Liveness(
        None,
        f"either {host} has restarted since, or the process ran on another machine with the same "
        "name",
    )


def ran_here(writer: dict[str, Any]) -> bool:
    """Return whether a process ran on this machine and in this process's pid namespace.

    Only then do the pids and paths that the process recorded have the same meaning here.
    """
    if _is_same_boot(writer):
        return _is_same_pid_namespace(writer)
    return (
        writer.get("host") == os.uname().nodename
        and _is_same_machine(writer)
        and _is_same_pid_namespace(writer)
    )


def _is_same_boot(writer: dict[str, Any]) -> bool:
    """Return whether the process was started on this machine since the machine last booted."""
    boot_id = read_boot_id()
    if boot_id is None:  # not Linux
        return writer.get("boot_id") is None and writer.get("host") == os.uname().nodename
    return writer.get("boot_id") == boot_id


def _is_same_pid_namespace(writer: dict[str, Any]) -> bool:
    namespace = writer.get("pid_namespace")
    if namespace is None:  # not Linux, or an early version of provml
        return writer.get("host") == os.uname().nodename
    return bool(namespace == _read_pid_namespace())


def _is_same_machine(writer: dict[str, Any]) -> bool:
    """Return whether the process ran on this machine and outside containers.

    Containers made from the same image can have the same machine id, even on different machines.
    """
    return (
        writer.get("pid_namespace") == _INITIAL_PID_NAMESPACE
        and isinstance(writer.get("machine_id"), str)
        and writer.get("machine_id") == _read_machine_id()
    )


def _is_pid_alive(writer: dict[str, Any]) -> bool:
    pid = writer.get("pid")
    if not isinstance(pid, int) or not 0 < pid < 2**31:
        return False
    started, ticks = writer.get("start_ticks"), read_start_ticks(pid)
    if started is not None and ticks is not None:
        return ticks == started and not is_zombie(pid)
    try:  # /proc is missing, or hides other users' processes (hidepid)
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def is_zombie(pid: int) -> bool:
    """Return whether a process of this user has ended, even if its parent has not yet noticed."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[0] in (b"Z", b"X")
    except (OSError, IndexError):
        return True

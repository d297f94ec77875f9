"""Finds the CPU and memory limits of a container, from Linux control groups (versions 1 and 2).

The percentages in a reading refer to these limits. For example, if the limit is 2 CPUs on a machine
with 64 CPUs, two busy CPUs are 100 %. Imports no other part of provml.

Source: Linux kernel, Documentation/admin-guide/cgroup-v2.rst, cgroup-v1/{memory,cpuacct}.rst and
scheduler/sched-bwc.rst.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, NamedTuple

_NO_LIMIT: Final = 2**60
"""A limit of this many bytes or more means "no limit".

If there is no limit, control groups of version 1 report the largest multiple of the page size that
fits in 63 bits.
"""


class CpuLimit(NamedTuple):
    """The number of CPUs that a control group may use, and the file with the group's CPU time."""

    cpus: float
    usage: Path

    def used_ns(self) -> int:
        """Return the CPU time that the group has used, in nanoseconds.

        Raises OSError or ValueError if the file can't be read.
        """
        text = self.usage.read_text()
        if self.usage.name == "cpu.stat":
            return _parse_field(text, "usage_usec") * 1000
        return int(text)


class MemoryLimit(NamedTuple):
    """The number of bytes of memory that a control group may use, and the group's folder."""

    limit_bytes: int
    group: Path

    def used_bytes(self) -> int:
        """Return the memory that the group uses, in bytes.

        Like container tools, leaves out the part of the page cache that was not used recently,
        because the kernel can reclaim this memory at once. Raises OSError or ValueError if the
        files can't be read.
        """
        current = self.group / "memory.current"
        usage, cache = (
            (current, "inactive_file")
            if current.exists()
            else (self.group / "memory.usage_in_bytes", "total_inactive_file")
        )
        used = int(usage.read_text())
        return max(0, used - _parse_field((self.group / "memory.stat").read_text(), cache))


class ContainerLimits(NamedTuple):
    """The CPU and memory limits of a process. None means that no limit applies."""

    cpu: CpuLimit | None
    memory: MemoryLimit | None


def find_container_limits(
    proc: Path, cgroup: Path, cpus: int, memory_bytes: int
) -> ContainerLimits:
    """Return the lowest limits among this process's control groups. Reads about ten small files.

    Args:
        proc: the folder of the ``proc`` file system.
        cgroup: the folder of the control groups, usually ``/sys/fs/cgroup``.
        cpus: the machine's number of CPUs; a limit that is not lower is ignored.
        memory_bytes: the machine's memory in bytes; a limit that is not lower is ignored.
    """
    unified, by_controller = _read_groups(proc)
    cpu_limits: list[CpuLimit] = []
    memory_limits: list[MemoryLimit] = []
    for folder in _list_group_folders(cgroup, unified):
        cpu_limits += _read_cpu_limits_v2(folder)
        memory_limits += _read_memory_limits(folder, "memory.max")
    for folder in _list_group_folders(cgroup / "memory", by_controller.get("memory")):
        memory_limits += _read_memory_limits(folder, "memory.limit_in_bytes")
    for name in ("cpu", "cpu,cpuacct", "cpuacct,cpu"):
        for folder in _list_group_folders(cgroup / name, by_controller.get("cpu")):
            cpu_limits += _read_cpu_limits_v1(folder, cgroup, name)
    cpu = min(cpu_limits, default=None)
    memory = min(memory_limits, default=None)
    return ContainerLimits(
        cpu if cpu is not None and cpu.cpus < cpus else None,
        memory if memory is not None and memory.limit_bytes < memory_bytes else None,
    )


def _read_groups(proc: Path) -> tuple[str | None, dict[str, str]]:
    """Return this process's version 2 control group, and its version 1 groups by controller."""
    unified: str | None = None
    by_controller: dict[str, str] = {}
    try:
        lines = (proc / "self" / "cgroup").read_text().splitlines()
    except OSError:
        return None, {}
    for line in lines:
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0" and not controllers:
            unified = path
        for controller in controllers.split(","):
            by_controller[controller] = path
    return unified, by_controller


def _list_group_folders(mount: Path, group: str | None) -> list[Path]:
    """Return a group's folder and all folders above it, up to the mount point.

    In a container, the mount point itself can be the group's folder.
    """
    if group is None or not mount.is_dir():
        return []
    folder = mount / group.lstrip("/")
    if ".." in folder.parts or not folder.is_dir():
        return [mount]
    above = [parent for parent in folder.parents if parent.is_relative_to(mount)]
    return [folder, *above]


def _read_cpu_limits_v2(folder: Path) -> list[CpuLimit]:
    try:
        quota, period = (folder / "cpu.max").read_text().split()[:2]
        return [] if quota == "max" else [CpuLimit(int(quota) / int(period), folder / "cpu.stat")]
    except (OSError, ValueError, ZeroDivisionError):
        return []  # the root group does not have the file cpu.max


def _read_cpu_limits_v1(folder: Path, cgroup: Path, name: str) -> list[CpuLimit]:
    try:
        quota = int((folder / "cpu.cfs_quota_us").read_text())
        period = int((folder / "cpu.cfs_period_us").read_text())
        if quota <= 0 or period <= 0:
            return []
    except (OSError, ValueError):
        return []
    own = folder / "cpuacct.usage"
    usage = own if own.exists() else cgroup / "cpuacct" / folder.relative_to(cgroup / name)
    return [CpuLimit(quota / period, usage if usage is own else usage / "cpuacct.usage")]


def _read_memory_limits(folder: Path, name: str) -> list[MemoryLimit]:
    try:
        limit = int((folder / name).read_text())  # ``max``, which means no limit, is not a number
    except (OSError, ValueError):
        return []
    return [MemoryLimit(limit, folder)] if 0 < limit < _NO_LIMIT else []


def _parse_field(text: str, name: str) -> int:
    for line in text.splitlines():
        key, _, value = line.partition(" ")
        if key == name:
            return int(value)
    raise ValueError(f"the file has no line {name!r}")

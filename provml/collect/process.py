"""Reads a process's CPU time, memory, threads and open files.

Readings of the process that records the run leave out child processes such as data loaders.
Readings of a command that ``provml run`` started include all descendants of the command. Imports
only `readings` from provml.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any, Final

from provml.collect.readings import UnavailableError


class ProcessCollector:
    """Reads one process, and optionally its descendants. A reading takes about 50 microseconds.

    ``cpu_percent`` is relative to one CPU, as in ``top``: two busy threads give 200 %.
    """

    name = "process"
    units = {"cpu_time_s": "s"}  # noqa: RUF012 - never mutated

    def __init__(
        self, proc: Path = Path("/proc"), pid: int | None = None, descendants: bool = False
    ) -> None:
        """Store the settings. `initialize` finds the process.

        Args:
            proc: the folder of the ``proc`` file system.
            pid: the id of the process; by default the process that calls `initialize`.
            descendants: True also counts all running descendants, and the CPU time that ended
                descendants have used. Memory that several processes share is counted for each of
                these processes.
        """
        self._proc = proc
        self._pid = pid
        self._descendants = descendants
        self._folder = proc
        self._last_cpu_time: tuple[int, float] | None = None
        self.missing: dict[str, str] = {}

    def initialize(self) -> None:
        """Find the process. Raises UnavailableError if ``proc`` has no folder for the process."""
        self._folder = self._proc / str(os.getpid() if self._pid is None else self._pid)
        if not (self._folder / "stat").exists():
            raise UnavailableError(
                f"can't read the process, because {self._folder / 'stat'} does not exist"
            )
        self._last_cpu_time = (time.monotonic_ns(), self._sum_cpu_time_s(self._read_all_stats()))

    def collect(self) -> dict[str, Any]:
        """Return the CPU time and share, the memory, and the numbers of threads and open files.

        If descendants are counted, returns an empty dict after the process has ended.
        """
        now, all_fields = time.monotonic_ns(), self._read_all_stats()
        if not all_fields:
            return {}
        cpu_time_s = self._sum_cpu_time_s(all_fields)
        page = os.sysconf("SC_PAGE_SIZE")
        reading: dict[str, Any] = {
            "cpu_time_s": cpu_time_s,
            "memory_rss": sum(int(fields[21]) for fields in all_fields.values()) * page,
            "memory_vms": sum(int(fields[20]) for fields in all_fields.values()),
            "threads": sum(int(fields[17]) for fields in all_fields.values()),
        }
        if self._descendants:
            reading["processes"] = len(all_fields)
        if self._last_cpu_time is not None and now > self._last_cpu_time[0]:
            elapsed_s = (now - self._last_cpu_time[0]) / 1e9
            # CPU time advances in ticks of 10 ms, so a share over a short time is 0 or too high
            if elapsed_s >= 0.1:
                # an orphaned descendant is no longer counted, so the sum can decrease
                used_s = max(0.0, cpu_time_s - self._last_cpu_time[1])
                reading["cpu_percent"] = 100 * used_s / elapsed_s
                self._last_cpu_time = (now, cpu_time_s)
        try:
            reading["open_files"] = sum(len(os.listdir(folder / "fd")) for folder in all_fields)
        except OSError as error:
            if self._folder.exists():
                self.missing.setdefault("open_files", str(error))
        return reading

    def _read_all_stats(self) -> dict[Path, list[bytes]]:
        """Return the ``stat`` fields of each process to count, keyed by the process's folder.

        If descendants are counted, leaves out processes that have ended.
        """
        if not self._descendants:
            return {self._folder: _read_stat(self._folder)}
        found: dict[Path, list[bytes]] = {}
        waiting = [self._folder]
        while waiting:
            folder = waiting.pop()
            try:
                fields = _read_stat(folder)
                if fields[0] in _ENDED_STATES:
                    continue
                found[folder] = fields
                for thread in os.listdir(folder / "task"):
                    children = (folder / "task" / thread / "children").read_bytes()
                    waiting += [self._proc / pid.decode() for pid in children.split()]
            except OSError:
                continue  # the process ended, or the kernel does not list children
        return found

    def _sum_cpu_time_s(self, all_fields: dict[Path, list[bytes]]) -> float:
        # fields 11 and 12 are the CPU time of the process, and 13 and 14 that of ended children
        last = 15 if self._descendants else 13
        ticks = sum(int(ticks) for fields in all_fields.values() for ticks in fields[11:last])
        return ticks / os.sysconf("SC_CLK_TCK")


_ENDED_STATES: Final = (b"Z", b"X")


def _read_stat(folder: Path) -> list[bytes]:
    """Return the fields of a ``stat`` file that follow the command's name.

    The name can itself contain spaces and parentheses.
    """
    return (folder / "stat").read_bytes().rpartition(b")")[2].split()

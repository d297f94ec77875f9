"""The recording process itself: its CPU time, memory, threads, open files. Imports `readings`.

Its children (data loaders) are processes of their own and are not in it.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from provml.collect.readings import UnavailableError


class ProcessCollector:
    """Readings of one process; about 50 microseconds each.

    ``cpu_percent`` is of one CPU, as ``top`` has it: a process of two busy threads has 200 %.
    """

    name = "process"
    units = {"cpu_time_s": "s"}  # noqa: RUF012 - never changed

    def __init__(self, proc: Path = Path("/proc"), pid: int | None = None) -> None:
        """Of this process, or of another that may be seen.

        Args:
            proc: where the ``proc`` file system is.
            pid: the process; by default the one that calls `initialize`.
        """
        self._proc = proc
        self._pid = pid
        self._folder = proc
        self._before: tuple[int, float] | None = None
        self.missing: dict[str, str] = {}

    def initialize(self) -> None:
        """Find the process. Raises UnavailableError where there is no ``proc`` file system."""
        self._folder = self._proc / str(os.getpid() if self._pid is None else self._pid)
        if not (self._folder / "stat").exists():
            raise UnavailableError(f"there is no {self._folder / 'stat'}")
        self._before = (time.monotonic_ns(), self._cpu_time_s(self._stat()))

    def collect(self) -> dict[str, Any]:
        """CPU time and share, resident and virtual memory, threads, open files."""
        now, fields = time.monotonic_ns(), self._stat()
        cpu_time_s = self._cpu_time_s(fields)
        reading: dict[str, Any] = {
            "cpu_time_s": cpu_time_s,
            "memory_rss": int(fields[21]) * os.sysconf("SC_PAGE_SIZE"),
            "memory_vms": int(fields[20]),
            "threads": int(fields[17]),
        }
        if self._before is not None and now > self._before[0]:
            elapsed_s = (now - self._before[0]) / 1e9
            # the counter has ticks of 10 ms: over less it would say 0 or too much
            if elapsed_s >= 0.1:
                reading["cpu_percent"] = 100 * (cpu_time_s - self._before[1]) / elapsed_s
                self._before = (now, cpu_time_s)
        try:
            reading["open_files"] = len(os.listdir(self._folder / "fd"))
        except OSError as error:
            self.missing.setdefault("open_files", str(error))
        return reading

    def _stat(self) -> list[bytes]:
        """What follows the command's name, which may hold blanks and parentheses."""
        return (self._folder / "stat").read_bytes().rpartition(b")")[2].split()

    def _cpu_time_s(self, fields: list[bytes]) -> float:
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

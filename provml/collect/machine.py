"""Reads the machine's own counters: CPU time, memory, load, disks, network and processes.

`LinuxMachine` reads the ``proc`` and ``sys`` file systems, which takes microseconds and needs no
additional package. `PsutilMachine` uses psutil on other platforms. Both return the same types.
Imports only `readings` from provml.

Source: proc(5); Linux kernel, Documentation/admin-guide/iostats.rst.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

from provml.collect.readings import UnavailableError

_SECTOR_BYTES: Final = 512
_NOT_DISKS: Final = ("loop", "ram", "zram", "dm-", "md", "sr", "fd")
"""Prefixes of the names of block devices that do not count as disks.

Some of these devices store their data on other disks, so their traffic would count twice. The
others are in memory, or are optical and floppy drives.
"""


class CpuTimes(NamedTuple):
    """The CPU time of one CPU, or of all CPUs together, since boot.

    The unit depends on the platform, so use these values only to compute shares.
    """

    busy: float
    total: float


class MemoryUse(NamedTuple):
    """The sizes and use of memory and swap, in bytes."""

    total: int
    available: int
    swap_total: int
    swap_used: int


class NetworkTraffic(NamedTuple):
    """The numbers of bytes and packets that network interfaces have sent and received since boot.

    Traffic of the loopback interface is not counted.
    """

    bytes_sent: int
    bytes_recv: int
    packets_sent: int
    packets_recv: int


class ProcessTimes(NamedTuple):
    """A process, with its CPU time in seconds and its resident memory in bytes."""

    pid: int
    name: str
    cpu_s: float
    rss: int


class Machine(Protocol):
    """The counters that a system collector reads.

    A method raises OSError or ValueError if it can't read its counter.
    """

    def cpu_times(self) -> tuple[CpuTimes, list[CpuTimes]]:
        """Return the CPU time of all CPUs together, and of each CPU."""

    def running_tasks(self) -> int:
        """Return the number of tasks that are running or ready to run."""

    def cpu_counts(self) -> tuple[int | None, int | None]:
        """Return the numbers of logical and physical CPUs."""

    def memory(self) -> MemoryUse:
        """Return the sizes and use of memory and swap, in bytes."""

    def load(self) -> tuple[float, float, float]:
        """Return the load averages over 1, 5 and 15 minutes."""

    def disk_io(self) -> tuple[int, int]:
        """Return the numbers of bytes read from and written to all disks since boot."""

    def network(self) -> NetworkTraffic:
        """Return the traffic of all network interfaces except the loopback."""

    def processes(self) -> Iterator[ProcessTimes]:
        """Yield the CPU time and memory of every visible process."""


_RECLAIMABLE: Final = (b"Buffers", b"Cached")
"""The fields of ``/proc/meminfo`` for memory that the kernel can free. A field may be missing."""


class LinuxMachine:
    """Reads ``/proc`` and ``/sys``, or other folders with the same layout."""

    def __init__(self, proc: Path = Path("/proc"), sys: Path = Path("/sys")) -> None:
        self.proc = proc
        self.sys = sys
        self._disks: set[bytes] | None = None

    def cpu_times(self) -> tuple[CpuTimes, list[CpuTimes]]:
        """Return the CPU time of all CPUs together, and of each CPU."""
        every: list[CpuTimes] = []
        with open(self.proc / "stat", "rb") as file:
            for line in file:
                if not line.startswith(b"cpu"):
                    break
                every.append(_parse_cpu_times(line.split()[1:9]))
        if not every:
            raise ValueError(f"{self.proc / 'stat'} has no line 'cpu'")
        return every[0], every[1:]

    def running_tasks(self) -> int:
        """Return the number of tasks that are running or ready to run."""
        return int(self._read_fields("stat")[b"procs_running"][0])

    def cpu_counts(self) -> tuple[int | None, int | None]:
        """Return the numbers of logical and physical CPUs.

        The number of physical CPUs is the number of different sibling lists, because all logical
        CPUs of one core have the same list.
        """
        cores: set[str] = set()
        for topology in (self.sys / "devices/system/cpu").glob("cpu[0-9]*/topology"):
            for name in ("core_cpus_list", "thread_siblings_list"):
                if (topology / name).exists():
                    cores.add((topology / name).read_text().strip())
                    break
        return len(self.cpu_times()[1]) or os.cpu_count(), len(cores) or None

    def memory(self) -> MemoryUse:
        """Return the sizes and use of memory and swap, in bytes."""
        fields = self._read_fields("meminfo")

        def size(name: bytes) -> int:
            return int(fields[name + b":"][0]) * 1024

        try:
            available = size(b"MemAvailable")
        except KeyError:  # Linux before version 3.14 does not provide MemAvailable
            available = size(b"MemFree")
            available += sum(size(name) for name in _RECLAIMABLE if name + b":" in fields)
        try:
            swap_total = size(b"SwapTotal")
            return MemoryUse(
                size(b"MemTotal"), available, swap_total, swap_total - size(b"SwapFree")
            )
        except KeyError as error:
            raise ValueError(f"{self.proc / 'meminfo'} has no line {error}") from None

    def load(self) -> tuple[float, float, float]:
        """Return the load averages over 1, 5 and 15 minutes."""
        one, five, fifteen = (self.proc / "loadavg").read_text().split()[:3]
        return float(one), float(five), float(fifteen)

    def disk_io(self) -> tuple[int, int]:
        """Return the numbers of bytes read from and written to all disks since boot.

        Skips partitions, because a disk's counters already include the traffic of its partitions.
        """
        if self._disks is None:
            names = os.listdir(self.sys / "block")
            self._disks = {os.fsencode(n) for n in names if not n.startswith(_NOT_DISKS)}
        read = written = found = 0
        with open(self.proc / "diskstats", "rb") as file:
            for line in file:
                fields = line.split()
                if fields[2] in self._disks:
                    found += 1
                    read += int(fields[5])
                    written += int(fields[9])
        if not found:
            raise ValueError("the system lists no disks")
        return read * _SECTOR_BYTES, written * _SECTOR_BYTES

    def network(self) -> NetworkTraffic:
        """Return the traffic of all network interfaces except the loopback."""
        sent = received = packets_sent = packets_received = 0
        with open(self.proc / "net/dev", "rb") as file:
            for line in file.readlines()[2:]:
                name, _, rest = line.partition(b":")
                fields = rest.split()
                if name.strip() != b"lo" and len(fields) >= 10:
                    received += int(fields[0])
                    packets_received += int(fields[1])
                    sent += int(fields[8])
                    packets_sent += int(fields[9])
        return NetworkTraffic(sent, received, packets_sent, packets_received)

    def processes(self) -> Iterator[ProcessTimes]:
        """Yield the CPU time and memory of every visible process. Takes about 20 us per process."""
        tick_s, page = 1 / os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")
        for entry in os.listdir(self.proc):
            if not entry.isdecimal():
                continue
            try:
                content = (self.proc / entry / "stat").read_bytes()
                head, _, tail = content.rpartition(b")")
                fields = tail.split()
                cpu_s = (int(fields[11]) + int(fields[12])) * tick_s
                name = head.partition(b"(")[2].decode("utf-8", "replace")
                yield ProcessTimes(int(entry), name, cpu_s, int(fields[21]) * page)
            except (OSError, IndexError, ValueError):
                continue  # the process has ended

    def _read_fields(self, name: str) -> dict[bytes, list[bytes]]:
        with open(self.proc / name, "rb") as file:
            lines = [line.split() for line in file]
        return {line[0]: line[1:] for line in lines if len(line) > 1}


def _parse_cpu_times(fields: list[bytes]) -> CpuTimes:
    """Parse the fields ``user nice system idle iowait irq softirq steal`` of ``/proc/stat``.

    Ignores the fields for guest time, because ``user`` already includes it.
    """
    times = [int(field) for field in fields]
    total = sum(times)
    return CpuTimes(total - sum(times[3:5]), total)


class PsutilMachine:
    """Reads the counters with psutil, or with a module that has the same functions."""

    def __init__(self, psutil: Any = None) -> None:
        """Import psutil if needed. Raises UnavailableError if psutil is not installed."""
        if psutil is None:
            try:
                import psutil  # type: ignore[no-redef]
            except ImportError:
                raise UnavailableError(
                    "system readings need psutil on this platform: pip install 'provml[system]'",
                    expected=False,
                ) from None
        self._psutil = psutil

    def cpu_times(self) -> tuple[CpuTimes, list[CpuTimes]]:
        """Return the CPU time of all CPUs together, and of each CPU."""
        every = [_sum_psutil_times(times) for times in self._psutil.cpu_times(percpu=True)]
        return CpuTimes(sum(t.busy for t in every), sum(t.total for t in every)), every

    def running_tasks(self) -> int:
        """Return the number of running tasks, estimated from the load average."""
        return round(self.load()[0]) + 1

    def cpu_counts(self) -> tuple[int | None, int | None]:
        """Return the numbers of logical and physical CPUs."""
        return self._psutil.cpu_count(), self._psutil.cpu_count(logical=False)

    def memory(self) -> MemoryUse:
        """Return the sizes and use of memory and swap, in bytes."""
        memory, swap = self._psutil.virtual_memory(), self._psutil.swap_memory()
        return MemoryUse(memory.total, memory.available, swap.total, swap.used)

    def load(self) -> tuple[float, float, float]:
        """Return the load averages over 1, 5 and 15 minutes."""
        one, five, fifteen = self._psutil.getloadavg()
        return one, five, fifteen

    def disk_io(self) -> tuple[int, int]:
        """Return the numbers of bytes read from and written to all disks since boot."""
        counters = self._psutil.disk_io_counters()
        if counters is None:
            raise ValueError("psutil finds no disks")
        return counters.read_bytes, counters.write_bytes

    def network(self) -> NetworkTraffic:
        """Return the traffic of all network interfaces except the loopback."""
        sums = [0, 0, 0, 0]
        for name, one in self._psutil.net_io_counters(pernic=True).items():
            if not name.startswith("lo"):
                for place, key in enumerate(NetworkTraffic._fields):
                    sums[place] += getattr(one, key)
        return NetworkTraffic(*sums)

    def processes(self) -> Iterator[ProcessTimes]:
        """Yield the CPU time and memory of every visible process."""
        for process in self._psutil.process_iter(["pid", "name", "cpu_times", "memory_info"]):
            times, memory = process.info["cpu_times"], process.info["memory_info"]
            if times is not None and memory is not None:
                yield ProcessTimes(
                    process.pid, process.info["name"] or "", times.user + times.system, memory.rss
                )


def _sum_psutil_times(times: Any) -> CpuTimes:
    fields = times._asdict()
    total = sum(value for name, value in fields.items() if not name.startswith("guest"))
    return CpuTimes(total - fields["idle"] - fields.get("iowait", 0.0), total)


def detect_machine() -> Machine:
    """Return the object that reads the machine's counters on this platform.

    Raises UnavailableError if the platform needs psutil and psutil is not installed.
    """
    return LinuxMachine() if os.path.exists("/proc/stat") else PsutilMachine()

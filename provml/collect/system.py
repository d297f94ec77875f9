"""Reads the CPU, memory, disks, network, top processes and GPUs of this machine.

`SystemMetricsCollector` is public. Use it on its own, in a run, or as a base class.

Imports only `containers`, `machine`, `readings`, `thresholds` and `errors` from provml, and `gpu`
and `sampler` only when needed.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from provml.collect.containers import ContainerLimits, find_container_limits
from provml.collect.machine import CpuTimes, LinuxMachine, Machine, detect_machine
from provml.collect.readings import ReadingTable, UnavailableError
from provml.collect.thresholds import DEFAULT_THRESHOLDS, Alert, find_alerts
from provml.errors import InvalidArgumentError

if TYPE_CHECKING:
    from provml.collect.gpu import GpuCollector

_REDUNDANT_KEYS: Final = frozenset(
    {"load_average", "gpu_utilization", "gpu_memory_used", "gpu_memory_total", "gpu_temperature"}
)
_SETTING_NAMES: Final = (
    "include_per_cpu",
    "include_processes",
    "process_limit",
    "track_system",
    "track_disk",
    "track_network",
    "track_gpu",
    "disk_path",
)
_MAX_ALERTS: Final = 10_000
_MIN_SHARE_NS: Final = 50_000_000
"""The shortest period over which to compute a CPU share.

CPU time advances in ticks of 1 to 10 ms, so shares over shorter periods would be inaccurate.
"""


class SystemMetricsCollector:
    """Reads the state of the machine, and its activity since the last reading, without blocking.

    In a container with limits, percentages and totals refer to these limits. A reading leaves out
    values that the platform does not provide, or that this process is not allowed to read; the
    reasons are in `missing`.

        collector = SystemMetricsCollector(collect_interval=5.0)
        collector.initialize()
        collector.start()        # in the background; the active run, if any, records the readings
        now = collector.collect()
        collector.stop()

    A subclass can override `collect` to add keys. Background readings then include these keys.

    Attributes:
        thresholds: a threshold for each key. A reading above the threshold raises an alert.
        missing: the reason for each key that can't be read on this machine.
    """

    name = "system"
    constants: Final = frozenset(
        {
            "cpu_count_logical",
            "cpu_count_physical",
            "cpu_limit",
            "memory_total",
            "swap_total",
            "disk_total",
            "gpu_count",
        }
    )
    """The keys whose values a run records only when they change."""

    def __init__(
        self,
        collect_interval: float = 5.0,
        include_per_cpu: bool = False,
        include_processes: bool = False,
        process_limit: int = 10,
        *,
        track_system: bool = True,
        track_disk: bool = True,
        track_network: bool = True,
        track_gpu: bool = True,
        thresholds: Mapping[str, float] | None = None,
        disk_path: str | os.PathLike[str] = "/",
        machine: Machine | None = None,
        gpu: GpuCollector | None = None,
        cgroup: Path = Path("/sys/fs/cgroup"),
    ) -> None:
        """Store the settings. `initialize` reads the counters for the first time.

        Args:
            collect_interval: seconds between readings in the background.
            include_per_cpu: also read the usage of each CPU, in per cent.
            include_processes: also read the processes that use the most CPU time.
            process_limit: the maximum number of processes in a reading.
            track_system: read CPU and memory.
            track_disk: read disk usage, and bytes read and written.
            track_network: read bytes sent and received.
            track_gpu: read NVIDIA GPUs, if the machine has any.
            thresholds: a threshold for each key; a reading above the threshold raises an alert. By
                default, the thresholds are 90 % for the CPU, 85 % for memory and 95 % for the disk.
            disk_path: a path on the disk to read.
            machine, gpu, cgroup: replacements for parts of the real machine, for use in tests.

        Raises:
            InvalidArgumentError: the interval or the process limit is out of range.
        """
        if not isinstance(collect_interval, (int, float)) or not 0 < collect_interval < 1e6:
            raise InvalidArgumentError(
                "collect_interval must be a number of seconds above 0 and below 1,000,000, not "
                f"{collect_interval!r}"
            )
        if not isinstance(process_limit, int) or process_limit < 0:
            raise InvalidArgumentError(
                f"process_limit must be an integer of at least 0, not {process_limit!r}"
            )
        self.collect_interval = float(collect_interval)
        self.include_per_cpu = include_per_cpu
        self.include_processes = include_processes
        self.process_limit = process_limit
        self.track_system = track_system
        self.track_disk = track_disk
        self.track_network = track_network
        self.track_gpu = track_gpu
        self.thresholds: Mapping[str, float] = dict(
            DEFAULT_THRESHOLDS if thresholds is None else thresholds
        )
        self.disk_path = os.fspath(disk_path)
        self.missing: dict[str, str] = {}
        self._machine = machine
        self._cgroup = cgroup
        self._gpu = gpu if track_gpu else None
        self._limits = ContainerLimits(None, None)
        self._counts: tuple[int | None, int | None] = (None, None)
        self._cpu_before: tuple[CpuTimes, list[CpuTimes]] | None = None
        self._used_before: tuple[int, int] | None = None
        self._read_ns = 0
        self._shares: dict[str, Any] = {}
        self._processes_before: tuple[int, dict[int, float]] | None = None
        self._alerts: list[Alert] = []
        self._initialized = False
        self._lock = threading.RLock()
        self._background: Callable[[], None] | None = None

    @property
    def unrecorded(self) -> frozenset[str]:
        """The keys that a run does not record: duplicates and estimated CPU shares."""
        if "cpu_percent" in self._shares:
            return _REDUNDANT_KEYS
        return _REDUNDANT_KEYS | {"cpu_percent", "cpu_per_core"}

    @property
    def settings(self) -> dict[str, Any]:
        """The settings to record with the run."""
        return {name: getattr(self, name) for name in _SETTING_NAMES}

    @property
    def devices(self) -> list[dict[str, Any]]:
        """The machine's GPUs, each as a dict of facts to record."""
        return [] if self._gpu is None else self._gpu.devices

    def initialize(self) -> None:
        """Find out which values can be read, and read the counters for the first time.

        Idempotent. The first call takes a few milliseconds. Raises UnavailableError if the platform
        needs psutil and psutil is not installed.
        """
        if self._initialized:
            return
        if self._machine is None:
            self._machine = detect_machine()
        if self.track_gpu:
            self._find_gpu()
        self._read_or_note(("cpu_count_logical", "cpu_count_physical"), self._count_cpus)
        if isinstance(self._machine, LinuxMachine):
            self._read_or_note(("cpu_limit",), self._find_limits)
        if self.track_system:
            self._read_or_note(("cpu_percent",), self._start_cpu_times)
        self._initialized = True

    def _find_gpu(self) -> None:
        from provml.collect.gpu import GpuCollector

        gpu = GpuCollector() if self._gpu is None else self._gpu
        try:
            gpu.initialize()
        except UnavailableError as error:
            self._gpu = None
            if not error.expected:
                self.missing["gpu"] = str(error)
        else:
            self._gpu = gpu

    def collect(self) -> dict[str, Any]:
        """Return one reading: numbers and lists by key and, under ``gpu``, one mapping per GPU.

        Takes about 0.3 ms, plus 20 microseconds per process if processes are included. Leaves out
        values that can't be read, and does not raise an error for them.
        """
        with self._lock:  # the background thread also takes readings
            self.initialize()
            reading = self._read_all()
            self._raise_alerts(reading)
        return reading

    def _read_all(self) -> dict[str, Any]:
        reading: dict[str, Any] = {}
        if self.track_system:
            for keys, read in (
                (("cpu_percent", "cpu_per_core"), self._read_cpu),
                (("load_average",), self._read_load),
                (("memory_percent",), self._read_memory),
            ):
                reading |= self._read_or_note(keys, read)
        if self.track_disk:
            reading |= self._read_or_note(("disk_percent",), self._read_disk)
            reading |= self._read_or_note(
                ("disk_read_bytes", "disk_write_bytes"), self._read_disk_io
            )
        if self.track_network:
            reading |= self._read_or_note(
                ("network_bytes_sent", "network_bytes_recv"), self._read_network
            )
        if self.include_processes:
            reading |= self._read_or_note(("processes",), self._read_processes)
        if self._gpu is not None:
            reading |= self._gpu.collect()
            self.missing |= self._gpu.missing
        return reading

    def _read_or_note(
        self, keys: tuple[str, ...], read: Callable[[], dict[str, Any]]
    ) -> dict[str, Any]:
        """Call a method that reads values. On failure, note the reason in `missing`; return {}."""
        try:
            return read()
        except (OSError, ValueError, KeyError, IndexError, AttributeError) as error:
            for key in keys:
                self.missing.setdefault(key, f"{type(error).__name__}: {error}")
            return {}

    def _count_cpus(self) -> dict[str, Any]:
        self._counts = self._get_machine().cpu_counts()
        for key, count in zip(("logical", "physical"), self._counts, strict=True):
            if count is None:
                self.missing.setdefault(f"cpu_count_{key}", "the system does not report it")
        return {}

    def _find_limits(self) -> dict[str, Any]:
        machine = self._get_machine()
        if isinstance(machine, LinuxMachine):
            cpus = self._counts[0] or os.cpu_count() or 1
            memory = self._read_or_note(("memory_limit",), lambda: machine.memory()._asdict())
            self._limits = find_container_limits(
                machine.proc, self._cgroup, cpus, memory.get("total", 0)
            )
        return {}

    def _start_cpu_times(self) -> dict[str, Any]:
        self._cpu_before = self._get_machine().cpu_times()
        self._read_ns = time.monotonic_ns()
        if self._limits.cpu is not None:
            self._used_before = (self._read_ns, self._limits.cpu.used_ns())
        return {}

    def _get_machine(self) -> Machine:
        if self._machine is None:
            self._machine = detect_machine()
        return self._machine

    def _read_cpu(self) -> dict[str, Any]:
        reading: dict[str, Any] = {}
        for key, count in zip(("logical", "physical"), self._counts, strict=True):
            if count is not None:
                reading[f"cpu_count_{key}"] = count
        if self._limits.cpu is not None:
            reading["cpu_limit"] = self._limits.cpu.cpus
        if time.monotonic_ns() - self._read_ns >= _MIN_SHARE_NS or not self._cpu_before:
            before, used_before = self._cpu_before, self._used_before
            self._start_cpu_times()
            if before is not None and self._cpu_before is not None:
                self._shares = self._cpu_shares(before, self._cpu_before, used_before)
        if "cpu_percent" not in self._shares:
            return reading | self._estimate_shares()
        return reading | self._shares

    def _estimate_shares(self) -> dict[str, Any]:
        """Estimate the CPU shares from the number of other running tasks.

        `collect` uses the estimate if too little time has passed to measure the shares. Each CPU
        gets the mean, because it is not known which CPUs the tasks use.
        """
        cpus = self._limits.cpu.cpus if self._limits.cpu else self._counts[0] or 1
        running = max(0, self._get_machine().running_tasks() - 1)
        shares: dict[str, Any] = {"cpu_percent": min(100.0, 100 * running / cpus)}
        if self.include_per_cpu and self._cpu_before is not None:
            count = len(self._cpu_before[1])
            shares["cpu_per_core"] = [min(100.0, 100 * running / max(1, count))] * count
        return shares

    def _cpu_shares(
        self,
        before: tuple[CpuTimes, list[CpuTimes]],
        now: tuple[CpuTimes, list[CpuTimes]],
        used_before: tuple[int, int] | None,
    ) -> dict[str, Any]:
        shares: dict[str, Any] = {}
        share = _percent_busy(before[0], now[0])
        if self._limits.cpu is not None and used_before is not None and self._used_before:
            elapsed_ns, used_ns = (
                new - old for new, old in zip(self._used_before, used_before, strict=True)
            )
            share = 100 * used_ns / (elapsed_ns * self._limits.cpu.cpus)
        if share is not None:
            shares["cpu_percent"] = share
        if self.include_per_cpu:
            each = [_percent_busy(*pair) for pair in zip(before[1], now[1], strict=False)]
            if None not in each:
                shares["cpu_per_core"] = each
        return shares

    def _read_load(self) -> dict[str, Any]:
        load = self._get_machine().load()
        each = zip(("1", "5", "15"), load, strict=True)
        return {"load_average": list(load)} | {f"load_average_{m}": value for m, value in each}

    def _read_memory(self) -> dict[str, Any]:
        memory = self._get_machine().memory()
        total, available = memory.total, memory.available
        if self._limits.memory is not None:
            total = self._limits.memory.limit_bytes
            available = max(0, min(available, total - self._limits.memory.used_bytes()))
        return {
            "memory_total": total,
            "memory_available": available,
            "memory_used": total - available,
            "memory_percent": 100 * (total - available) / total,
            "swap_total": memory.swap_total,
            "swap_used": memory.swap_used,
        }

    def _read_disk(self) -> dict[str, Any]:
        total, used, free = _disk_usage(self.disk_path)
        # the system reserves part of the disk, so count only the space that users can fill
        fillable = used + free
        return {
            "disk_total": total,
            "disk_used": used,
            "disk_free": free,
            "disk_percent": 100 * used / fillable if fillable else 0.0,
        }

    def _read_disk_io(self) -> dict[str, Any]:
        read, written = self._get_machine().disk_io()
        return {"disk_read_bytes": read, "disk_write_bytes": written}

    def _read_network(self) -> dict[str, Any]:
        return {f"network_{k}": v for k, v in self._get_machine().network()._asdict().items()}

    def _read_processes(self) -> dict[str, Any]:
        now = time.monotonic_ns()
        found = list(self._get_machine().processes())
        before = self._processes_before or (0, {})
        elapsed_s = (now - before[0]) / 1e9
        rows = ReadingTable()
        for process in found:
            cpu = process.cpu_s - before[1].get(process.pid, process.cpu_s)
            row = {"pid": process.pid, "name": process.name, "cpu": 100 * cpu / elapsed_s}
            rows.append(row | {"rss": process.rss})
        rows.sort(key=lambda row: (row["cpu"], row["rss"]), reverse=True)
        del rows[self.process_limit :]
        self._processes_before = (now, {process.pid: process.cpu_s for process in found})
        return {"processes": rows}

    # -- alerts -------------------------------------------------------------------------------

    def _raise_alerts(self, reading: Mapping[str, Any]) -> None:
        recorded = {key: value for key, value in reading.items() if key not in self.unrecorded}
        self._alerts += find_alerts(recorded, self.thresholds, time.time())
        del self._alerts[:-_MAX_ALERTS]

    def get_alerts(self) -> list[Alert]:
        """Return a new list of the alerts that readings have raised: at most the last 10,000."""
        return self._alerts.copy()

    # -- in the background --------------------------------------------------------------------

    def start(self) -> None:
        """Start taking readings in the background. Idempotent.

        If a run is active, the run records these readings instead of its own system readings until
        you call `stop`. If no run is active, the readings are not recorded, but they still raise
        alerts.
        """
        if self._background is None:
            from provml.collect.sampler import read_in_background

            self._background = read_in_background(self)

    def stop(self) -> None:
        """Stop taking readings in the background. Idempotent."""
        stop, self._background = self._background, None
        if stop is not None:
            stop()


def _disk_usage(path: str) -> tuple[int, int, int]:
    """Return the total, used and free bytes of the disk that contains a path. Raises OSError."""
    if not hasattr(os, "statvfs"):
        from shutil import disk_usage  # importing shutil takes longer than importing this module

        return disk_usage(path)
    disk = os.statvfs(path)
    used = (disk.f_blocks - disk.f_bfree) * disk.f_frsize
    return disk.f_blocks * disk.f_frsize, used, disk.f_bavail * disk.f_frsize


def _percent_busy(before: CpuTimes, now: CpuTimes) -> float | None:
    """Return for what percentage of the time between two readings the CPUs were busy.

    The result is kept between 0 and 100, because the counters of virtual machines can decrease.
    Returns None if no CPU time has passed.
    """
    total = now.total - before.total
    if total <= 0:
        return None
    return min(100.0, max(0.0, 100 * (now.busy - before.busy) / total))


def adaptive_configuration(
    memory_bytes: int | None = None, cpus: int | None = None
) -> dict[str, Any]:
    """Return arguments for `SystemMetricsCollector` that suit a machine, by default this one.

    - Machines with less than 4 GiB of memory: a reading every 30 s, without processes.
    - Machines with 4 GiB or more, but less than 8 GiB: a reading every 15 s.
    - Machines with 8 GiB or more: a reading every 5 s.
    - Machines with more than two CPUs: readings also include the usage of each CPU.
    """
    machine: Machine | None = None
    if memory_bytes is None or cpus is None:
        machine = detect_machine()
    if memory_bytes is None and machine is not None:
        memory_bytes = machine.memory().total
    if cpus is None and machine is not None:
        cpus = machine.cpu_counts()[0]
    gib = (memory_bytes or 0) / 2**30
    return {
        "collect_interval": 30.0 if gib < 4 else 15.0 if gib < 8 else 5.0,
        "include_per_cpu": (cpus or 1) > 2,
        "include_processes": gib >= 4,
    }


def measure_overhead(
    collector: SystemMetricsCollector, interval_s: float, readings: int = 20
) -> float:
    """Return the percentage of one CPU that readings at a given interval would use.

    Args:
        collector: the collector to measure.
        interval_s: the intended number of seconds between readings.
        readings: the number of readings to measure. One additional reading is taken first, and is
            not measured.
    """
    collector.collect()
    start_ns = time.thread_time_ns()
    for _ in range(readings):
        collector.collect()
    return (time.thread_time_ns() - start_ns) / readings / (interval_s * 1e9) * 100


def suggested_interval_s(overhead_percent: float) -> float:
    """Return a suitable interval between readings, in seconds.

    Args:
        overhead_percent: the result of `measure_overhead`. If the overhead is above 5 % of a CPU,
            the interval is 30 s, otherwise 5 s.
    """
    return 30.0 if overhead_percent > 5.0 else 5.0

"""Reads the machine's state when the script calls `log_system_metrics`.

Imports `system` and `readings`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from provml.collect.readings import is_number
from provml.collect.system import SystemMetricsCollector


class Snapshot:
    """Reads the use of memory, disk and GPUs in per cent, under the names that scripts expect.

    If there are several GPUs, their use is the mean, and the memory share covers all their memory.
    Leaves out values that the machine does not provide.
    """

    name = "system"
    units: Mapping[str, str] = dict.fromkeys(
        ("Memory usage", "Disk usage", "Gpu memory usage", "Gpu usage"), "%"
    )

    def __init__(self, system: SystemMetricsCollector | None = None) -> None:
        """Read this machine, unless the caller passes another system collector."""
        self._system = system or SystemMetricsCollector(track_network=False)
        self.missing = self._system.missing

    def initialize(self) -> None:
        """Find out which values can be read. Raises UnavailableError."""
        self._system.initialize()

    @property
    def devices(self) -> list[dict[str, Any]]:
        """The GPUs of the machine, as facts to record."""
        return self._system.devices

    def collect(self) -> dict[str, Any]:
        """Return the values that can be read, at most four."""
        reading = self._system.collect()
        values = {
            "Memory usage": reading.get("memory_percent"),
            "Disk usage": reading.get("disk_percent"),
        }
        devices = reading.get("gpu", [])
        total = sum(device.get("memory_total", 0) for device in devices)
        if total:
            used = sum(device.get("memory_used", 0) for device in devices)
            values["Gpu memory usage"] = 100 * used / total
        use = [d["utilization"] for d in devices if is_number(d.get("utilization"))]
        if use:
            values["Gpu usage"] = sum(use) / len(use)
        return {name: float(value) for name, value in values.items() if value is not None}

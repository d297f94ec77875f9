"""Takes the readings that `log_system_metrics` records.

Imports only `readings` and `system` from provml.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from provml.collect.readings import is_number
from provml.collect.system import SystemMetricsCollector


class Snapshot:
    """Reads the usage of memory, disk and GPUs in per cent, for `log_system_metrics`.

    If the machine has several GPUs, ``Gpu usage`` is their mean usage, and ``Gpu memory usage`` is
    the used share of their total memory. Values that the machine does not provide are left out.
    """

    name = "system"
    units: Mapping[str, str] = dict.fromkeys(
        ("Memory usage", "Disk usage", "Gpu memory usage", "Gpu usage"), "%"
    )

    def __init__(self, system: SystemMetricsCollector | None = None) -> None:
        """Create the collector.

        Args:
            system: the collector to read the values from; by default a new one for this machine.
        """
        self._system = system or SystemMetricsCollector(track_network=False)
        self.missing = self._system.missing

    def initialize(self) -> None:
        """Find out which values can be read.

        Raises UnavailableError if the platform needs psutil and psutil is not installed.
        """
        self._system.initialize()

    @property
    def devices(self) -> list[dict[str, Any]]:
        """The machine's GPUs, each as a dict of facts to record."""
        return self._system.devices

    def collect(self) -> dict[str, Any]:
        """Return the readable values as percentages, keyed by name. There are at most four."""
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

"""The machine's state at a moment that the script chooses: what `log_system_metrics` records.

Imports `system`, `readings`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from provml.collect.readings import is_number
from provml.collect.system import SystemMetricsCollector


class Snapshot:
    """Memory, disk and GPUs in use, in per cent, under the names that scripts look for.

    Of several GPUs it is the mean of their use, and the share of all their memory. What is not
    there has no value.
    """

    name = "system"
    units: Mapping[str, str] = dict.fromkeys(
        ("Memory usage", "Disk usage", "Gpu memory usage", "Gpu usage"), "%"
    )

    def __init__(self, system: SystemMetricsCollector | None = None) -> None:
        """By default of this machine."""
        self._system = system or SystemMetricsCollector(track_network=False)
        self.missing = self._system.missing

    def initialize(self) -> None:
        """Find what there is to read. Raises UnavailableError."""
        self._system.initialize()

    @property
    def devices(self) -> list[dict[str, Any]]:
        """The GPUs."""
        return self._system.devices

    def collect(self) -> dict[str, Any]:
        """The four values, as far as they can be read."""
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

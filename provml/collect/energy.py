"""Measures the energy use of GPUs with NVML, and of CPUs and memory with RAPL.

A reading is the energy used since the previous reading, so the energy of a context or step is the
sum of its readings. RAPL is used only if its counters are readable. Imports only `gpu` and
`readings` from provml.

Source: Linux kernel, Documentation/power/powercap/powercap.rst; NVML API Reference Manual.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from provml.collect.gpu import Nvml, load_nvml
from provml.collect.readings import UnavailableError


class _RaplZone(NamedTuple):
    """A part of the machine with a RAPL energy counter.

    The counter is in microjoules. When the counter reaches ``range_uj``, it restarts from 0.
    """

    key: str
    counter: Path
    range_uj: int


class EnergyCollector:
    """Reads the energy used since the last reading, in joules, for each device and in total.

    The keys are, for example, ``gpu.0_joules``, ``cpu.package-0_joules``, ``cpu.dram-0_joules`` and
    ``energy_joules``. Reads only the RAPL zones of packages and memory, because the energy of a
    package already includes the other zones.
    """

    name = "energy"

    def __init__(
        self,
        nvml: Any = None,
        visible: str | None = None,
        powercap: Path = Path("/sys/class/powercap"),
    ) -> None:
        """Store the settings. `initialize` reads the counters for the first time.

        Args:
            nvml: a module with pynvml's functions; by default pynvml itself.
            visible: the GPUs to read, in the format of ``CUDA_VISIBLE_DEVICES``; by default the
                value of that variable.
            powercap: the folder with the kernel's power capping zones.
        """
        self._module = nvml
        self._visible = visible
        self._powercap = powercap
        self._nvml: Nvml | None = None
        self._zones: list[_RaplZone] = []
        self._last_counters: dict[str, int] = {}
        self._unsupported: set[int] = set()
        self.missing: dict[str, str] = {}

    def initialize(self) -> None:
        """Find the energy counters. Raises UnavailableError if no counter can be read."""
        reasons: list[UnavailableError] = []
        try:
            self._nvml = load_nvml(self._module, self._visible)
        except UnavailableError as error:
            reasons.append(error)
        self._find_zones()
        self._last_counters = self._read_counters()
        if not self._last_counters:
            denied = [UnavailableError(reason, False) for reason in self.missing.values()]
            every = [*denied, *(error for error in reasons if not error.expected)]
            text = "; ".join(map(str, every)) or "this machine has no energy counter"
            raise UnavailableError(text, expected=not every)

    def close(self) -> None:
        """Release NVML."""
        if self._nvml is not None:
            self._nvml.close()
            self._nvml = None

    def collect(self) -> dict[str, Any]:
        """Return the joules used since the last reading, for each device and in total."""
        now = self._read_counters()
        reading: dict[str, Any] = {}
        for key, count in now.items():
            if key in self._last_counters:
                used = count - self._last_counters[key]
                if used < 0:  # the counter has started again from 0
                    used += next((z.range_uj for z in self._zones if z.key == key), -used)
                reading[f"{key}_joules"] = used / 1e6
        self._last_counters |= now
        if reading:
            reading["energy_joules"] = sum(reading.values())
        return reading

    def _find_zones(self) -> None:
        for folder in sorted(self._powercap.glob("intel-rapl:*")):
            try:
                name = (folder / "name").read_text().strip()
                nested = folder.name.count(":") > 1
                if nested and name != "dram":
                    continue
                package = folder.name.split(":")[1]
                key = f"cpu.{name}-{package}" if nested else f"cpu.{name}"
                range_uj = int((folder / "max_energy_range_uj").read_text())
                self._zones.append(_RaplZone(key, folder / "energy_uj", range_uj))
            except (OSError, ValueError) as error:
                self.missing.setdefault(f"cpu.{folder.name}", str(error))

    def _read_counters(self) -> dict[str, int]:
        """Read all counters, in microjoules. Leave out counters that can't be read."""
        found: dict[str, int] = {}
        for zone in self._zones:
            if zone.key in self.missing:
                continue
            try:
                found[zone.key] = int(zone.counter.read_text())
            except (OSError, ValueError) as error:
                self.missing[zone.key] = str(error)
        if self._nvml is not None:
            module = self._nvml.module
            for number, handle in enumerate(self._nvml.devices):
                if number in self._unsupported:
                    continue
                try:
                    millijoules = module.nvmlDeviceGetTotalEnergyConsumption(handle)
                except self._nvml.errors as error:
                    if self._nvml.is_permanent(error) or self._nvml.is_device_lost(error):
                        self._unsupported.add(number)
                    self.missing.setdefault(f"gpu.{number}", f"NVML: {error}")
                else:
                    found[f"gpu.{number}"] = millijoules * 1000
        return found

"""A fake of pynvml for devices that do not exist: pynvml's constants and errors, our answers.

The values are typical for a data centre GPU. Every function that `provml.collect` calls exists in
pynvml.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pynvml

MIB = 2**20


@dataclass
class Device:
    """One GPU, or one MIG instance; ``fails`` maps a function to the error that it raises."""

    uuid: str = "GPU-0f9a1b2c-0000-0000-0000-000000000000"
    name: str = "NVIDIA H100 80GB HBM3"
    utilization: int = 87
    memory_utilization: int = 41
    memory_total: int = 81559 * MIB
    memory_used: int = 40960 * MIB
    temperature: int = 54
    power_mw: int = 412_345
    energy_mj: int = 1_000_000
    clocks: dict[int, int] = field(
        default_factory=lambda: {pynvml.NVML_CLOCK_SM: 1980, pynvml.NVML_CLOCK_MEM: 2619}
    )
    throttle_reasons: int = 0
    ecc_errors: int = 0
    processes: list[Any] = field(default_factory=list)
    instances: list[Device | None] = field(default_factory=list)
    fails: dict[str, int] = field(default_factory=dict)


def _of(name: str, answer: Callable[..., Any]) -> Any:
    """An NVML function that queries a device."""
    assert hasattr(pynvml, name), f"pynvml has no {name}"

    def function(self: FakeNvml, device: Device, *arguments: Any) -> Any:
        self.asked.append(name)
        for key in (name, "all"):
            if key in device.fails:
                raise pynvml.NVMLError(device.fails[key])
        return answer(device, *arguments)

    return function


def _mig_mode(device: Device) -> list[int]:
    if not device.instances:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
    return [pynvml.NVML_DEVICE_MIG_ENABLE] * 2


def _instance(device: Device, index: int) -> Device:
    instance = device.instances[index]
    if instance is None:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_FOUND)
    return instance


class FakeNvml:
    """A replacement for the pynvml module."""

    def __init__(self, *devices: Device, init: int | None = None) -> None:
        self.devices = list(devices)
        self.users = 0
        self.asked: list[str] = []
        self._init = init

    def __getattr__(self, name: str) -> Any:
        value = getattr(pynvml, name)
        assert name.startswith("NVML"), f"the fake NVML lacks {name}"
        return value

    def nvmlInit(self) -> None:
        if self._init is not None:
            raise pynvml.NVMLError(self._init)
        self.users += 1

    def nvmlShutdown(self) -> None:
        self.users -= 1

    def nvmlSystemGetDriverVersion(self) -> str:
        return "550.54.15"

    def nvmlDeviceGetCount(self) -> int:
        return len(self.devices)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> Device:
        if index >= len(self.devices):
            raise pynvml.NVMLError(pynvml.NVML_ERROR_INVALID_ARGUMENT)
        if "all" in self.devices[index].fails:
            raise pynvml.NVMLError(self.devices[index].fails["all"])
        return self.devices[index]

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> Device:
        for device in self.devices:
            for one in (device, *filter(None, device.instances)):
                if one.uuid == uuid:
                    return one
        raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_FOUND)

    nvmlDeviceGetMigMode = _of("nvmlDeviceGetMigMode", _mig_mode)
    nvmlDeviceGetMaxMigDeviceCount = _of(
        "nvmlDeviceGetMaxMigDeviceCount", lambda d: len(d.instances)
    )
    nvmlDeviceGetMigDeviceHandleByIndex = _of("nvmlDeviceGetMigDeviceHandleByIndex", _instance)
    nvmlDeviceGetName = _of("nvmlDeviceGetName", lambda d: d.name)
    nvmlDeviceGetUUID = _of("nvmlDeviceGetUUID", lambda d: d.uuid)
    nvmlDeviceGetUtilizationRates = _of(
        "nvmlDeviceGetUtilizationRates",
        lambda d: SimpleNamespace(gpu=d.utilization, memory=d.memory_utilization),
    )
    nvmlDeviceGetMemoryInfo = _of(
        "nvmlDeviceGetMemoryInfo",
        lambda d: SimpleNamespace(
            total=d.memory_total, used=d.memory_used, free=d.memory_total - d.memory_used
        ),
    )
    nvmlDeviceGetComputeRunningProcesses = _of(
        "nvmlDeviceGetComputeRunningProcesses", lambda d: d.processes
    )
    nvmlDeviceGetTemperature = _of("nvmlDeviceGetTemperature", lambda d, sensor: d.temperature)
    nvmlDeviceGetTemperatureV = _of("nvmlDeviceGetTemperatureV", lambda d, sensor: d.temperature)
    nvmlDeviceGetPowerUsage = _of("nvmlDeviceGetPowerUsage", lambda d: d.power_mw)
    nvmlDeviceGetClockInfo = _of("nvmlDeviceGetClockInfo", lambda d, kind: d.clocks[kind])
    nvmlDeviceGetCurrentClocksEventReasons = _of(
        "nvmlDeviceGetCurrentClocksEventReasons", lambda d: d.throttle_reasons
    )
    nvmlDeviceGetCurrentClocksThrottleReasons = _of(
        "nvmlDeviceGetCurrentClocksThrottleReasons", lambda d: d.throttle_reasons
    )
    nvmlDeviceGetComputeRunningProcesses_v2 = _of(
        "nvmlDeviceGetComputeRunningProcesses_v2", lambda d: d.processes
    )
    nvmlDeviceGetTotalEccErrors = _of(
        "nvmlDeviceGetTotalEccErrors", lambda d, kind, counter: d.ecc_errors
    )
    nvmlDeviceGetTotalEnergyConsumption = _of(
        "nvmlDeviceGetTotalEnergyConsumption", lambda d: d.energy_mj
    )

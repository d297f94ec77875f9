"""NVIDIA's GPUs by NVML: utilisation, memory, temperature, power, clocks, errors.

Every device that this process can use: ``CUDA_VISIBLE_DEVICES`` and MIG instances are honoured. A
value that a device does not give is absent. Imports `readings`; pynvml (package nvidia-ml-py, extra
``gpu``) when it is used.

Source: NVML API Reference Manual; CUDA C++ Programming Guide, environment variables.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from provml.collect.readings import UnavailableError

_DRIVER_FILES: Final = (Path("/proc/driver/nvidia/version"), Path("/dev/nvidiactl"))
_LISTED: Final = ("utilization", "memory_used", "memory_total", "temperature")
"""What a reading has as a list over the devices, too."""


class Nvml:
    """NVML, initialised, and the devices that this process can use.

    Args:
        module: pynvml, or a module like it.
        visible: the value of ``CUDA_VISIBLE_DEVICES``; None where it is not set.
    """

    def __init__(self, module: Any, visible: str | None) -> None:
        self.module = module
        try:
            module.nvmlInit()
        except module.NVMLError as error:
            # where the driver is not installed there is nothing to miss
            absent = getattr(error, "value", None) in (
                module.NVML_ERROR_LIBRARY_NOT_FOUND,
                module.NVML_ERROR_DRIVER_NOT_LOADED,
            )
            raise UnavailableError(f"NVML: {error}", expected=absent) from None
        try:
            self.devices = list(self._usable(visible))
        except module.NVMLError as error:
            self.close()
            raise UnavailableError(f"NVML: {error}", expected=False) from None
        if not self.devices:
            self.close()
            raise UnavailableError("this process can use no GPU")

    def close(self) -> None:
        """Let go of NVML, which counts its users."""
        try:
            self.module.nvmlShutdown()
        except self.module.NVMLError:
            pass  # the driver is gone: there is nothing to let go of

    def _usable(self, visible: str | None) -> Iterator[Any]:
        module = self.module
        if visible is None:
            for index in range(module.nvmlDeviceGetCount()):
                yield from self._parts(module.nvmlDeviceGetHandleByIndex(index))
            return
        for entry in filter(None, (part.strip() for part in visible.split(","))):
            handles = self._named(entry)
            if not handles:
                return  # as CUDA does: what follows an entry that is none is not seen
            yield from handles

    def _named(self, entry: str) -> list[Any]:
        module = self.module
        try:
            if entry.isdecimal():
                return list(self._parts(module.nvmlDeviceGetHandleByIndex(int(entry))))
            if entry.startswith("MIG-"):
                return [module.nvmlDeviceGetHandleByUUID(entry)]
        except module.NVMLError:
            return []
        if not entry.startswith("GPU-"):
            return []
        handles = map(module.nvmlDeviceGetHandleByIndex, range(module.nvmlDeviceGetCount()))
        found = [one for one in handles if text(module.nvmlDeviceGetUUID(one)).startswith(entry)]
        return list(self._parts(found[0])) if len(found) == 1 else []

    def _parts(self, handle: Any) -> Iterator[Any]:
        """The device, or its MIG instances where it is divided."""
        module = self.module
        try:
            divided = module.nvmlDeviceGetMigMode(handle)[0] == module.NVML_DEVICE_MIG_ENABLE
        except module.NVMLError:
            divided = False  # not a device that can be
        if not divided:
            yield handle
            return
        for index in range(module.nvmlDeviceGetMaxMigDeviceCount(handle)):
            try:
                yield module.nvmlDeviceGetMigDeviceHandleByIndex(handle, index)
            except module.NVMLError:
                continue  # no instance was made at this place


def load_nvml(module: Any = None, visible: str | None = None) -> Nvml:
    """NVML with its devices. Raises UnavailableError.

    Args:
        module: by default pynvml.
        visible: by default the environment's ``CUDA_VISIBLE_DEVICES``.
    """
    if module is None:
        if not any(path.exists() for path in _DRIVER_FILES):
            raise UnavailableError("there is no NVIDIA driver")
        try:
            import pynvml as module  # type: ignore[no-redef]
        except ImportError:
            raise UnavailableError(
                "there is an NVIDIA driver, and readings of it need nvidia-ml-py: "
                "pip install 'provml[gpu]'",
                expected=False,
            ) from None
    if visible is None:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return Nvml(module, visible)


class GpuCollector:
    """Readings of every device; about 0.1 to 1 ms a device, as its driver answers.

    ``gpu`` is a list of mappings, one a device in the order that CUDA numbers them, as far as
    ``CUDA_DEVICE_ORDER=PCI_BUS_ID`` holds. A device that is lost leaves an empty mapping.
    """

    name = "gpu"
    constants = frozenset({"gpu_count", "memory_total"})
    unrecorded = frozenset({f"gpu_{key}" for key in _LISTED})

    def __init__(
        self, nvml: Any = None, visible: str | None = None, pid: int | None = None
    ) -> None:
        """Nothing is loaded before `initialize`.

        Args:
            nvml: by default pynvml.
            visible: by default ``CUDA_VISIBLE_DEVICES``.
            pid: the process whose own memory is read; by default this one.
        """
        self._module = nvml
        self._visible = visible
        self._pid = pid
        self._nvml: Nvml | None = None
        self._lost: set[int] = set()
        self.missing: dict[str, str] = {}
        self.devices: list[dict[str, Any]] = []

    def initialize(self) -> None:
        """Load NVML and find the devices. Twice is once. Raises UnavailableError."""
        if self._nvml is None:
            self._nvml = load_nvml(self._module, self._visible)
            self._module = self._nvml.module
            self.devices = [
                self._described(number, handle) for number, handle in enumerate(self._nvml.devices)
            ]

    def close(self) -> None:
        """Let go of NVML."""
        if self._nvml is not None:
            self._nvml.close()
            self._nvml = None

    def _described(self, number: int, handle: Any) -> dict[str, Any]:
        module = self._module
        facts: dict[str, Any] = {"kind": "gpu", "index": number}
        facts["name"] = text(self._asked(number, "name", module.nvmlDeviceGetName, handle) or "GPU")
        for key, ask in (
            ("uuid", lambda: text(module.nvmlDeviceGetUUID(handle))),
            ("driver", lambda: text(module.nvmlSystemGetDriverVersion())),
            ("memory_bytes", lambda: int(module.nvmlDeviceGetMemoryInfo(handle).total)),
        ):
            value = self._asked(number, key, ask)
            if value is not None:
                facts[key] = value
        return facts

    def collect(self) -> dict[str, Any]:
        """Of all devices together ``gpu_count`` and lists; under ``gpu`` a mapping for each."""
        self.initialize()
        handles = [] if self._nvml is None else self._nvml.devices
        each = [
            {} if number in self._lost else self._device(number, handle)
            for number, handle in enumerate(handles)
        ]
        reading: dict[str, Any] = {"gpu_count": len(each) - len(self._lost), "gpu": each}
        for key in _LISTED:
            values = [device.get(key) for device in each]
            if any(value is not None for value in values):
                reading[f"gpu_{key}"] = values
        return reading

    def _device(self, number: int, handle: Any) -> dict[str, Any]:
        device: dict[str, Any] = {}
        for read in (self._use, self._memory, self._state, self._faults):
            device |= read(number, handle)
            if number in self._lost:
                return {}
        return device

    def _use(self, number: int, handle: Any) -> dict[str, Any]:
        rates = self._asked(
            number, "utilization", self._module.nvmlDeviceGetUtilizationRates, handle
        )
        if rates is None:
            return {}
        return {"utilization": rates.gpu, "memory_utilization": rates.memory}

    def _memory(self, number: int, handle: Any) -> dict[str, Any]:
        module = self._module
        memory = self._asked(number, "memory_used", module.nvmlDeviceGetMemoryInfo, handle)
        found: dict[str, Any] = {}
        if memory is not None and memory.total:
            found["memory_used"] = memory.used
            found["memory_total"] = memory.total
            found["memory_percent"] = 100 * memory.used / memory.total
        processes = self._asked(
            number, "process_memory_used", module.nvmlDeviceGetComputeRunningProcesses, handle
        )
        pid = os.getpid() if self._pid is None else self._pid
        own = [one.usedGpuMemory for one in processes or () if one.pid == pid]
        if own and None not in own:  # None: the driver does not say
            found["process_memory_used"] = sum(own)
        return found

    def _state(self, number: int, handle: Any) -> dict[str, Any]:
        module = self._module
        found: dict[str, Any] = {}
        asked: tuple[tuple[str, Callable[[], Any]], ...] = (
            (
                "temperature",
                lambda: module.nvmlDeviceGetTemperature(handle, module.NVML_TEMPERATURE_GPU),
            ),
            ("power_watts", lambda: module.nvmlDeviceGetPowerUsage(handle) / 1000),
            (
                "clock_sm_mhz",
                lambda: module.nvmlDeviceGetClockInfo(handle, module.NVML_CLOCK_SM),
            ),
            (
                "clock_memory_mhz",
                lambda: module.nvmlDeviceGetClockInfo(handle, module.NVML_CLOCK_MEM),
            ),
        )
        for key, ask in asked:
            value = self._asked(number, key, ask)
            if value is not None:
                found[key] = value
        return found

    def _faults(self, number: int, handle: Any) -> dict[str, Any]:
        module = self._module
        found: dict[str, Any] = {}
        reasons = self._asked(
            number,
            "throttle_reasons",
            module.nvmlDeviceGetCurrentClocksThrottleReasons,
            handle,
        )
        if reasons is not None:
            found["throttle_reasons"] = reasons
        errors = self._asked(
            number,
            "ecc_errors",
            module.nvmlDeviceGetTotalEccErrors,
            handle,
            module.NVML_MEMORY_ERROR_TYPE_UNCORRECTED,
            module.NVML_VOLATILE_ECC,
        )
        if errors is not None:
            found["ecc_errors"] = errors
        return found

    def _asked(self, number: int, key: str, ask: Callable[..., Any], *arguments: Any) -> Any:
        """The answer; None where there is none, with the reason in `missing`."""
        if f"gpu.{number}.{key}" in self.missing:
            return None
        try:
            return ask(*arguments)
        except self._module.NVMLError as error:
            value = getattr(error, "value", None)
            if value in (
                self._module.NVML_ERROR_GPU_IS_LOST,
                self._module.NVML_ERROR_RESET_REQUIRED,
            ):
                self._lost.add(number)
                self.missing[f"gpu.{number}"] = f"NVML: {error}"
            elif value in (
                self._module.NVML_ERROR_NOT_SUPPORTED,
                self._module.NVML_ERROR_NO_PERMISSION,
            ):
                self.missing[f"gpu.{number}.{key}"] = f"NVML: {error}"
            return None


def text(value: str | bytes) -> str:
    """Older versions of pynvml give bytes."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value

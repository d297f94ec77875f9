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
_LASTING: Final = (
    "NOT_SUPPORTED",
    "NO_PERMISSION",
    "INVALID_ARGUMENT",
    "FUNCTION_NOT_FOUND",
    "ARGUMENT_VERSION_MISMATCH",
)
"""The errors by which a device says that it never gives a value: it is not asked again."""
_LISTED: Final = ("utilization", "memory_used", "memory_total", "temperature")
"""What a reading has as a list over the devices, too."""
_TEMPERATURE: Final = ("nvmlDeviceGetTemperatureV", "nvmlDeviceGetTemperature")
_REASONS: Final = (
    "nvmlDeviceGetCurrentClocksEventReasons",
    "nvmlDeviceGetCurrentClocksThrottleReasons",
)
_PROCESSES: Final = (
    "nvmlDeviceGetComputeRunningProcesses",
    "nvmlDeviceGetComputeRunningProcesses_v2",
)
"""Functions that became others, the newest first."""


class Nvml:
    """NVML, initialised, and the devices that this process can use.

    Args:
        module: pynvml, or a module like it.
        visible: the value of ``CUDA_VISIBLE_DEVICES``; None where it is not set.
    """

    def __init__(self, module: Any, visible: str | None) -> None:
        self.module = module
        # not an NVMLError: what the binding raises where the driver is older than a function
        mismatch = getattr(module, "NVMLLibraryMismatchError", None)
        self.errors: tuple[type[Exception], ...] = (module.NVMLError, *filter(None, [mismatch]))
        codes = [getattr(module, f"NVML_ERROR_{name}", None) for name in _LASTING]
        self._lasting = frozenset(code for code in codes if code is not None)
        self.troubles: dict[str, str] = {}
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
            reasons = "; ".join(self.troubles.values())
            raise UnavailableError(reasons or "this process can use no GPU", expected=not reasons)
        self._check_order(visible)

    def close(self) -> None:
        """Let go of NVML, which counts its users."""
        try:
            self.module.nvmlShutdown()
        except self.module.NVMLError:
            pass  # the driver is gone: there is nothing to let go of

    def never(self, error: Exception) -> bool:
        """Whether an error says that a value is never given."""
        code = getattr(error, "value", None)
        return code in self._lasting or not isinstance(error, self.module.NVMLError)

    def lost(self, error: Exception) -> bool:
        """Whether an error says that the device is gone until the machine is started anew."""
        module, code = self.module, getattr(error, "value", None)
        return code in (module.NVML_ERROR_GPU_IS_LOST, module.NVML_ERROR_RESET_REQUIRED)

    def first_of(self, names: tuple[str, ...], *arguments: Any) -> Any:
        """The answer of the first of some functions that the binding and the driver both have.

        Names change over the years: newer bindings drop the older ones, older drivers lack the
        newer. Raises what the last one raises.
        """
        module = self.module
        known = [function for name in names if (function := getattr(module, name, None))]
        if not known:
            raise module.NVMLError(module.NVML_ERROR_FUNCTION_NOT_FOUND)
        for function in known[:-1]:
            try:
                return function(*arguments)
            except self.errors as error:
                unknown = (
                    module.NVML_ERROR_FUNCTION_NOT_FOUND,
                    module.NVML_ERROR_ARGUMENT_VERSION_MISMATCH,
                )
                if getattr(error, "value", unknown[0]) not in unknown:
                    raise
        return known[-1](*arguments)

    def _check_order(self, visible: str | None) -> None:
        """Say so where CUDA may mean other devices by the numbers chosen than NVML does."""
        numbers = [one for one in (visible or "").split(",") if one.strip().isdecimal()]
        if not numbers or os.environ.get("CUDA_DEVICE_ORDER") == "PCI_BUS_ID":
            return
        try:
            names = {text(self.module.nvmlDeviceGetName(handle)) for handle in self._handles()}
        except self.module.NVMLError:
            return
        if len(names) > 1:
            self.troubles["order"] = (
                "the machine's GPUs differ, and CUDA numbers the fastest first where "
                "CUDA_DEVICE_ORDER is not PCI_BUS_ID: these may be others than the process uses"
            )

    def _handles(self) -> Iterator[Any]:
        """Every device that answers; one that fell off its bus does not hide the others."""
        module = self.module
        for index in range(module.nvmlDeviceGetCount()):
            try:
                yield module.nvmlDeviceGetHandleByIndex(index)
            except module.NVMLError as error:
                self.troubles[f"device {index}"] = f"NVML: {error}"

    def _usable(self, visible: str | None) -> Iterator[Any]:
        if visible is None:
            for handle in self._handles():
                yield from self._parts(handle)
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
        found = [
            handle
            for handle in self._handles()
            if text(module.nvmlDeviceGetUUID(handle)).startswith(entry)
        ]
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
        self._never: set[tuple[int, str]] = set()
        self.missing: dict[str, str] = {}
        self.devices: list[dict[str, Any]] = []

    def initialize(self) -> None:
        """Load NVML and find the devices. Twice is once. Raises UnavailableError."""
        if self._nvml is None:
            self._nvml = load_nvml(self._module, self._visible)
            self._module = self._nvml.module
            self.missing |= {f"gpu {what}": why for what, why in self._nvml.troubles.items()}
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
        processes = self._asked(number, "process_memory_used", self._first, _PROCESSES, handle)
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
                lambda: self._first(_TEMPERATURE, handle, module.NVML_TEMPERATURE_GPU),
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
        reasons = self._asked(number, "throttle_reasons", self._first, _REASONS, handle)
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

    def _first(self, names: tuple[str, ...], *arguments: Any) -> Any:
        assert self._nvml is not None
        return self._nvml.first_of(names, *arguments)

    def _asked(self, number: int, key: str, ask: Callable[..., Any], *arguments: Any) -> Any:
        """The answer; None where there is none, with the reason in `missing`."""
        nvml = self._nvml
        if nvml is None or (number, key) in self._never:
            return None
        try:
            return ask(*arguments)
        except nvml.errors as error:
            if nvml.lost(error):
                self._lost.add(number)
                self.missing[f"gpu.{number}"] = f"NVML: {error}"
                return None
            if nvml.never(error):
                self._never.add((number, key))
            self.missing.setdefault(f"gpu.{number}.{key}", f"NVML: {error}")
            return None


def text(value: str | bytes) -> str:
    """Older versions of pynvml give bytes."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value

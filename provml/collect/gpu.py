"""Reads NVIDIA GPUs with NVML: utilisation, memory, temperature, power, clocks and errors.

Reads every device that this process can use, as determined by ``CUDA_VISIBLE_DEVICES`` and MIG. A
reading leaves out the values that a device does not provide. Imports only `readings` from provml,
and pynvml (package nvidia-ml-py, extra ``gpu``) only when needed.

Source: NVML API Reference Manual; CUDA C++ Programming Guide, environment variables.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from provml.collect.readings import UnavailableError

_DRIVER_FILES: Final = (Path("/proc/driver/nvidia/version"), Path("/dev/nvidiactl"))
_PERMANENT_ERRORS: Final = (
    "NOT_SUPPORTED",
    "NO_PERMISSION",
    "INVALID_ARGUMENT",
    "FUNCTION_NOT_FOUND",
    "ARGUMENT_VERSION_MISMATCH",
)
"""Errors that mean that a device never provides a value, so provml does not query it again."""
_LIST_KEYS: Final = ("utilization", "memory_used", "memory_total", "temperature")
"""Keys for which a reading also contains a list with the values of all devices."""
_TEMPERATURE_FUNCTIONS: Final = ("nvmlDeviceGetTemperatureV", "nvmlDeviceGetTemperature")
_THROTTLE_FUNCTIONS: Final = (
    "nvmlDeviceGetCurrentClocksEventReasons",
    "nvmlDeviceGetCurrentClocksThrottleReasons",
)
_PROCESS_FUNCTIONS: Final = (
    "nvmlDeviceGetComputeRunningProcesses",
    "nvmlDeviceGetComputeRunningProcesses_v2",
)
"""The names, newest first, of the NVML function that lists the processes on a GPU."""


class Nvml:
    """An initialised NVML library, and the devices that this process can use.

    Args:
        module: pynvml, or a module with the same functions.
        visible: the value of ``CUDA_VISIBLE_DEVICES``; None if it is not set.
    """

    def __init__(self, module: Any, visible: str | None) -> None:
        self.module = module
        # if the driver lacks a function, pynvml raises this error instead of an NVMLError
        mismatch = getattr(module, "NVMLLibraryMismatchError", None)
        self.errors: tuple[type[Exception], ...] = (module.NVMLError, *filter(None, [mismatch]))
        codes = [getattr(module, f"NVML_ERROR_{name}", None) for name in _PERMANENT_ERRORS]
        self._permanent_codes = frozenset(code for code in codes if code is not None)
        self.problems: dict[str, str] = {}
        try:
            module.nvmlInit()
        except module.NVMLError as error:
            # without a driver, the user does not expect GPU readings
            absent = getattr(error, "value", None) in (
                module.NVML_ERROR_LIBRARY_NOT_FOUND,
                module.NVML_ERROR_DRIVER_NOT_LOADED,
            )
            raise UnavailableError(f"NVML can't be used: {error}", expected=absent) from None
        try:
            self.devices = list(self._find_visible(visible))
        except module.NVMLError as error:
            self.close()
            raise UnavailableError(f"NVML can't be used: {error}", expected=False) from None
        if not self.devices:
            self.close()
            reasons = "; ".join(self.problems.values())
            raise UnavailableError(
                reasons or "this process can't use any GPU", expected=not reasons
            )
        self._check_device_order(visible)

    def close(self) -> None:
        """Release NVML. The library shuts down after its last user has released it."""
        try:
            self.module.nvmlShutdown()
        except self.module.NVMLError:
            pass  # the driver is gone, so nothing is left to release

    def is_permanent(self, error: Exception) -> bool:
        """Return True if the error means that the value will never be available."""
        code = getattr(error, "value", None)
        return code in self._permanent_codes or not isinstance(error, self.module.NVMLError)

    def is_device_lost(self, error: Exception) -> bool:
        """Return True if the error means that the device is gone until the next reboot."""
        module, code = self.module, getattr(error, "value", None)
        return code in (module.NVML_ERROR_GPU_IS_LOST, module.NVML_ERROR_RESET_REQUIRED)

    def call_first(self, names: tuple[str, ...], *arguments: Any) -> Any:
        """Call an NVML function by the first of its names that both pynvml and the driver know.

        New versions of NVML rename functions: newer versions of pynvml lack the old names, and
        older drivers lack the new names. If no name is known, raises pynvml's error for a missing
        function.
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

    def _check_device_order(self, visible: str | None) -> None:
        """Record a problem if CUDA might number the devices in a different order from NVML."""
        numbers = [one for one in (visible or "").split(",") if one.strip().isdecimal()]
        if not numbers or os.environ.get("CUDA_DEVICE_ORDER") == "PCI_BUS_ID":
            return
        try:
            names = {
                decode_text(self.module.nvmlDeviceGetName(handle)) for handle in self._handles()
            }
        except self.module.NVMLError:
            return
        if len(names) > 1:
            self.problems["order"] = (
                "the machine has several GPU models, and CUDA numbers the fastest GPU first, so "
                "the readings may come from other GPUs than this process uses: set "
                "CUDA_DEVICE_ORDER=PCI_BUS_ID"
            )

    def _handles(self) -> Iterator[Any]:
        """Yield the handle of every device that responds, even if another device has failed."""
        module = self.module
        for index in range(module.nvmlDeviceGetCount()):
            try:
                yield module.nvmlDeviceGetHandleByIndex(index)
            except module.NVMLError as error:
                self.problems[f"device {index}"] = f"NVML: {error}"

    def _find_visible(self, visible: str | None) -> Iterator[Any]:
        if visible is None:
            for handle in self._handles():
                yield from self._split_mig(handle)
            return
        for entry in filter(None, (part.strip() for part in visible.split(","))):
            handles = self._find_entry(entry)
            if not handles:
                return  # as in CUDA, entries after an invalid one are ignored
            yield from handles

    def _find_entry(self, entry: str) -> list[Any]:
        module = self.module
        try:
            if entry.isdecimal():
                return list(self._split_mig(module.nvmlDeviceGetHandleByIndex(int(entry))))
            if entry.startswith("MIG-"):
                return [module.nvmlDeviceGetHandleByUUID(entry)]
        except module.NVMLError:
            return []
        if not entry.startswith("GPU-"):
            return []
        found = [
            handle
            for handle in self._handles()
            if decode_text(module.nvmlDeviceGetUUID(handle)).startswith(entry)
        ]
        return list(self._split_mig(found[0])) if len(found) == 1 else []

    def _split_mig(self, handle: Any) -> Iterator[Any]:
        """Yield a device's handle or, if MIG divides the device, the handles of its instances."""
        module = self.module
        try:
            divided = module.nvmlDeviceGetMigMode(handle)[0] == module.NVML_DEVICE_MIG_ENABLE
        except module.NVMLError:
            divided = False  # the device does not support MIG
        if not divided:
            yield handle
            return
        for index in range(module.nvmlDeviceGetMaxMigDeviceCount(handle)):
            try:
                yield module.nvmlDeviceGetMigDeviceHandleByIndex(handle, index)
            except module.NVMLError:
                continue  # no instance has this index


def load_nvml(module: Any = None, visible: str | None = None) -> Nvml:
    """Load NVML and find the devices. Raises UnavailableError if NVML can't be used.

    Args:
        module: a module with pynvml's functions; by default pynvml itself.
        visible: the GPUs to read, in the format of ``CUDA_VISIBLE_DEVICES``; by default the value
            of that variable.
    """
    if module is None:
        if not any(path.exists() for path in _DRIVER_FILES):
            raise UnavailableError("no NVIDIA driver is installed")
        try:
            import pynvml as module  # type: ignore[no-redef]
        except ImportError:
            raise UnavailableError(
                "an NVIDIA driver is installed, but reading the GPUs needs nvidia-ml-py: "
                "pip install 'provml[gpu]'",
                expected=False,
            ) from None
    if visible is None:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return Nvml(module, visible)


class GpuCollector:
    """Reads all GPUs. A reading takes 0.1 to 1 ms per GPU, depending on the driver.

    In a reading, ``gpu`` is a list with one mapping per GPU. The mapping of a GPU that has failed
    is empty. To list the GPUs in the same order as CUDA, set ``CUDA_DEVICE_ORDER=PCI_BUS_ID``.
    """

    name = "gpu"
    constants = frozenset({"gpu_count", "memory_total"})
    unrecorded = frozenset({f"gpu_{key}" for key in _LIST_KEYS})

    def __init__(
        self, nvml: Any = None, visible: str | None = None, pid: int | None = None
    ) -> None:
        """Store the settings. `initialize` loads NVML.

        Args:
            nvml: a module with pynvml's functions; by default pynvml itself.
            visible: the GPUs to read, in the format of ``CUDA_VISIBLE_DEVICES``; by default the
                value of that variable.
            pid: the id of the process whose GPU memory is read; by default this process.
        """
        self._module = nvml
        self._visible = visible
        self._pid = pid
        self._nvml: Nvml | None = None
        self._lost_devices: set[int] = set()
        self._unsupported: set[tuple[int, str]] = set()
        self.missing: dict[str, str] = {}
        self.devices: list[dict[str, Any]] = []

    def initialize(self) -> None:
        """Load NVML and find the devices. Idempotent.

        Raises UnavailableError if NVML can't be used.
        """
        if self._nvml is None:
            self._nvml = load_nvml(self._module, self._visible)
            self._module = self._nvml.module
            self.missing |= {f"gpu {what}": why for what, why in self._nvml.problems.items()}
            self.devices = [
                self._describe_device(number, handle)
                for number, handle in enumerate(self._nvml.devices)
            ]

    def close(self) -> None:
        """Release NVML."""
        if self._nvml is not None:
            self._nvml.close()
            self._nvml = None

    def _describe_device(self, number: int, handle: Any) -> dict[str, Any]:
        module = self._module
        facts: dict[str, Any] = {"kind": "gpu", "index": number}
        facts["name"] = decode_text(
            self._query(number, "name", module.nvmlDeviceGetName, handle) or "GPU"
        )
        for key, ask in (
            ("uuid", lambda: decode_text(module.nvmlDeviceGetUUID(handle))),
            ("driver", lambda: decode_text(module.nvmlSystemGetDriverVersion())),
            ("memory_bytes", lambda: int(module.nvmlDeviceGetMemoryInfo(handle).total)),
        ):
            value = self._query(number, key, ask)
            if value is not None:
                facts[key] = value
        return facts

    def collect(self) -> dict[str, Any]:
        """Return the number of GPUs, lists with the values of all GPUs, and a mapping per GPU."""
        self.initialize()
        handles = [] if self._nvml is None else self._nvml.devices
        each = [
            {} if number in self._lost_devices else self._read_device(number, handle)
            for number, handle in enumerate(handles)
        ]
        reading: dict[str, Any] = {"gpu_count": len(each) - len(self._lost_devices), "gpu": each}
        for key in _LIST_KEYS:
            values = [device.get(key) for device in each]
            if any(value is not None for value in values):
                reading[f"gpu_{key}"] = values
        return reading

    def _read_device(self, number: int, handle: Any) -> dict[str, Any]:
        device: dict[str, Any] = {}
        for read in (
            self._read_utilization,
            self._read_memory,
            self._read_state,
            self._read_faults,
        ):
            device |= read(number, handle)
            if number in self._lost_devices:
                return {}
        return device

    def _read_utilization(self, number: int, handle: Any) -> dict[str, Any]:
        rates = self._query(
            number, "utilization", self._module.nvmlDeviceGetUtilizationRates, handle
        )
        if rates is None:
            return {}
        return {"utilization": rates.gpu, "memory_utilization": rates.memory}

    def _read_memory(self, number: int, handle: Any) -> dict[str, Any]:
        module = self._module
        memory = self._query(number, "memory_used", module.nvmlDeviceGetMemoryInfo, handle)
        found: dict[str, Any] = {}
        if memory is not None and memory.total:
            found["memory_used"] = memory.used
            found["memory_total"] = memory.total
            found["memory_percent"] = 100 * memory.used / memory.total
        processes = self._query(
            number, "process_memory_used", self._call_first, _PROCESS_FUNCTIONS, handle
        )
        pid = os.getpid() if self._pid is None else self._pid
        used_bytes = [one.usedGpuMemory for one in processes or () if one.pid == pid]
        if used_bytes and None not in used_bytes:  # the size is None if the driver does not know it
            found["process_memory_used"] = sum(used_bytes)
        return found

    def _read_state(self, number: int, handle: Any) -> dict[str, Any]:
        module = self._module
        found: dict[str, Any] = {}
        asked: tuple[tuple[str, Callable[[], Any]], ...] = (
            (
                "temperature",
                lambda: self._call_first(
                    _TEMPERATURE_FUNCTIONS, handle, module.NVML_TEMPERATURE_GPU
                ),
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
            value = self._query(number, key, ask)
            if value is not None:
                found[key] = value
        return found

    def _read_faults(self, number: int, handle: Any) -> dict[str, Any]:
        module = self._module
        found: dict[str, Any] = {}
        reasons = self._query(
            number, "throttle_reasons", self._call_first, _THROTTLE_FUNCTIONS, handle
        )
        if reasons is not None:
            found["throttle_reasons"] = reasons
        errors = self._query(
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

    def _call_first(self, names: tuple[str, ...], *arguments: Any) -> Any:
        assert self._nvml is not None
        return self._nvml.call_first(names, *arguments)

    def _query(self, number: int, key: str, ask: Callable[..., Any], *arguments: Any) -> Any:
        """Query a value of a device. On failure, note the reason in `missing` and return None."""
        nvml = self._nvml
        if nvml is None or (number, key) in self._unsupported:
            return None
        try:
            return ask(*arguments)
        except nvml.errors as error:
            if nvml.is_device_lost(error):
                self._lost_devices.add(number)
                self.missing[f"gpu.{number}"] = f"NVML: {error}"
                return None
            if nvml.is_permanent(error):
                self._unsupported.add((number, key))
            self.missing.setdefault(f"gpu.{number}.{key}", f"NVML: {error}")
            return None


def decode_text(value: str | bytes) -> str:
    """Convert a text from pynvml to ``str``. Older versions of pynvml return bytes."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value

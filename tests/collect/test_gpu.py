"""GPUs: every value, the devices that a process may use, and driver failures."""

from __future__ import annotations

import os
from types import SimpleNamespace

import pynvml
import pytest
from collect.nvml import MIB, Device, FakeNvml

import provml
from provml.collect.gpu import GpuCollector, load_nvml
from provml.collect.readings import UnavailableError
from provml.collect.system import SystemMetricsCollector

TWO = (Device(), Device(uuid="GPU-1f9a1b2c-1111", utilization=12, temperature=33))


@pytest.fixture(autouse=True)
def no_devices_chosen(monkeypatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def uuids(nvml: FakeNvml, visible: str | None) -> list[str]:
    return [device.uuid for device in load_nvml(nvml, visible).devices]


def test_every_value_of_a_device() -> None:
    """A value of a GPU would be wrong, in another unit, or missing."""
    processes = [
        SimpleNamespace(pid=os.getpid(), usedGpuMemory=5 * MIB),
        SimpleNamespace(pid=1, usedGpuMemory=7 * MIB),
    ]
    collector = GpuCollector(FakeNvml(Device(processes=processes, throttle_reasons=4)))
    collector.initialize()
    reading = collector.collect()
    assert reading["gpu"] == [
        {
            "utilization": 87,
            "memory_utilization": 41,
            "memory_used": 40960 * MIB,
            "memory_total": 81559 * MIB,
            "memory_percent": pytest.approx(100 * 40960 / 81559),
            "process_memory_used": 5 * MIB,
            "temperature": 54,
            "power_watts": 412.345,
            "clock_sm_mhz": 1980,
            "clock_memory_mhz": 2619,
            "throttle_reasons": 4,
            "ecc_errors": 0,
        }
    ]
    assert reading["gpu_count"] == 1
    assert reading["gpu_utilization"] == [87]
    assert reading["gpu_temperature"] == [54]
    assert collector.missing == {}
    assert collector.devices == [
        {
            "kind": "gpu",
            "index": 0,
            "name": "NVIDIA H100 80GB HBM3",
            "uuid": "GPU-0f9a1b2c-0000-0000-0000-000000000000",
            "driver": "550.54.15",
            "memory_bytes": 81559 * MIB,
        }
    ]


@pytest.mark.parametrize(
    ("visible", "seen"),
    [
        (None, [0, 1]),
        ("0", [0]),
        ("1,0", [1, 0]),
        ("GPU-1f9a", [1]),
        ("0, 1", [0, 1]),
        ("1,7,0", [1]),  # CUDA sees nothing behind what is no device
        ("GPU-", []),  # the beginning of more than one
        ("-1", []),
        ("", []),
        ("NoDevFiles", []),
    ],
)
def test_the_devices_that_a_process_may_use(visible, seen) -> None:
    """A job's record would hold the GPUs of others."""
    if not seen:
        with pytest.raises(UnavailableError, match="can't use any GPU"):
            uuids(FakeNvml(*TWO), visible)
    else:
        assert uuids(FakeNvml(*TWO), visible) == [TWO[index].uuid for index in seen]


def test_the_environment_chooses_devices(monkeypatch) -> None:
    """A job script's CUDA_VISIBLE_DEVICES would be ignored."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert uuids(FakeNvml(*TWO), None) == [TWO[1].uuid]


def test_mig_instances_are_devices() -> None:
    """On a partitioned GPU a process would appear to have the whole GPU, or none."""
    unsupported = pynvml.NVML_ERROR_NOT_SUPPORTED
    fails = {"nvmlDeviceGetUtilizationRates": unsupported, "nvmlDeviceGetTemperatureV": unsupported}
    one = Device(uuid="MIG-1", memory_total=10 * MIB, memory_used=1 * MIB, fails=fails)
    two = Device(uuid="MIG-2", memory_total=20 * MIB, memory_used=4 * MIB, fails=fails)
    nvml = FakeNvml(Device(instances=[one, None, two]))
    assert uuids(nvml, None) == ["MIG-1", "MIG-2"]
    assert uuids(nvml, "MIG-2") == ["MIG-2"]
    assert uuids(nvml, "0") == ["MIG-1", "MIG-2"]
    collector = GpuCollector(nvml, "MIG-2")
    (device,) = collector.collect()["gpu"]
    assert device["memory_percent"] == 20
    assert not {"utilization", "temperature"} & set(device)
    assert "Not Supported" in collector.missing["gpu.0.utilization"]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (pynvml.NVML_ERROR_LIBRARY_NOT_FOUND, True),
        (pynvml.NVML_ERROR_DRIVER_NOT_LOADED, True),
        (pynvml.NVML_ERROR_NO_PERMISSION, False),
        (pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH, False),
    ],
)
def test_a_missing_or_failing_driver(error, expected) -> None:
    """A machine without GPUs would report a problem, or a broken driver would go unnoticed."""
    with pytest.raises(UnavailableError) as caught:
        GpuCollector(FakeNvml(init=error)).initialize()
    assert caught.value.expected is expected


def test_an_unavailable_value_is_absent_and_reported_once() -> None:
    """A value that a device lacks would be 0, or would be queried again and again."""
    fails = {
        "nvmlDeviceGetPowerUsage": pynvml.NVML_ERROR_NO_PERMISSION,
        "nvmlDeviceGetTotalEccErrors": pynvml.NVML_ERROR_NOT_SUPPORTED,
        "nvmlDeviceGetClockInfo": pynvml.NVML_ERROR_TIMEOUT,
    }
    nvml = FakeNvml(
        Device(fails=fails, processes=[SimpleNamespace(pid=os.getpid(), usedGpuMemory=None)])
    )
    collector = GpuCollector(nvml)
    for _ in range(3):
        (device,) = collector.collect()["gpu"]
    assert set(device) == {
        "utilization",
        "memory_utilization",
        "memory_used",
        "memory_total",
        "memory_percent",
        "temperature",
        "throttle_reasons",
    }
    assert collector.missing == {
        "gpu.0.power_watts": "NVML: Insufficient Permissions",
        "gpu.0.ecc_errors": "NVML: Not Supported",
        "gpu.0.clock_sm_mhz": "NVML: Timeout",
        "gpu.0.clock_memory_mhz": "NVML: Timeout",
    }
    assert nvml.asked.count("nvmlDeviceGetPowerUsage") == 1
    assert nvml.asked.count("nvmlDeviceGetClockInfo") == 6  # a moment's trouble: asked again
    fails.clear()
    assert "clock_sm_mhz" in collector.collect()["gpu"][0]


def test_a_lost_device_does_not_affect_others() -> None:
    """One GPU that falls off its bus would end all readings, or shift the others' numbers."""
    devices = (Device(), Device(uuid="GPU-1", utilization=5))
    collector = GpuCollector(FakeNvml(*devices))
    assert collector.collect()["gpu_utilization"] == [87, 5]
    devices[0].fails["all"] = pynvml.NVML_ERROR_GPU_IS_LOST
    reading = collector.collect()
    assert reading["gpu"][0] == {}
    assert reading["gpu"][1]["utilization"] == 5
    assert reading["gpu_utilization"] == [None, 5]
    assert reading["gpu_count"] == 1
    assert "lost" in collector.missing["gpu.0"].lower()


def test_nvml_is_released() -> None:
    """Each run of a process would leave NVML open."""
    nvml = FakeNvml(Device())
    collector = GpuCollector(nvml)
    collector.initialize()
    assert nvml.users == 1
    collector.close()
    collector.close()
    assert nvml.users == 0
    with pytest.raises(UnavailableError):
        GpuCollector(FakeNvml()).initialize()


def test_system_readings_include_the_gpus() -> None:
    """`collect()` would lack the list ``gpu`` and the values by device."""
    collector = SystemMetricsCollector(gpu=GpuCollector(FakeNvml(*TWO)))
    reading = collector.collect()
    assert [device["utilization"] for device in reading["gpu"]] == [87, 12]
    for key in ("utilization", "memory_used", "memory_total", "temperature"):
        assert reading[f"gpu_{key}"] == [device[key] for device in reading["gpu"]]
    assert reading["gpu_count"] == 2
    assert {"utilization", "memory_used", "memory_total", "memory_percent", "temperature"} <= set(
        reading["gpu"][0]
    )


def test_an_nvml_failure_does_not_stop_system_readings() -> None:
    """A broken driver would leave a run without CPU and memory readings."""
    refused = FakeNvml(init=pynvml.NVML_ERROR_NO_PERMISSION)
    collector = SystemMetricsCollector(gpu=GpuCollector(refused))
    reading = collector.collect()
    assert {"cpu_percent", "memory_percent"} <= set(reading)
    assert not [key for key in reading if key.startswith("gpu")]
    assert "Insufficient Permissions" in collector.missing["gpu"]


def test_a_run_records_gpus_by_device(store) -> None:
    """The readings of several GPUs would be mixed, or their names and driver would be lost."""
    collector = GpuCollector(FakeNvml(*TWO))
    options = {"store": store, "formats": ()}
    with provml.start_run("gpu", sample_interval_s=100, collect=[collector], **options) as run:
        run.log_metric("m", 1.0)
    recorded = provml.load(run.path)
    names = [name for name, _ in recorded.series_names("gpu")]
    assert "gpu.0.utilization" in names and "gpu.1.utilization" in names
    assert not [name for name in names if name.startswith("gpu_utilization")]
    by_name = {use.name: use for use in recorded.resources()}
    assert by_name["gpu.1.temperature"].maximum == 33
    assert by_name["gpu.0.power_watts"].unit == "W"
    assert by_name["gpu.0.memory_used"].unit == "B"
    devices = [
        dict(s.attributes)
        for s in recorded.statements()
        if s.kind == "entity" and ("prov:type", "provml:Device") in s.attributes
    ]
    assert [device["provml:uuid"] for device in devices] == [device.uuid for device in TWO]
    assert {device["provml:driver"] for device in devices} == {"550.54.15"}

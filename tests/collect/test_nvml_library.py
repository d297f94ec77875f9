"""GPUs read through NVIDIA's own binding, from a library that answers as real devices did.

The tests check the boundary: the structures, bytes and error codes that cross it. `nvml_library.c`
names the real device behind each record.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from waiting import LIMIT_S

SOURCE = Path(__file__).parent / "nvml_library.c"
MIB = 2**20
SCRIPT = """
import json, sys
from pathlib import Path
import pynvml
from provml.collect.energy import EnergyCollector
from provml.collect.gpu import GpuCollector
from provml.collect.readings import UnavailableError

options = json.loads(sys.argv[1])
collector = GpuCollector(pynvml, pid=options.get("pid"))
found = {"readings": [], "energy": []}
try:
    for _ in range(options.get("readings", 1)):
        found["readings"].append(collector.collect())
    energy = EnergyCollector(pynvml, powercap=Path("/nowhere"))
    energy.initialize()
    found["energy"].append(energy.collect())
except UnavailableError as error:
    found["unavailable"] = [str(error), error.expected]
else:
    found["energy_missing"] = energy.missing
found |= {"devices": collector.devices, "missing": collector.missing}
print(json.dumps(found))
"""


def built(folder: Path, *options: str) -> Path:
    """The folder with the compiled library."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("there is no C compiler")
    library = folder / "libnvidia-ml.so.1"
    command = [compiler, "-shared", "-fPIC", "-O1", *options, "-o", str(library), str(SOURCE)]
    subprocess.run(command, check=True, capture_output=True, timeout=LIMIT_S)
    return folder


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library like a current driver's."""
    return built(tmp_path_factory.mktemp("nvml"))


@pytest.fixture(scope="module")
def old_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library of a driver that lacks the newer functions."""
    return built(tmp_path_factory.mktemp("nvml-old"), "-DOLD_DRIVER")


def read(library: Path, devices: str, **options: Any) -> dict[str, Any]:
    """The readings of a process on a machine with these devices."""
    environment = {
        **os.environ,
        "LD_LIBRARY_PATH": str(library),
        "FAKE_NVML": devices,
        **options.pop("variables", {}),
    }
    arguments = json.dumps(options)

    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_device_of_a_data_centre(library: Path) -> None:
    """A value would have the wrong field, type or unit at the boundary to NVIDIA's binding."""
    found = read(library, "t4")
    assert found["readings"] == [
        {
            "gpu_count": 1,
            "gpu": [
                {
                    "utilization": 37,
                    "memory_utilization": 21,
                    "memory_used": 2048 * MIB,
                    "memory_total": 15360 * MIB,
                    "memory_percent": pytest.approx(100 * 2048 / 15360),
                    "temperature": 41,
                    "power_watts": 27.123,
                    "clock_sm_mhz": 585,
                    "clock_memory_mhz": 5000,
                    "throttle_reasons": 1,
                    "ecc_errors": 0,
                }
            ],
            "gpu_utilization": [37],
            "gpu_memory_used": [2048 * MIB],
            "gpu_memory_total": [15360 * MIB],
            "gpu_temperature": [41],
        }
    ]
    assert found["devices"] == [
        {
            "kind": "gpu",
            "index": 0,
            "name": "Tesla T4",
            "uuid": "GPU-84b0bf9a-67bf-493c-9214-4fad8b125a6d",
            "driver": "525.89.02",
            "memory_bytes": 15360 * MIB,
        }
    ]
    assert found["missing"] == found["energy_missing"] == {}
    assert found["energy"] == [{"gpu.0_joules": 12.345, "energy_joules": 12.345}]


@pytest.mark.parametrize(
    ("device", "lacks", "missing"),
    [
        ("geforce", {"ecc_errors"}, {"gpu.0.ecc_errors": "NVML: Not Supported"}),
        ("p100", set(), {}),
        (
            "orin",
            {"utilization", "memory_used", "temperature", "power_watts", "clock_sm_mhz"},
            {
                f"gpu.0.{key}": "NVML: Not Supported"
                for key in (
                    "memory_bytes",
                    "utilization",
                    "memory_used",
                    "temperature",
                    "power_watts",
                    "clock_sm_mhz",
                    "clock_memory_mhz",
                    "throttle_reasons",
                    "ecc_errors",
                )
            },
        ),
    ],
)
def test_values_that_a_device_lacks_are_absent(
    library: Path, device: str, lacks: set[str], missing: dict[str, str]
) -> None:
    """A device that lacks a counter would have no readings, or a 0 for the counter."""
    found = read(library, device, readings=2)
    assert not lacks & set(found["readings"][1]["gpu"][0])
    assert found["missing"] == missing
    assert found["readings"][1]["gpu_count"] == 1


@pytest.mark.parametrize(
    ("device", "why"),
    [
        ("p100", "NVML: Not Supported"),
        ("h100", "NVML: System is not in ready state"),
    ],
)
def test_a_failing_energy_counter_does_not_affect_others(
    library: Path, device: str, why: str
) -> None:
    """One device without a counter would hide the energy of the others."""
    found = read(library, f"t4,{device}")
    assert found["energy"] == [{"gpu.0_joules": 12.345, "energy_joules": 12.345}]
    assert found["energy_missing"] == {"gpu.1": why}


def test_instances_of_a_divided_device(library: Path) -> None:
    """On a partitioned GPU the instances would be missed, or the whole GPU read instead."""
    found = read(library, "mig", pid=34965)
    first, second = found["readings"][0]["gpu"]
    assert first["memory_used"] == 14366 * MIB
    assert first["process_memory_used"] == 14195 * MIB
    assert second["memory_percent"] == pytest.approx(100 * 9826 / 19968)
    assert set(second) == {"memory_used", "memory_total", "memory_percent"}
    assert [device["name"].rpartition(" MIG ")[2] for device in found["devices"]] == ["2g.20gb"] * 2
    assert found["missing"]["gpu.0.utilization"] == "NVML: Not Supported"
    assert found["missing"]["gpu.1.temperature"] == "NVML: Invalid Argument"


@pytest.mark.parametrize(
    ("visible", "seen"),
    [
        ("1", ["GPU-13fd"]),
        ("GPU-84b0", ["GPU-84b0"]),
        ("GPU-13fd0930-06c3-5975-8720-72c72ee7a823,0", ["GPU-13fd", "GPU-84b0"]),
        ("MIG-a25704ba-3a06-5299-a795-fd7cf4d13973", ["MIG-a257"]),
        ("2", ["MIG-feb8", "MIG-a257"]),
        ("MIG-00000000-0000-0000-0000-000000000000", []),
        ("0,-1,1", ["GPU-84b0"]),
        ("0,9,1", ["GPU-84b0"]),
        ("-1", []),
        ("", []),
        ("NoDevFiles", []),
    ],
)
def test_the_devices_that_are_visible(library: Path, visible: str, seen: list[str]) -> None:
    """A job's record would hold the GPUs of others, or lack its own."""
    found = read(library, "t4,geforce,mig", variables={"CUDA_VISIBLE_DEVICES": visible})
    assert [device["uuid"][:8] for device in found["devices"]] == seen
    if not seen:
        assert found["unavailable"] == ["this process can't use any GPU", True]


@pytest.mark.parametrize(
    ("devices", "visible", "order", "told"),
    [
        ("t4,geforce", "0", None, True),
        ("t4,geforce", "0", "FASTEST_FIRST", True),
        ("t4,geforce", "0", "PCI_BUS_ID", False),
        ("t4,geforce", "GPU-84b0", None, False),
        ("t4,t4", "1", None, False),
        ("t4,geforce", None, None, False),
    ],
)
def test_ambiguous_device_numbers_are_reported(
    library: Path, devices: str, visible: str | None, order: str | None, told: bool
) -> None:
    """CUDA numbers the fastest GPU first, NVML by the bus: readings could be of another device."""
    chosen = {"CUDA_VISIBLE_DEVICES": visible, "CUDA_DEVICE_ORDER": order}
    variables = {name: value for name, value in chosen.items() if value is not None}
    missing = read(library, devices, variables=variables)["missing"]
    assert ("CUDA_DEVICE_ORDER" in missing.get("gpu order", "")) is told


def test_a_driver_older_than_the_binding(old_library: Path) -> None:
    """A function that the driver lacks would end all readings of the GPU."""
    found = read(old_library, "k40", pid=34965, readings=2)
    (device,) = found["readings"][1]["gpu"]
    assert (device["temperature"], device["throttle_reasons"]) == (50, 0)
    assert device["utilization"] == 5
    processes = device.get("process_memory_used", found["missing"].get("gpu.0.process_memory_used"))
    assert processes in (63 * MIB, "NVML: Function Not Found")


def test_a_device_that_falls_off_its_bus(library: Path) -> None:
    """One GPU that is lost during the run would end all readings."""
    found = read(library, "t4,geforce", readings=4, variables={"FAKE_NVML_LOST_AFTER": "2"})
    use = [reading["gpu_utilization"] for reading in found["readings"]]
    assert use == [[37, 0], [37, 0], [None, 0], [None, 0]]
    assert found["readings"][3]["gpu"][0] == {}
    assert found["readings"][3]["gpu_count"] == 1
    assert found["missing"]["gpu.0"] == "NVML: GPU is lost"

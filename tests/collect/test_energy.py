"""Energy: counters that grow, wrap around, are denied or are missing."""

from __future__ import annotations

import os
from pathlib import Path

import pynvml
import pytest
from collect.nvml import Device, FakeNvml

import provml
from provml.collect.energy import EnergyCollector
from provml.collect.readings import UnavailableError

ABSENT = {"init": pynvml.NVML_ERROR_DRIVER_NOT_LOADED}


def zone(powercap: Path, number: str, name: str, energy_uj: int) -> Path:
    """A zone as the kernel presents it, and its counter."""
    folder = powercap / f"intel-rapl:{number}"
    folder.mkdir(parents=True)
    (folder / "name").write_text(f"{name}\n")
    (folder / "max_energy_range_uj").write_text("1000000000\n")
    (folder / "energy_uj").write_text(f"{energy_uj}\n")
    return folder / "energy_uj"


def test_joules_since_the_last_reading(tmp_path: Path) -> None:
    """Energy would have another unit, be counted twice, or include the time before the run."""
    device = Device()
    package = zone(tmp_path, "0", "package-0", 5_000_000)
    zone(tmp_path, "0:0", "core", 4_000_000)  # a part of the package
    dram = zone(tmp_path, "0:1", "dram", 900_000_000)
    collector = EnergyCollector(FakeNvml(device), powercap=tmp_path)
    collector.initialize()
    package.write_text("7500000")
    dram.write_text("100000000")  # it began anew at its range of 1 kJ
    device.energy_mj += 12_345
    assert collector.collect() == {
        "cpu.package-0_joules": 2.5,
        "cpu.dram-0_joules": 200.0,
        "gpu.0_joules": 12.345,
        "energy_joules": pytest.approx(214.845),
    }
    device.energy_mj = 17  # the driver was loaded anew
    assert collector.collect()["gpu.0_joules"] == 0
    assert collector.missing == {}


def test_a_machine_without_counters_is_not_reported(tmp_path: Path) -> None:
    """Every run on a laptop would complain that it has no energy counters."""
    with pytest.raises(UnavailableError, match="no energy counter") as caught:
        EnergyCollector(FakeNvml(**ABSENT), powercap=tmp_path).initialize()
    assert caught.value.expected


def test_unreadable_counters_are_reported(tmp_path: Path) -> None:
    """If only root may read the counters, nobody would learn why there is no energy."""
    zone(tmp_path, "0", "package-0", 1).unlink()
    with pytest.raises(UnavailableError, match="energy_uj") as caught:
        EnergyCollector(FakeNvml(**ABSENT), powercap=tmp_path).initialize()
    assert not caught.value.expected


def test_a_gpu_without_a_counter_does_not_affect_others(tmp_path: Path) -> None:
    """An older GPU would hide the energy of the others."""
    unsupported = {"nvmlDeviceGetTotalEnergyConsumption": pynvml.NVML_ERROR_NOT_SUPPORTED}
    new = Device(uuid="GPU-1")
    collector = EnergyCollector(FakeNvml(Device(fails=unsupported), new), powercap=tmp_path)
    collector.initialize()
    new.energy_mj += 1000
    assert collector.collect() == {"gpu.1_joules": 1.0, "energy_joules": 1.0}
    assert collector.missing == {"gpu.0": "NVML: Not Supported"}


def test_joules_of_each_context_and_step(store: Path, tmp_path: Path) -> None:
    """Nobody could tell how much energy the training, or one step of it, used."""
    device = Device()

    class Ticking(EnergyCollector):
        """Each reading finds a joule more."""

        def collect(self) -> dict[str, float]:
            device.energy_mj += 1000
            return super().collect()

    collector = Ticking(FakeNvml(device), powercap=tmp_path)
    options = {"store": store, "formats": (), "sample_interval_s": 0.001}
    with provml.start_run("energy", collect=[collector], **options) as run:
        for step in range(3):
            run.log_metric("loss", 1.0, "training", step)
            before = device.energy_mj
            while device.energy_mj < before + 5000:
                os.sched_yield()
    recorded = provml.load(run.path)
    series = recorded.series("energy_joules", "training", kind="energy")
    assert set(series.step.tolist()) == {0, 1, 2}
    assert set(series.value.tolist()) == {1.0}
    (use,) = [use for use in recorded.resources() if use.name == "energy_joules"]
    assert use.unit == "J"
    assert use.total == use.count == sum(use.contexts.values())
    assert use.contexts[("training",)] == len(series)

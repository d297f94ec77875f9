"""Every collector of the package keeps the contract: found by discovery, none is left out."""

from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path
from typing import Any

import pytest

import provml.collect
from provml.collect.collector_selection import DEFAULT_COLLECTORS, check_collectors, plan_collectors
from provml.collect.readings import (
    Collector,
    UnavailableError,
    check_collector,
    flatten_reading,
    is_number,
)


def _collectors() -> list[type]:
    found = []
    for module in pkgutil.iter_modules(provml.collect.__path__):
        members = vars(importlib.import_module(f"provml.collect.{module.name}")).values()
        found += [
            member
            for member in members
            if isinstance(member, type)
            and member.__module__ == f"provml.collect.{module.name}"
            and callable(getattr(member, "collect", None))
            and member is not Collector
        ]
    return found


COLLECTORS = _collectors()


def test_discovery_finds_them() -> None:
    """The tests below would test nothing."""
    names = {collector.__name__ for collector in COLLECTORS}
    assert {"SystemMetricsCollector", "ProcessCollector", "GpuCollector"} <= names
    assert "EnergyCollector" in names


@pytest.mark.parametrize("kind", COLLECTORS, ids=lambda kind: kind.__name__)
def test_a_collector_reads_numbers_or_says_why_not(kind: Any) -> None:
    """A collector would fail in the background, where nobody sees it."""
    collector = kind()
    check_collector(collector)
    assert getattr(collector, "missing", {}) == {}  # nothing is read before it is to
    try:
        collector.initialize()
    except UnavailableError as error:
        assert str(error)
        return
    for _ in range(3):
        reading = collector.collect()
        values = dict(flatten_reading(reading))
        assert set(map(type, reading)) == {str}
        assert all(is_number(value) for value in values.values())
    missing = getattr(collector, "missing", {})
    assert all(isinstance(why, str) and why for why in missing.values())
    close = getattr(collector, "close", None)
    if close is not None:
        close()


@pytest.mark.parametrize("names", [DEFAULT_COLLECTORS, *((name,) for name in DEFAULT_COLLECTORS)])
def test_every_name_makes_a_collector(names: tuple[str, ...]) -> None:
    """A name that can be chosen would fail once the run is under way."""
    for planned in plan_collectors(check_collectors(names), 5.0, machine_wide=True):
        collector = planned.make()
        check_collector(collector)
        assert collector.name == planned.name


def test_the_package_s_collectors_are_in_no_import() -> None:
    """``import provml`` would load what reads the machine, psutil or NVML."""
    import subprocess
    import sys

    code = "import sys, provml; print(*sorted(n for n in sys.modules if 'provml.collect.' in n))"
    code += "; print([n for n in ('psutil', 'pynvml', 'numpy', 'torch') if n in sys.modules])"
    out = subprocess.check_output([sys.executable, "-c", code], text=True).splitlines()
    assert out[1] == "[]"
    loaded = {name.removeprefix("provml.collect.") for name in out[0].split()}
    assert not loaded & {"system", "machine", "gpu", "energy", "process", "containers"}


def test_each_is_in_a_file_of_its_own() -> None:
    """One collector could not be read, or replaced, without the others."""
    files = [Path(importlib.import_module(kind.__module__).__file__ or "") for kind in COLLECTORS]
    assert len(set(files)) == len(files)

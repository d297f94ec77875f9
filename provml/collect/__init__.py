"""Collects facts about a training run: digests, code, environment, FLOPs and machine load.

Each collector has its own module. This package never imports a module that builds documents. The
names below are loaded only on first use, so ``import provml.collect`` is cheap.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from provml.collect.emissions import EmissionsCollector
    from provml.collect.energy import EnergyCollector
    from provml.collect.gpu import GpuCollector
    from provml.collect.process import ProcessCollector
    from provml.collect.readings import Collector, UnavailableError
    from provml.collect.system import (
        SystemMetricsCollector,
        adaptive_configuration,
        measure_overhead,
        suggested_interval_s,
    )

__all__ = [
    "Collector",
    "EmissionsCollector",
    "EnergyCollector",
    "GpuCollector",
    "ProcessCollector",
    "SystemMetricsCollector",
    "UnavailableError",
    "adaptive_configuration",
    "measure_overhead",
    "suggested_interval_s",
]

_MODULES = {
    "Collector": "readings",
    "EmissionsCollector": "emissions",
    "EnergyCollector": "energy",
    "GpuCollector": "gpu",
    "ProcessCollector": "process",
    "UnavailableError": "readings",
}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'provml.collect' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"provml.collect.{_MODULES.get(name, 'system')}"), name)


def __dir__() -> list[str]:
    return __all__

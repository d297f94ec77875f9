"""Checks the collectors that the caller chose for a run, and plans how to create them.

Another package can add a collector through an entry point in the group ``provml.collectors``. The
entry point has the collector's name, and refers to a function without arguments that creates the
collector.

Imports only `collector_thread`, `readings` and `errors` from provml. Imports the module of a
collector only to create the collector.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Final

from provml.base.entry_points import find_entry_points
from provml.collect.collector_thread import CollectorPlan
from provml.collect.readings import Collector, check_collector
from provml.errors import InvalidArgumentError

DEFAULT_COLLECTORS: Final = ("system", "disk", "network", "process", "gpu", "energy")
_SYSTEM_PARTS: Final = ("system", "disk", "network")
_PROCESS_COLLECTORS: Final = ("process",)
_FIRST_READING_DELAY_S: Final = 0.05
"""The delay before provml creates a collector, and again before the collector's first reading.

A run that ends earlier has no readings, because a reading would take longer than the run itself.
"""
COLLECTOR_ENTRY_POINTS: Final = "provml.collectors"


def check_collectors(chosen: object) -> tuple[str | Collector, ...]:
    """Check the chosen collectors, and return them as a tuple of names and objects.

    Reads the entry points of installed packages only if a name is not one of provml's own.

    Args:
        chosen: the value that the caller passed as ``collect``.

    Raises:
        InvalidArgumentError: the value is a string or is not iterable, a name is unknown, or an
            object is not a collector.
    """
    if isinstance(chosen, str) or not isinstance(chosen, Iterable):
        raise InvalidArgumentError(
            f"collect= must be a tuple of collector names and collector objects, not {chosen!r:.80}"
        )
    found: list[str | Collector] = []
    for one in chosen:
        if isinstance(one, str):
            if one not in DEFAULT_COLLECTORS and one not in (
                others := find_entry_points(COLLECTOR_ENTRY_POINTS)
            ):
                known = ", ".join([*DEFAULT_COLLECTORS, *sorted(others)])
                raise InvalidArgumentError(f"unknown collector {one!r}: choose from {known}")
        else:
            check_collector(one)
        found.append(one)
    return tuple(found)


def plan_collectors(
    chosen: Iterable[str | Collector],
    interval_s: float,
    machine_wide: bool,
    command: int | None = None,
) -> list[CollectorPlan]:
    """Return a plan for creating each chosen collector, without importing or creating it yet.

    Args:
        chosen: names and collector objects, as `check_collectors` returns them.
        interval_s: the number of seconds between readings.
        machine_wide: False if another process of the job already reads the machine. In this case,
            collector names other than ``process`` are ignored.
        command: the id of a process to read instead of this process; its descendants are also read.
            None reads only this process.
    """
    planned: list[CollectorPlan] = []
    names = [one for one in chosen if isinstance(one, str)]
    if not machine_wide:
        names = [name for name in names if name in _PROCESS_COLLECTORS]
    parts = tuple(name for name in names if name in _SYSTEM_PARTS)
    if parts:
        planned.append(
            CollectorPlan(
                "system", lambda: _make_system_collector(parts, interval_s), _FIRST_READING_DELAY_S
            )
        )
    for name in dict.fromkeys(names):
        if name not in _SYSTEM_PARTS:
            make = _FACTORIES.get(name) or partial(_load_collector, name)
            if name in _PROCESS_COLLECTORS and command is not None:
                make = partial(_make_process_collector, command)
            planned.append(CollectorPlan(name, make, _FIRST_READING_DELAY_S))
    for one in chosen:
        if not isinstance(one, str):
            planned.append(CollectorPlan(one.name, partial(_return_collector, one)))
    return planned


def _return_collector(collector: Collector) -> Collector:
    return collector


def _make_system_collector(parts: tuple[str, ...], interval_s: float) -> Collector:
    from provml.collect.system import SystemMetricsCollector

    return SystemMetricsCollector(
        interval_s,
        track_system="system" in parts,
        track_disk="disk" in parts,
        track_network="network" in parts,
        track_gpu=False,  # the gpu collector reads GPUs, so that its failures don't affect this one
    )


def _make_process_collector(command: int | None = None) -> Collector:
    from provml.collect.process import ProcessCollector

    return ProcessCollector(pid=command, descendants=command is not None)


def _make_gpu_collector() -> Collector:
    from provml.collect.gpu import GpuCollector

    return GpuCollector()


def _make_energy_collector() -> Collector:
    from provml.collect.energy import EnergyCollector

    return EnergyCollector()


_FACTORIES: Final[dict[str, Callable[[], Collector]]] = {
    "process": _make_process_collector,
    "gpu": _make_gpu_collector,
    "energy": _make_energy_collector,
}


def _load_collector(name: str) -> Collector:
    """Create a collector that another package provides. That package can raise any exception."""
    collector = find_entry_points(COLLECTOR_ENTRY_POINTS)[name].load()()
    if not isinstance(collector, Collector):
        raise TypeError(
            f"the entry point {name!r} in {COLLECTOR_ENTRY_POINTS} does not create a collector"
        )
    return collector

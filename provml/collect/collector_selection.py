"""Which collectors a run has: by their names, those of other packages, or objects.

Another package announces one by the entry point group ``provml.collectors``: a name, and what makes
the collector when it is called without arguments. Imports `readings`, `sampler`, `errors`; each
collector when it is made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Final

from provml.collect.collector_thread import CollectorPlan
from provml.collect.readings import Collector, check_collector
from provml.errors import InvalidArgumentError

DEFAULT_COLLECTORS: Final = ("system", "disk", "network", "process", "gpu", "energy")
_SYSTEM_PARTS: Final = ("system", "disk", "network")
_PROCESS_COLLECTORS: Final = ("process",)
_FIRST_READING_DELAY_S: Final = 0.05
"""A run that is over by then has no readings: taking and stating them would take longer than it."""
COLLECTOR_ENTRY_POINTS: Final = "provml.collectors"


def check_collectors(chosen: object) -> tuple[str | Collector, ...]:
    """The collectors as a tuple of names and objects; costs nothing for those of provml.

    Raises InvalidArgumentError for a name that none has, or an object that is no collector.
    """
    if isinstance(chosen, str) or not isinstance(chosen, Iterable):
        raise InvalidArgumentError(
            f"collect must be a tuple of names and collectors, not {chosen!r:.80}"
        )
    found: list[str | Collector] = []
    for one in chosen:
        if isinstance(one, str):
            if one not in DEFAULT_COLLECTORS and one not in (others := _find_entry_points()):
                known = ", ".join([*DEFAULT_COLLECTORS, *sorted(others)])
                raise InvalidArgumentError(f"there is no collector {one!r}; there are: {known}")
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
    """How to make the collectors that were chosen; costs nothing yet.

    Args:
        machine_wide: False where another process of the job reads the machine: then those that
            were chosen by name are of the process only.
        command: the process to read instead of this one, with all that it started.
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
        track_gpu=False,  # a collector of its own: what befalls it is no trouble of this one
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
    """What another package announces. Raises whatever it raises."""
    collector = _find_entry_points()[name].load()()
    if not isinstance(collector, Collector):
        raise TypeError(f"the entry point {name!r} of {COLLECTOR_ENTRY_POINTS} makes no collector")
    return collector


def _find_entry_points() -> dict[str, Any]:
    """The entry points of other packages, by name."""
    from importlib import metadata  # takes as long to import as the rest of provml

    return {point.name: point for point in metadata.entry_points(group=COLLECTOR_ENTRY_POINTS)}

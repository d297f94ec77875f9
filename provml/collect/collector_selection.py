"""Which collectors a run has: by their names, those of other packages, or objects.

Another package announces one by the entry point group ``provml.collectors``: a name, and what makes
the collector when it is called without arguments. Imports `readings`, `sampler`, `errors`; each
collector when it is made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Final

from provml.collect.readings import Collector, check_collector
from provml.collect.sampler import Planned
from provml.errors import InvalidArgumentError

DEFAULT: Final = ("system", "disk", "network", "process", "gpu", "energy")
_OF_SYSTEM: Final = ("system", "disk", "network")
_PER_PROCESS: Final = ("process",)
_SETTLE_S: Final = 0.05
"""A run that is over by then has no readings: taking and stating them would take longer than it."""
ENTRY_POINTS: Final = "provml.collectors"


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
            if one not in DEFAULT and one not in (others := _others()):
                known = ", ".join([*DEFAULT, *sorted(others)])
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
) -> list[Planned]:
    """How to make the collectors that were chosen; costs nothing yet.

    Args:
        machine_wide: False where another process of the job reads the machine: then those that
            were chosen by name are of the process only.
        command: the process to read instead of this one, with all that it started.
    """
    planned: list[Planned] = []
    names = [one for one in chosen if isinstance(one, str)]
    if not machine_wide:
        names = [name for name in names if name in _PER_PROCESS]
    parts = tuple(name for name in names if name in _OF_SYSTEM)
    if parts:
        planned.append(Planned("system", lambda: _system(parts, interval_s), _SETTLE_S))
    for name in dict.fromkeys(names):
        if name not in _OF_SYSTEM:
            make = _MADE.get(name) or partial(_other, name)
            if name in _PER_PROCESS and command is not None:
                make = partial(_process, command)
            planned.append(Planned(name, make, _SETTLE_S))
    for one in chosen:
        if not isinstance(one, str):
            planned.append(Planned(one.name, partial(_given, one)))
    return planned


def _given(collector: Collector) -> Collector:
    return collector


def _system(parts: tuple[str, ...], interval_s: float) -> Collector:
    from provml.collect.system import SystemMetricsCollector

    return SystemMetricsCollector(
        interval_s,
        track_system="system" in parts,
        track_disk="disk" in parts,
        track_network="network" in parts,
        track_gpu=False,  # a collector of its own: what befalls it is no trouble of this one
    )


def _process(command: int | None = None) -> Collector:
    from provml.collect.process import ProcessCollector

    return ProcessCollector(pid=command, descendants=command is not None)


def _gpu() -> Collector:
    from provml.collect.gpu import GpuCollector

    return GpuCollector()


def _energy() -> Collector:
    from provml.collect.energy import EnergyCollector

    return EnergyCollector()


_MADE: Final[dict[str, Callable[[], Collector]]] = {
    "process": _process,
    "gpu": _gpu,
    "energy": _energy,
}


def _other(name: str) -> Collector:
    """What another package announces. Raises whatever it raises."""
    collector = _others()[name].load()()
    if not isinstance(collector, Collector):
        raise TypeError(f"the entry point {name!r} of {ENTRY_POINTS} makes no collector")
    return collector


def _others() -> dict[str, Any]:
    """The entry points of other packages, by name."""
    from importlib import metadata  # takes as long to import as the rest of provml

    return {point.name: point for point in metadata.entry_points(group=ENTRY_POINTS)}

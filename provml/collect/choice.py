"""Which collectors a run has: by their names, those of other packages, or objects.

Another package announces one by the entry point group ``provml.collectors``: a name, and what makes
the collector when it is called without arguments. Imports `readings`, `errors`; each collector when
it is chosen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from provml.collect.readings import Collector
from provml.errors import InvalidArgumentError

DEFAULT: Final = ("system", "disk", "network", "process", "gpu", "energy")
_OF_SYSTEM: Final = ("system", "disk", "network")
_PER_PROCESS: Final = ("process",)
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
            if one not in _MADE and one not in (others := _others()):
                known = ", ".join(sorted({*_MADE, *others}))
                raise InvalidArgumentError(f"there is no collector {one!r}; there are: {known}")
        elif isinstance(one, type) or not isinstance(one, Collector):
            raise InvalidArgumentError(
                f"a collector must be an object with a name and a collect(): {one!r:.80}"
            )
        found.append(one)
    return tuple(found)


def make_collectors(
    chosen: Iterable[str | Collector], interval_s: float, machine_wide: bool
) -> list[Collector]:
    """The collectors that were chosen, made.

    Args:
        machine_wide: False where another process of the job reads the machine: then those that
            were chosen by name are of the process only.
    """
    made: list[Collector] = []
    names = [one for one in chosen if isinstance(one, str)]
    if not machine_wide:
        names = [name for name in names if name in _PER_PROCESS]
    parts = [name for name in names if name in _OF_SYSTEM]
    if parts:
        made.append(_system(parts, interval_s))
    for name in dict.fromkeys(names):
        if name not in _OF_SYSTEM:
            made.append((_MADE.get(name) or _others()[name].load())())
    return made + [one for one in chosen if not isinstance(one, str)]


def _system(parts: list[str], interval_s: float) -> Collector:
    from provml.collect.system import SystemMetricsCollector

    return SystemMetricsCollector(
        interval_s,
        track_system="system" in parts,
        track_disk="disk" in parts,
        track_network="network" in parts,
        track_gpu=False,  # a collector of its own: what befalls it is no trouble of this one
    )


def _process() -> Collector:
    from provml.collect.process import ProcessCollector

    return ProcessCollector()


def _gpu() -> Collector:
    from provml.collect.gpu import GpuCollector

    return GpuCollector()


def _energy() -> Collector:
    from provml.collect.energy import EnergyCollector

    return EnergyCollector()


def _never() -> Collector:
    raise AssertionError("the system's parts are one collector")


_MADE: Final[dict[str, Callable[[], Collector]]] = {
    "system": _never,
    "disk": _never,
    "network": _never,
    "process": _process,
    "gpu": _gpu,
    "energy": _energy,
}


def _others() -> dict[str, Any]:
    """The entry points of other packages, by name."""
    from importlib import metadata  # takes as long to import as the rest of provml

    return {point.name: point for point in metadata.entry_points(group=ENTRY_POINTS)}

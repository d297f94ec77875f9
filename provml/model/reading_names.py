"""Names readings for display, so that the machine and the process can't be confused.

Two collectors may record readings with the same name, such as ``cpu_percent``. The displayed name
therefore starts with what was measured: ``machine cpu_percent`` or ``process cpu_percent``.

Imports only `series` from provml.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from provml.model.series import SAMPLING, RunSeries

READING_KINDS: Final = {
    "SystemReading": "system",
    "ProcessReading": "process",
    "GpuReading": "gpu",
    "EnergyReading": "energy",
}
"""Maps the PROV type of readings, without its prefix, to the kind of the series."""

_SUBJECTS: Final = {"system": "machine"}
_BUILT_IN: Final = frozenset(READING_KINDS.values())
_SUMMARY: Final = re.compile(r"system\.(?:rank(\d+)\.)?(process\.)?(.+)\.(mean|max|min|last)")


def find_reading_kinds(series: Iterable[RunSeries]) -> frozenset[str]:
    """Return the kinds of series that contain readings: the names of the run's collectors."""
    return _BUILT_IN | {one.name for one in series if one.kind == SAMPLING}


def name_reading(kind: str, name: str) -> str:
    """Return the displayed name of a series of readings.

    >>> name_reading("system", "cpu_percent")
    'machine cpu_percent'
    >>> name_reading("gpu", "gpu_memory_bytes")
    'gpu_memory_bytes'
    """
    subject = _SUBJECTS.get(kind, kind)
    return name if name.startswith((f"{kind}_", f"{kind}.")) else f"{subject} {name}"


def name_summary(label: str) -> str:
    """Return the displayed name of a summary of readings.

    >>> name_summary("system.rank3.process.cpu_percent.mean")
    'process cpu_percent, mean, rank 3'
    """
    found = _SUMMARY.fullmatch(label)
    if found is None:
        return label.removeprefix("system.")
    rank, process, name, statistic = found.groups()
    kind = "process" if process else "gpu" if name.startswith("gpu") else "system"
    own = name_reading(kind, name)
    return f"{own}, {statistic}" + ("" if rank is None else f", rank {rank}")

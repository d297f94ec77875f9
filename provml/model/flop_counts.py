"""Describes FLOPs in PROV: each count is an activity that used the counted workload.

Imports `series`, `names` and `statements`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any, Final, NamedTuple

from provml.model.names import encode_name, encoded_path
from provml.model.series import Block, RunSeries
from provml.model.statements import Name, NameColumn, Statement, TimeColumn

FLOPS: Final = "flops"
CUMULATIVE: Final = "cumulative-flops"
FLOPS_KINDS: Final = frozenset({"activity", "wasInformedBy", "used", "wasAssociatedWith"})
"""The kinds of statement that describe FLOP counts, in addition to the kinds for all samples."""

WorkloadKey = tuple[int, int]
"""The key of a workload.

The key contains the index of the writer that recorded the workload, and the number of the workload
in the records of that writer.
"""


class Workload(NamedTuple):
    """A model or block of code whose FLOPs were counted.

    Attributes:
        used: the names of the workload and, if known, of its model and dataset.
        agent: the program that counted the FLOPs.
        start_ns: the start time of the block of code, in nanoseconds; None for other workloads.
        peak: the peak speed of the device in FLOP/s; None if it is unknown.
    """

    used: tuple[Name, ...]
    agent: Name
    start_ns: int | None
    peak: float | None


def counting_names(block: Block) -> NameColumn:
    """Return the names of the activities that counted a block's FLOPs.

    Each count has two samples, the increment and the total. Both belong to the same activity.
    """
    label = encode_name(block.series.name)
    if block.series.rank is not None:
        label += f"~rank{block.series.rank}"
    if block.series.context is not None:
        label = f"{encoded_path(block.series.context)}/{label}"
    writer = "" if block.writer == 0 else f"{block.writer}."
    return NameColumn((f"run:flops-counting/{label}/{writer}", block.time_ns))


def flop_statements(
    kinds: Collection[str],
    block: Block,
    place: Name | NameColumn,
    workload: Workload | None,
) -> Iterator[Statement]:
    """Yield the statements about the activities that counted a block's FLOPs.

    Args:
        kinds: the kinds of statement to yield.
        block: samples of a series of kind ``flops``, which are increments, not totals.
        place: the names of the steps, epochs, context or run that the samples belong to.
        workload: the workload; None if the record of the workload is missing.
    """
    names, rows = counting_names(block), len(block.time_ns)
    if "activity" in kinds:
        start: Any = TimeColumn(block.time_ns)
        if workload is not None and workload.start_ns is not None:
            import numpy as np

            start = TimeColumn(np.minimum(np.int64(workload.start_ns), block.time_ns))
        interval = {"prov:startTime": start, "prov:endTime": TimeColumn(block.time_ns)}
        kind: list[tuple[str, Any]] = [("prov:type", Name("provml:FlopsCounting"))]
        yield Statement("activity", names, interval, kind, rows)
    if "wasInformedBy" in kinds:
        yield _relate_counts("wasInformedBy", "informed", names, "informant", place, rows)
    if workload is None:
        return
    if "used" in kinds:
        for used in workload.used:
            yield _relate_counts("used", "activity", names, "entity", used, rows)
    if "wasAssociatedWith" in kinds:
        yield _relate_counts("wasAssociatedWith", "activity", names, "agent", workload.agent, rows)


def _relate_counts(
    kind: str, subject: str, names: NameColumn, role: str, other: Name | NameColumn, rows: int
) -> Statement:
    arguments: dict[str, Any] = {f"prov:{subject}": names, f"prov:{role}": other}
    return Statement(kind, None, arguments, rows=rows)


def series_rates(series: RunSeries, workloads: list[Workload]) -> list[tuple[str, Any]]:
    """Return the FLOP/s and utilisation between a series' first and last count, as attributes.

    Returns [] for a series that is not cumulative or that several processes wrote. Also returns []
    for blocks of code, because other work runs between the blocks. The utilisation is omitted if
    the peak speed of the device is unknown.
    """
    if series.kind != CUMULATIVE or len(series.writers) != 1 or not workloads:
        return []
    if any(workload.start_ns is not None for workload in workloads):
        return []
    low, high, first, last = series.minimum, series.maximum, series.first_ns, series.last_ns
    if low is None or high is None or first is None or last is None or last <= first:
        return []
    counted = int(high) - int(low)
    peaks = {workload.peak for workload in workloads}
    return rate_attributes(counted / (last - first) * 1e9, peaks)


def rate_attributes(per_second: float, peaks: set[float | None]) -> list[tuple[str, Any]]:
    """Return the FLOP/s as an attribute, and the utilisation if exactly one peak speed is known.

    Args:
        per_second: the speed in FLOP/s.
        peaks: the peak speeds of the devices in FLOP/s; None for an unknown peak speed.
    """
    attributes: list[tuple[str, Any]] = [("provml:flopsPerSecond", float(per_second))]
    peak = next(iter(peaks)) if len(peaks) == 1 else None
    if peak:
        attributes.append(("provml:utilisation", float(per_second / peak)))
    return attributes

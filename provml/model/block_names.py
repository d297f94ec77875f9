"""Builds the names of series, steps and enclosing activities for blocks of samples, as columns.

Imports `series`, `names`, `flop_counts` and `sample_targets`; numpy only when needed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from provml.journal import layout
from provml.model.flop_counts import CUMULATIVE, FLOPS, counting_names
from provml.model.names import (
    context_name,
    sampling_prefix,
    series_entity,
    series_path,
    step_prefix,
)
from provml.model.sample_targets import summarising_names
from provml.model.series import SAMPLING, Block, RunSeries
from provml.model.statements import Name, NameColumn
from provml.model.survey import Path

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def int64_column(values: Any) -> NDArray[np.int64]:
    """Convert numbers to a contiguous int64 array."""
    import numpy as np

    return np.ascontiguousarray(values, dtype=np.int64)


def step_column_names(path: Path, rows: Any) -> NameColumn:
    """Return the names of steps, given as rows of `steps.row_type`.

    Either all rows have a step, or all rows lack one. The same is true of epochs.
    """
    with_step = int(rows["step"][0]) != layout.NO_STEP
    with_epoch = int(rows["epoch"][0]) != layout.NO_EPOCH
    return _step_names(
        path,
        int64_column(rows["step"]) if with_step else None,
        int64_column(rows["epoch"]) if with_epoch else None,
    )


def _step_names(path: Path, step: Any, epoch: Any) -> NameColumn:
    if step is None:
        return NameColumn((step_prefix(path, "epoch"), epoch))
    if epoch is None:
        return NameColumn((step_prefix(path), step))
    return NameColumn((step_prefix(path), epoch, ".", step))


def place_names(block: Block) -> Name | NameColumn:
    """Return the names of the steps, epochs, context or run that a block's samples belong to."""
    if block.step is None and block.epoch is None:
        return context_name(block.series.context)
    return _step_names(block.series.context, block.step, block.epoch)


def generator_names(block: Block) -> Name | NameColumn:
    """Return the names of the activities that generated a block's samples.

    FLOPs come from a counting activity, summaries from a summarising activity, and other samples
    from their step, epoch, context or run.
    """
    if block.series.kind in (FLOPS, CUMULATIVE):
        return counting_names(block)
    if block.role == "summary":
        return summarising_names(block)
    return place_names(block)


def sampling_names(block: Block) -> NameColumn:
    """Return the names of the activities that took a block's readings: by epoch, step and time."""
    collector = block.series.name if block.series.kind == SAMPLING else block.series.kind
    prefix = sampling_prefix(collector, block.series.context, block.writer)
    # a copy: exporters format a column object in only one way, and this one is part of a name
    time_ns = block.time_ns.copy()
    if block.step is None and block.epoch is None:
        return NameColumn((prefix, time_ns))
    if block.step is None and block.epoch is not None:
        return NameColumn((f"{prefix}e", block.epoch, ".", time_ns))
    if block.epoch is None and block.step is not None:
        return NameColumn((prefix, block.step, ".", time_ns))
    return NameColumn((prefix, block.epoch, ".", block.step, ".", time_ns))  # type: ignore[arg-type]


def series_name(series: RunSeries) -> Name:
    """Return the name of a series' entity."""
    return series_entity(
        series.kind, series_path(series.name, series.context, series.rank, series.of)
    )

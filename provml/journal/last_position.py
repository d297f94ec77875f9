"""Finds the context, step and epoch of the last metric in a samples file that is being written.

Imports only `layout`, `sample_files` and `series_keys` from provml.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from provml.journal import layout

if TYPE_CHECKING:
    from provml.journal.sample_files import SampleFile
    from provml.journal.series_keys import Position


class LastPosition:
    """The context, step and epoch of a writer's last metric. Use it only under the writer's lock.

    Attributes:
        value: the context, step and epoch that the last `update` found; None before the first
            metric.
    """

    def __init__(self) -> None:
        """Start without a position."""
        self.value: Position | None = None
        self._metrics: dict[int, tuple[str, ...] | None] = {}
        self._last_look = (0, 0)

    def add_metric(self, number: int, context: tuple[str, ...] | None) -> None:
        """Treat the samples of a series as metrics from now on.

        Args:
            number: the number of the series.
            context: the context path of the series.
        """
        self._metrics[number] = context

    def update(self, samples: SampleFile, most: int | None = None) -> None:
        """Search the last segment of a samples file for the last metric, and update ``value``.

        Args:
            samples: the writer's samples file.
            most: the maximum number of records to search; None for all records that were written
                since the last update.
        """
        begins = samples.segment_start
        seen = self._last_look[1] if self._last_look[0] == begins else 0
        end, records = samples.read_latest(seen)
        self._last_look = (begins, end)
        for series, step, epoch in islice(records, most):
            if series in self._metrics:
                self.value = (
                    self._metrics[series],
                    None if step == layout.NO_STEP else step,
                    None if epoch == layout.NO_EPOCH else epoch,
                )
                break

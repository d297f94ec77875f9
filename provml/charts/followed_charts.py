"""Draws charts of runs that are being recorded. Each redraw reads only what was added."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from provml.charts.curves import Curve, CurveBuilder
from provml.charts.selection import (
    ChartedRun,
    Charts,
    arrange_charts,
    choose_series,
    has_name,
)
from provml.journal.layout import SAMPLING
from provml.journal.reader import Journal
from provml.journal.status import find_created_ns
from provml.journal.values import DECODE_ERRORS, decode, to_logged_value
from provml.model.followed_run import FollowedRun
from provml.model.series import RunSeries

_FEWEST_POINTS: Final = 200


class FollowedCharts:
    """The charts of one or more runs that are being recorded.

    The cost of a read depends only on how much was added to the runs. The cost of building the
    charts does not grow with the number of samples. Close the charts when you no longer need them.
    """

    def __init__(
        self,
        run_folders: Sequence[Path],
        names: Collection[str] = (),
        contexts: Collection[str] = (),
        by: str | None = None,
        log: bool = False,
        points: int = 2_000,
    ) -> None:
        """Prepare to follow the runs. The arguments after the folders are as for `read_charts`."""
        self._names, self._contexts, self._by, self._log = names, contexts, by, log
        self._runs = [
            _FollowedCurves(folder, names, max(_FEWEST_POINTS, points)) for folder in run_folders
        ]

    def read_new(self) -> bool:
        """Read what was added to the runs. Return whether there was anything new."""
        are_changed = [run.read_new() for run in self._runs]
        return any(are_changed)

    def build(self) -> Charts:
        """Return the charts of the samples that were read so far.

        Raises SeriesNotFoundError if no run has yet logged a series that can be drawn.
        """
        charted = [run.charted for run in self._runs]
        chosen = choose_series(charted, self._names, self._contexts, self._by)
        curves = [run.build(own) for run, own in zip(self._runs, chosen, strict=True)]
        return arrange_charts(charted, curves, self._names, self._contexts, self._by, self._log)

    def close(self) -> None:
        """Close all files."""
        for run in self._runs:
            run.close()


class _FollowedCurves:
    """The curves of one run that is being recorded."""

    def __init__(self, folder: Path, names: Collection[str], points: int) -> None:
        self._run = FollowedRun(folder)
        self._names = names
        self._points = points
        self._started_ns: int | None = None
        self._params: dict[str, Any] = {}
        self._builders: dict[int, CurveBuilder] = {}
        description = Journal(folder).description
        self.charted = ChartedRun(description, self._run.table, lambda: self._params)

    def close(self) -> None:
        """Close all files."""
        self._run.close()

    def read_new(self) -> bool:
        """Read what was added to the run. Return whether there was anything new."""
        is_changed = False
        for part in self._run.read_new():
            is_changed = True
            for record in part.records:
                if record["record"] == "param" and isinstance(record.get("name"), str):
                    with suppress(*DECODE_ERRORS):
                        self._params[record["name"]] = to_logged_value(decode(record["value"]))
            if self._started_ns is None:
                self._started_ns = find_created_ns(self._run.folder)
            for block in part.blocks:
                series = block.series
                if series.kind != SAMPLING and self._is_wanted(series):
                    builder = self._builders.get(series.index)
                    if builder is None:
                        builder = self._builders[series.index] = CurveBuilder(self._points)
                    builder.take(block, self._started_ns)
            for completion in part.completed:
                builder = self._builders.get(completion.block.series.index)
                if builder is not None:
                    builder.complete(completion, self._started_ns)
        return is_changed

    def _is_wanted(self, series: RunSeries) -> bool:
        return not self._names or any(has_name(series, name) for name in self._names)

    def build(self, chosen: Sequence[RunSeries]) -> list[Curve]:
        """Return the curves of the chosen series."""
        empty = CurveBuilder(self._points)
        return [self._builders.get(series.index, empty).build(series) for series in chosen]

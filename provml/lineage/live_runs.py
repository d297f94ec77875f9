"""Keeps the rows of runs in progress up to date, without reading the runs again.

A `LiveRun` follows the files of a run. It updates the rows of the tables ``runs``, ``series`` and
``curves`` from new samples alone. After any other change, such as a new parameter or the end of the
run, the rows of all tables must be built again from the journal; `LiveRun.must_be_read` returns
whether they must.

Imports `rows`, `tables`, `model` and `journal`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from provml.errors import ProvMLError
from provml.journal.follower import WriterState
from provml.journal.layout import SAMPLING, Record
from provml.journal.reader import Journal
from provml.journal.status import read_run_state
from provml.lineage.rows import (
    Row,
    Rows,
    build_curve_rows,
    build_identity_cells,
    build_summary_cells,
)
from provml.lineage.tables import TABLES
from provml.model.live_series import LiveSeries
from provml.model.series import RunSeries

UPDATED_TABLES: Final = ("runs", "series", "curves")
"""The tables whose rows a `LiveRun` updates from new samples."""

SUMMARY_TABLES: Final = (*UPDATED_TABLES, "params")
"""The tables that stay up to date while a run records only samples, events and files."""

_TABLES_OF_SAMPLES: Final = ("nodes", "edges")
"""The other tables that change with new samples, because nodes contain summaries of series."""

_EVENTS_AND_FILES: Final = frozenset(
    {
        "alert",
        "artifact",
        "child",
        "collector",
        "context",
        "dataset",
        "device",
        "digest",
        "event",
        "flops",
        "input",
        "model",
        "summary",
        "window",
    }
)
"""The kinds of record that change no row of the tables in `SUMMARY_TABLES`."""

_COLUMNS: Final = {column.name: place for place, column in enumerate(TABLES["runs"])}
_COUNT: Final = [column.name for column in TABLES["series"]].index("count")
_STEP, _EPOCH = (
    [column.name for column in TABLES["artifacts"]].index(name) for name in ("step", "epoch")
)


@dataclass(slots=True)
class _SeriesRow:
    """A row of the table ``series``, and the facts from which the row was built.

    Attributes:
        units: the number of units of the series.
        identity: the cells that do not depend on the samples.
        count: the number of samples that the row summarises; -1 if there is no row yet.
        row: the row.
    """

    units: int
    identity: Row
    count: int = -1
    row: Row = ()


class LiveRun:
    """Follows a run in progress, and updates the rows that were built from the run's journal.

    Attributes:
        revision: a number that increases if `update` finds something new for `build_rows`.
    """

    def __init__(self, folder: Path) -> None:
        """Read everything that a run has recorded so far.

        Raises ProvMLError or OSError if the run's files can't be read.
        """
        self.revision = 0
        self._folder = folder
        self._series = LiveSeries(folder)
        self._series_rows: dict[int, _SeriesRow] = {}
        self._row: Row = ()
        self._is_stale = False
        self._has_new_lines = False
        self._has_new_samples = False
        self._lacks_epochs = False
        try:
            self._records = self._series.update()
            self._states = self._series.follower.read_states()
            state = read_run_state(folder)
        except BaseException:
            self.close()
            raise
        self._reason = state.reason
        self._has_ended = state.status != "running"

    def take_rows(self, journal: Journal, rows: Rows) -> None:
        """Take the rows that were built from the run's journal.

        The journal must have been read after this object was created, unless the journal caches its
        records.
        """
        self._row = rows["runs"][0]
        # a later sample of the same step may state the epoch of an artifact
        self._lacks_epochs = any(
            row[_STEP] is not None and row[_EPOCH] is None for row in rows["artifacts"]
        )
        # the run may have recorded more between this object's read and the journal's read
        found = [record for _, _, record in journal.records()]
        own, self._records = self._records, None
        self._is_stale = (
            self._has_ended or own is None or _count_others(own) != _count_others(found)
        )
        built_samples = sum(row[_COUNT] for row in rows["series"])
        self._has_new_samples = self._series.samples != built_samples
        has_new_series = len(self._series.all) != len(rows["series"])
        self._has_new_lines = has_new_series or own is None or len(own) != len(found)

    @property
    def series_count(self) -> int:
        """The number of series that the run has declared."""
        return len(self._series.all)

    @property
    def open_files(self) -> int:
        """The number of files that this object keeps open."""
        return self._series.follower.open_files

    def close(self) -> None:
        """Close the run's files. A later `update` opens them again."""
        self._series.follower.close()

    def must_be_read(self, tables: Collection[str]) -> bool:
        """Return whether the rows of any of these tables must be built from the journal again."""
        if self._is_stale:
            return True
        others = set(tables).difference(SUMMARY_TABLES)
        if self._has_new_lines and others:
            return True
        of_samples = set(_TABLES_OF_SAMPLES)
        if self._lacks_epochs and self._series.has_epochs:
            of_samples.add("artifacts")
        return self._has_new_samples and not others.isdisjoint(of_samples)

    def update(self) -> None:
        """Read what the run has recorded since the last call."""
        if self._is_stale:
            return
        series, follower = self._series, self._series.follower
        samples, declared = series.samples, len(series.all)
        try:
            records = series.update()
            states = follower.read_states()
            self._is_stale = (
                records is None
                or _count_others(records) > 0
                or series.skipped > 0
                or follower.is_held_up
                or not self._is_running(states)
            )
        except (ProvMLError, OSError):
            self._is_stale = True
        if self._is_stale:
            return
        self._has_new_lines = self._has_new_lines or bool(records) or len(series.all) > declared
        if series.samples > samples or states != self._states:
            self._has_new_samples = True
            self._states = states
            self.revision += 1

    def _is_running(self, states: dict[str, WriterState]) -> bool:
        """Return whether the run is recorded by the same processes as when its rows were built."""
        if states.keys() != self._states.keys():
            return False
        for name, state in states.items():
            before = self._states[name]
            if state.is_locked != before.is_locked or state.has_ended != before.has_ended:
                return False
        if all(state.is_locked is not None for state in states.values()):
            return True
        found = read_run_state(self._folder)  # the file system does not support locks
        return found.status == "running" and found.reason == self._reason

    def build_rows(self, table: str) -> list[Row]:
        """Build the run's rows of a table in `UPDATED_TABLES`, from what `update` has read."""
        if table == "curves":
            return build_curve_rows(str(self._row[0]), self._series.all)
        if table == "series":
            return [self._series_row(series) for series in self._series.all]
        own, states = list(self._row), self._states.values()
        collectors = {series.name for series in self._series.all if series.kind == SAMPLING}
        own[_COLUMNS["sample_count"]] = sum(
            series.count
            for series in self._series.all
            if series.kind != SAMPLING and series.kind not in collectors
        )
        own[_COLUMNS["dropped_samples"]] = sum(state.dropped_samples for state in states)
        own[_COLUMNS["dropped_events"]] = sum(state.dropped_events for state in states)
        return [tuple(own)]

    def _series_row(self, series: RunSeries) -> Row:
        known = self._series_rows.get(series.index)
        if known is None or known.units != len(series.units):
            known = _SeriesRow(len(series.units), (self._row[0], *build_identity_cells(series)))
            self._series_rows[series.index] = known
        if known.count != series.count:
            known.count = series.count
            known.row = (*known.identity, *build_summary_cells(series))
        return known.row


def _count_others(records: Iterable[Record]) -> int:
    """Return the number of records that may change the rows of the tables in `SUMMARY_TABLES`."""
    return sum(record["record"] not in _EVENTS_AND_FILES for record in records)

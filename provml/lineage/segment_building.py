"""Builds the rows of the tables from the journals of several runs.

Imports `live_runs`, `rows`, `store_scan`, `tables` and `journal`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from provml.errors import ProvMLError
from provml.journal.reader import Journal
from provml.lineage.live_runs import LiveRun
from provml.lineage.rows import Rows, build_arrow_table, build_rows
from provml.lineage.store_scan import FoundRun
from provml.lineage.tables import TABLES

if TYPE_CHECKING:
    import pyarrow as pa

_STATUS: Final = [column.name for column in TABLES["runs"]].index("status")
_DAMAGED: Final = [column.name for column in TABLES["runs"]].index("damaged")


@dataclass(frozen=True, slots=True)
class IndexedRun:
    """A run in the tables.

    Attributes:
        segment: the name of the segment that contains the run's rows.
        fingerprint: the run's fingerprint when the rows were built.
        status: the run's status when the rows were built.
    """

    segment: str
    fingerprint: str
    status: str


@dataclass(slots=True)
class BuiltSegment:
    """New rows, built from the journals of one or more runs.

    Attributes:
        tables: the new rows, keyed by the name of the table.
        runs: the runs that the rows belong to, by name.
        unread: the names of the runs that can't be read, each with the reason.
        live: the runs in progress that can be followed, by name.
    """

    tables: dict[str, pa.Table] = field(default_factory=dict)
    runs: dict[str, IndexedRun] = field(default_factory=dict)
    unread: dict[str, str] = field(default_factory=dict)
    live: dict[str, LiveRun] = field(default_factory=dict)


def build_segment(runs: list[FoundRun]) -> BuiltSegment:
    """Read runs and return their rows, and the reason for each run that can't be read."""
    made = BuiltSegment()
    rows: Rows = {table: [] for table in TABLES}
    for found in runs:
        try:
            own, live = _build_rows(found)
        except Exception as error:  # one unreadable run must not hide the others
            made.unread[found.run] = str(error) or type(error).__name__
            continue
        for table, added in own.items():
            rows[table] += added
        status: Any = own["runs"][0][_STATUS]
        if live is not None:
            made.live[found.run] = live
        made.runs[found.run] = IndexedRun("", found.fingerprint, status)
    made.tables = {table: build_arrow_table(table, own) for table, own in rows.items()}
    return made


def _build_rows(found: FoundRun) -> tuple[Rows, LiveRun | None]:
    """Build a run's rows and, if the run is in progress, start to follow it.

    A run with damage is not followed, because a follower does not compare the samples with their
    checksums.
    """
    journal = Journal(found.folder)
    rows = build_rows(found.run, journal, found.fingerprint)
    if rows["runs"][0][_STATUS] != "running" or rows["runs"][0][_DAMAGED]:
        return rows, None
    try:
        live = LiveRun(found.folder)
    except (ProvMLError, OSError):
        return rows, None
    try:
        if not journal.holds_records:
            journal = Journal(found.folder)
            rows = build_rows(found.run, journal, found.fingerprint)
        live.take_rows(journal, rows)
    except BaseException:
        live.close()
        raise
    return rows, live

"""Finds summaries of collected readings that early versions of provml recorded as parameters.

At the end of a run, provml summarises the readings of its collectors. It writes each summary, such
as ``system.cpu_percent.mean``, as a ``reading_summary`` record. Early versions wrote summaries as
``param`` records, like the user's own parameters. Imports only `files` and `reader` from provml.
"""

from __future__ import annotations

import re
from typing import Final

from provml.journal.files import WriterFiles
from provml.journal.layout import SAMPLING, Record
from provml.journal.reader import Journal

READING_SUMMARY: Final = "reading_summary"

_NAME: Final = re.compile(r"system\.(?:rank\d+\.)?(?P<own>.+)", re.DOTALL)
_STATISTICS: Final = ("mean", "max", "sum")
_ALERT_COUNTS: Final = ("alert_count", "critical_alerts")


def find_old_summaries(journal: Journal) -> dict[int, frozenset[int]]:
    """Return the offsets of the ``param`` records that summarise readings, keyed by writer index.

    A parameter counts as a summary if all of these conditions are met:

    - An early version of provml recorded the run, so ``run.json`` has no store id.
    - The parameter is followed only by other summaries and the writer's end record.
    - The parameter is named after a statistic of the same writer's readings or alerts.

    Costs one pass over the records of an early run, and nothing for other runs.
    """
    if "store_id" in journal.description:
        return {}
    last: dict[int, list[tuple[int, Record]]] = {}
    alerting: set[int] = set()
    for files, offset, record in journal.records():
        own = last.setdefault(files.index, [])
        if record.get("record") == "alert":
            alerting.add(files.index)
        if record.get("record") == "param":
            own.append((offset, record))
        elif record.get("record") != "end":
            own.clear()
    return {
        files.index: _choose_summaries(files, last[files.index], files.index in alerting)
        for files in journal.writers
        if last.get(files.index)
    }


def _choose_summaries(
    files: WriterFiles, last: list[tuple[int, Record]], has_alerts: bool
) -> frozenset[int]:
    """Return the offsets of the summaries among a writer's last parameters."""
    readings = _list_readings(files)
    chosen: dict[str, int] = {}
    for offset, record in reversed(last):
        name = record.get("name")
        found = _NAME.fullmatch(name) if isinstance(name, str) else None
        if found is None or found[0] in chosen or not _is_number(record.get("value")):
            break
        reading, _, statistic = found["own"].rpartition(".")
        of_alerts = found["own"] in _ALERT_COUNTS or found["own"].startswith("max_alert.")
        if not (has_alerts if of_alerts else statistic in _STATISTICS and reading in readings):
            break
        chosen[found[0]] = offset
    return frozenset(chosen.values())


def _list_readings(files: WriterFiles) -> set[str]:
    """Return the names of a writer's readings in the form that summaries use."""
    declared = list(files.series().values())
    collectors = {series.name for series in declared if series.kind == SAMPLING}
    return {
        series.name
        if series.kind == "system" or series.name.startswith(f"{series.kind}.")
        else f"{series.kind}.{series.name}"
        for series in declared
        if series.kind in collectors
    }


def _is_number(value: object) -> bool:
    """Return whether a record's value is a number.

    Counts JSON objects as numbers, because NaN and large integers are recorded as objects.
    """
    return isinstance(value, (int, float, dict)) and not isinstance(value, bool)

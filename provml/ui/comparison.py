"""The data of the page that compares runs: what differs between them, and which series they have.

The curves themselves are in `curve_data`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

from provml.errors import InvalidArgumentError, RunNotFoundError
from provml.ui.answers import json_value
from provml.ui.browsed_store import BrowsedStore
from provml.ui.queries import Query

if TYPE_CHECKING:
    from provml.lineage.questions import Store

MOST_RUNS: Final = 50
"""The maximum number of runs in a comparison."""

_PARTS: Final = ("values", "code", "series")
_KINDS: Final = ("metric", "reading", "all")
_SETTING_PARTS: Final = ("params", "tags", "state", "environment", "packages", "resources", "data")
_UNTOLD_STATE: Final = ("status", "duration_s", "children")
"""Facts of the state that differ in almost every pair of runs, so the page shows them elsewhere."""
_MOST_SERIES: Final = 1_000

_RUNS: Final = """
SELECT run, id, experiment, status, reason, started_ns, ended_ns, duration_s, parent_run
FROM runs WHERE run IN (SELECT unnest(?::VARCHAR[]))
"""
_METRICS: Final = """
SELECT run, name, context, rank, target, unit, count, min, max, last, last_text
FROM series WHERE kind = 'metric' AND run IN (SELECT unnest(?::VARCHAR[]))
ORDER BY name, context NULLS FIRST, target NULLS FIRST, rank NULLS FIRST
"""
_SERIES: Final = """
SELECT s.name, s.kind, max(s.unit) AS unit, count(DISTINCT s.run) AS runs
FROM series s
WHERE s.run IN (SELECT unnest(?::VARCHAR[])) AND s.kind <> 'sampling'
  AND (? = 'all' OR (s.kind = 'metric') = (? = 'metric'))
GROUP BY s.name, s.kind
ORDER BY s.kind <> 'metric', s.kind, max(s.count) <= 1, s.name LIMIT ?
"""


def answer_comparison(store: BrowsedStore, query: Query) -> dict[str, Any]:
    """Return the data for the page that compares runs.

    The parameters of the query are:

    - ``run``: a run; repeated for each run, at most `MOST_RUNS` times;
    - ``part``: ``values`` (the default) for everything that was recorded except the code, ``code``
      for the differences between the code of the first run and that of each other run, or
      ``series`` for the names of the series;
    - ``kind``, with ``part=series``: ``metric`` (the default), ``reading`` or ``all``.

    Raises:
        InvalidArgumentError: there is no run, or there are too many.
        RunNotFoundError: the store contains none of the runs.
        MissingExtraError: DuckDB is not installed.
    """
    keys = list(dict.fromkeys(query.every("run")))
    if not keys or len(keys) > MOST_RUNS:
        raise InvalidArgumentError(f"{len(keys)} runs were given: choose 1 to {MOST_RUNS} runs")
    part = query.choice("part", _PARTS, "values")
    kind = query.choice("kind", _KINDS, "metric")
    with store.tables() as tables:
        tables.refresh()
        runs, missing = _find_runs(tables, keys)
        names = [run["key"] for run in runs]
        answer: dict[str, Any] = {"runs": runs, "missing": missing}
        if part == "series":
            return answer | _list_series(tables, names, kind)
        if part == "code":
            return answer | _compare_code(tables, names)
        return answer | _compare_values(tables, names)


def _find_runs(tables: Store, keys: list[str]) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the runs in the order of the keys, and the keys of runs that are not in the store."""
    rows = {row["run"]: row for row in tables.select(["runs"], _RUNS, [keys])}
    runs = [
        {
            "key": key,
            "id": row["id"],
            "experiment": row["experiment"],
            "status": row["status"],
            "reason": row["reason"],
            "started_ns": None if row["started_ns"] is None else str(row["started_ns"]),
            "ended_ns": None if row["ended_ns"] is None else str(row["ended_ns"]),
            "duration_s": row["duration_s"],
            "parent": row["parent_run"],
        }
        for key in keys
        if (row := rows.get(key)) is not None
    ]
    missing = [key for key in keys if key not in rows]
    if not runs:
        raise RunNotFoundError(
            f"the store contains none of these runs: {', '.join(map(repr, missing))}; they were "
            "renamed or removed, or they can't be read"
        )
    return runs, missing


def _list_series(tables: Store, names: list[str], kind: str) -> dict[str, Any]:
    """Return the names of the runs' series, with the number of runs that have each series.

    Curves come before single values.
    """
    series = [*tables.select(["series"], _SERIES, [names, kind, kind, _MOST_SERIES + 1])]
    notes = []
    if len(series) > _MOST_SERIES:
        notes.append(f"only the first {_MOST_SERIES:,} names of series are listed")
    return {"series": series[:_MOST_SERIES], "notes": notes}


def _compare_values(tables: Store, names: list[str]) -> dict[str, Any]:
    """Return all values of the runs except their code. Each entry says whether the runs differ."""
    comparison = tables.compare_values(names)
    parts: dict[str, list[dict[str, Any]]] = {}
    for part in _SETTING_PARTS:
        differing = comparison.differing(part)
        entries: dict[str, list[Any]] = getattr(comparison, part)
        parts[part] = [
            _describe_entry(name, values, differs=name in differing)
            for name, values in entries.items()
            if not (part == "state" and name in _UNTOLD_STATE)
        ]
    return {
        "parts": parts,
        "metrics": _list_metrics(tables, names),
        "unrecorded": comparison.unrecorded,
        "notes": comparison.notes,
    }


def _describe_entry(name: str, values: list[Any], *, differs: bool) -> dict[str, Any]:
    """Describe a name's values: one for each run, or a single one if the runs do not differ."""
    if not differs:
        values = [next((value for value in values if value is not None), None)]
    return {"name": name, "differs": differs, "values": json_value(values)}


def _list_metrics(tables: Store, names: list[str]) -> list[dict[str, Any]]:
    """Return the summaries of each series of metrics, one for each run that has the series."""
    places = {name: place for place, name in enumerate(names)}
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in tables.select(["series"], _METRICS, [names]):
        identity = row["name"], row["context"], row["target"], row["rank"]
        entry = found.setdefault(
            identity,
            {
                "name": row["name"],
                "context": _decode_context(row["context"]),
                "of": row["target"],
                "rank": row["rank"],
                "unit": row["unit"],
                "values": [None] * len(names),
            },
        )
        values = {column: json_value(row[column]) for column in ("last", "min", "max", "count")}
        if row["last"] is None:
            values["last"] = row["last_text"]
        entry["values"][places[row["run"]]] = values
    return list(found.values())


def _decode_context(text: str | None) -> list[str] | None:
    return None if text is None else [unquote(part) for part in text.split("~")]


def _compare_code(tables: Store, names: list[str]) -> dict[str, Any]:
    """Return the differences between the code of the first run and that of each other run."""
    found = tables.compare_code(names)
    pairs = [
        {
            "run": name,
            "files": [
                {"name": file, "lines": lines} for file, lines in found.by_run.get(name, {}).items()
            ],
        }
        for name in names[1:]
    ]
    return {"pairs": pairs, "unrecorded": found.unrecorded, "notes": found.notes}

"""The table of runs: filtered, sorted and grouped, one page at a time."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

from provml.ui.answers import json_value

if TYPE_CHECKING:
    from provml.lineage.run_list import ListedRun, RunNames
    from provml.ui.browsed_store import BrowsedStore
    from provml.ui.queries import Query

_PAGE: Final = 200
_MOST_RUNS: Final = 1000
_MOST_OFFSET: Final = 10**9
_MOST_UNREAD: Final = 1000


def answer_runs(store: BrowsedStore, query: Query) -> dict[str, Any]:
    """Return a page of the table of runs.

    The parameters of the request are:

    - ``where``: a condition, as for ``provml runs --where``;
    - ``sort``: the value to sort by, prefixed with ``-`` for descending order; by default, the
      newest run comes first;
    - ``offset`` and ``limit``: which runs to return, by default the first 200;
    - ``show``: a value to return for each run; can be repeated;
    - ``group``: a value to group the runs by;
    - ``parent``: the key of a run whose children are wanted.

    Raises:
        QueryError: the condition or one of the values is not valid.
        InvalidArgumentError: another parameter is not valid.
    """
    show = list(dict.fromkeys(query.every("show")))
    offset = query.count("offset", 0, _MOST_OFFSET)
    limit = query.count("limit", _PAGE, _MOST_RUNS)
    where, sort = query.text("where"), query.text("sort") or "-started"
    with store.tables() as tables:
        page = tables.list_page(
            where, sort, show, query.text("group"), query.text("parent"), offset, limit
        )
        names, unread, notes = tables.list_names(), tables.unread(), tables.notes()
    answer: dict[str, Any] = {
        "total": page.total,
        "offset": offset,
        "columns": _describe_columns(names),
        "runs": [_describe_run(run) for run in page.runs],
        "unread": [
            {"path": str(store.path / run), "reason": reason}
            for run, reason in sorted(unread.items())[:_MOST_UNREAD]
        ],
        "notes": notes,
    }
    if page.groups is not None:
        answer["groups"] = [
            {"value": json_value(value), "count": count} for value, count in page.groups
        ]
    return answer


def _describe_columns(names: RunNames) -> dict[str, Any]:
    metrics = [
        [name, [_decode_context(own) for own in contexts]] for name, contexts in names.metrics
    ]
    return {"params": names.params, "tags": names.tags, "metrics": metrics}


def _describe_run(run: ListedRun) -> dict[str, Any]:
    facts, curve = run.facts, None
    if run.curve is not None:
        name, context, points = run.curve
        curve = {"name": name, "context": _decode_context(context), "y": points}
    damaged = facts["damaged"]
    return {
        "key": facts["run"],
        "id": facts["id"],
        "experiment": facts["experiment"],
        "project": facts["project"],
        "owner": facts["owner"],
        "status": facts["status"],
        "reason": facts["reason"],
        "started_ns": _digits(facts["started_ns"]),
        "ended_ns": _digits(facts["ended_ns"]),
        "duration_s": json_value(_measure_duration(facts)),
        "samples": facts["sample_count"],
        "damage": f"{damaged:,} records can't be read" if damaged else None,
        "parent": run.parent,
        "children": run.children,
        "group": json_value(run.group),
        "values": json_value(run.values),
        "curve": curve,
    }


def _measure_duration(facts: dict[str, Any]) -> float | None:
    """Return the duration in seconds; for a run in progress, the time since its start."""
    if facts["status"] == "running" and facts["started_ns"] is not None:
        return max(0.0, float(time.time_ns() - facts["started_ns"]) / 1e9)
    duration_s: float | None = facts["duration_s"]
    return duration_s


def _digits(time_ns: int | None) -> str | None:
    return None if time_ns is None else str(time_ns)


def _decode_context(path: str | None) -> str | list[str] | None:
    """Return a context's name, or a list of names if the context is within other contexts."""
    if path is None:
        return None
    names = ["" if name == "-" else unquote(name) for name in path.split("~")]
    return names[0] if len(names) == 1 else names

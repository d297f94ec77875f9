"""Reads the values of expressions such as ``params.lr`` for a list of runs.

An expression has the same meaning as in `conditions`. But here, one query reads all values of a
kind, so a table with many columns costs little more than a table with one column. Imports
`conditions` and `database`.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from provml.lineage.conditions import RecordedName, compile_value, find_recorded_name

if TYPE_CHECKING:
    from provml.lineage.database import QuestionDatabase

_EXACT: Final = 2**53
_PARAMS: Final = """
SELECT run, kind, name, type, text, number FROM params
WHERE is_last AND run IN (SELECT unnest(?::VARCHAR[])) AND name IN (SELECT unnest(?::VARCHAR[]))
ORDER BY kind DESC
"""
_SERIES: Final = """
SELECT run, name, context, count, min, max, last, last_text, last_ns FROM series
WHERE kind = 'metric' AND run IN (SELECT unnest(?::VARCHAR[]))
AND name IN (SELECT unnest(?::VARCHAR[]))
ORDER BY last_ns
"""


class _SeriesFacts(NamedTuple):
    context: str | None
    samples: int
    minimum: float | None
    maximum: float | None
    last: float | None
    last_text: str | None
    last_ns: int | None


def read_values(
    database: QuestionDatabase, runs: Sequence[str], shown: Iterable[str]
) -> dict[str, dict[str, Any]]:
    """Return the values of runs, keyed by the name of the run and then by the expression.

    Each value has its recorded type. A value that the run lacks is None.

    Args:
        database: the tables, which must be up to date.
        runs: the names of the runs.
        shown: expressions such as ``params.lr``, as for `compile_value`.

    Raises:
        QueryError: an expression is not valid.
    """
    names = {value: find_recorded_name(value) for value in shown}
    found: dict[str, dict[str, Any]] = {run: dict.fromkeys(names) for run in runs}
    own = [value for value, name in names.items() if name is None]
    if own:
        _read_columns(database, runs, own, found)
    recorded = {value: name for value, name in names.items() if name is not None}
    metrics = {v: name for v, name in recorded.items() if name.kinds == ("metric",)}
    settings = {v: name for v, name in recorded.items() if v not in metrics}
    if settings:
        _read_settings(database, runs, settings, found)
    if metrics:
        _read_metrics(database, runs, metrics, found)
    return found


def _read_columns(
    database: QuestionDatabase,
    runs: Sequence[str],
    values: list[str],
    found: dict[str, dict[str, Any]],
) -> None:
    """Read values that are columns of the table ``runs``, or the number of children."""
    columns: list[str] = ["r.run"]
    params: list[Any] = []
    for value in values:
        for sql in compile_value(value):
            columns.append(sql.text)
            params += sql.params
    query = f"SELECT {', '.join(columns)} FROM runs r WHERE r.run IN (SELECT unnest(?::VARCHAR[]))"
    for run, *cells in database.ask_condition(["runs"], query, [*params, list(runs)]).rows:
        for place, value in enumerate(values):
            number, text = cells[2 * place], cells[2 * place + 1]
            found[run][value] = text if number is None else number


def _read_settings(
    database: QuestionDatabase,
    runs: Sequence[str],
    settings: dict[str, RecordedName],
    found: dict[str, dict[str, Any]],
) -> None:
    wanted = list({name.name for name in settings.values()})
    known: defaultdict[str, dict[tuple[str, str], Any]] = defaultdict(dict)
    for run, kind, *facts in database.ask(["params"], _PARAMS, [list(runs), wanted]).rows:
        name, own_type, text, number = facts
        known[run][kind, name] = _setting_value(own_type, text, number)
    for run, of_run in known.items():
        for value, name in settings.items():
            for kind in name.kinds:
                if of_run.get((kind, name.name)) is not None:
                    found[run][value] = of_run[kind, name.name]
                    break


def _setting_value(own_type: str, text: str, number: float | None) -> Any:
    if own_type == "null":
        return None
    if own_type == "bool":
        return text == "true"
    if own_type == "int":
        return _integer(text, number)
    return number if own_type == "float" and number is not None else text


def _integer(text: str, number: float | None) -> int | str:
    """Return an integer, or its text if the integer is too large for some JSON readers."""
    try:
        return int(text) if number is not None and abs(number) <= _EXACT else text
    except ValueError:
        return text


def _read_metrics(
    database: QuestionDatabase,
    runs: Sequence[str],
    metrics: dict[str, RecordedName],
    found: dict[str, dict[str, Any]],
) -> None:
    wanted = list({name.name for name in metrics.values()})
    known: defaultdict[tuple[str, str], list[_SeriesFacts]] = defaultdict(list)
    for run, name, *facts in database.ask(["series"], _SERIES, [list(runs), wanted]).rows:
        known[run, name].append(_SeriesFacts(*facts))
    for value, name in metrics.items():
        for run in runs:
            series = known.get((run, name.name))
            if series:
                found[run][value] = _metric_value(series, name)


def _metric_value(series: list[_SeriesFacts], name: RecordedName) -> Any:
    """Return a metric's value from its series, which are sorted by the time of the last sample."""
    if name.contexts is not None:
        given, standard = name.contexts or (None, None)
        # early versions of provml recorded the name of the context as given
        context = given if any(one.context == given for one in series) else standard
        series = [one for one in series if one.context == context]
    if name.field == "count":
        return sum(one.samples for one in series) if series else None
    if name.field == "min":
        return min((one.minimum for one in series if one.minimum is not None), default=None)
    if name.field == "max":
        return max((one.maximum for one in series if one.maximum is not None), default=None)
    for one in reversed(series):
        if one.last_text is None:
            continue
        if one.last is None:
            return one.last_text
        if one.last_text.lstrip("-").isdecimal():
            return _integer(one.last_text, one.last)
        return math.nan if one.last_text == "NaN" else one.last
    return None

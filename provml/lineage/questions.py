"""Answers questions about the runs in a store.

Imports `database`, `conditions`, `trace`, `compare`, `code_comparison` and `answers`.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from provml.base.notebook_html import build_table_html
from provml.base.settings import default_store
from provml.base.text import printable_path
from provml.charts.run_summary import build_run_curve
from provml.errors import QueryError, RunNotFoundError, StoreError
from provml.journal.store import find_run
from provml.lineage import conditions
from provml.lineage.answers import TableAnswer
from provml.lineage.code_comparison import CodeComparison, compare_code
from provml.lineage.compare import Comparison, compare
from provml.lineage.conditions import RecordedName
from provml.lineage.database import QuestionDatabase, find_tables
from provml.lineage.live_runs import SUMMARY_TABLES
from provml.lineage.run_list import RunNames, RunPage, compile_order, list_names, list_page
from provml.lineage.start import find_recorded_start, find_start, start_from_run
from provml.lineage.tables import TABLES
from provml.lineage.trace import Lineage, trace

DIRECTIONS: Final = ("up", "down", "both")
_SHOWN_RUNS: Final = 10
_TABLES_OF_FILES: Final = tuple(table for table in TABLES if table not in ("nodes", "edges"))
"""The tables that must be up to date to trace files and to compare runs.

The nodes and edges of a run in progress change with each sample, but only in the summaries of
series, which these questions do not read.
"""

_HISTORY: Final = """
SELECT a.run, r.experiment, r.id, r.status, a.name, a.version, a.sha256, a.size, a.context, a.step,
       a.epoch, a.time_ns, a.path, a.node
FROM artifacts a JOIN runs r ON r.run = a.run
WHERE a.kind = 'model' AND a.name = ?
ORDER BY a.time_ns, a.run, a.version
"""

_COMMON_METRIC: Final = """
SELECT name FROM series
WHERE kind = 'metric' AND "count" > 1 AND run IN (SELECT unnest(?::VARCHAR[]))
GROUP BY name ORDER BY count(DISTINCT run) DESC, name LIMIT 1
"""


def open_store(store: str | os.PathLike[str] | None = None) -> Store:
    """Open a store (a folder of runs), and return an object that answers questions about the runs.

    Args:
        store: the folder; by default the environment variable ``PROVML_STORE`` or, if that is not
            set, ``provenance``.

    Raises:
        StoreError: the folder does not exist.
        MissingExtraError: duckdb or pyarrow is not installed.
    """
    place = Path(default_store() if store is None else store)
    if not place.is_dir():
        raise StoreError(
            f"there is no store {os.fspath(place)!r}: choose the folder that contains the runs"
        )
    return Store(place)


class Store:
    """A store, which answers questions about the runs in it.

    Before each question, provml looks for new and changed runs, which takes 30 microseconds per run
    in the store. provml reads these runs into tables, which takes about 15 ms for each run that is
    read. From a run in progress, provml reads only what the run has recorded since the last
    question. This takes about 100 microseconds per run if the answer needs only parameters, metrics
    and the state of the run. The tables are kept in the store's ``.tables`` folder, which you can
    delete at any time. Runs that can't be read are left out, and the notes of each answer list
    these runs.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._database = QuestionDatabase(path)
        self._names: tuple[tuple[int, int], RunNames] | None = None

    def __repr__(self) -> str:
        return f"<provml.lineage.Store {os.fspath(self.path)!r}>"

    def _repr_html_(self) -> str:
        """Return a list of the latest runs as HTML, which notebooks show instead of the ``repr``.

        Also draws a small curve of the metric that most of these runs have, which costs one pass
        over their samples. Brings the tables up to date first, as every question does.
        """
        latest = self.runs(sort="-started", limit=_SHOWN_RUNS)
        columns = ["experiment", "id", "status", "started", "duration_s", "sample_count"]
        rows = [tuple(row.get(column) for column in columns) for row in latest]
        metric = self._find_common_metric([row["run"] for row in latest])
        if metric is not None:
            columns.append(metric)
            curves = [build_run_curve(self.run_folder(row["run"]), metric) for row in latest]
            rows = [(*row, curve) for row, curve in zip(rows, curves, strict=True)]
        return build_table_html(columns, rows, len(self._database.runs), latest.notes)

    def _find_common_metric(self, runs: list[str]) -> str | None:
        """Return the metric that most of these runs logged repeatedly; None if there is none."""
        answer = self._database.ask(["series"], _COMMON_METRIC, [runs])
        return str(answer.rows[0][0]) if answer.rows else None

    @property
    def tables_folder(self) -> Path:
        """The folder that contains the tables."""
        return self._database.segments.folder

    def run_folder(self, run: str) -> Path:
        """Return the folder of the run with this name in the tables (``<experiment>/<id>``).

        Raises KeyError if the name is unknown.
        """
        return self._database.runs[run].folder

    def refresh(self) -> int:
        """Bring all tables up to date, and return the number of runs that were read.

        Runs in progress are read again only if they have recorded something.
        """
        return self._database.refresh()

    def notes(self) -> list[str]:
        """Return notes about the tables, and about runs that are left out, duplicated or damaged.

        Every answer includes these notes.
        """
        unread = self._database.unread
        notes = self._database.segments.notes()
        notes += [f"run {run} is left out: {why}" for run, why in sorted(unread.items())]
        twice = "SELECT id, list(run ORDER BY run) FROM runs GROUP BY iri, id HAVING count(*) > 1"
        for name, runs in self._database.ask(["runs"], twice).rows:
            folders = ", ".join(runs)
            notes.append(f"run {name} is counted {len(runs)} times, once for each copy: {folders}")
        damaged = "SELECT run, damaged FROM runs WHERE damaged > 0 ORDER BY run"
        for run, count in self._database.ask(["runs"], damaged).rows:
            note = f"{count:,} records can't be read and are left out"
            notes.append(f"run {run}: {note}; run `provml show` for details")
        return notes

    def runs(
        self,
        where: str | None = None,
        sort: str | None = None,
        show: Sequence[str] = (),
        limit: int | None = None,
    ) -> TableAnswer:
        """Return the runs that meet a condition. By default, the oldest run comes first.

        Args:
            where: a condition, such as
                ``params.lr < 0.01 and metrics.accuracy.validation.max > 0.95``; see
                `provml.lineage.conditions`. None returns all runs.
            sort: a value to sort by, such as ``params.lr``. The run with the lowest value comes
                first; put ``-`` before the value to get the highest first. Runs without the value
                come last.
            show: values to add as columns, such as ``params.lr``.
            limit: the maximum number of runs to return; None for no limit.

        Raises:
            QueryError: the condition or one of the values is not valid.
        """
        columns = ["r.* EXCLUDE (fingerprint)"]
        params: list[Any] = []
        for expression in show:
            number, text = conditions.compile_value(expression)
            title = expression.replace('"', '""')
            if number.text == "NULL" or text.text == "NULL":
                chosen = text if number.text == "NULL" else number
                columns.append(f'{chosen.text} AS "{title}"')
                params += chosen.params
                continue
            # the column becomes text if any run has a value that is not a number
            columns.append(f'struct_pack(n := {number.text}, t := {text.text}) AS "{title}"')
            params += [*number.params, *text.params]
        query = f"SELECT {', '.join(columns)} FROM runs r"
        if where is not None:
            condition = conditions.compile_condition(where)
            query += f" WHERE {condition.text}"
            params += condition.params
        order = compile_order(sort)
        query += f" ORDER BY {', '.join(part.text for part in order)}"
        params += [param for part in order for param in part.params]
        if limit is not None:
            query += " LIMIT ?"
            params.append(limit)
        self._database.refresh(SUMMARY_TABLES)
        answer = self._database.ask_condition(["runs", "params", "series"], query, params)
        names = [] if where is None else conditions.find_names(where, is_condition=True)
        for expression in (*show, *([] if sort is None else [sort.lstrip().removeprefix("-")])):
            names += conditions.find_names(expression, is_condition=False)
        answer.notes = [*self.notes(), *self._unknown_names(list(dict.fromkeys(names)))]
        return _unpack_values(answer)

    def list_page(
        self,
        where: str | None = None,
        sort: str = "-started",
        show: Sequence[str] = (),
        group: str | None = None,
        parent: str | None = None,
        offset: int = 0,
        limit: int | None = None,
    ) -> RunPage:
        """Return some of the runs that meet a condition, for a table that shows them in pages.

        `run_list.list_page` describes the arguments. If a store has thousands of runs, a change to
        a run that has ended may go unnoticed for a few seconds, unless the run is on this page.

        Raises:
            QueryError: the condition or one of the values is not valid.
        """
        self._database.refresh(SUMMARY_TABLES, is_quick=True)
        page = list_page(self._database, where, sort, show, group, parent, offset, limit)
        if self._database.has_changed(run.facts["run"] for run in page.runs):
            self._database.refresh(SUMMARY_TABLES)
            page = list_page(self._database, where, sort, show, group, parent, offset, limit)
        return page

    def list_names(self) -> RunNames:
        """Return the names of the parameters, tags and metrics in the tables.

        Does not bring the tables up to date.
        """
        version = self._database.names_version()
        if self._names is None or self._names[0] != version:
            self._names = version, list_names(self._database)
        return self._names[1]

    def unread(self) -> dict[str, str]:
        """Return the runs that the last answer left out, each with the reason."""
        return dict(self._database.unread)

    def _unknown_names(self, names: list[RecordedName]) -> list[str]:
        """Return a note for each name or context that does not occur in any run of the store."""
        notes: dict[str, None] = {}
        for own in names if self._database.runs else ():
            table = "series" if own.kinds == ("metric",) else "params"
            query = f"SELECT DISTINCT name FROM {table} WHERE kind IN (SELECT unnest(?::VARCHAR[]))"
            rows = self._database.ask([table], query, [list(own.kinds)]).rows
            known = [str(row[0]) for row in rows]
            if own.name not in known:
                what = "parameter" if own.kinds[0] == "param" else own.kinds[0].replace("_", " ")
                notes[f"no run has a {what} {own.name!r}{_suggest(own.name, known)}"] = None
            elif own.contexts:
                query = "SELECT DISTINCT context FROM series WHERE kind = 'metric' AND name = ?"
                rows = self._database.ask(["series"], query, [own.name]).rows
                paths = [str(row[0]) for row in rows if row[0] is not None]
                if not set(own.contexts) & set(paths):
                    hint = _suggest(own.contexts[-1], paths)
                    given = own.contexts[0]
                    notes[f"no run has the metric {own.name!r} in the context {given!r}{hint}"] = (
                        None
                    )
        return list(notes)

    def lineage(
        self,
        start: str | os.PathLike[str],
        direction: str = "up",
        depth: int | None = None,
    ) -> Lineage:
        """Trace what a file was made from, or what was made from the file, across all runs.

        Args:
            start: one of these:

                - a file or folder, which provml looks up by its content;
                - a digest;
                - a recorded path or URI;
                - the name of an artifact, dataset or model;
                - the IRI of a node;
                - a run's folder or id.
            direction: ``up`` for causes, ``down`` for effects, or ``both``.
            depth: the maximum number of steps to follow; None means no limit.

        Raises:
            QueryError: the direction or depth is not valid, or no run contains the start.
        """
        if direction not in DIRECTIONS:
            raise QueryError(
                f"the direction must be one of {', '.join(DIRECTIONS)}, not {direction!r}"
            )
        if depth is not None and depth < 0:
            raise QueryError(f"the depth must be 0 or more, not {depth}")
        self._database.refresh(_TABLES_OF_FILES)
        notes = self.notes()
        found = find_start(self._database, start, direction)
        return trace(self._database, found, direction, depth, notes)

    def recorded_lineage(self, start: str, depth: int | None = None) -> Lineage:
        """Trace recorded content in both directions.

        Unlike `lineage`, this method never looks at the files of this machine, so ``start`` may
        come from anyone.

        Args:
            start: a digest or its first digits, the key of a content item, a recorded path, URI or
                name, or the IRI of a node.
            depth: the maximum number of steps to follow; None means no limit.

        Raises:
            QueryError: no run recorded the start.
        """
        self.refresh()
        found = find_recorded_start(self._database, start)
        return trace(self._database, found, "both", depth, self.notes())

    def run_lineage(self, run: str, depth: int | None = None) -> Lineage:
        """Trace what a run used and made, in both directions.

        Args:
            run: the run's name in the tables, ``<experiment>/<id>``.
            depth: the maximum number of steps to follow; None means no limit.

        Raises:
            QueryError: the tables do not contain the run.
        """
        self.refresh()
        found = start_from_run(self._database, self.path / run)
        return trace(self._database, found, "both", depth, self.notes())

    def impact(self, start: str | os.PathLike[str], depth: int | None = None) -> Lineage:
        """Trace what was made from a file or dataset: `lineage` with direction ``down``."""
        return self.lineage(start, "down", depth)

    def diff(self, *runs: str | os.PathLike[str]) -> Comparison:
        """Compare runs: parameters, code, packages, data and metrics.

        Args:
            runs: two or more runs, each as a folder, an id or ``latest``, as for `provml.load`.

        Raises:
            QueryError: there are fewer than two runs.
            RunNotFoundError: a run is not in this store, or can't be read.
        """
        if len(runs) < 2:
            raise QueryError(f"a comparison needs at least two runs, not {len(runs)}")
        self._database.refresh(_TABLES_OF_FILES)
        return compare(self._database, [self._run(run) for run in runs], self.notes())

    def compare_values(self, runs: Sequence[str]) -> Comparison:
        """Compare everything in these runs except their code.

        Does not bring the tables up to date, and adds no notes about other runs.

        Args:
            runs: the names of the runs in the tables.
        """
        return compare(self._database, list(runs), [], code=False)

    def compare_code(self, runs: Sequence[str]) -> CodeComparison:
        """Compare the code of runs. Does not bring the tables up to date.

        Args:
            runs: the names of the runs in the tables.
        """
        return compare_code(self._database, list(runs))

    def history(self, model: str) -> TableAnswer:
        """Return the versions of a model across all runs, with the earliest first.

        Raises QueryError if no run has a model with this name.
        """
        self._database.refresh(("artifacts", "runs"))
        answer = self._database.ask(["artifacts", "runs"], _HISTORY, [printable_path(model)])
        if not answer.rows:
            known = (
                "SELECT DISTINCT name FROM artifacts WHERE kind = 'model' ORDER BY name LIMIT 10"
            )
            names = ", ".join(repr(row[0]) for row in self._database.ask([], known).rows)
            raise QueryError(
                f"no run has a model named {model!r}; models in the store: {names or 'none'}"
            )
        answer.notes = self.notes()
        return answer

    def sql(self, query: str, params: Sequence[Any] = ()) -> TableAnswer:
        """Query the tables with DuckDB's SQL. ``schemas/tables.md`` describes the tables.

        The first query that mentions the table ``samples`` builds the table, which takes about
        10 ms for 10,000 samples.

        Args:
            query: a single SELECT statement, with ``?`` for each parameter.
            params: the values of the parameters, in order.

        Raises:
            QueryError: the query is not a single SELECT statement, or DuckDB rejects it.
        """
        self._database.refresh(find_tables(query))
        answer = self._database.ask_sql(query, params)
        answer.notes = self.notes()
        return answer

    def select(self, tables: Sequence[str], query: str, params: Sequence[Any] = ()) -> TableAnswer:
        """Run a trusted query on the tables as they are, without bringing them up to date first.

        Args:
            tables: the tables that the query reads.
            query: the SQL of the query, with ``?`` for each parameter. It must not contain text
                from outside.
            params: the values of the parameters, in order.
        """
        return self._database.ask(tables, query, params)

    def _run(self, run: str | os.PathLike[str]) -> str:
        """Return a run's name in the tables. Raises RunNotFoundError if the run is not there."""
        folder = os.path.realpath(find_run(run, self.path))
        for name, found in self._database.runs.items():
            if os.path.realpath(found.folder) == folder:
                return name
        reason = next(
            (why for name, why in self._database.unread.items() if folder.endswith(name)), None
        )
        raise RunNotFoundError(
            f"run {os.fspath(run)!r} is not in the store {os.fspath(self.path)!r}"
            if reason is None
            else f"run {os.fspath(run)!r} can't be read: {reason}"
        )


def _suggest(name: str, known: list[str]) -> str:
    """Return the end of a message that suggests known names similar to a name; may be empty."""
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.6)
    return f"; did you mean {' or '.join(map(repr, close))}?" if close else ""


def _unpack_values(answer: TableAnswer) -> TableAnswer:
    """Turn columns of (number, text) pairs into numbers, or into text if any is not a number."""
    for place in range(len(answer.columns)):
        cells = [row[place] for row in answer.rows]
        if not any(isinstance(cell, dict) for cell in cells):
            continue
        numeric = all(cell["n"] is not None or cell["t"] is None for cell in cells)
        key, kind = ("n", "DOUBLE") if numeric else ("t", "VARCHAR")
        answer.types[place] = kind
        answer.rows = [(*row[:place], row[place][key], *row[place + 1 :]) for row in answer.rows]
    return answer

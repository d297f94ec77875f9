"""Traces what a file, dataset or model was made from, or what was made from it, across all runs.

Files with the same digest are the same content item, whatever their names and locations. A content
item links the run that made it to the runs that used it. The table ``flows`` contains the steps
between content items, and one recursive query follows them. Imports `contents`, `database`,
`answers` and `rows`; imports `document` only when needed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from provml.base.text import printable_path
from provml.collect.content import describe_path
from provml.errors import ProvMLError, QueryError, RunNotFoundError
from provml.journal.reader import is_run_folder
from provml.journal.store import find_run
from provml.lineage.answers import HasTable, TableAnswer
from provml.lineage.contents import Content, Row
from provml.lineage.database import QuestionDatabase
from provml.lineage.rows import CAUSAL

if TYPE_CHECKING:
    import networkx as nx

    from provml.base.sinks import Destination
    from provml.export import Format

RECURSIVE: Final = """
WITH RECURSIVE reached (content, depth) AS (
    SELECT starts.content, {first} FROM starts
    UNION ALL
    SELECT DISTINCT flows.{to}, reached.depth + 1
    FROM reached JOIN flows ON flows.{of} = reached.content
    WHERE reached.depth < {limit}
)
SELECT reached.content, MIN(reached.depth) AS depth FROM reached GROUP BY reached.content
"""
"""A recursive query over the table ``flows``. The query works in both DuckDB and Spark.

UNION would end the recursion at a cycle, but Spark supports only UNION ALL in recursive queries, so
the query has a depth limit. DISTINCT keeps each content item only once per round of the recursion,
so a round reads each flow at most once.
"""

_FIRST_LIMIT: Final = 256
_DIGEST: Final = re.compile(r"[0-9a-fA-F]{8,64}")


@dataclass(slots=True)
class LineageStart:
    """The file, run or other node from which a lineage is traced.

    Attributes:
        text: the text that the caller passed as the start.
        contents: the keys of the content items that the text refers to.
        up, down: if the text refers to a run, a parameter or another node, the keys of the nearest
            content items in each direction.
        runs: the names of the runs that the text refers to, or of the runs that contain the node.
        notes: messages for the user.
    """

    text: str
    contents: set[str] = field(default_factory=set)
    up: set[str] = field(default_factory=set)
    down: set[str] = field(default_factory=set)
    runs: set[str] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Lineage(HasTable):
    """The lineage of a file, a run or another node: its causes, its effects, or both.

    Attributes:
        store: the store's folder.
        start: the text that the caller passed as the start.
        direction: ``up`` for causes, ``down`` for effects, or ``both``.
        depth: the maximum number of steps to follow; None means no limit.
        starts: the keys of the content items at the start; for a run or another node, the keys of
            the nearest content items.
        start_runs: the names of the runs that the start refers to, or of the runs that contain the
            node.
        contents: all content items of the lineage, by key, with the nearest first.
        runs: the rows of the table ``runs`` for the runs that made or used these content items, by
            name.
        flows: the steps that were followed, as (run, key of the effect, key of the cause).
        folders: the folders of the runs that made or used these content items, by the runs' names.
        notes: messages for the user.
    """

    store: Path
    start: str
    direction: str
    depth: int | None
    starts: list[str]
    start_runs: list[str]
    contents: dict[str, Content]
    runs: dict[str, Row]
    flows: list[tuple[str, str, str]]
    folders: dict[str, Path]
    notes: list[str]
    _database: QuestionDatabase
    _params: dict[str, list[Row]] | None = None

    @property
    def params(self) -> dict[str, list[Row]]:
        """The last value of each parameter: rows of the table ``params``, by the run's name."""
        if self._params is None:
            found: dict[str, list[Row]] = {}
            for row in _select_by_keys(self._database, "params", "run", self.runs):
                if row["kind"] == "param" and row["is_last"]:
                    found.setdefault(row["run"], []).append(row)
            self._params = found
        return self._params

    def __repr__(self) -> str:
        return (
            f"<provml.lineage.Lineage {self.direction} of {self.start!r}: {len(self.contents)} "
            f"contents, {len(self.runs)} runs>"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the lineage and the parameters of its runs as JSON-compatible objects."""
        return {
            "start": self.start,
            "direction": self.direction,
            "depth": self.depth,
            "starts": self.starts,
            "contents": [
                {"content": c.key, "up": c.up, "down": c.down, "places": c.places}
                for c in self.contents.values()
            ],
            "runs": [
                {
                    key: value
                    for key, value in run.items()
                    if key not in ("started", "ended", "fingerprint")
                }
                | {"params": {p["name"]: _param_value(p) for p in self.params.get(name, [])}}
                for name, run in self.runs.items()
            ],
            "flows": [{"run": r, "effect": e, "cause": c} for r, e, c in self.flows],
            "notes": self.notes,
        }

    def table(self) -> TableAnswer:
        """Return a table of the content items that runs made or used, with the nearest first."""
        own = ["up", "down", "run", "node", "kind", "role", "name", "version", "sha256", "size"]
        own += ["path", "uri", "context", "step", "epoch", "time_ns"]
        types = ["BIGINT", "BIGINT", *["VARCHAR"] * 5, "INTEGER", "VARCHAR", "BIGINT"]
        types += ["VARCHAR", "VARCHAR", "VARCHAR", "BIGINT", "BIGINT", "BIGINT"]
        rows = [
            (content.up, content.down, *(place[name] for name in own[2:]))
            for content in self.contents.values()
            for place in content.places
        ]
        return TableAnswer(own, types, rows, self.notes)

    def to_networkx(self) -> nx.MultiDiGraph[str]:
        """Build a networkx graph of the lineage, as one PROV graph over all its runs.

        Nodes are named by IRI, and edges point from the effect to the cause. Reads all runs of the
        lineage again. Raises MissingExtraError if networkx is not installed.
        """
        from provml.lineage.document import lineage_graph

        return lineage_graph(self.contents, self.folders, self.depth)

    def export(self, format: str | Format, file: Destination) -> None:
        """Export the lineage as one PROV graph over all its runs.

        Reads all runs of the lineage again.

        Args:
            format: a format or its name, as for `RecordedRun.export`.
            file: a path, or an open binary file.

        Raises:
            ExportError: the format is unknown, or exports only samples.
            OSError: the file can't be written.
        """
        from provml.lineage.document import export_lineage

        export_lineage(self.contents, self.folders, self.depth, format, file)


def _param_value(row: Row) -> Any:
    if row["type"] in ("int", "float") and row["number"] is not None:
        exact = row["type"] == "int" and abs(row["number"]) <= 2**53
        finite = abs(row["number"]) < float("inf")
        return int(row["number"]) if exact else row["number"] if finite else row["text"]
    return row["text"] == "true" if row["type"] == "bool" else row["text"]


# -- the start --------------------------------------------------------------------------------


def find_start(
    database: QuestionDatabase, start: str | os.PathLike[str], direction: str
) -> LineageStart:
    """Find the content items, node or run that a text refers to.

    Tries to find a file, digest, path, name, node and run, in this order. Raises QueryError if the
    text matches nothing.
    """
    text = os.fspath(start)
    if not text:
        raise QueryError("the start is empty: choose a file, a digest, a name, a run or an IRI")
    try:
        named = printable_path(text)  # provml records non-Unicode names in this form
    except UnicodeEncodeError:
        raise QueryError(f"{text!r:.80} contains a lone surrogate: use valid Unicode") from None
    found = LineageStart(named)
    if _path_exists(text):
        return _start_from_path(database, found, Path(text))
    text = named
    for query, value in _start_queries(text):
        rows = _select_artifacts(database, query, [value] * query.count("?"))
        digests = {row["content"] for row in rows}
        if "starts_with" in query and len(digests) > 1:
            raise QueryError(f"{len(digests)} digests begin with {text}: add more digits")
        if rows:
            found.contents = digests
            return found
    if _start_from_node(database, found):
        return found
    try:
        folder = find_run(text, database.store)
    except (RunNotFoundError, OSError, ValueError):
        raise QueryError(
            f"{text!r} was not found: no such file exists, and the store {database.store} has no "
            "content, run or node with this name"
        ) from None
    return _start_from_run(database, found, folder)


def _start_queries(text: str) -> Iterator[tuple[str, str]]:
    if _DIGEST.fullmatch(text):
        yield "starts_with(sha256, ?)", text.lower()
    yield "path = ? OR uri = ?", text
    yield "path = ?", os.path.abspath(text) if "\0" not in text else text
    yield "name = ? AND role IS NOT NULL", text


def _path_exists(text: str) -> bool:
    try:
        return os.path.exists(text)
    except ValueError:
        return False


def _start_from_path(database: QuestionDatabase, found: LineageStart, path: Path) -> LineageStart:
    if is_run_folder(path):
        return _start_from_run(database, found, path)
    any_run = next((own.folder for own in database.runs.values()), None)
    try:
        # if a folder contains a store, its digest leaves out the store, as during recording
        facts = describe_path(path, any_run, copy=False)
    except ProvMLError as error:
        raise QueryError(str(error)) from None
    digest = facts.get("sha256")
    if digest is None:
        raise QueryError(f"{found.text} can't be read: {facts.get('unread')}")
    rows = _select_artifacts(database, "sha256 = ?", [digest])
    if not rows:
        rows = _select_artifacts(database, "path = ?", [facts["path"]])
        if rows:
            found.notes.append(
                f"{found.text} has changed since it was recorded: this is the lineage of the "
                "recorded content"
            )
    if rows:
        found.contents = {row["content"] for row in rows}
        return found
    within = next((parent for parent in path.resolve().parents if is_run_folder(parent)), None)
    if within is not None:
        found.notes.append(
            f"{found.text} is part of run {within.name}: this is the lineage of the run"
        )
        return _start_from_run(database, found, within)
    known = _select_artifacts(database, "name = ? AND role IS NOT NULL", [found.text])
    if known:
        found.contents = {row["content"] for row in known}
        found.notes.append(
            f"no run recorded the content of the file {found.text}: this is the lineage of the "
            "content that was recorded with this name"
        )
        return found
    raise QueryError(
        f"no run in {database.store} made or used {found.text} (sha256 {digest[:12]}...)"
    )


def _start_from_run(database: QuestionDatabase, found: LineageStart, folder: Path) -> LineageStart:
    real = os.path.realpath(folder)
    run = next((n for n, o in database.runs.items() if os.path.realpath(o.folder) == real), None)
    if run is None:
        raise QueryError(f"run {folder} is not in the store {database.store}, or can't be read")
    rows = _select_artifacts(database, "run = ?", [run])
    found.runs.add(run)
    found.up |= {row["content"] for row in rows if row["role"] == "in"}
    found.down |= {row["content"] for row in rows if row["role"] == "out"}
    return found


def _start_from_node(database: QuestionDatabase, found: LineageStart) -> bool:
    """Find the nodes, such as parameters, steps or people, that the start's text refers to.

    Adds the runs of these nodes, and the nearest content items, to the start. Returns whether any
    node was found.
    """
    query = "SELECT run, node FROM nodes WHERE iri = ? OR node = ?"
    nodes = database.ask(["nodes"], query, [found.text, found.text]).rows
    for run, node in nodes:
        rows = _select_artifacts(database, "run = ?", [run])
        contents = {row["node"]: row["content"] for row in rows}
        found.runs.add(run)
        if node in contents:
            found.contents.add(contents[node])
            continue
        edges = database.ask(
            ["edges"], "SELECT relation, source, target FROM edges WHERE run = ?", [run]
        ).rows
        causal = [(source, target) for kind, source, target in edges if kind in CAUSAL]
        found.up |= _nearest_keys(node, causal, contents)
        found.down |= _nearest_keys(node, [(target, source) for source, target in causal], contents)
    return bool(nodes)


def _nearest_keys(node: str, steps: list[tuple[str, str]], contents: dict[str, str]) -> set[str]:
    """Return the key of the first content item on each path that starts at a node."""
    following: dict[str, list[str]] = {}
    for source, target in steps:
        following.setdefault(source, []).append(target)
    waiting, seen, found = [node], {node}, set()
    while waiting:
        for other in following.get(waiting.pop(), ()):
            if other in contents:
                found.add(contents[other])
            elif other not in seen:
                seen.add(other)
                waiting.append(other)
    return found


# -- following the flows ----------------------------------------------------------------------


def trace(
    database: QuestionDatabase,
    start: LineageStart,
    direction: str,
    depth: int | None,
    notes: list[str],
) -> Lineage:
    """Follow the flows from the start of a lineage, and return the lineage.

    Args:
        database: the store's tables.
        start: the content items, node or run at which the lineage starts.
        direction: ``up``, ``down`` or ``both``.
        depth: the maximum number of steps to follow; None means no limit.
        notes: messages for the user, to add to the lineage.
    """
    contents: dict[str, Content] = {}
    for way in ("up", "down"):
        if direction in (way, "both"):
            nearest = start.up if way == "up" else start.down
            for key, steps in _follow_flows(database, way, start.contents, nearest, depth).items():
                setattr(contents.setdefault(key, Content(key)), way, steps)
    flows = _followed_flows(database, contents, depth)
    runs = set(start.runs) | {run for run, _, _ in flows}
    for row in _select_places(database, contents, start.contents, runs, direction):
        content = contents[row["content"]]
        made = content.up is not None and row["role"] == "out" and _is_within(content.up, depth)
        used = content.down is not None and row["role"] == "in" and _is_within(content.down, depth)
        content.places.append(row)
        if made or used:
            runs.add(row["run"])
    for content in contents.values():
        others = content.places if content.depth == 0 else []
        own = [row for row in content.places if row["run"] in runs]
        content.places = own or others or content.places[:1]
        runs |= {row["run"] for row in content.places if not own}
    ordered = sorted(contents.values(), key=lambda c: (c.depth, c.facts["time_ns"] or 0, c.key))
    described = _select_by_keys(database, "runs", "run", runs)
    described.sort(key=lambda row: (row["started_ns"] or 0, row["run"]))
    return Lineage(
        store=database.store,
        start=start.text,
        direction=direction,
        depth=depth,
        starts=sorted(start.contents or start.up | start.down),
        start_runs=sorted(start.runs),
        contents={content.key: content for content in ordered},
        runs={row["run"]: row for row in described},
        flows=sorted(flows),
        folders={run: database.runs[run].folder for run in runs if run in database.runs},
        notes=[*start.notes, *notes],
        _database=database,
    )


def _is_within(steps: int, depth: int | None) -> bool:
    return depth is None or steps < depth


def _follow_flows(
    database: QuestionDatabase, way: str, starts: set[str], nearest: set[str], depth: int | None
) -> dict[str, int]:
    """Return the content items reached in one direction, with the number of steps to each."""
    first, begin = (0, starts) if starts else (1, nearest)
    if depth is not None and first > depth:
        return {}
    of, to = ("effect", "cause") if way == "up" else ("cause", "effect")
    with database.lock:
        made = "CREATE OR REPLACE TEMP TABLE starts AS SELECT unnest(?::VARCHAR[]) AS content"
        database.ask(["flows"], made, [sorted(begin)])
        limit = _FIRST_LIMIT
        while True:
            # each depth is a minimum, so if no item is at the limit, no item is beyond the limit
            bound = limit if depth is None else min(limit, depth)
            query = RECURSIVE.format(first=first, of=of, to=to, limit=bound)
            reached = dict(database.ask([], query).rows)
            if bound == depth or max(reached.values(), default=0) < bound:
                return reached
            limit *= 2


def _followed_flows(
    database: QuestionDatabase, contents: dict[str, Content], depth: int | None
) -> set[tuple[str, str, str]]:
    """Return the flows that were followed, as (run, key of the effect, key of the cause)."""
    followed: set[tuple[str, str, str]] = set()
    query = """
        SELECT run, effect, cause FROM flows
        WHERE effect IN (SELECT unnest(?::VARCHAR[])) AND cause IN (SELECT unnest(?::VARCHAR[]))
    """
    keys = list(contents)
    for run, effect, cause in database.ask(["flows"], query, [keys, keys]).rows:
        one, other = contents[effect], contents[cause]
        up = one.up is not None and other.up is not None and _is_within(one.up, depth)
        down = one.down is not None and other.down is not None and _is_within(other.down, depth)
        if up or down:
            followed.add((run, effect, cause))
    return followed


def _select_places(
    database: QuestionDatabase,
    contents: dict[str, Content],
    starts: set[str],
    runs: set[str],
    way: str,
) -> list[Row]:
    """Return the rows of the table ``artifacts`` that belong to the answer.

    For each content item, these are:

    - all rows of the item, if the item is one of the starts;
    - the item's rows in the given runs;
    - the item's rows in other runs that made it (``up``), used it (``down``), or did either
      (``both``).
    """
    roles = {"up": ["out"], "down": ["in"]}.get(way, ["out", "in"])
    query = """
        SELECT * FROM artifacts WHERE content IN (SELECT unnest(?::VARCHAR[]))
        AND (role IN (SELECT unnest(?::VARCHAR[])) OR run IN (SELECT unnest(?::VARCHAR[]))
             OR content IN (SELECT unnest(?::VARCHAR[])))
        ORDER BY run, node
    """
    params = [list(contents), roles, list(runs), list(starts)]
    return list(database.ask(["artifacts"], query, params))


def _select_by_keys(
    database: QuestionDatabase, table: str, column: str, keys: Iterable[str]
) -> list[Row]:
    """Return the rows of a table in which the value of one column is among the keys."""
    order = {"artifacts": "run, node", "params": "run, name"}.get(table, "run")
    found = f"{column} IN (SELECT unnest(?::VARCHAR[]))"
    query = f"SELECT * FROM {table} WHERE {found} ORDER BY {order}"
    return list(database.ask([table], query, [list(keys)]))


def _select_artifacts(database: QuestionDatabase, condition: str, params: list[Any]) -> list[Row]:
    query = f"SELECT * FROM artifacts WHERE {condition} ORDER BY time_ns, run, node"
    return list(database.ask(["artifacts"], query, params))

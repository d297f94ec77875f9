"""Traces the causes and effects of files, datasets and models across all runs.

A cause is something from which a file was made, and an effect is something that was made from the
file. Files with the same digest are the same content item, whatever their names and locations. A
content item links the run that made it to the runs that used it. The table ``flows`` contains the
steps between content items, and one recursive query follows them. Imports `contents`, `database`,
`answers` and `rows`; imports `document` only when needed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from provml.lineage.answers import HasTable, TableAnswer
from provml.lineage.contents import Content, Row
from provml.lineage.database import QuestionDatabase
from provml.lineage.members import create_member_flows
from provml.lineage.start import LineageStart

if TYPE_CHECKING:
    import networkx as nx

    from provml.base.sinks import Destination
    from provml.export import Format

RECURSIVE: Final = """
WITH RECURSIVE reached (content, depth) AS (
    SELECT starts.content, {first} FROM starts
    UNION ALL
    SELECT DISTINCT {flows}.{to}, reached.depth + 1
    FROM reached JOIN {flows} ON {flows}.{of} = reached.content
    WHERE reached.depth < {limit}
)
SELECT reached.content, MIN(reached.depth) AS depth FROM reached GROUP BY reached.content
"""
"""A recursive query over the table ``flows``, or over the table ``links``.

The table ``links`` has the same columns, but also relates folders to the files in them. The query
works in both DuckDB and Spark. UNION would end the recursion at a cycle, but Spark supports only
UNION ALL in recursive queries, so the query has a depth limit. DISTINCT keeps each content item
only once per round, so a round of the recursion reads each flow at most once.
"""

_CREATE_LINKS: Final = """
CREATE OR REPLACE TEMP TABLE links AS
SELECT effect, cause FROM flows UNION ALL SELECT effect, cause FROM member_flows
"""
_FIRST_LIMIT: Final = 256


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
        members: the steps that were followed between a folder and a file in it, as (key of the
            effect, key of the cause).
        folders: the folders of the runs that made or used these content items, keyed by the run's
            name.
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
    members: list[tuple[str, str]]
    folders: dict[str, Path]
    notes: list[str]
    _database: QuestionDatabase
    _params: dict[str, list[Row]] | None = None

    @property
    def params(self) -> dict[str, list[Row]]:
        """The rows of the table ``params`` with the last value of each parameter, keyed by run."""
        if self._params is None:
            found: dict[str, list[Row]] = {}
            for row in _select_by_keys(self._database, "params", "run", self.runs):
                if row["kind"] == "param" and row["is_last"]:
                    found.setdefault(row["run"], []).append(row)
            self._params = found
        return self._params

    def read_metrics(self, runs: Iterable[str]) -> list[Row]:
        """Return the rows of the table ``series`` for the metrics of these runs."""
        rows = _select_by_keys(self._database, "series", "run", runs)
        return [row for row in rows if row["kind"] == "metric"]

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
            "members": [{"effect": e, "cause": c} for e, c in self.members],
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
        """Build a networkx graph with the PROV nodes and relations of all runs in the lineage.

        Nodes are named by IRI, and edges point from the effect to the cause. Reads all runs of the
        lineage again. Raises MissingExtraError if networkx is not installed.
        """
        from provml.lineage.document import lineage_graph

        return lineage_graph(self.contents, self.folders, self.depth)

    def export(self, format: str | Format, file: Destination) -> None:
        """Export the lineage as one PROV graph that joins all runs of the lineage.

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
    members: set[tuple[str, str]] = set()
    with database.lock:
        table = "flows"
        if create_member_flows(database, start.contents):
            database.ask(["flows"], _CREATE_LINKS)
            table = "links"
        for way in ("up", "down"):
            if direction in (way, "both"):
                nearest = start.up if way == "up" else start.down
                found = _follow_flows(database, way, start.contents, nearest, depth, table)
                for key, steps in found.items():
                    setattr(contents.setdefault(key, Content(key)), way, steps)
        flows = _followed_flows(database, contents, depth, "flows")
        if table == "links":
            followed = _followed_flows(database, contents, depth, "member_flows")
            members = {(effect, cause) for _, effect, cause in followed}
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
        members=sorted(members),
        folders={run: database.runs[run].folder for run in runs if run in database.runs},
        notes=[*start.notes, *notes],
        _database=database,
    )


def _is_within(steps: int, depth: int | None) -> bool:
    return depth is None or steps < depth


def _follow_flows(
    database: QuestionDatabase,
    way: str,
    starts: set[str],
    nearest: set[str],
    depth: int | None,
    flows: str,
) -> dict[str, int]:
    """Follow the flows in one direction; return the number of steps to each content item reached.

    Args:
        database: the store's tables.
        way: ``up`` or ``down``.
        starts: the keys of the content items to start from.
        nearest: the keys of the content items that are one step from the start. Used only if
            ``starts`` is empty.
        depth: the maximum number of steps to follow; None means no limit.
        flows: the table to follow, ``flows`` or ``links``.
    """
    first, begin = (0, starts) if starts else (1, nearest)
    if depth is not None and first > depth:
        return {}
    of, to = ("effect", "cause") if way == "up" else ("cause", "effect")
    with database.lock:
        made = "CREATE OR REPLACE TEMP TABLE starts AS SELECT unnest(?::VARCHAR[]) AS content"
        database.ask(["flows"], made, [sorted(begin)])
        limit = _FIRST_LIMIT
        while True:
            # each depth is the smallest possible: if no item is at the limit, none is beyond it
            bound = limit if depth is None else min(limit, depth)
            query = RECURSIVE.format(first=first, of=of, to=to, limit=bound, flows=flows)
            reached = dict(database.ask([], query).rows)
            if bound == depth or max(reached.values(), default=0) < bound:
                return reached
            limit *= 2


def _followed_flows(
    database: QuestionDatabase, contents: dict[str, Content], depth: int | None, table: str
) -> set[tuple[str, str, str]]:
    """Return the flows that were followed, as (run, key of the effect, key of the cause).

    Args:
        database: the store's tables.
        contents: the content items that were reached, by key.
        depth: the maximum number of steps; None means no limit.
        table: the table with the flows, ``flows`` or ``member_flows``.
    """
    followed: set[tuple[str, str, str]] = set()
    query = f"""
        SELECT run, effect, cause FROM {table}
        WHERE effect IN (SELECT unnest(?::VARCHAR[])) AND cause IN (SELECT unnest(?::VARCHAR[]))
    """
    keys = list(contents)
    for run, effect, cause in database.ask([], query, [keys, keys]).rows:
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

"""Answers the requests of the page that shows where a file came from and what was made from it.

Imports `lineage` only when a request needs it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from provml.errors import InvalidArgumentError, QueryError
from provml.ui.answers import json_value
from provml.ui.browsed_store import BrowsedStore
from provml.ui.queries import Query

if TYPE_CHECKING:
    from provml.lineage.contents import Content
    from provml.lineage.trace import Lineage

MOST_NODES: Final = 400
_DEFAULT_DEPTH: Final = 12
_MOST_DEPTH: Final = 1_000
_MOST_PLACES: Final = 20
_MOST_PARAMS: Final = 12
_MOST_METRICS: Final = 12
_MOST_CODE: Final = 8
_LONGEST_TEXT: Final = 2_000
_CODE: Final = ("script", "source", "diff")
"""The kinds of content that are shown as facts about a run, not as nodes of their own."""


def answer_file(store: BrowsedStore, query: Query) -> Mapping[str, Any]:
    """Return the lineage of a file or a run, in both directions, as a graph of contents and runs.

    One parameter of the query names the start of the lineage: ``digest``, the SHA-256 digest of a
    file; ``content``, the key of a node in an earlier answer; ``name``, a recorded name or path; or
    ``run``, a run's key. If no run recorded the start, the answer's ``found`` is false. If the
    graph is too large, it contains only the nodes that are nearest to the start.
    """
    depth = query.count("depth", _DEFAULT_DEPTH, _MOST_DEPTH)
    given = {name: query.text(name) for name in ("digest", "content", "name", "run")}
    start = {name: value for name, value in given.items() if value is not None}
    if len(start) != 1:
        raise InvalidArgumentError("the request needs one of: digest, content, name, run")
    ((by, value),) = start.items()
    with store.tables() as tables:
        try:
            if by == "run":
                store.run_folder(value)
                lineage = tables.run_lineage(value, depth)
            else:
                text = "".join(value.split()).lower() if by == "digest" else value
                lineage = tables.recorded_lineage(text, depth)
        except QueryError as error:
            return {"found": False, "by": by, "start": value, "reason": str(error)}
        graph = _LineageGraph(lineage).build()
    is_cut = any(content.depth == depth for content in lineage.contents.values())
    return {
        "found": True,
        "by": by,
        "start": value,
        "depth": depth,
        "more_depth": is_cut,
        **graph,
        "notes": lineage.notes,
    }


class _LineageGraph:
    """Turns a lineage into nodes and edges.

    The layer of a node is its distance from the start: negative for causes, positive for effects.
    """

    def __init__(self, lineage: Lineage) -> None:
        self._lineage = lineage
        shown_code = [] if lineage.start_runs else lineage.starts
        self._contents = {
            key: content
            for key, content in lineage.contents.items()
            if content.places and (content.facts["kind"] not in _CODE or key in shown_code)
        }
        self._code: dict[str, list[dict[str, Any]]] = {}
        for content in lineage.contents.values():
            for place in content.places:
                if place["kind"] in _CODE:
                    code = {"name": place["name"], "digest": place["sha256"]}
                    listed = self._code.setdefault(place["run"], [])
                    if code not in listed:
                        listed.append(code)

    def build(self) -> dict[str, Any]:
        """Return the nodes, the edges, and the number of nodes that are left out."""
        edges = self._edges()
        layers = self._find_layers(edges)
        known = [("content", key) for key in self._contents]
        known += [("run", run) for run in self._lineage.runs]
        reached = sorted((one for one in known if one in layers), key=lambda n: abs(layers[n]))
        chosen = set(reached[:MOST_NODES])
        kept = [one for one in reached if one in chosen]
        number = {one: place for place, one in enumerate(kept)}
        metrics = self._read_metrics([name for kind, name in kept if kind == "run"])
        nodes = [
            {"layer": layers[one]}
            | (
                self._content_node(self._contents[one[1]])
                if one[0] == "content"
                else self._run_node(one[1], metrics.get(one[1], []))
            )
            for one in kept
        ]
        joined = [
            [number[cause], number[effect], kind]
            for cause, effect, kind in sorted(edges)
            if cause in number and effect in number
        ]
        hidden: dict[int, int] = {}
        for cause, effect, _ in edges:
            for one, other in ((cause, effect), (effect, cause)):
                if one in number and other not in number and other in layers:
                    hidden[number[one]] = hidden.get(number[one], 0) + 1
        for place, count in hidden.items():
            nodes[place]["hidden"] = count
        return {
            "nodes": nodes,
            "edges": joined,
            "total": len(reached),
            "left_out": len(reached) - len(kept),
        }

    def _edges(self) -> set[tuple[tuple[str, str], tuple[str, str], str]]:
        """Return the edges as (cause, effect, kind)."""
        edges = set()
        for key, content in self._contents.items():
            for place in content.places:
                run, own = ("run", place["run"]), ("content", key)
                if place["run"] in self._lineage.runs:
                    is_made = place["role"] == "out"
                    edges.add((run, own, "made") if is_made else (own, run, "used"))
        for effect, cause in self._lineage.members:
            if effect in self._contents and cause in self._contents:
                edges.add((("content", cause), ("content", effect), "part"))
        return edges

    def _find_layers(
        self, edges: Iterable[tuple[tuple[str, str], tuple[str, str], str]]
    ) -> dict[tuple[str, str], int]:
        """Return the layer of each node that is connected to the start, by breadth-first search.

        Each search goes only to causes or only to effects. Other effects of a cause are left out.
        """
        up: dict[tuple[str, str], list[tuple[str, str]]] = {}
        down: dict[tuple[str, str], list[tuple[str, str]]] = {}
        for cause, effect, _ in edges:
            up.setdefault(effect, []).append(cause)
            down.setdefault(cause, []).append(effect)
        lineage = self._lineage
        starts = [("content", key) for key in lineage.starts if key in self._contents]
        if lineage.start_runs:
            starts = [("run", run) for run in lineage.start_runs if run in lineage.runs]
        layers = dict.fromkeys(starts, 0)
        for steps, sign in ((up, -1), (down, 1)):
            seen, waiting = set(starts), list(starts)
            depth = 0
            while waiting:
                depth += sign
                found = {other for one in waiting for other in steps.get(one, ())} - seen
                seen |= found
                waiting = sorted(found)
                for one in waiting:
                    if one not in layers or abs(depth) < abs(layers[one]):
                        layers[one] = depth
        return layers

    def _content_node(self, content: Content) -> dict[str, Any]:
        facts = content.facts
        names = list(dict.fromkeys(_cut(place["name"]) for place in content.places))
        return {
            "type": "content",
            "key": content.key,
            "digest": facts["sha256"],
            "name": names[0],
            "names": names[:_MOST_PLACES],
            "kind": facts["kind"],
            "purpose": _cut(facts["input_role"]),
            "size": facts["size"],
            "start": content.key in self._lineage.starts and not self._lineage.start_runs,
            "places": [
                {
                    "run": place["run"],
                    "role": place["role"],
                    "name": _cut(place["name"]),
                    "path": _cut(place["path"] or place["uri"]),
                    "context": _cut(place["context"]),
                    "step": json_value(place["step"]),
                    "epoch": place["epoch"],
                    "time_ns": _digits(place["time_ns"]),
                }
                for place in content.places[:_MOST_PLACES]
            ],
            "places_count": len(content.places),
        }

    def _run_node(self, name: str, metrics: list[list[Any]]) -> dict[str, Any]:
        run = self._lineage.runs[name]
        params = self._lineage.params.get(name, [])
        return {
            "type": "run",
            "key": name,
            "name": _cut(run["id"]),
            "experiment": _cut(run["experiment"]),
            "status": run["status"],
            "owner": _cut(run["owner"]),
            "started_ns": _digits(run["started_ns"]),
            "duration_s": run["duration_s"],
            "commit": run["git_commit"],
            "dirty": run["git_dirty"],
            "start": name in self._lineage.start_runs,
            "params": [[_cut(row["name"]), _cut(row["text"])] for row in params[:_MOST_PARAMS]],
            "params_count": len(params),
            "metrics": metrics[:_MOST_METRICS],
            "metrics_count": len(metrics),
            "code": self._code.get(name, [])[:_MOST_CODE],
        }

    def _read_metrics(self, runs: list[str]) -> dict[str, list[list[Any]]]:
        """Return [name, context, last, minimum, maximum] for each metric, by run."""
        found: dict[str, list[list[Any]]] = {}
        for row in self._lineage.read_metrics(runs):
            values = [json_value(row[name]) for name in ("last", "min", "max")]
            found.setdefault(row["run"], []).append([_cut(row["name"]), row["context"], *values])
        return found


def _digits(value: int | None) -> str | None:
    return None if value is None else str(value)


def _cut(value: Any) -> Any:
    return value[:_LONGEST_TEXT] if isinstance(value, str) else value

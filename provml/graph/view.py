"""What part of a graph is shown: around a node, of some kinds of thing, which way up.

Plain functions over a graph of `build`; each gives a new graph. Imports `build`, `errors`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Final

from provml.errors import ExportError

if TYPE_CHECKING:
    from provml.graph.build import Graph

REACHES: Final = ("both", "up", "down")
DIRECTIONS: Final = ("BT", "TB", "LR", "RL")
SUBJECTS: Final = {
    "metric": frozenset({"provml:Series", "provml:Metric", "provml:Sample"}),
    "model": frozenset({"provml:Model"}),
    "data": frozenset({"provml:Dataset", "provml:Artifact"}),
}
"""What a view can be of, and the types of the entities that it then shows."""

GRAPH_OPTIONS: Final = frozenset({"around", "depth", "reach", "only"})
"""What of a `View` concerns any graph."""
PICTURE_OPTIONS: Final = GRAPH_OPTIONS | {"direction"}
"""What of a `View` concerns a picture."""

_NAMED: Final = 8


@dataclass(frozen=True, slots=True)
class View:
    """What is to be shown of a run; by default all.

    Attributes:
        around: a node, by its IRI, its name (``run:model/net/2``, or ``model/net/2``) or its label.
        depth: how many relations from there; None: as far as they go.
        reach: ``up`` to what it came from, ``down`` to what came of it, or ``both``.
        only: of the entities those of these `SUBJECTS`, with the activities and agents behind them.
        direction: where edges lead in a picture, as Graphviz's ``rankdir`` has it.

    Raises:
        ExportError: a value that is none of these.
    """

    around: str | None = None
    depth: int | None = None
    reach: str | None = None
    only: tuple[str, ...] = ()
    direction: str | None = None

    def __post_init__(self) -> None:
        if self.reach is not None and self.reach not in REACHES:
            raise ExportError(f"reach must be one of {', '.join(REACHES)}, not {self.reach!r}")
        if self.direction is not None and self.direction not in DIRECTIONS:
            known = ", ".join(DIRECTIONS)
            raise ExportError(f"direction must be one of {known}, not {self.direction!r}")
        for subject in self.only:
            if subject not in SUBJECTS:
                known = ", ".join(SUBJECTS)
                raise ExportError(f"only must be one of {known}, not {subject!r}")
        if self.depth is not None and self.depth < 0:
            raise ExportError(f"depth must be 0 or more, not {self.depth}")
        if self.around is None and not (self.depth is None and self.reach is None):
            raise ExportError("depth, up and down say how far around a node: name it with around")

    def given(self) -> tuple[str, ...]:
        """The names of what is asked for."""
        return tuple(field.name for field in fields(self) if getattr(self, field.name) not in _NONE)


_NONE: Final = (None, ())


def apply_view(graph: Graph, view: View) -> Graph:
    """What a view shows of a graph.

    Raises:
        ExportError: no node, or more than one, is named as the one to look around.
    """
    if view.around is not None:
        graph = select_around(
            graph, find_node(graph, view.around), view.depth, view.reach or "both"
        )
    if view.only:
        graph = select_subjects(graph, view.only)
    return graph


def find_node(graph: Graph, text: str) -> str:
    """The key of the node that a text names: an IRI, a name with or without prefix, or a label.

    Raises:
        ExportError: none or more than one; the message names those that are meant.
    """
    if text in graph:
        return text
    wanted: tuple[Callable[[dict[str, Any]], bool], ...] = (
        lambda node: node["name"] == text,
        lambda node: node["name"].partition(":")[2] == text,
        lambda node: node["label"] == text,
    )
    for meant in wanted:
        found = [key for key, node in graph.nodes(data=True) if meant(node)]
        if len(found) == 1:
            return found[0]
        if found:
            names = _named(graph, found)
            raise ExportError(f"{text!r} names {len(found)} nodes: {names}; give one of these")
    most = [key for key, node in graph.nodes(data=True) if text in node["name"]]
    hint = f"; there are {_named(graph, most)}" if most else ""
    raise ExportError(f"no node is named {text!r}{hint}")


def _named(graph: Graph, keys: list[str]) -> str:
    names = [graph.nodes[key]["name"] for key in keys]
    if len(set(names)) < len(names):  # those of several runs
        names = keys
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def select_around(graph: Graph, node: str, depth: int | None = None, reach: str = "both") -> Graph:
    """A node with what it came from (``up``), what came of it (``down``), or both."""
    kept = {node}
    if reach != "down":
        kept |= _reached(graph.successors, node, depth)
    if reach != "up":
        kept |= _reached(graph.predecessors, node, depth)
    return _part(graph, kept)


def _reached(neighbours: Callable[[str], Iterator[str]], node: str, depth: int | None) -> set[str]:
    found, edge = {node}, [node]
    while edge and (depth is None or depth > 0):
        edge = [other for one in edge for other in neighbours(one) if other not in found]
        found.update(edge)
        edge = list(dict.fromkeys(edge))
        depth = None if depth is None else depth - 1
    return found


def select_subjects(graph: Graph, subjects: Iterable[str]) -> Graph:
    """The entities of some subjects, the activities that made or used them, and whose those are."""
    types = frozenset().union(*(SUBJECTS[subject] for subject in subjects))
    kinds = graph.nodes(data="kind")
    kept = {key for key, node in graph.nodes(data=True) if types.intersection(node["types"])}
    beside = {other for key in kept for other in _neighbours(graph, key)}
    activities = {key for key in beside if kinds[key] == "activity"}
    edge = list(activities)
    while edge:
        informants = {
            other for key in edge for other in graph.successors(key) if kinds[other] == "activity"
        }
        edge = list(informants - activities)
        activities |= informants
    behind = {other for key in kept | activities for other in graph.successors(key)}
    agents = {key for key in behind if kinds[key] == "agent"}
    return _part(graph, kept | activities | agents)


def _neighbours(graph: Graph, key: str) -> Iterator[str]:
    yield from graph.successors(key)
    yield from graph.predecessors(key)


def _part(graph: Graph, kept: set[str]) -> Graph:
    """Some nodes and the edges among them, in the graph's order."""
    import networkx

    part: Graph = networkx.MultiDiGraph(**graph.graph)
    part.add_nodes_from((key, node) for key, node in graph.nodes(data=True) if key in kept)
    for source, goal, key, data in graph.edges(keys=True, data=True):
        if source in kept and goal in kept:
            part.add_edge(source, goal, key, **data)
    return part

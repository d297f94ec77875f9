"""Selects the part of a graph to show: a node and its surroundings, or subjects such as models.

The functions take a graph from `build`, and return a new graph.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Final

from provml.errors import ExportError
from provml.graph.shared_nodes import find_other_labels

if TYPE_CHECKING:
    from provml.graph.build import Graph

REACHES: Final = ("both", "up", "down")
DIRECTIONS: Final = ("BT", "TB", "LR", "RL")
SUBJECTS: Final = {
    "metric": frozenset({"provml:Series", "provml:Metric", "provml:Sample"}),
    "model": frozenset({"provml:Model"}),
    "data": frozenset({"provml:Dataset", "provml:Artifact"}),
}
"""The subjects that a view can show, each with the types of its entities."""

GRAPH_OPTIONS: Final = frozenset({"around", "depth", "reach", "only"})
"""The fields of a `View` that all graph formats support."""
PICTURE_OPTIONS: Final = GRAPH_OPTIONS | {"direction"}
"""The fields of a `View` that picture formats support."""

_NAMED: Final = 8


@dataclass(frozen=True, slots=True)
class View:
    """The part of a run to show. By default, this is the whole run.

    Attributes:
        around: the node to show with its surroundings, as an IRI, a name (``run:model/net/2`` or
            ``model/net/2``) or a label.
        depth: the maximum number of relations to follow from that node; None for no limit.
        reach: ``up`` for the node's origins, ``down`` for its effects, or ``both``.
        only: the `SUBJECTS` to show. The view contains the entities of these subjects, and the
            related activities and agents. If empty, the view contains all entities.
        direction: the direction of the edges in a picture, as Graphviz's ``rankdir``.

    Raises:
        ExportError: a field has an unknown value.
    """

    around: str | None = None
    depth: int | None = None
    reach: str | None = None
    only: tuple[str, ...] = ()
    direction: str | None = None

    def __post_init__(self) -> None:
        if self.reach is not None and self.reach not in REACHES:
            raise ExportError(f"reach= must be one of {', '.join(REACHES)}, not {self.reach!r}")
        if self.direction is not None and self.direction not in DIRECTIONS:
            known = ", ".join(DIRECTIONS)
            raise ExportError(f"direction= must be one of {known}, not {self.direction!r}")
        for subject in self.only:
            if subject not in SUBJECTS:
                known = ", ".join(SUBJECTS)
                raise ExportError(f"each subject in only= must be one of {known}, not {subject!r}")
        if self.depth is not None and self.depth < 0:
            raise ExportError(f"depth= must be 0 or more, not {self.depth}")
        if self.around is None and not (self.depth is None and self.reach is None):
            raise ExportError("depth, up and down need a start node: choose one with around")

    def given(self) -> tuple[str, ...]:
        """Return the names of the fields that are set."""
        return tuple(field.name for field in fields(self) if getattr(self, field.name) not in _NONE)


_NONE: Final = (None, ())


def apply_view(graph: Graph, view: View) -> Graph:
    """Return the part of a graph that a view selects.

    Raises:
        ExportError: no node, or several nodes, match ``around``.
    """
    if view.around is not None:
        graph = select_around(
            graph, find_node(graph, view.around), view.depth, view.reach or "both"
        )
    if view.only:
        graph = select_subjects(graph, view.only)
    return graph


def find_node(graph: Graph, text: str) -> str:
    """Return the key of the node with the given IRI, name (with or without prefix) or label.

    Raises:
        ExportError: no node, or several nodes, match. The message lists possible nodes.
    """
    if text in graph:
        return text
    wanted: tuple[Callable[[dict[str, Any]], bool], ...] = (
        lambda node: any(iri == text for iri, *_ in node.get("aliases", ())),
        lambda node: text in _all_names(node),
        lambda node: text in [name.partition(":")[2] for name in _all_names(node)],
        lambda node: node["label"] == text or text in find_other_labels(node),
    )
    for meant in wanted:
        found = [key for key, node in graph.nodes(data=True) if meant(node)]
        if len(found) == 1:
            return found[0]
        if found:
            names = _list_nodes(graph, found)
            raise ExportError(f"{len(found)} nodes match {text!r}: {names}; choose one of these")
    most = [key for key, node in graph.nodes(data=True) if text in node["name"]]
    hint = f"; similar names: {_list_nodes(graph, most)}" if most else ""
    raise ExportError(f"no node is named {text!r}{hint}")


def _all_names(node: dict[str, Any]) -> list[str]:
    return [node["name"], *(name for _, name, _ in node.get("aliases", ()))]


def _list_nodes(graph: Graph, keys: list[str]) -> str:
    names = [graph.nodes[key]["name"] for key in keys]
    if len(set(names)) < len(names):  # several runs have a node with the same name
        names = keys
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def select_around(graph: Graph, node: str, depth: int | None = None, reach: str = "both") -> Graph:
    """Return a graph of a node and its origins (``up``), its effects (``down``) or both.

    Follows at most ``depth`` relations from the node, or all relations if ``depth`` is None.
    """
    kept = {node}
    if reach != "down":
        kept |= _reach(graph.successors, node, depth)
    if reach != "up":
        kept |= _reach(graph.predecessors, node, depth)
    return _subgraph(graph, kept)


def _reach(neighbours: Callable[[str], Iterator[str]], node: str, depth: int | None) -> set[str]:
    found, edge = {node}, [node]
    while edge and (depth is None or depth > 0):
        edge = [other for one in edge for other in neighbours(one) if other not in found]
        found.update(edge)
        edge = list(dict.fromkeys(edge))
        depth = None if depth is None else depth - 1
    return found


def select_subjects(graph: Graph, subjects: Iterable[str]) -> Graph:
    """Return a graph of the subjects' entities and the related activities and agents."""
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
    return _subgraph(graph, kept | activities | agents)


def _neighbours(graph: Graph, key: str) -> Iterator[str]:
    yield from graph.successors(key)
    yield from graph.predecessors(key)


def _subgraph(graph: Graph, kept: set[str]) -> Graph:
    """Return a copy of the graph that contains only the kept nodes and the edges between them.

    Nodes and edges keep their order.
    """
    import networkx

    part: Graph = networkx.MultiDiGraph(**graph.graph)
    part.add_nodes_from((key, node) for key, node in graph.nodes(data=True) if key in kept)
    for source, goal, key, data in graph.edges(keys=True, data=True):
        if source in kept and goal in kept:
            part.add_edge(source, goal, key, **data)
    return part

"""Folds similar nodes of a graph into one node, so that a picture stays readable.

`find_groups` finds the nodes that belong together. `fold_graph` replaces each group by one node.
Imports `build` and `model.names`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from provml.model.names import encode_name

if TYPE_CHECKING:
    from provml.graph.build import Graph

GROUP: Final = "urn:provml:group/"
"""The prefix of the keys of folded nodes."""


class _FoldRule(NamedTuple):
    """The rule for folding the nodes of one type.

    Attributes:
        plural: the plural name of the type.
        most: the size up to which a group is not folded.
        by_label: whether to group nodes with the same label; if false, nodes that belong to the
            same context or run are grouped.
    """

    plural: str
    most: int
    by_label: bool = False


READINGS: Final = (
    "provml:SystemReading",
    "provml:ProcessReading",
    "provml:GpuReading",
    "provml:EnergyReading",
    "provml:Reading",
)
_RULES: Final = {
    "provml:Step": _FoldRule("steps", 1),
    "provml:Epoch": _FoldRule("epochs", 1),
    "provml:Parameter": _FoldRule("parameters", 3),
    "provml:ReadingSummary": _FoldRule("reading summaries", 3),
    "provml:Series": _FoldRule("series", 2),
    "provml:Metric": _FoldRule("samples", 1, by_label=True),
    "provml:Sample": _FoldRule("samples", 1, by_label=True),
    **dict.fromkeys(READINGS, _FoldRule("readings", 1)),
    "provml:Sampling": _FoldRule("samplings", 1),
    "provml:Settings": _FoldRule("settings", 2),
    "provml:Device": _FoldRule("devices", 4),
    "provml:SamplesFile": _FoldRule("samples files", 2),
    "provml:Event": _FoldRule("events", 2),
    "provml:Model": _FoldRule("versions", 2, by_label=True),
    "provml:Artifact": _FoldRule("artifacts", 4),
    "provml:Dataset": _FoldRule("datasets", 6),
    "provml:Input": _FoldRule("inputs", 6),
}


@dataclass(frozen=True, slots=True)
class Group:
    """A group of nodes that one node replaces.

    Attributes:
        key: the key of the replacing node.
        type: the type of all members.
        plural: the plural name of the type: ``series``, ``events``.
        place: the key of the context or run that the members belong to; None if unknown.
        members: the keys of the members, in the order of the graph.
    """

    key: str
    type: str
    plural: str
    place: str | None
    members: tuple[str, ...]


def find_groups(graph: Graph, apart: Collection[str] = ()) -> list[Group]:
    """Find the nodes that belong together, for example the series of a context.

    Models and samples are grouped by name, and other nodes by their context or run. Small groups
    are not folded: for example, up to three parameters, or two series of a context, stay separate.

    Args:
        apart: the keys of nodes that must not be folded.
    """
    places = _PlaceFinder(graph)
    found: dict[tuple[str, str | None, str], list[str]] = defaultdict(list)
    for key, node in graph.nodes(data=True):
        kind = next((kind for kind in node["types"] if kind in _RULES), None)
        if kind is not None and key not in apart:
            label = node["label"] if _RULES[kind].by_label else ""
            found[kind, places.of(key), label].append(key)
    made: list[Group] = []
    for (kind, place, label), members in found.items():
        rule = _RULES[kind]
        if len(members) > rule.most:
            key = f"{GROUP}{len(made)}/{encode_name(rule.plural)}/{encode_name(label)}"
            made.append(Group(key, kind, rule.plural, place, tuple(members)))
    return made


def fold_graph(graph: Graph, found: Iterable[Group]) -> Graph:
    """Return a copy of the graph in which one node replaces each group.

    This node has ``kind``, ``types`` (the shared type), ``bundles``, ``label`` (``20 series of
    training``, ``net: 3 versions``) and ``members``: a dict of attributes for each member, in which
    ``made_by`` holds the attributes of the activity that generated the member. If several edges of
    one relation join the same two nodes, only the first stays, with a ``count``. Edges within a
    group are removed.
    """
    import networkx

    own = list(found)
    stands = {member: group.key for group in own for member in group.members}
    by_first = {group.members[0]: group for group in own}
    made: Graph = networkx.MultiDiGraph(**graph.graph)
    for key, node in graph.nodes(data=True):
        if key in by_first:
            group = by_first[key]
            made.add_node(group.key, **_group_node(graph, group))
        elif key not in stands:
            made.add_node(key, **node)
    for source, goal, own_key, data in graph.edges(keys=True, data=True):
        one, other = stands.get(source, source), stands.get(goal, goal)
        if one == other and source != goal:
            continue
        if one == source and other == goal:
            made.add_edge(one, other, own_key, **data)
        elif made.has_edge(one, other, data["relation"]):
            made.edges[one, other, data["relation"]]["count"] += 1
        else:
            made.add_edge(one, other, data["relation"], **{**data, "count": 1})
    return made


def _group_node(graph: Graph, group: Group) -> dict[str, Any]:
    members = [_member_attributes(graph, key) for key in group.members]
    label = f"{len(members)} {group.plural}"
    if _RULES[group.type].by_label:
        label = f"{members[0]['label']}: {label}"
    elif group.place is not None:
        label = f"{label} of {graph.nodes[group.place]['label']}"
    return {
        "kind": members[0]["kind"],
        "types": (group.type,),
        "bundles": members[0]["bundles"],
        "name": f"{len(members)} {group.plural}",
        "label": label,
        "plural": group.plural,
        "place": group.place,
        "members": members,
    }


def _member_attributes(graph: Graph, key: str) -> dict[str, Any]:
    """Return a node's attributes, with the attributes of its generating activity as ``made_by``."""
    for _, goal, edge in graph.out_edges(key, data=True):
        if edge["relation"] == "wasGeneratedBy":
            return {**graph.nodes[key], "made_by": graph.nodes[goal]}
    return graph.nodes[key]


class _PlaceFinder:
    """Finds the context or run that made or used a node."""

    _KINDS: Final = frozenset({"provml:Context", "provml:Run"})
    _RELATIONS: Final = ("wasGeneratedBy", "wasInformedBy")

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._known: dict[str, str | None] = {}

    def of(self, key: str) -> str | None:
        """Return the nearest context or run that a node leads to, or that used the node."""
        if key not in self._known:
            self._known[key] = None  # stops the search if there is a cycle
            self._known[key] = self._find(key)
        return self._known[key]

    def _find(self, key: str) -> str | None:
        for _, goal, edge in self._graph.out_edges(key, data=True):
            if edge["relation"] in self._RELATIONS:
                return self._nearest(goal)
        for source, _, edge in self._graph.in_edges(key, data=True):
            if edge["relation"] == "used":
                return self._nearest(source)
        return None

    def _nearest(self, key: str) -> str | None:
        types = self._graph.nodes[key]["types"]
        return key if self._KINDS.intersection(types) else self.of(key)

"""Folds similar nodes of a graph into one node, so that a picture stays readable.

`find_groups` finds the nodes that belong together. `fold_graph` replaces each group with one node.
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
"""The prefix of a node's key, if the node replaces a group."""


class _FoldRule(NamedTuple):
    """The rule for folding the nodes of one type.

    Attributes:
        plural: the plural name of the type.
        most: the maximum size of a group that is left unfolded.
        by_label: whether the nodes of a group must also have the same label.
        of_run: whether the nodes of a run form one group, whatever their contexts.
    """

    plural: str
    most: int
    by_label: bool = False
    of_run: bool = False


READINGS: Final = (
    "provml:SystemReading",
    "provml:ProcessReading",
    "provml:GpuReading",
    "provml:EnergyReading",
    "provml:Reading",
)
READING_GROUP: Final = "provml:ReadingSummary"
READINGS_PLURAL: Final = "readings"
MACHINE_GROUP: Final = "provml:Host"
_MACHINE: Final = frozenset(
    {"provml:Host", "provml:Environment", "provml:Device", "provml:Settings"}
)
_RULES: Final = {
    "provml:Step": _FoldRule("steps", 1),
    "provml:Epoch": _FoldRule("epochs", 1),
    "provml:Parameter": _FoldRule("parameters", 3),
    READING_GROUP: _FoldRule(READINGS_PLURAL, 0, of_run=True),
    MACHINE_GROUP: _FoldRule("machine", 1, of_run=True),
    "prov:SoftwareAgent": _FoldRule("software", 2, of_run=True),
    "provml:SourceCode": _FoldRule("source files", 3, of_run=True),
    "provml:Series": _FoldRule("series", 2),
    "provml:Metric": _FoldRule("samples", 1, by_label=True),
    "provml:Sample": _FoldRule("samples", 1, by_label=True),
    **dict.fromkeys(READINGS, _FoldRule("readings", 1)),
    "provml:Sampling": _FoldRule("samplings", 1),
    "provml:SamplesFile": _FoldRule("samples files", 2),
    "provml:Event": _FoldRule("events", 2),
    "provml:RelatedRun": _FoldRule("child runs", 4),
    "provml:Model": _FoldRule("versions", 2, by_label=True),
    "provml:Artifact": _FoldRule("artifacts", 4),
    "provml:Dataset": _FoldRule("datasets", 6),
    "provml:Input": _FoldRule("inputs", 6),
}


@dataclass(frozen=True, slots=True)
class Group:
    """A group of similar nodes, to be replaced with one node.

    Attributes:
        key: the key of the node that replaces the group.
        type: the type of all members.
        plural: the plural name of the type, such as ``series`` or ``events``.
        place: the key of the context or run that the members belong to; None if unknown.
        members: the keys of the members, in the same order as in the graph.
    """

    key: str
    type: str
    plural: str
    place: str | None
    members: tuple[str, ...]


def find_groups(graph: Graph, apart: Collection[str] = ()) -> list[Group]:
    """Find groups of similar nodes, for example the series of a context.

    The nodes of a group have the same type, and the same context or run. Models and samples in a
    group also have the same label. Small groups are left unfolded, for example up to three
    parameters of a run, or two series of a context.

    Args:
        apart: the keys of nodes that must not become part of a group.
    """
    places = _PlaceFinder(graph)
    found: dict[tuple[str, str | None, str], list[str]] = defaultdict(list)
    for key, node in graph.nodes(data=True):
        kind = find_group_type(node)
        if kind is not None and key not in apart:
            rule = _RULES[kind]
            label = node["label"] if rule.by_label else ""
            shared = len(node["bundles"]) > 1
            place = None if shared else places.run_of(key) if rule.of_run else places.of(key)
            found[kind, place, label].append(key)
    made: list[Group] = []
    for (kind, place, label), members in found.items():
        rule = _RULES[kind]
        if len(members) > rule.most:
            key = f"{GROUP}{len(made)}/{encode_name(rule.plural)}/{encode_name(label)}"
            made.append(Group(key, kind, rule.plural, place, tuple(members)))
    return made


def find_group_type(node: dict[str, Any]) -> str | None:
    """Return the type of the group that a node can become part of, or None.

    Series of readings and summaries of readings have the same type. Hosts, environments, devices
    and the settings of collectors also have the same type, because together they describe the
    machine.
    """
    if "reading" in node:
        return READING_GROUP
    if _MACHINE.intersection(node["types"]):
        return MACHINE_GROUP
    return next((kind for kind in node["types"] if kind in _RULES), None)


def fold_graph(graph: Graph, found: Iterable[Group]) -> Graph:
    """Return a copy of the graph in which each group is replaced with one node.

    The node that replaces a group has these attributes:

    - ``kind`` and ``bundles``, from the first member
    - ``types``: the type of all members
    - ``name``: for example ``20 series``
    - ``label``: for example ``20 series of training`` or ``net: 3 versions``
    - ``plural`` and ``place``, from the group
    - ``members``: a list with the attributes of each member. In this list, the attribute
      ``made_by`` contains the attributes of the activity that generated the member.

    Edges within a group are removed. If several edges with the same relation then connect the same
    two nodes, only one edge is kept. The attribute ``count`` of this edge contains the original
    number of edges.
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
    if _RULES[group.type].of_run:
        label = group.plural
    elif _RULES[group.type].by_label:
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
    """Return the attributes of a node.

    If an activity generated the node, ``made_by`` contains the attributes of that activity.
    """
    for _, goal, edge in graph.out_edges(key, data=True):
        if edge["relation"] == "wasGeneratedBy":
            return {**graph.nodes[key], "made_by": graph.nodes[goal]}
    return graph.nodes[key]


class _PlaceFinder:
    """Finds the context or run that made, used or involved a node, and caches the results."""

    _KINDS: Final = frozenset({"provml:Context", "provml:Run"})
    _RELATIONS: Final = ("wasGeneratedBy", "wasInformedBy", "actedOnBehalfOf")

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._known: dict[str, str | None] = {}

    def of(self, key: str) -> str | None:
        """Return the key of the nearest context or run that made or used a node, or None."""
        if key not in self._known:
            self._known[key] = None  # stop the search if there is a cycle
            self._known[key] = self._find(key)
        return self._known[key]

    def run_of(self, key: str) -> str | None:
        """Return the key of the run that made or used a node, directly or in a context, or None."""
        place, seen = self.of(key), set()
        while place is not None and place not in seen:
            if "provml:Run" in self._graph.nodes[place]["types"]:
                return place
            seen.add(place)
            place = self.of(place)
        return None

    def _find(self, key: str) -> str | None:
        for _, goal, edge in self._graph.out_edges(key, data=True):
            if edge["relation"] in self._RELATIONS:
                return self._nearest(goal)
        for source, _, edge in self._graph.in_edges(key, data=True):
            if edge["relation"] in ("used", "wasAssociatedWith"):
                return self._nearest(source)
        return None

    def _nearest(self, key: str) -> str | None:
        types = self._graph.nodes[key]["types"]
        return key if self._KINDS.intersection(types) else self.of(key)

"""What is many and alike becomes one node, so that a picture stays readable.

`find_groups` says what belongs together, `fold_graph` replaces each group by a node. Imports
`build`, `model.names`.
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
"""What the keys of the nodes begin with that stand for several."""


class _Rule(NamedTuple):
    """How things of a type are folded.

    Attributes:
        plural: what several are called.
        most: up to how many stay nodes of their own.
        by_label: whether things of one label belong together; else those of one place.
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
    "provml:Step": _Rule("steps", 1),
    "provml:Epoch": _Rule("epochs", 1),
    "provml:Parameter": _Rule("parameters", 3),
    "provml:Tag": _Rule("tags", 3),
    "provml:Series": _Rule("series", 2),
    "provml:Metric": _Rule("samples", 1, by_label=True),
    "provml:Sample": _Rule("samples", 1, by_label=True),
    **dict.fromkeys(READINGS, _Rule("readings", 1)),
    "provml:Sampling": _Rule("samplings", 1),
    "provml:Settings": _Rule("settings", 2),
    "provml:Device": _Rule("devices", 4),
    "provml:SamplesFile": _Rule("samples files", 2),
    "provml:Event": _Rule("events", 2),
    "provml:Model": _Rule("versions", 2, by_label=True),
    "provml:Artifact": _Rule("artifacts", 4),
    "provml:Dataset": _Rule("datasets", 6),
}


@dataclass(frozen=True, slots=True)
class Group:
    """Nodes that are alike.

    Attributes:
        key: the key of the node that stands for them.
        type: the type that they share.
        plural: what they are called together: ``series``, ``events``.
        place: the node of the context (or run) that they belong to; None where there is none.
        members: their keys, in the graph's order.
    """

    key: str
    type: str
    plural: str
    place: str | None
    members: tuple[str, ...]


def find_groups(graph: Graph, apart: Collection[str] = ()) -> list[Group]:
    """What belongs together: the steps, series and events of a context, the parameters of a run.

    Models belong together by name. A few stay apart: three parameters, two series of a context.

    Args:
        apart: the keys of nodes that belong to no group.
    """
    places = _Places(graph)
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
    """The graph with a node for each group.

    The node has ``kind``, ``types`` (the shared type), ``bundles``, ``label`` (``20 series of
    training``, ``net: 3 versions``) and ``members``: their attributes as dicts, each with those of
    what generated it as ``made_by``. Of edges of one relation between the same two nodes one is
    left, the first, with ``count``; edges within a group are left out.
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
    members = [_member(graph, key) for key in group.members]
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


def _member(graph: Graph, key: str) -> dict[str, Any]:
    """A member's attributes; with those of what generated it, as ``made_by``."""
    for _, goal, edge in graph.out_edges(key, data=True):
        if edge["relation"] == "wasGeneratedBy":
            return {**graph.nodes[key], "made_by": graph.nodes[goal]}
    return graph.nodes[key]


class _Places:
    """Where things belong: the context, or the run, that made or used them."""

    _KINDS: Final = frozenset({"provml:Context", "provml:Run"})
    _RELATIONS: Final = ("wasGeneratedBy", "wasInformedBy")

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._known: dict[str, str | None] = {}

    def of(self, key: str) -> str | None:
        """The nearest of what it goes back to; of what is only used, its user."""
        if key not in self._known:
            self._known[key] = None  # a cycle ends here
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

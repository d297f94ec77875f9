"""Finds nodes of several runs that stand for the same thing, such as a dataset that all runs used.

Two nodes of different runs are the same thing in two cases:

- They have content with the same SHA-256 digest. Empty content is never the same thing.
- They have no digest, and have the same types and attributes. This case applies only to parameters,
  hosts, environments, devices, the settings of collectors, and software.

Imports nothing else from provml, and imports networkx only when needed.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from provml.graph.build import Graph

_COMPARED: Final = frozenset(
    {"Parameter", "Host", "Environment", "Device", "Settings", "SoftwareAgent"}
)
_OF_ONE_RUN: Final = frozenset({"SamplesFile", "Series", "Results"})


def find_shared_key(
    kind: str, types: Iterable[str], label: str, attributes: Mapping[str, Any]
) -> Hashable | None:
    """Return a key that is equal for all nodes that stand for the same thing, or None.

    None means that the node never stands for the same thing as a node of another run.

    Args:
        kind: ``entity``, ``activity`` or ``agent``.
        types: the types, without a prefix.
        attributes: the attributes, under their PROV names, as hashable values.
    """
    own = frozenset(types)
    if kind == "activity" or own & _OF_ONE_RUN:
        return None
    digest = attributes.get("provml:sha256")
    if isinstance(digest, str):
        return None if attributes.get("provml:size") in (0, "0") else ("content", digest)
    if own & _COMPARED:
        return ("equal", own, label, frozenset(attributes.items()))
    return None


def share_nodes(graph: Graph) -> Graph:
    """Return a copy of a graph of several runs in which nodes for the same thing are merged.

    A merged node has these additional attributes:

    - ``aliases``: a tuple with the IRI, the name and the label of each node that was merged into it
    - ``bundles``: the bundles of all merged nodes

    A graph of one run is returned as it is.
    """
    if len({run for _, node in graph.nodes(data=True) for run in _find_runs(node)}) < 2:
        return graph
    import networkx

    first: dict[Hashable, str] = {}
    stands: dict[str, str] = {}
    made = {
        source for source, _, data in graph.edges(data=True) if data["relation"] == "wasGeneratedBy"
    }
    # visit generated nodes first, so that a file keeps the name that it has in the run that made it
    for iri in sorted(graph, key=lambda iri: iri not in made):
        node = graph.nodes[iri]
        types = [kind.partition(":")[2] for kind in node["types"]]
        attributes = {
            name: value if isinstance(value, (str, int)) else repr(value)
            for name, value in node.items()
            if ":" in name
        }
        key = find_shared_key(node["kind"], types, node["label"], attributes)
        known = iri if key is None else first.setdefault(key, iri)
        # two files of one run stay two nodes, even if they have the same content
        if known != iri and not _find_runs(graph.nodes[known]) & _find_runs(node):
            stands[iri] = known
    shared: Graph = networkx.MultiDiGraph(**graph.graph)
    for iri, node in graph.nodes(data=True):
        if iri not in stands:
            shared.add_node(iri, **node)
    for iri, known in stands.items():
        own, kept = graph.nodes[iri], shared.nodes[known]
        kept["bundles"] = tuple(dict.fromkeys((*kept["bundles"], *own["bundles"])))
        kept["aliases"] = (*kept.get("aliases", ()), (iri, own["name"], own["label"]))
    for source, goal, key, data in graph.edges(keys=True, data=True):
        one, other = stands.get(source, source), stands.get(goal, goal)
        if one == other or (source in stands and shared.has_edge(one, other, key)):
            continue
        # several runs may state the same relation between shared nodes, such as who uses a program
        outside = not (_find_runs(shared.nodes[one]) or _find_runs(shared.nodes[other]))
        shared.add_edge(one, other, data["relation"] if outside else key, **data)
    return shared


def _find_runs(node: Mapping[str, Any]) -> set[tuple[str, str]]:
    """Return the runs that a node belongs to, as pairs of a bundle and a prefix.

    In the graph of a lineage, all runs are in one bundle, and have the prefixes ``run1``, ``run2``
    and so on.
    """
    prefix = node["name"].partition(":")[0]
    return {(bundle, prefix) for bundle in node["bundles"]} if prefix.startswith("run") else set()


def find_other_labels(node: Mapping[str, Any]) -> list[str]:
    """Return the labels of the nodes that were merged into a node, without the node's own label."""
    labels = dict.fromkeys(label for _, _, label in node.get("aliases", ()))
    return [label for label in labels if label != node["label"]]

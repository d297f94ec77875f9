"""Builds a ``networkx.MultiDiGraph`` from the PROV statements of one or more runs.

The key of a node is its IRI, because qualified names such as ``run:run`` occur in every run. Runs
that refer to the same person or experiment share one node for that person or experiment. A node has
these attributes:

    kind        ``entity``, ``activity`` or ``agent``
    name        the qualified name, such as ``run:series/training/loss``
    label       the label or, if the node has no label, the local part of the name
    types       the values of prov:type, as qualified names
    bundles     the IRIs of the bundles (one per run) that contain the node
    start_ns, end_ns    the start and the end of an activity, in nanoseconds since the epoch
    provml:count, ...   the other attributes as Python values; several values form a tuple

The key of an edge is its relation, such as ``used``. A second ``used`` edge between the same nodes
has the key ``used/2``. An edge has these attributes:

    relation    the PROV-JSON name, such as ``wasGeneratedBy``; or ``hadPlan``, from an activity to
                the plan that its agent followed
    bundle      the IRI of the bundle that contains the edge
    time_ns     the time, in nanoseconds since the epoch
    plan, activity, ...  the other formal attributes, as IRIs
    types       the values of prov:type

As in PROV, edges point from later to earlier: from an entity to the activity that generated it.

Imports networkx only when needed.
"""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Iterable
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from provml.errors import MissingExtraError
from provml.journal.values import Moment
from provml.model.bundles import bundle_iri
from provml.model.mapping import RunMapping
from provml.model.relations import FORMAL
from provml.model.statements import (
    Literal,
    Name,
    NameColumn,
    Statement,
    TimeColumn,
    ValueColumn,
)

if TYPE_CHECKING:
    import networkx as nx

    Graph = nx.MultiDiGraph[str]

HAD_PLAN: Final = "hadPlan"

_TIMES: Final = {"prov:startTime": "start_ns", "prov:endTime": "end_ns", "prov:time": "time_ns"}
_COLUMNS: Final = (NameColumn, TimeColumn, ValueColumn)
_SHARED_COLUMNS: Final = 2
_RELATED_RUN: Final = "provml:RelatedRun"


def run_graph(mapping: RunMapping, graph: Graph | None = None) -> Graph:
    """Build the networkx graph of a run. Costs about 5 µs and 1 kB of memory per statement.

    Args:
        mapping: the PROV statements of the run.
        graph: an existing graph to add the run to. By default, a new graph is built.

    Raises:
        MissingExtraError: networkx is not installed.
    """
    builder = _GraphBuilder(networkx().MultiDiGraph(bundles={}) if graph is None else graph)
    builder.add(mapping)
    return builder.graph


def document_graph(statements: Iterable[Statement], prefixes: dict[str, str]) -> Graph:
    """Build the networkx graph of any PROV document, whether or not provml wrote it.

    Raises:
        MissingExtraError: networkx is not installed.
    """
    builder = _GraphBuilder(networkx().MultiDiGraph(bundles={}))
    builder.add_statements(statements, prefixes, "", {"experiment": "", "run": "", "detail": ""})
    for iri, node in builder.graph.nodes(data=True):
        if "kind" not in node:  # a relation refers to an element that the document does not declare
            name = iri.rpartition("/")[2].rpartition("#")[2] or iri
            node |= {"kind": "entity", "types": (), "bundles": ("",), "name": iri, "label": name}
    return builder.graph


def runs_graph(bundles: Iterable[RunMapping]) -> Graph:
    """Build one networkx graph of several runs.

    Each node and each edge names the bundles (runs) that contain it.
    """
    graph: Graph = networkx().MultiDiGraph(bundles={})
    for mapping in bundles:
        run_graph(mapping, graph)
    return graph


def networkx() -> Any:
    """Return the networkx module. Raises MissingExtraError if networkx is not installed."""
    try:
        import networkx
    except ImportError:
        raise MissingExtraError("a graph", "networkx", "graph") from None
    return networkx


class _GraphBuilder:
    """Builds a graph from the statements of one or more runs."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self._prefixes: dict[str, str] = {}
        self._bundle = ""
        # a cache of expanded columns, because three tables share the names of a block
        self._expanded: list[tuple[NameColumn, list[str], list[str]]] = []

    def add(self, mapping: RunMapping) -> None:
        """Add the nodes and edges of a run to the graph."""
        description = mapping.journal.description
        about = {
            "experiment": str(description["experiment"]),
            "run": str(description["id"]),
            "detail": mapping.detail,
        }
        bundle = bundle_iri(mapping.journal)
        self.add_statements(mapping.statements(), mapping.prefixes(), bundle, about)

    def add_statements(
        self,
        statements: Iterable[Statement],
        prefixes: dict[str, str],
        bundle: str,
        about: dict[str, str],
    ) -> None:
        """Add the nodes and edges of a bundle to the graph. ``about`` describes the bundle."""
        self._prefixes, self._bundle, self._expanded = prefixes, bundle, []
        self.graph.graph["bundles"][bundle] = about
        for statement in statements:
            if statement.id is not None:
                self._add_nodes(statement)
            else:
                self._add_edges(statement)

    # -- nodes --------------------------------------------------------------------------------

    def _add_nodes(self, statement: Statement) -> None:
        types = tuple(str(value) for name, value in statement.attributes if name == "prov:type")
        node = {"kind": statement.kind, "types": types, "bundles": (self._bundle,)}
        labels = [value for name, value in statement.attributes if name == "prov:label"]
        fields: list[tuple[str, Any]] = [("label", label) for label in labels[:1]]
        fields += [
            (_TIMES.get(name, name), self._argument(value))
            for name, value in statement.arguments.items()
        ]
        fields += [
            (name, value)
            for name, value in statement.attributes
            if name not in ("prov:type", "prov:label")
        ]
        if isinstance(statement.id, str):
            iri, name = self._iri(statement.id), str(statement.id)
            node |= {"name": name, "label": _local_part(name), **self._row(fields)}
            known = self.graph.nodes.get(iri)
            if known:  # another run, or an edge, has already added this node
                node["bundles"] = known["bundles"] + node["bundles"]
                if _RELATED_RUN not in known["types"]:  # else this is the run itself
                    node |= {key: value for key, value in known.items() if key != "bundles"}
            self.graph.add_node(iri, **node)
            return
        assert statement.id is not None
        iris, names = self._rows(statement.id)
        if labels:
            rows = [{**node, "name": name} for name in names]
        else:
            rows = [{**node, "name": name, "label": _local_part(name)} for name in names]
        self._fill(rows, fields)
        self.graph.add_nodes_from(zip(iris, rows, strict=True))

    # -- edges --------------------------------------------------------------------------------

    def _add_edges(self, statement: Statement) -> None:
        subject, target, *_ = FORMAL[statement.kind]
        source, goal = statement.arguments[subject], statement.arguments[target]
        edge: dict[str, Any] = {"relation": statement.kind, "bundle": self._bundle}
        types = tuple(str(value) for name, value in statement.attributes if name == "prov:type")
        if types:
            edge["types"] = types
        fields: list[tuple[str, Any]] = [
            (_TIMES.get(name, name.removeprefix("prov:")), self._argument(value))
            for name, value in statement.arguments.items()
            if name not in (subject, target)
        ]
        fields += [(name, value) for name, value in statement.attributes if name != "prov:type"]
        if statement.rows == 1 and isinstance(source, str) and isinstance(goal, str):
            edge |= self._row(fields)
            self._add_edge(self._iri(source), self._iri(goal), edge)
            if "plan" in edge:
                own = {"relation": HAD_PLAN, "bundle": self._bundle, "agent": self._iri(goal)}
                self._add_edge(self._iri(source), edge["plan"], own)
            return
        rows = [dict(edge) for _ in range(statement.rows)]
        self._fill(rows, fields)
        sources, goals = self._ends(source, statement), self._ends(goal, statement)
        add, key = self.graph.add_edge, statement.kind  # add_edges_from would take twice as long
        for one, other, row in zip(sources, goals, rows, strict=True):
            add(one, other, key, **row)

    def _add_edge(self, source: str, goal: str, edge: dict[str, Any]) -> None:
        key, number = edge["relation"], 1
        while self.graph.has_edge(source, goal, key):
            number += 1
            key = f"{edge['relation']}/{number}"
        self.graph.add_edge(source, goal, key, **edge)

    def _argument(self, value: Any) -> Any:
        """Convert the value of a formal attribute: names to IRIs, and times to nanoseconds."""
        if isinstance(value, Moment):
            return value.time_ns
        if isinstance(value, NameColumn):
            return ValueColumn(self._rows(value)[0])
        return self._iri(value) if isinstance(value, Name) else value

    def _ends(self, name: Any, statement: Statement) -> list[str]:
        if isinstance(name, NameColumn):
            return self._rows(name)[0]
        return [self._iri(name)] * statement.rows

    # -- names and columns --------------------------------------------------------------------

    def _iri(self, name: str) -> str:
        prefix, _, local = name.partition(":")
        return self._prefixes[prefix] + local

    def _rows(self, column: NameColumn) -> tuple[list[str], list[str]]:
        """Return the IRIs and the qualified names of the elements that a column names."""
        for known, iris, names in self._expanded:
            if known is column:
                return iris, names
        first, *rest = column.parts
        assert isinstance(first, str)
        prefix, _, local = first.partition(":")
        tails = _join_names(local, rest)
        made = self._prefixes[prefix]
        iris, names = [made + tail for tail in tails], [f"{prefix}:{tail}" for tail in tails]
        self._expanded = [*self._expanded[1 - _SHARED_COLUMNS :], (column, iris, names)]
        return iris, names

    def _row(self, fields: Iterable[tuple[str, Any]]) -> dict[str, Any]:
        """Convert the attributes of a single node or edge to Python values."""
        values: dict[str, list[Any]] = {}
        for name, value in fields:
            values.setdefault(name, []).append(to_python(value))
        return {name: own[0] if len(own) == 1 else tuple(own) for name, own in values.items()}

    def _fill(self, rows: list[dict[str, Any]], fields: list[tuple[str, Any]]) -> None:
        """Convert attributes to Python values, and add them to the rows.

        A column contains one value for each row. A value that is not a column is added to all rows.
        """
        alike = self._row((n, v) for n, v in fields if not isinstance(v, _COLUMNS))
        for row in rows:
            row.update(alike)
        for name, value in fields:
            if isinstance(value, _COLUMNS):
                for row, own in zip(rows, self._values(value), strict=True):
                    row[name] = own

    def _values(self, column: NameColumn | TimeColumn | ValueColumn) -> list[Any]:
        if isinstance(column, TimeColumn):
            return list(column.time_ns.tolist())
        if isinstance(column, NameColumn):
            return self._rows(column)[1]
        values = column.values
        return list(map(to_python, values)) if isinstance(values, list) else list(values.tolist())


def _join_names(first: str, rest: list[Any]) -> list[str]:
    if len(rest) == 1:
        return [f"{first}{number}" for number in rest[0].tolist()]
    numbers = [part.tolist() for part in rest if not isinstance(part, str)]
    template = first.replace("%", "%%") + "".join(
        part.replace("%", "%%") if isinstance(part, str) else "%d" for part in rest
    )
    return [template % row for row in zip(*numbers, strict=True)]


def _local_part(name: str) -> str:
    return name.partition(":")[2]


def to_python(value: Any) -> Any:
    """Convert the value of an attribute to a Python value.

    Times become ``numpy.datetime64[ns]``, which has nanosecond precision. (The formal times
    ``start_ns``, ``end_ns`` and ``time_ns`` are integers instead.) Names become strings
    that contain the qualified name, and JSON is parsed.
    """
    if isinstance(value, Moment):
        import numpy as np

        return np.datetime64(value.time_ns, "ns")
    if isinstance(value, Literal):
        if value.datatype == "rdf:JSON":
            return json.loads(value.lexical)
        if value.datatype == "xsd:base64Binary":
            return b64decode(value.lexical)
        if value.datatype in ("xsd:decimal", "provml:decimal"):
            return Decimal(value.lexical)
        return value.lexical
    return str(value) if isinstance(value, str) else value

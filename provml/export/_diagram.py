"""Converts the statements of runs to the nodes, edges and groups that the HTML page draws.

If nodes of several runs stand for the same thing, such as a dataset that all runs used, the page
shows them as one node. `_diagram_groups` forms the groups.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Set
from typing import Any, Final

from provml.charts.curve_columns import curve_data
from provml.charts.curves import read_curves
from provml.errors import ExportError
from provml.export._diagram_groups import DiagramGroups
from provml.export._diagram_nodes import DiagramNode, describe_node
from provml.export._text import lexical_form
from provml.graph.shared_nodes import find_shared_key
from provml.journal.values import Moment
from provml.model import vocabulary
from provml.model.block_names import series_name
from provml.model.mapping import RunMapping
from provml.model.reading_names import READING_KINDS, find_reading_kinds, name_reading
from provml.model.relations import FORMAL
from provml.model.setting_order import find_given
from provml.model.statements import Name, Statement

MOST_NODES: Final = 50_000
"""The maximum number of nodes on a page."""

SHARED: Final = -1
"""The value of `DiagramNode.run` for a node that belongs to several runs."""

_LONGEST: Final = 20_000
_NAMED_RUNS: Final = 4
_CURVE_POINTS: Final = 120_000
_FEWEST_POINTS, _MOST_POINTS = 60, 2_000
_KINDS: Final = {kind: place for place, kind in enumerate(vocabulary.ELEMENTS)}


class Diagram:
    """The nodes, edges and groups of one or more runs, for the HTML page.

    If ``kept`` is a set of IRIs, the diagram shows only the nodes with these IRIs.
    """

    def __init__(self, kept: Set[str] | None = None) -> None:
        self._kept = kept
        self._nodes: list[DiagramNode] = []
        self._places: dict[str, int] = {}
        self._edges: list[list[Any]] = []
        self._relations: dict[str, int] = {}
        self._curves: list[dict[str, Any]] = []
        self._runs: dict[str, dict[str, Any]] = {}
        self._details: set[str] = set()
        self._samples = 0
        self._given: list[str] = []

    def title(self) -> str:
        """Return the page's title: the run's label, or the number and the names of the runs."""
        labels = [run["label"] for run in self._runs.values()]
        if len(labels) == 1:
            return str(labels[0])
        names = list(dict.fromkeys(label.partition(" / ")[0] for label in labels))
        more = ", …" if len(names) > _NAMED_RUNS else ""
        return f"{len(labels)} runs: {', '.join(names[:_NAMED_RUNS])}{more}"

    def data(self) -> dict[str, Any]:
        """Return the nodes, edges, groups and curves as plain data for the page's script."""
        self._find_readings()
        self._share_nodes()
        groups = DiagramGroups(
            self._nodes, self._edges, list(self._relations), len(self._runs), self._given
        )
        groups.build()
        under = f"{len(self._nodes):,} nodes, {len(self._edges):,} edges"
        if self._details:
            details = " and ".join(sorted(self._details))
            under += f", {details} detail, {self._samples:,} samples"
        return {
            "title": self.title(),
            "under": under,
            "runs": list(self._runs.values()),
            "relations": list(self._relations),
            "nodes": [node.plain() for node in self._nodes],
            "edges": self._edges,
            "groups": groups.plain(),
            "curves": self._curves,
        }

    # -- nodes and edges ----------------------------------------------------------------------

    def add(self, mapping: RunMapping) -> None:
        """Add the nodes, edges and curves of a run.

        Raises:
            ExportError: the page would have more than `MOST_NODES` nodes.
        """
        prefixes = mapping.prefixes()
        self._details.add(mapping.detail)
        self._samples += mapping.samples
        first = len(self._nodes)
        if mapping.detail == "sample" and mapping.samples > MOST_NODES:
            raise _too_many_nodes(first + mapping.samples)
        description = mapping.journal.description
        label = f"{description['experiment']} / {description['id']}"
        self._add_statements(mapping.statements(), prefixes, label)
        self._add_curves(mapping, prefixes)

    def add_document(
        self, statements: Iterable[Statement], prefixes: dict[str, str], label: str
    ) -> None:
        """Add the nodes and edges of a PROV document of any origin.

        Args:
            label: the title of the page, unless the document describes several runs.

        Raises:
            ExportError: the page would have more than `MOST_NODES` nodes.
        """
        self._add_statements(statements, prefixes, label)

    def _add_statements(
        self, statements: Iterable[Statement], prefixes: dict[str, str], label: str
    ) -> None:
        for table in statements:
            for statement in table.singly():
                if statement.kind in _KINDS:
                    self._declare(statement, prefixes)
                else:
                    self._relate(statement, prefixes)
            if len(self._nodes) > MOST_NODES:
                raise _too_many_nodes(len(self._nodes))
        if not self._runs:
            self._runs[""] = {"number": 0, "prefixes": prefixes}
        for run in self._runs.values():
            run.setdefault("label", label)

    def _run_of(self, prefix: str, prefixes: dict[str, str]) -> int:
        """Return the number of the run that a prefix belongs to, or `SHARED`.

        In the document of a single run, the run has the prefix ``run``. In the document of a
        lineage, the runs have the prefixes ``run1``, ``run2`` and so on.
        """
        if prefix.rstrip("0123456789") != "run":
            return SHARED
        iri = prefixes.get(prefix, "")
        if iri not in self._runs:
            self._runs[iri] = {"number": len(self._runs), "prefixes": prefixes}
        return int(self._runs[iri]["number"])

    def _place(self, name: str, prefixes: dict[str, str]) -> int | None:
        """Return the number of the node with this name, and add the node if it is new.

        Returns None if the page does not show the node.
        """
        prefix, _, local = name.partition(":")
        iri = prefixes.get(prefix, f"{prefix}:") + local
        if self._kept is not None and iri not in self._kept:
            return None
        place = self._places.get(iri)
        if place is None:
            place = self._places[iri] = len(self._nodes)
            run = self._run_of(prefix, prefixes)
            self._nodes.append(DiagramNode(name, run, iri, label=local))
        return place

    def _declare(self, statement: Statement, prefixes: dict[str, str]) -> None:
        place = self._place(str(statement.id), prefixes)
        if place is None:
            return
        node = self._nodes[place]
        types = [
            lexical_form(value)[0].partition(":")[2]  # type: ignore[arg-type]
            for name, value in statement.attributes
            if name == "prov:type"
        ]
        if node.attributes or node.types:  # the node was declared earlier, usually by another run
            if "RelatedRun" not in node.types or "RelatedRun" in types:
                return
            node.attributes, node.name = [], str(statement.id)
            node.run = self._run_of(node.name.partition(":")[0], prefixes)
        node.types = types
        node.kind = _KINDS[statement.kind]
        for name, value in statement.attributes:
            text, datatype = lexical_form(value)  # type: ignore[arg-type]
            if name == "prov:type":
                continue
            if len(text) > _LONGEST:
                text, datatype = f"{text[:_LONGEST]}… ({len(text):,} characters)", None
            node.attributes.append([name, text, datatype])
        node.sort_types()
        for key, slot in (("prov:startTime", "start"), ("prov:endTime", "end")):
            moment = statement.arguments.get(key)
            if isinstance(moment, Moment):
                setattr(node, slot, moment)
        node.label, node.under = describe_node(node)
        if node.type == "Run" and node.run != SHARED:
            run = list(self._runs.values())[node.run]
            run["label"] = f"{node.label} / {node.value('provml:runId') or ''}".rstrip(" /")
        if node.kind == _KINDS["activity"]:
            self._given += find_given(node.label, node.value("provml:metadata"))

    def _relate(self, statement: Statement, prefixes: dict[str, str]) -> None:
        first, second, *rest = FORMAL[statement.kind]
        ends = statement.arguments.get(first), statement.arguments.get(second)
        if not isinstance(ends[0], Name) or not isinstance(ends[1], Name):
            return
        start, end = self._place(ends[0], prefixes), self._place(ends[1], prefixes)
        if start is None or end is None:
            return
        said = [
            lexical_form(value)[0] if isinstance(value, Moment) else str(value)
            for name in rest
            if isinstance(value := statement.arguments.get(name), (Moment, Name))
        ]
        said += [lexical_form(value)[0] for _, value in statement.attributes]  # type: ignore[arg-type]
        self._edge(start, end, statement.kind, ", ".join(said))
        plan = statement.arguments.get("prov:plan")
        if isinstance(plan, Name) and (script := self._place(plan, prefixes)) is not None:
            self._edge(start, script, "hadPlan", "")
        self._hang(start, end, statement.kind)

    def _edge(self, start: int, end: int, relation: str, said: str) -> None:
        number = self._relations.setdefault(relation, len(self._relations))
        self._edges.append([start, end, number, said] if said else [start, end, number])

    def _hang(self, start: int, end: int, relation: str) -> None:
        """Record that one node of a relation belongs to the other, an activity or a series.

        For example, an entity belongs to the activity that generated the entity. Ignores relations
        that do not say what a node belongs to.
        """
        if relation in ("wasGeneratedBy", "wasInformedBy"):
            own, other = start, end
        elif relation in ("used", "wasAssociatedWith"):
            own, other = end, start
        elif relation == "hadMember" and "Series" in self._nodes[start].types:
            self._nodes[end].series = start
            return
        else:
            return
        is_run = "Run" in self._nodes[own].types  # a child run does not belong to its parent
        if self._nodes[own].anchor is None and not is_run:
            self._nodes[own].anchor = other

    def _add_curves(self, mapping: RunMapping, prefixes: dict[str, str]) -> None:
        """Add a curve for each series. Long series are reduced to fewer points."""
        readings = find_reading_kinds(mapping.series.all)
        places: dict[int, int] = {}
        for one in mapping.series.all:
            prefix, _, local = series_name(one).partition(":")
            place = self._places.get(prefixes.get(prefix, "") + local)
            if place is not None:
                places[one.index] = place
                if one.kind in readings:
                    node = self._nodes[place]
                    node.reading, node.label = one.kind, name_reading(one.kind, node.label)
        series = [one for one in mapping.series.all if one.index in places]
        points = _CURVE_POINTS // max(1, len(series))
        points = min(_MOST_POINTS, max(_FEWEST_POINTS, points))
        started_ns = mapping.journal.state().started_ns
        for curve in read_curves(mapping.series, series, started_ns, points):
            node = self._nodes[places[curve.series.index]]
            node.curve = len(self._curves)
            self._curves.append(curve_data(curve))

    def _find_readings(self) -> None:
        """Mark series of readings that `_add_curves` did not mark, as in an imported document."""
        for node in self._nodes:
            kind = READING_KINDS.get(node.type)
            series = None if node.series is None else self._nodes[node.series]
            if kind is not None and series is not None and not series.reading:
                series.reading, series.label = kind, name_reading(kind, series.label)

    # -- shared nodes -------------------------------------------------------------------------

    def _share_nodes(self) -> None:
        """Merge nodes of different runs that stand for the same thing.

        If there is only one run, all nodes belong to that run.
        """
        if len(self._runs) < 2:
            for node in self._nodes:
                node.run = 0
            return
        self._find_common_owners()
        first: dict[Hashable, int] = {}
        merged: dict[int, int] = {}
        generated = self._relations.get("wasGeneratedBy")
        made = {start for start, _, relation, *_ in self._edges if relation == generated}
        # generated nodes come first, so that a file keeps the name from the run that made it
        for place in sorted(range(len(self._nodes)), key=lambda place: place not in made):
            node = self._nodes[place]
            attributes = {name: text for name, text, _ in node.attributes if name is not None}
            kind = vocabulary.ELEMENTS[node.kind]
            key = find_shared_key(kind, node.types, node.label, attributes)
            if key is None:
                continue
            known = first.setdefault(key, place)
            if self._nodes[known].run != node.run and node.run != SHARED:
                merged[place] = known
        for place, known in merged.items():
            node, kept = self._nodes[place], self._nodes[known]
            kept.iris.append(node.iri)
            kept.run = SHARED
            if node.label != kept.label and node.label not in kept.under:
                kept.under = f"{kept.under}, also {node.label}" if kept.under else node.label
        if merged:
            self._renumber(merged)

    def _find_common_owners(self) -> None:
        """Assign a node outside the runs, such as a person, to a run if only this run uses it."""
        users: dict[int, set[int]] = {}
        for start, end, *_ in self._edges:
            for one, other in ((start, end), (end, start)):
                if self._nodes[one].run == SHARED and self._nodes[other].run != SHARED:
                    users.setdefault(one, set()).add(self._nodes[other].run)
        for place, runs in users.items():
            if len(runs) == 1:
                self._nodes[place].run = runs.pop()

    def _renumber(self, merged: dict[int, int]) -> None:
        """Remove the merged nodes, and make all references point to the nodes that remain.

        Args:
            merged: for the index of each merged node, the index of the node that replaces it.
        """
        kept = [place for place in range(len(self._nodes)) if place not in merged]
        numbers = {place: number for number, place in enumerate(kept)}
        numbers |= {place: numbers[known] for place, known in merged.items()}
        self._nodes = [self._nodes[place] for place in kept]
        for node in self._nodes:
            node.anchor = None if node.anchor is None else numbers[node.anchor]
            node.series = None if node.series is None else numbers[node.series]
        edges: dict[tuple[Any, ...], list[Any]] = {}
        for start, end, *rest in self._edges:
            edge = [numbers[start], numbers[end], *rest]
            edges.setdefault(tuple(edge), edge)
        self._edges = [edge for edge in edges.values() if edge[0] != edge[1]]


def _too_many_nodes(nodes: int) -> ExportError:
    return ExportError(
        f"a page can show up to {MOST_NODES:,} nodes, but this graph has at least {nodes:,}: "
        "use --detail series to show fewer nodes"
    )

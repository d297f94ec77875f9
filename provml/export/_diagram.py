"""Converts a run's statements to the nodes, edges and groups that the HTML page draws.

The nodes of a group have the same kind and type, and belong to the same activity or series.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Set
from dataclasses import dataclass, field
from typing import Any, Final

from provml.base.text import size_text
from provml.charts.curve_columns import curve_data
from provml.charts.curves import read_curves
from provml.errors import ExportError
from provml.export._text import lexical_form
from provml.journal.values import Moment
from provml.model import vocabulary
from provml.model.block_names import series_name
from provml.model.mapping import RunMapping
from provml.model.relations import FORMAL
from provml.model.statements import Name, Statement

MOST_NODES: Final = 50_000
"""The maximum number of nodes on a page."""

_SHARED: Final = -1
_LEAST_GROUPED: Final = 3
_SIZE: Final = re.compile(r"[0-9]{1,20}")
_OPEN_UP_TO: Final = 40
_LONGEST: Final = 20_000
_CURVE_POINTS: Final = 120_000
_FEWEST_POINTS, _MOST_POINTS = 60, 2_000
_ALONE: Final = frozenset({"Run", "Results", "Experiment", "Context"})
_PARTS: Final = {"Step": "steps", "Epoch": "epochs"}
_PLURALS: Final = {
    "Parameter": "parameters",
    "Series": "series",
    "Metric": "samples",
    "Sample": "samples",
    "SourceCode": "source code",
    "Environment": "environments",
    "SamplesFile": "samples files",
    "SoftwareAgent": "software agents",
    "Loss": "losses",
    "RelatedRun": "child runs",
}
_KINDS: Final = {kind: place for place, kind in enumerate(vocabulary.ELEMENTS)}
_ANCHORS: Final = ("wasGeneratedBy", "used", "wasInformedBy", "wasAssociatedWith")


@dataclass(slots=True)
class _DiagramNode:
    """A node on the page: an entity, activity or agent, with its attributes and its group."""

    name: str
    run: int
    kind: int = 0
    label: str = ""
    under: str = ""
    types: list[str] = field(default_factory=list)
    attributes: list[list[str | None]] = field(default_factory=list)
    start: str | None = None
    end: str | None = None
    group: int = -1
    curve: int | None = None
    anchor: int | None = None
    series: int | None = None
    iri: str | None = None

    def plain(self) -> dict[str, Any]:
        made: dict[str, Any] = {
            "n": self.name,
            "r": self.run,
            "k": self.kind,
            "l": self.label,
            "t": self.types,
            "a": self.attributes,
            "g": self.group,
        }
        for key, value in (
            ("u", self.under or None),
            ("s", self.start),
            ("e", self.end),
            ("p", self.curve),
            ("i", self.iri),
        ):
            if value is not None:
                made[key] = value
        return made


class Diagram:
    """The nodes, edges and groups of one or more runs, for the HTML page.

    If ``kept`` is a set of IRIs, the diagram shows only the nodes with these IRIs.
    """

    def __init__(self, kept: Set[str] | None = None) -> None:
        self._kept = kept
        self._nodes: list[_DiagramNode] = []
        self._places: dict[str, int] = {}
        self._edges: list[list[Any]] = []
        self._relations: dict[str, int] = {}
        self._groups: list[dict[str, Any]] = []
        self._curves: list[dict[str, Any]] = []
        self._runs: list[dict[str, Any]] = []
        self._details: set[str] = set()
        self._samples = 0

    def title(self) -> str:
        """Return the page's title: the name of the run, or the number of runs."""
        labels = [run["label"] for run in self._runs]
        return labels[0] if len(labels) == 1 else f"{len(labels)} runs"

    def data(self) -> dict[str, Any]:
        """Return the nodes, edges, groups and curves as plain data for the page's script."""
        self._open_groups()
        details = " and ".join(sorted(self._details))
        under = f"{len(self._nodes):,} nodes, {len(self._edges):,} edges, {details} detail, "
        return {
            "title": self.title(),
            "under": f"{under}{self._samples:,} samples",
            "runs": self._runs,
            "relations": list(self._relations),
            "nodes": [node.plain() for node in self._nodes],
            "edges": self._edges,
            "groups": self._groups,
            "curves": self._curves,
        }

    # -- nodes and edges ----------------------------------------------------------------------

    def add(self, mapping: RunMapping) -> None:
        """Add the nodes, edges and groups of a run.

        Raises:
            ExportError: the page would have more than `MOST_NODES` nodes.
        """
        run = len(self._runs)
        description = mapping.journal.description
        label = f"{description['experiment']} / {description['id']}"
        prefixes = mapping.prefixes()
        self._runs.append({"label": label, "prefixes": prefixes})
        self._details.add(mapping.detail)
        self._samples += mapping.samples
        first = len(self._nodes)
        if mapping.detail == "sample" and mapping.samples > MOST_NODES:
            raise _too_many_nodes(first + mapping.samples)
        for table in mapping.statements():
            for statement in table.singly():
                if statement.kind in _KINDS:
                    self._declare(statement, prefixes, run)
                else:
                    self._relate(statement, prefixes, run)
            if len(self._nodes) > MOST_NODES:
                raise _too_many_nodes(len(self._nodes))
        self._add_curves(mapping, prefixes)
        self._group(run, first)

    def _place(self, name: str, prefixes: dict[str, str], run: int) -> int | None:
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
            self._nodes.append(_DiagramNode(name, run, label=local))
        return place

    def _declare(self, statement: Statement, prefixes: dict[str, str], run: int) -> None:
        place = self._place(str(statement.id), prefixes, run)
        if place is None:
            return
        node = self._nodes[place]
        if node.attributes or node.types:  # the node was declared earlier, usually by another run
            if node.run != run and node.iri is None:
                prefix, _, local = node.name.partition(":")
                node.iri = self._runs[node.run]["prefixes"][prefix] + local
            node.run = run if node.run == run else _SHARED
            return
        node.kind = _KINDS[statement.kind]
        values: dict[str, str] = {}
        for name, value in statement.attributes:
            text, datatype = lexical_form(value)  # type: ignore[arg-type]
            if name == "prov:type":
                node.types.append(text.partition(":")[2])
                continue
            values.setdefault(name, text)
            if len(text) > _LONGEST:
                text, datatype = f"{text[:_LONGEST]}… ({len(text):,} characters)", None
            node.attributes.append([name, text, datatype])
        # the page shows the first type, so generic types come last
        node.types.sort(key=lambda kind: kind in ("Collection", "Plan", "Span", "Revision"))
        for key, slot in (("prov:startTime", "start"), ("prov:endTime", "end")):
            moment = statement.arguments.get(key)
            if isinstance(moment, Moment):
                setattr(node, slot, lexical_form(moment)[0])
        node.label, node.under = _node_texts(node, values)

    def _relate(self, statement: Statement, prefixes: dict[str, str], run: int) -> None:
        first, second, *rest = FORMAL[statement.kind]
        ends = statement.arguments.get(first), statement.arguments.get(second)
        if not isinstance(ends[0], Name) or not isinstance(ends[1], Name):
            return
        start, end = self._place(ends[0], prefixes, run), self._place(ends[1], prefixes, run)
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
        if isinstance(plan, Name) and (script := self._place(plan, prefixes, run)) is not None:
            self._edge(start, script, "hadPlan", "")
        self._hang(start, end, statement.kind)

    def _edge(self, start: int, end: int, relation: str, said: str) -> None:
        number = self._relations.setdefault(relation, len(self._relations))
        self._edges.append([start, end, number, said] if said else [start, end, number])

    def _hang(self, start: int, end: int, relation: str) -> None:
        """Store which node of a relation belongs to the other node, an activity or a series.

        Ignores relations of which neither node belongs to the other.
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
        is_run = "Run" in self._nodes[own].types  # a run does not belong to its parent's node
        if self._nodes[own].anchor is None and not is_run:
            self._nodes[own].anchor = other

    def _add_curves(self, mapping: RunMapping, prefixes: dict[str, str]) -> None:
        """Add a curve for each series. Long series are reduced to fewer points."""
        run = len(self._runs) - 1
        places = {s.index: self._place(series_name(s), prefixes, run) for s in mapping.series.all}
        series = [s for s in mapping.series.all if places[s.index] is not None]
        points = _CURVE_POINTS // max(1, len(series))
        points = min(_MOST_POINTS, max(_FEWEST_POINTS, points))
        started_ns = mapping.journal.state().started_ns
        for curve in read_curves(mapping.series, series, started_ns, points):
            place = places[curve.series.index]
            if place is not None:
                self._nodes[place].curve = len(self._curves)
            self._curves.append(curve_data(curve))

    # -- groups -------------------------------------------------------------------------------

    def _group(self, run: int, first: int) -> None:
        alike: dict[tuple[Any, ...], list[int]] = defaultdict(list)
        for place in range(first, len(self._nodes)):
            node = self._nodes[place]
            kind = node.types[0] if node.types else ""
            if kind in _ALONE or (kind == "" and node.kind != 0):
                continue
            owner = node.series if node.series is not None else None
            if kind in _PARTS:
                owner = node.anchor
            anchor = owner if owner is not None else self._anchor(node)
            alike[owner is not None, node.kind, kind, anchor].append(place)
        for (owned, kind_number, kind, anchor), members in alike.items():
            if not owned and len(members) < _LEAST_GROUPED:
                continue
            noun = _PLURALS.get(kind, f"{kind.lower() or 'node'}s")
            label = f"{len(members):,} {noun.removesuffix('s') if len(members) == 1 else noun}"
            about = "" if anchor is None else self._nodes[anchor].label
            if anchor is not None and "Run" in self._nodes[anchor].types:
                about = ""
            number = len(self._groups)
            self._groups.append(
                {
                    "owner": anchor if owned else -1,
                    "in": -1,
                    "of": kind,
                    "kind": kind_number,
                    "run": run,
                    "label": label,
                    "under": about,
                    "title": f"{label} of {about}" if about else label,
                    "boxed": 1,
                    "open": 0,
                }
            )
            for place in members:
                self._nodes[place].group = number
        self._results(run, first)

    def _anchor(self, node: _DiagramNode) -> int | None:
        """Return the number of the node that a node belongs to, such as a context or a run.

        If the node belongs to a step or an epoch, returns the context or run that contains it.
        Returns None if the node belongs to no other node.
        """
        place = node.anchor
        while place is not None and _PARTS.keys() & set(self._nodes[place].types):
            place = self._nodes[place].anchor
        return place

    def _results(self, run: int, first: int) -> None:
        """Group the series, models and artifacts of a run, so that the page can fold them."""
        for place in range(first, len(self._nodes)):
            if "Results" not in self._nodes[place].types:
                continue
            relation = self._relations.get("hadMember")
            members = [e[1] for e in self._edges if e[0] == place and e[2] == relation]
            number = len(self._groups)
            held = 0
            for member in members:
                node = self._nodes[member]
                if node.run != run:
                    continue
                if node.group < 0:
                    node.group = number
                elif self._groups[node.group]["owner"] < 0:
                    self._groups[node.group]["in"] = number
                else:
                    continue
                held += 1
            if held:
                self._groups.append(
                    {
                        "owner": place,
                        "in": -1,
                        "kind": 0,
                        "run": run,
                        "label": f"{held:,} results",
                        "boxed": 0,
                        "open": 1,
                        "keep": 1,
                    }
                )
            return

    def _open_groups(self) -> None:
        """Open the smallest groups, as long as at most `_OPEN_UP_TO` nodes are then visible.

        The groups of one type are either all opened or all left closed.
        """
        sizes: dict[int, int] = defaultdict(int)
        for node in self._nodes:
            sizes[node.group] += 1
        room = _OPEN_UP_TO - sizes[-1]
        alike: dict[str, list[int]] = defaultdict(list)
        for number, group in enumerate(self._groups):
            if group["owner"] < 0:
                alike[group["of"]].append(number)
        for numbers in sorted(alike.values(), key=lambda own: sum(sizes[n] for n in own)):
            size = sum(sizes[number] for number in numbers)
            if size > room:
                return
            room -= size
            for number in numbers:
                self._groups[number]["open"] = 1


def _too_many_nodes(nodes: int) -> ExportError:
    return ExportError(
        f"a page can show up to {MOST_NODES:,} nodes, but this graph has at least {nodes:,}: "
        "use --detail series to show fewer nodes"
    )


def _node_texts(node: _DiagramNode, values: dict[str, str]) -> tuple[str, str]:
    """Return a node's label, and the line of text below the label."""
    kind = node.types[0] if node.types else ""
    label = values.get("prov:label", "") or values.get("provml:name", "")
    if kind in ("Step", "Epoch"):
        step, epoch = values.get("provml:step"), values.get("provml:epoch")
        if step is None:
            return f"epoch {epoch}", ""
        return f"step {step}", "" if epoch is None else f"epoch {epoch}"
    if not label:
        label = node.name.partition(":")[2] if kind else node.label
    if kind == "Series":
        last = values.get("provml:last", "none")
        count = int(values.get("provml:count", "0"))
        return label, f"{count:,} sample{'' if count == 1 else 's'}, last {_shorten_number(last)}"
    if kind == "Run":
        return values.get("provml:experiment", label), f"{values['provml:status']}"
    if "prov:value" in values:
        return label, _shorten_number(values["prov:value"])
    if _SIZE.fullmatch(values.get("provml:size", "")):
        size = size_text(int(values["provml:size"]))
        return label, f"{_split_camel_case(kind)}{_version_suffix(node.name)}, {size}"
    if kind == "Event" and node.start is not None:
        return label, node.start[11:19]
    return label, "" if kind in ("", "Context") else _split_camel_case(kind)


def _version_suffix(name: str) -> str:
    """Return a node's version as a suffix, such as ``" 2"``, or "" for the first version."""
    parts = name.split("/")
    return f" {parts[2]}" if len(parts) == 3 and parts[2].isdecimal() else ""


def _shorten_number(text: str) -> str:
    """Shorten a long number to six significant digits, or any other text to 80 characters."""
    try:
        number = float(text)
    except ValueError:
        return text if len(text) <= 80 else f"{text[:79]}…"
    return text if len(text) <= 9 else f"{number:.6g}"


def _split_camel_case(kind: str) -> str:
    """Split a type's name into words: ``SourceCode`` into ``source code``."""
    return "".join(f" {c.lower()}" if c.isupper() else c for c in kind).strip()

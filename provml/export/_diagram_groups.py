"""Forms the groups of a diagram, so that the page first shows what readers usually look for.

At first, the page shows for each run:

- its data, and the models that it used
- its settings, code and machine, each as one card
- the run itself, and how the run ended
- its models and files, its results, and the readings of its machine, as one card each

If there are several runs, the page shows the data, models and files that link the runs, and other
nodes that several runs have in common. The rest of each run is folded into the run's node.

A group is closed until the user opens the group. A group may have an owner, which is a node: the
group is then folded into this node. A group without an owner is drawn as a card.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from typing import Any, Final

from provml.export._diagram_nodes import (
    DiagramNode,
    Row,
    describe_commit,
    describe_host,
    describe_run,
    shorten_value,
    split_camel_case,
)
from provml.model.setting_order import SettingOrder

_PARTS: Final = {"Step": "steps", "Epoch": "epochs"}
_PLURALS: Final = {
    "Parameter": "parameters",
    "Series": "series",
    "Metric": "samples",
    "Sample": "samples",
    "SourceCode": "source files",
    "SamplesFile": "samples files",
    "SoftwareAgent": "software agents",
    "RelatedRun": "child runs",
    "ReadingSummary": "reading summaries",
    "Loss": "losses",
    "": "nodes",
}
_CARDS: Final = {
    "Parameter": "settings",
    "Metadata": "settings",
    "Host": "machine",
    "Environment": "machine",
    "Device": "machine",
    "Settings": "machine",
    "Script": "code",
    "SourceCode": "code",
    "ReadingSummary": "readings",
}
"""The title of the card that contains the nodes of each type."""
_MOST_ALONE: Final = {"Dataset": 5, "Input": 5, "Artifact": 4, "Model": 3, "Person": 4}
"""The maximum number of separate nodes of each type. A larger number becomes one card."""
_ALONE: Final = 2
_MOST_UNKNOWN: Final = 12
"""The maximum number of separate nodes of a type that provml does not define."""
_OTHER_TYPES: Final = frozenset({"Event", "Alert", "Sampling", "Span", "Window", "Workload"})
_MOST_SETTINGS, _FEW_SETTINGS = 16, 8
_MOST_RESULTS: Final = 10
_MOST_ROWS: Final = 6
_MOST_IN_RUN: Final = 4
_NUMBER: Final = re.compile(r"\d+")
_LEAST_NUMBERED: Final = 4
_EVALUATION: Final = ("evaluation", "testing", "test", "eval")
_OF_RUN: Final = frozenset({"Context", "Event", "Alert", "Sampling", "Step", "Epoch"})


class DiagramGroups:
    """The groups of a diagram.

    Args:
        nodes: the nodes of the diagram. `build` sets their groups and their rows.
        edges: the edges. Each is a list that starts with the indices of the edge's two nodes and of
            its relation.
        relations: the names of the relations.
        runs: the number of runs.
        given: the names of the settings that were given on the command line.
    """

    def __init__(
        self,
        nodes: list[DiagramNode],
        edges: list[list[Any]],
        relations: list[str],
        runs: int,
        given: Iterable[str],
    ) -> None:
        self._nodes = nodes
        self._edges = edges
        self._relations = relations
        self._several = runs > 1
        self._runs = runs
        self._order = SettingOrder(given)
        self._groups: list[dict[str, Any]] = []

    def plain(self) -> list[dict[str, Any]]:
        """Return the groups as plain data for the page's script."""
        return self._groups

    def build(self) -> None:
        """Form the groups of each run, and then the groups of nodes that several runs share."""
        owned: dict[int, list[int]] = defaultdict(list)
        for place, node in enumerate(self._nodes):
            owned[node.run].append(place)
        for run in sorted(owned, reverse=True):
            self._build_run(owned[run])

    # -- the groups of one run ----------------------------------------------------------------

    def _build_run(self, places: list[int]) -> None:
        run = self._find(places, "Run")
        results = self._find(places, "Results")
        inside = -1 if run is None else self._add(places[0], "details", owner=run, boxed=False)
        outside = inside if self._several else -1
        below = -1 if results is None else self._add(results, "series", owner=results, boxed=False)
        if results is not None:
            self._nodes[results].group = outside
        cards: dict[str, list[int]] = defaultdict(list)
        metrics: list[int] = []
        others: dict[tuple[Any, ...], list[int]] = defaultdict(list)
        for place in places:
            node = self._nodes[place]
            card = "readings" if node.reading else _CARDS.get(node.type)
            if place in (run, results):
                continue
            if node.series is not None:
                others[node.series, node.type, node.kind].append(place)
            elif node.type in _PARTS and node.anchor is not None:
                others[node.anchor, node.type, node.kind].append(place)
            elif card is not None:
                cards[card].append(place)
            elif node.type == "Series":
                metrics.append(place)
            elif node.type == "Experiment" and node.run >= 0:
                node.group = below
            elif node.type in ("Context", "SamplesFile"):
                node.group = inside
            else:
                others[-1, node.type, node.kind].append(place)
        self._fold_metrics(metrics, below)
        self._fold_parts(others)
        self._fold_software(others)
        for (owner, kind, _), members in others.items():
            if owner == -1:
                self._fold_alike(kind, members, inside if kind in _OF_RUN else -1)
        for title, members in cards.items():
            shared = self._nodes[members[0]].run < 0
            self._fold_card(title, members, -1 if shared else outside)
        if results is not None:
            rows, more = self._result_rows(metrics, _MOST_RESULTS)
            self._describe(results, rows, more)
        if run is not None:
            self._describe_run(run, metrics, cards["settings"])

    def _find(self, places: list[int], kind: str) -> int | None:
        return next((place for place in places if self._nodes[place].type == kind), None)

    def _add(
        self,
        member: int,
        label: str,
        under: str = "",
        *,
        owner: int = -1,
        inside: int = -1,
        boxed: bool = True,
        rows: list[Row] | None = None,
        more: int = 0,
    ) -> int:
        """Add a group, and return its number.

        The group gets its kind and its run from ``member``, which is any one of its members.
        """
        node = self._nodes[member]
        group: dict[str, Any] = {
            "owner": owner,
            "in": inside,
            "kind": node.kind,
            "run": node.run,
            "label": label,
            "boxed": int(boxed),
            "open": 0,
        }
        if under:
            group |= {"under": under, "title": f"{label}, {under}"}
        if rows:
            group["rows"] = rows
        if more:
            group["more"] = more
        self._groups.append(group)
        return len(self._groups) - 1

    def _fold(self, members: list[int], group: int) -> None:
        for place in members:
            self._nodes[place].group = group

    def _count(self, kind: str, members: list[int]) -> str:
        noun = _PLURALS.get(kind, f"{split_camel_case(kind)}s")
        return f"{len(members):,} {noun.removesuffix('s') if len(members) == 1 else noun}"

    # -- kinds of groups ----------------------------------------------------------------------

    def _fold_metrics(self, metrics: list[int], below: int) -> None:
        """Fold the series of each context into a group, inside the group of the results.

        If a context has only one or two series, they don't form a group of their own.
        """
        by_context: dict[str, list[int]] = defaultdict(list)
        for place in metrics:
            by_context[self._context_of(place)].append(place)
        for context, members in by_context.items():
            if len(members) <= _ALONE:
                self._fold(members, below)
                for node in (self._nodes[place] for place in members if context):
                    node.under = f"{context}, {node.under}"
                continue
            rows = [[self._nodes[place].label, ""] for place in members[:_MOST_ROWS]]
            group = self._add(
                members[0],
                self._count("Series", members),
                context,
                inside=below,
                rows=rows,
                more=len(members) - len(rows),
            )
            self._fold(members, group)

    def _fold_parts(self, others: dict[tuple[Any, ...], list[int]]) -> None:
        """Fold samples into their series, and steps into their contexts."""
        for (owner, kind, _), members in others.items():
            if owner != -1:
                label = self._count(kind, members)
                about = self._nodes[owner].label
                self._fold(members, self._add(members[0], label, about, owner=owner))

    def _fold_software(self, others: dict[tuple[Any, ...], list[int]]) -> None:
        """Fold the software agents into the person, if there is exactly one person."""
        software = others.get((-1, "SoftwareAgent", 2), [])
        people = [p for p, node in enumerate(self._nodes) if node.type == "Person"]
        if not software or len(people) != 1:
            return
        del others[-1, "SoftwareAgent", 2]
        label = self._count("SoftwareAgent", software)
        self._fold(software, self._add(software[0], label, owner=people[0]))

    def _fold_alike(self, kind: str, members: list[int], inside: int) -> None:
        """Fold nodes of the same type into a card if there are many of them.

        The versions of each model are counted separately, and get a card of their own.
        """
        by_label: dict[str, list[int]] = defaultdict(list)
        if kind == "Model":
            for place in members:
                by_label[self._nodes[place].label].append(place)
        else:
            by_label[""] = members
        for label, own in by_label.items():
            known = kind in _PLURALS or kind in _OTHER_TYPES
            if len(own) <= _MOST_ALONE.get(kind, _ALONE if known and kind else _MOST_UNKNOWN):
                self._fold(own, inside)
                continue
            rows = self._content_rows(own, versions=bool(label))
            count = f"{len(own):,} versions" if label else self._count(kind, own)
            group = self._add(
                own[0],
                label or count,
                count if label else "",
                inside=inside,
                rows=rows,
                more=len(own) - len(rows),
            )
            self._fold(own, group)

    def _content_rows(self, places: list[int], versions: bool) -> list[Row]:
        """Return rows with the names and sizes of the first few contents.

        If ``versions`` is true, the contents are the versions of one model. The rows then show the
        latest versions, with the latest first.
        """
        if not versions:
            shown = places[:_MOST_ROWS]
            return [[self._nodes[place].label, self._short_under(place)] for place in shown]
        latest = list(enumerate(places, 1))[: -_MOST_ROWS - 1 : -1]
        return [[f"version {number}", self._short_under(place)] for number, place in latest]

    def _short_under(self, place: int) -> str:
        """Return the last part of a node's second line, such as its size."""
        return self._nodes[place].under.rpartition(", ")[2] if self._nodes[place].under else ""

    def _fold_card(self, title: str, members: list[int], inside: int) -> None:
        """Fold the settings, the code, the machine or the readings of a run into a card."""
        nodes = [self._nodes[place] for place in members]
        if title == "settings":
            rows, more = self._setting_rows(members, _MOST_SETTINGS)
        elif title == "code":
            first = [row for node in nodes for row in describe_commit(node)][:1]
            files: list[Row] = [[self._nodes[p].label, self._short_under(p)] for p in members]
            rows, more = first + files[:_MOST_ROWS], max(0, len(files) - _MOST_ROWS)
        elif title == "machine":
            rows, more = [row for node in nodes for row in describe_host(node)][:_MOST_ROWS], 0
        else:
            rows, more = _summary_rows(nodes)[:_MOST_ROWS], 0
        if len(members) == 1:
            nodes[0].group = inside
            facts = describe_host(nodes[0]) if title == "machine" else describe_commit(nodes[0])
            nodes[0].rows = [row for row in facts if row[1] != nodes[0].label]
            return
        shared = self._several and nodes[0].run < 0
        label = f"{title} in common" if shared else title
        kinds = {node.type for node in nodes}
        under = self._count(nodes[0].type, members) if len(kinds) == 1 else ""
        if title == "readings":
            series = [place for place in members if self._nodes[place].reading]
            under = self._count("Series", series) if series else ""
        group = self._add(members[0], label, under, inside=inside, rows=rows, more=more)
        self._fold(members, group)

    # -- rows ---------------------------------------------------------------------------------

    def _setting_rows(self, members: list[int], most: int) -> tuple[list[Row], int]:
        """Return rows for the most important settings, and the number of settings left out."""

        def name_and_value(node: DiagramNode) -> tuple[str, str]:
            return node.label, node.value("prov:value") or ""

        nodes = self._order.sort((self._nodes[place] for place in members), name_and_value)
        telling = sum(self._order.is_telling(*name_and_value(node)) for node in nodes)
        rows: list[Row] = []
        shown = 0
        for name, own in _join_numbered(nodes).items():
            if len(rows) >= most or (shown >= telling and len(rows) >= _FEW_SETTINGS):
                break
            values = list(dict.fromkeys(node.under for node in own))
            text = values[0] if len(values) == 1 else f"{values[0]} … {values[-1]}"
            rows.append([name, text])
            shown += len(own)
        return rows, len(nodes) - shown

    def _result_rows(self, metrics: list[int], most: int) -> tuple[list[Row], int]:
        """Return rows for the last values of metrics, and the number of metrics left out.

        Evaluation comes first, then validation, then training. The ranks of a distributed job share
        a row, and so do series whose names differ only in a number. A row has a name, a value, the
        number of a curve (-1 for no curve), and a note.
        """
        by_context: dict[str, list[DiagramNode]] = defaultdict(list)
        for place in metrics:
            by_context[self._context_of(place)].append(self._nodes[place])
        found = [
            (context, name, own)
            for context, nodes in by_context.items()
            for name, own in _join_numbered(nodes).items()
        ]
        found.sort(key=lambda row: (_rank_context(row[0]), _count_parts(row[1])))
        rows: list[Row] = []
        shown = 0
        for context, name, own in found[:most]:
            node = own[0]
            ranks = sum(one.value("provml:rank") is not None for one in own)
            several = f"{len(own)} {'ranks' if ranks == len(own) else 'series'}"
            note = ", ".join(text for text in (context, several if len(own) > 1 else "") if text)
            value = shorten_value(node.value("provml:last") or "none")
            rows.append([name, value, -1 if node.curve is None else node.curve, note])
            shown += len(own)
        return rows, len(metrics) - shown

    def _describe(self, place: int, rows: list[Row], more: int) -> None:
        self._nodes[place].rows = rows
        if more:
            rows.append(["", f"{more:,} more"])

    def _describe_run(self, run: int, metrics: list[int], settings: list[int]) -> None:
        node = self._nodes[run]
        node.under = node.value("provml:runId") or ""
        rows = describe_run(node)
        if self._several:
            node.label = node.under if node.label == node.under else node.label
            settings_rows, _ = self._setting_rows(settings, _MOST_IN_RUN)
            results, _ = self._result_rows(metrics, _MOST_IN_RUN)
            rows = [*rows[:1], *settings_rows, *results]
        node.rows = rows

    def _context_of(self, place: int) -> str:
        """Return the label of the context that a node belongs to, or ``""``."""
        seen = set()
        at = self._nodes[place].anchor
        while at is not None and at not in seen:
            if self._nodes[at].type == "Context":
                return self._nodes[at].label
            seen.add(at)
            at = self._nodes[at].anchor
        return ""


def _summary_rows(nodes: list[DiagramNode]) -> list[Row]:
    """Return one row for each reading that has summaries, such as its mean and its maximum.

    If the values of several ranks differ, the row shows the range of the mean, and leaves out the
    other statistics.
    """
    found: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for node in nodes:
        if node.type == "ReadingSummary":
            name, statistic, *_ = [*node.label.split(", "), ""]
            found[name][statistic].append(node.under)
    rows: list[Row] = []
    for name, statistics in found.items():
        parts = []
        for statistic, values in statistics.items():
            ordered = sorted(set(values), key=_sort_number)
            text = ordered[0] if len(ordered) == 1 else f"{ordered[0]} to {ordered[-1]}"
            if len(ordered) > 1 and statistic != "mean":
                continue
            parts.append(text if statistic in ("mean", "") else f"{statistic} {text}")
        rows.append([name, ", ".join(parts)])
    return rows


def _sort_number(text: str) -> tuple[float, str]:
    try:
        return float(text), text
    except ValueError:
        return float("inf"), text


def _join_numbered(nodes: Iterable[DiagramNode]) -> dict[str, list[DiagramNode]]:
    """Group nodes by label. Many labels that differ only in their numbers become one group.

    The key of such a group is the first label, with ``N`` in place of each number.
    """
    alike: dict[str, dict[str, list[DiagramNode]]] = defaultdict(lambda: defaultdict(list))
    for node in nodes:
        alike[_NUMBER.sub("N", node.label)][node.label].append(node)
    found: dict[str, list[DiagramNode]] = {}
    for pattern, labels in alike.items():
        if len(labels) >= _LEAST_NUMBERED:
            found[pattern] = [node for own in labels.values() for node in own]
        else:
            found |= labels
    return found


def _count_parts(name: str) -> int:
    """Return the number of slashes and dots in a name.

    Names with many slashes and dots describe details of a model.
    """
    return name.count("/") + name.count(".")


def _rank_context(context: str) -> int:
    if context in _EVALUATION:
        return 0
    return {"validation": 1, "": 1, "training": 3}.get(context, 2)

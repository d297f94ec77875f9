"""Builds the tables for folded nodes of a picture, each of which stands for many similar nodes.

A table leaves out the least telling rows, such as the defaults of a library.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from provml.base.text import size_text
from provml.graph.fold import READING_GROUP
from provml.graph.labels import (
    GROUP_TEXTS,
    Node,
    count_samples,
    find_version,
    format_last_value,
    number_text,
    samples_text,
    wrap_name,
)
from provml.model.reading_names import name_summary

if TYPE_CHECKING:
    from provml.graph.build import Graph

_HEAD_WIDTH: Final = 40
_MOST_ROWS: Final = 16
_MOST_SETTINGS: Final = 60
_FEWEST_READINGS: Final = 4
_BYTES: Final = "B"


@dataclass(slots=True)
class LabelTable:
    """The table in a folded node, with one row for each of the similar nodes.

    Attributes:
        title: the lines of the title.
        heads: the headings of the columns.
        align: the alignment of each column: ``LEFT``, ``RIGHT`` or ``CENTER``.
        rows: the cells of each row. A cell is text, a list of lines, or a tuple of numbers to plot.
        left_out: the number of rows that were left out.
        ends: whether rows were left out at the end, because they are the least telling. Otherwise,
            rows were left out in the middle.
    """

    title: list[str]
    heads: tuple[str, ...]
    align: tuple[str, ...]
    rows: list[tuple[Any, ...]] = field(default_factory=list)
    left_out: int = 0
    ends: bool = False


def build_table(graph: Graph, node: Node) -> LabelTable | None:
    """Build the table in a folded node.

    Returns None for single nodes, and for types that have no table, such as steps.
    """
    make = _TABLES.get(node["types"][0]) if "members" in node and node["types"] else None
    if make is None:
        return None
    if node["plural"] in GROUP_TEXTS:
        return None
    title = node["name"]
    if node["place"] in graph:
        title = f"{title} of {' '.join(wrap_name(graph.nodes[node['place']]['label']))}"
    elif "aliases" in node["members"][0]:
        title = f"{title} in common"
    return make({**node, "order": graph.graph.get("order")}, title)


def _build_rows(
    node: Node,
    title: str,
    heads: str,
    align: str,
    row: Callable[[Node], Any],
    most: int | None = None,
) -> LabelTable:
    """Build a table with one row for each member of a folded node.

    If the table would be too long, leaves out rows.

    Args:
        heads: the headings, separated by ``|``; empty for a table without headings.
        align: one letter for each column: ``l``, ``r`` or ``c``.
        row: a function that returns the cells for a member.
        most: the maximum number of rows, if the members are sorted with the most telling first. By
            default, a long table leaves out the middle.
    """
    names = tuple(heads.split("|")) if heads else ()
    sides = {"l": "LEFT", "r": "RIGHT", "c": "CENTER"}
    table = LabelTable(wrap_name(title, _HEAD_WIDTH), names, tuple(sides[side] for side in align))
    members = node["members"]
    if most is not None and len(members) > most:
        table.left_out, table.ends = len(members) - most, True
        members = members[:most]
    elif len(members) > _MOST_ROWS:
        table.left_out = len(members) - _MOST_ROWS
        members = members[: _MOST_ROWS // 2] + members[-_MOST_ROWS // 2 :]
    table.rows = [row(member) for member in members]
    return table


def _series_table(node: Node, title: str) -> LabelTable:
    members = sorted(node["members"], key=_count_parts)
    counts = {count_samples(member) for member in members}
    heads, align = ["", "", "last"], "lcr"
    if max(counts) > 1:
        heads, align = [*heads, "min", "max"], f"{align}rr"
    if len(counts) == 1:
        title += f", {samples_text(*counts)} each"
    else:
        heads, align = [*heads, "samples"], f"{align}r"

    def row(member: Node) -> tuple[Any, ...]:
        texts = {
            "last": format_last_value(member),
            "min": number_text(member["provml:min"]) if "provml:min" in member else "",
            "max": number_text(member["provml:max"]) if "provml:max" in member else "",
            "samples": f"{count_samples(member):,}",
        }
        return (
            wrap_name(_member_label(member)),
            _sketch_of(member),
            *(texts[head] for head in heads[2:]),
        )

    return _build_rows({**node, "members": members}, title, "|".join(heads), align, row, _MOST_ROWS)


def _count_parts(member: Node) -> int:
    """Count the ``/`` and ``.`` in a label. Labels with many of them name details of a model."""
    return int(member["label"].count("/") + member["label"].count("."))


def _sketch_of(member: Node) -> Any:
    course = member.get("sketch", ())
    return course if len(course) > 1 else ""


def _readings_table(node: Node, title: str) -> LabelTable:
    """Build the table of the readings of a run. Each reading is one row, whatever its contexts.

    Percentages come first, and the table leaves out most other readings. If the run has only
    summaries of readings, the table shows the summaries.
    """
    found: dict[str, Node] = {}
    for member in node["members"]:
        if "reading" not in member:
            continue
        label = _member_label(member)
        known = found.setdefault(label, member)
        if len(member.get("sketch", ())) > len(known.get("sketch", ())):
            found[label] = member
    place = title.partition(" of ")[2]
    title = f"readings of {place}" if place else "readings"
    if not found:
        summaries = [{**m, "label": name_summary(m["label"])} for m in node["members"]]
        return _settings_table({**node, "members": summaries, "order": None}, title)
    members = [{**member, "label": label} for label, member in found.items()]
    members.sort(key=lambda member: member.get("provml:unit") != "%")
    percentages = sum(member.get("provml:unit") == "%" for member in members)
    columns = ("provml:mean", "provml:max")

    def row(member: Node) -> tuple[Any, ...]:
        unit = member.get("provml:unit")
        shown = f" ({unit})" if isinstance(unit, str) and unit != _BYTES else ""
        name = f"{member['label']}{shown}"
        return wrap_name(name), _sketch_of(member), *(_reading_text(member, k) for k in columns)

    most = min(_MOST_ROWS, max(_FEWEST_READINGS, percentages))
    return _build_rows({**node, "members": members}, title, "||mean|max", "lcrr", row, most)


def _member_label(member: Node) -> str:
    rank = member.get("provml:rank")
    return member["label"] if rank is None else f"{member['label']} (rank {rank})"


def _reading_text(member: Node, key: str) -> str:
    """Format a value of a reading for display. Bytes are shown in a suitable unit, such as MB."""
    value = member.get(key)
    if isinstance(value, (int, float)) and member.get("provml:unit") == _BYTES and value >= 0:
        return size_text(round(value)) if math.isfinite(value) else number_text(value)
    return "" if value is None else number_text(value)


def _settings_table(node: Node, title: str) -> LabelTable:
    """Build a table of settings. A long table leaves out the least telling settings."""
    order, members, most = node.get("order"), node["members"], None
    if order is not None:

        def name_and_value(member: Node) -> tuple[str, str]:
            return member["label"], number_text(member.get("prov:value"))

        members = order.sort(members, name_and_value)
        telling = sum(order.is_telling(*name_and_value(member)) for member in members)
        most = min(_MOST_SETTINGS, max(_MOST_ROWS, telling))

    def row(member: Node) -> tuple[Any, ...]:
        version = find_version(member)
        name = member["label"] + (f" (value {version})" if version else "")
        return wrap_name(name), number_text(member.get("prov:value"))

    return _build_rows({**node, "members": members}, title, "", "lr", row, most)


def _events_table(node: Node, title: str) -> LabelTable:
    counts: Counter[str] = Counter(member["label"] for member in node["members"])
    first: dict[str, Node] = {}
    for member in node["members"]:
        first.setdefault(member["label"], member)
    distinct = {**node, "members": list(first.values())}

    def row(member: Node) -> tuple[Any, ...]:
        count = counts[member["label"]]
        return wrap_name(member["label"]), f"×{count:,}" if count > 1 else ""

    return _build_rows(distinct, title, "", "lr", row)


def _models_table(node: Node, title: str) -> LabelTable:
    def row(member: Node) -> tuple[Any, ...]:
        return f"version {find_version(member) or 1}", _made_at(member), *_size_and_digest(member)

    title = f"{' '.join(wrap_name(node['members'][0]['label']))}: {node['name']}"
    return _build_rows(node, title, "|made at|size|sha256", "llrl", row)


def _made_at(member: Node) -> str:
    made_by = member.get("made_by", {})
    if "provml:step" in made_by:
        return f"step {made_by['provml:step']}"
    if "provml:epoch" in made_by:
        return f"epoch {made_by['provml:epoch']}"
    return ""


def _contents_table(node: Node, title: str) -> LabelTable:
    def row(member: Node) -> tuple[Any, ...]:
        version = find_version(member)
        name = member["label"] + (f" (version {version})" if version else "")
        return wrap_name(name), *_size_and_digest(member)

    return _build_rows(node, title, "|size|sha256", "lrl", row)


def _runs_table(node: Node, title: str) -> LabelTable:
    return _build_rows(node, title, "", "l", lambda member: (wrap_name(member["label"]),))


def _size_and_digest(member: Node) -> tuple[str, str]:
    size = member.get("provml:size")
    return (
        size_text(size) if isinstance(size, int) else "",
        str(member.get("provml:sha256", ""))[:8],
    )


_TABLES: Final[dict[str, Callable[[Node, str], LabelTable]]] = {
    "provml:Series": _series_table,
    "provml:Parameter": _settings_table,
    READING_GROUP: _readings_table,
    "provml:SourceCode": _contents_table,
    "provml:Event": _events_table,
    "provml:Model": _models_table,
    "provml:Artifact": _contents_table,
    "provml:Dataset": _contents_table,
    "provml:Input": _contents_table,
    "provml:SamplesFile": _contents_table,
    "provml:RelatedRun": _runs_table,
}

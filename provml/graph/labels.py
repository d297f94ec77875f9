"""Builds the text in the nodes of a picture: a title with a few facts, or a table."""

from __future__ import annotations

import json
import re
import textwrap
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from provml.base.clock import iso_text
from provml.base.text import HIDDEN_CATEGORIES, printable, size_text
from provml.model.names import tag_of_attribute

if TYPE_CHECKING:
    from provml.graph.build import Graph

Node = dict[str, Any]

_TITLE_WIDTH: Final = 26
_HEAD_WIDTH: Final = 40
_NAME_LINES: Final = 3
_VALUE_WIDTH: Final = 32
_MOST_ROWS: Final = 16
_FEW: Final = 4
_LONGEST_INTEGER: Final = 10**12
_HIDDEN: Final = HIDDEN_CATEGORIES | {"Co", "Cn"}
_ENTITIES: Final = str.maketrans(
    {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "\\": "\\\\", "]": "&#93;"}
)
"""The escape sequences for special characters in labels.

``]`` is escaped because Graphviz reports a syntax error for a label that starts with ``]``.
"""


@dataclass(slots=True)
class LabelTable:
    """The table in a folded node, with one row for each of the similar nodes.

    Attributes:
        title: the lines of the title.
        heads: the headings of the columns.
        align: the alignment of each column: ``LEFT``, ``RIGHT`` or ``CENTER``.
        rows: the cells of each row. A cell is text, a list of lines, or a tuple of numbers to plot.
        left_out: the number of rows that were left out in the middle.
    """

    title: list[str]
    heads: tuple[str, ...]
    align: tuple[str, ...]
    rows: list[tuple[Any, ...]] = field(default_factory=list)
    left_out: int = 0


def escape_invisible(text: str) -> str:
    r"""Escape invisible characters, such as control characters and line ends, as in ``\x1b``."""
    return printable(text, _HIDDEN)


def escape_markup(text: str) -> str:
    r"""Escape text for Graphviz's HTML-like labels, so that ``<`` and ``\N`` appear literally."""
    return escape_invisible(text).translate(_ENTITIES)


def wrap_name(text: str, width: int = _TITLE_WIDTH) -> list[str]:
    """Split a name into lines of at most ``width`` characters.

    Leaves out the middle of a name that would need more than three lines.
    """
    text = escape_invisible(text)
    room = width * _NAME_LINES
    if len(text) > room:
        text = f"{text[: room // 2 - 1]}…{text[-room // 2 + 1 :]}"
    return textwrap.wrap(text, width) or [f'"{text}"']  # the name is empty or blank


def shorten(text: str, width: int = _VALUE_WIDTH) -> str:
    """Shorten text to at most ``width`` characters. Shortened text ends with an ellipsis."""
    text = escape_invisible(text)
    return text if len(text) <= width else f"{text[: width - 1]}…"


def number_text(value: Any) -> str:
    """Format a value for display: floats with three significant digits, long values shortened."""
    if isinstance(value, bool) or value is None:
        return json.dumps(value)
    if isinstance(value, float):
        return f"{value:.3g}"
    if isinstance(value, int):
        return f"{value:,}" if abs(value) < _LONGEST_INTEGER else shorten(str(value), 17)
    if isinstance(value, str):
        return shorten(value)
    return shorten(json.dumps(value, default=str, ensure_ascii=False))


def duration_text(nanoseconds: int) -> str:
    """Format a duration in nanoseconds for display, for example as ``2 h 5 min``."""
    seconds = nanoseconds / 1e9
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def range_text(numbers: Sequence[int]) -> str:
    """Format integers for display.

    If the integers are consecutive, or if there are more than four, they are shown as a range from
    the lowest to the highest. Otherwise, they are listed: ``1, 4, 8``.
    """
    ordered = sorted(set(numbers))
    first, last = ordered[0], ordered[-1]
    if last - first == len(ordered) - 1 or len(ordered) > _FEW:
        return span_text(first, last)
    return ", ".join(map(str, ordered))


def span_text(first: int, last: int) -> str:
    """Format a range of integers, with an en dash, or as one number if both ends are equal."""
    return str(first) if first == last else f"{first}–{last}"


# -- single nodes -----------------------------------------------------------------------------


def node_texts(graph: Graph, key: str, node: Node) -> tuple[list[str], list[str]]:
    """Return the text in a node: the lines of its title, and the lines below the title."""
    del key
    if "members" in node:
        return _step_group_texts(graph, node)
    own = next((kind for kind in node["types"] if kind in _FACTS), "")
    title, facts = node["label"], _FACTS.get(own, _content_facts)(node)
    if own in ("provml:Step", "provml:Epoch"):
        title, facts = _step_texts(node)
    if "provml:SamplesFile" in node["types"]:  # the title contains the long name of a writer
        title = f"{title[:4]}…{title[-14:]}" if len(title) > _TITLE_WIDTH else title
    first = ", ".join(text for text in (_kind_words(node), *facts[:1]) if text)
    return wrap_name(title), [line for line in (first, *facts[1:]) if line]


def _kind_words(node: Node) -> str:
    """Return a node's most specific type in words, followed by the node's version if it has one."""
    own = [kind for kind in node["types"] if kind.startswith("provml:")] or node["types"]
    words = re.sub("([a-z])([A-Z])", r"\1 \2", own[0].partition(":")[2]).lower() if own else ""
    version = _version_of(node)
    return f"{words}, version {version}" if version else words


def _version_of(node: Node) -> str:
    """Return the version in the name of a node, such as ``2`` in ``run:model/net/2``, or ``''``."""
    kind, *parts = node["name"].partition(":")[2].split("/")
    return parts[1] if len(parts) == 2 and kind in _VERSIONED else ""


_VERSIONED: Final = frozenset(
    ("param", "reading-summary", "dataset", "input", "model", "artifact", "script", "source")
)


def _run_lines(node: Node) -> list[str]:
    status = str(node.get("provml:status", ""))
    if "end_ns" in node:
        status += f", {duration_text(node['end_ns'] - node['start_ns'])}"
    began = iso_text(node["start_ns"])
    lines = ["", status, f"{began[:10]} {began[11:19]} UTC", _steps_fact(node)]
    for term in ("reason", "exceptionType"):
        if isinstance(node.get(f"provml:{term}"), str):
            lines.append(shorten(node[f"provml:{term}"]))
    return lines + _tag_lines(node)


def _tag_lines(node: Node) -> list[str]:
    tags = [(tag_of_attribute(k), v) for k, v in node.items() if k.startswith("tags:")]
    lines = [shorten(f"{name}: {number_text(value)}") for name, value in tags[:_FEW]]
    return lines + ([f"{len(tags) - _FEW} more tags"] if len(tags) > _FEW else [])


def _context_facts(node: Node) -> list[str]:
    took = duration_text(node["end_ns"] - node["start_ns"]) if "end_ns" in node else ""
    return [took, _steps_fact(node)]


def _steps_fact(node: Node) -> str:
    facts = []
    if "steps" in node:
        facts.append(f"steps {span_text(*node['steps'])}")
    if "epochs" in node:
        facts.append(f"{node['epochs']:,} epoch{'s' if node['epochs'] != 1 else ''}")
    return ", ".join(facts)


def _series_facts(node: Node) -> list[str]:
    lines = ["", f"{samples_text(node.get('provml:count', 0))}, last {_last_value(node)}"]
    if "provml:min" in node:
        lines.append(f"{number_text(node['provml:min'])} to {number_text(node['provml:max'])}")
    return lines


def _last_value(node: Node) -> str:
    return number_text(node["provml:last"]) if "provml:last" in node else "-"


def _value_fact(node: Node) -> list[str]:
    return ["", f"= {number_text(node.get('prov:value'))}"]


def _content_facts(node: Node) -> list[str]:
    """Return lines with the size, shape and digest of a node's content, if they are known."""
    facts = []
    if isinstance(node.get("provml:size"), int):
        facts.append(size_text(node["provml:size"]))
    if isinstance(node.get("provml:shape"), list):
        facts.append("×".join(map(str, node["provml:shape"])))
    lines = [", ".join(facts)]
    if isinstance(node.get("provml:sha256"), str):
        lines.append(f"{node['provml:sha256'][:10]}…")
    return lines


def _source_facts(node: Node) -> list[str]:
    commit = node.get("provml:gitCommit")
    changed = ", changed" if node.get("provml:gitDirty") is True else ""
    return ["", f"git {commit[:7]}{changed}"] if isinstance(commit, str) else _content_facts(node)


def _environment_facts(node: Node) -> list[str]:
    lines = [""]
    if isinstance(node.get("provml:python"), str):
        lines.append(f"Python {shorten(node['provml:python'].partition(' ')[0], 12)}")
    if isinstance(node.get("provml:packages"), dict):
        lines.append(f"{len(node['provml:packages'])} packages")
    return lines


def _host_facts(node: Node) -> list[str]:
    facts = [
        str(node[f"provml:{term}"]) for term in ("system", "machine") if f"provml:{term}" in node
    ]
    return ["", shorten(" ".join(facts))]


def _agent_facts(node: Node) -> list[str]:
    return [shorten(str(node.get("provml:version", "")))]


def _results_facts(node: Node) -> list[str]:
    return ["", f"{node['withheld']:,} outputs"] if "withheld" in node else []


def _event_facts(node: Node) -> list[str]:
    if "start_ns" not in node:
        return []
    lines = [f"{iso_text(node['start_ns'])[11:19]} UTC"]
    if node.get("end_ns", node["start_ns"]) != node["start_ns"]:
        lines.append(duration_text(node["end_ns"] - node["start_ns"]))
    return lines


def _step_texts(node: Node) -> tuple[str, list[str]]:
    step, epoch = node.get("provml:step"), node.get("provml:epoch")
    if step is None:
        return f"epoch {epoch}", []
    return f"step {step}", [] if epoch is None else [f"of epoch {epoch}"]


_FACTS: Final[dict[str, Callable[[Node], list[str]]]] = {
    "provml:Run": _run_lines,
    "provml:Results": _results_facts,
    "provml:Context": _context_facts,
    "provml:Series": _series_facts,
    "provml:Metric": _value_fact,
    "provml:Sample": _value_fact,
    "provml:Parameter": _value_fact,
    "provml:ReadingSummary": _value_fact,
    "provml:SourceCode": _source_facts,
    "provml:Environment": _environment_facts,
    "provml:Host": _host_facts,
    "prov:SoftwareAgent": _agent_facts,
    "provml:Event": _event_facts,
    "provml:RelatedRun": lambda node: [],
    "provml:Step": lambda node: [],
    "provml:Epoch": lambda node: [],
}


# -- labels for several nodes -----------------------------------------------------------------


def _step_group_texts(graph: Graph, node: Node) -> tuple[list[str], list[str]]:
    members = node["members"]
    place = graph.nodes[node["place"]]["label"] if node["place"] in graph else None
    of = "" if place is None else f"of {shorten(' '.join(wrap_name(place)))}"
    epochs = sorted({m["provml:epoch"] for m in members if "provml:epoch" in m})
    steps = [m["provml:step"] for m in members if "provml:step" in m]
    if not steps:
        return [f"epochs {range_text(epochs)}"], [of]
    lines = [of]
    if epochs:
        lines.append(f"epoch{'s' if len(epochs) > 1 else ''} {range_text(epochs)}")
    return [f"steps {range_text(steps)}"], lines


def build_table(graph: Graph, node: Node) -> LabelTable | None:
    """Build the table in a folded node.

    Returns None for single nodes, and for types that have no table, such as steps.
    """
    make = _TABLES.get(node["types"][0]) if "members" in node and node["types"] else None
    if make is None:
        return None
    title = node["name"]
    if node["place"] in graph:
        title = f"{title} of {' '.join(wrap_name(graph.nodes[node['place']]['label']))}"
    return make(node, title)


def _build_rows(
    node: Node, title: str, heads: str, align: str, row: Callable[[Node], Any]
) -> LabelTable:
    """Build a table with one row for each member of a folded node.

    Leaves out rows in the middle of a long table.

    Args:
        heads: the headings, separated by ``|``; empty for a table without headings.
        align: one letter for each column: ``l``, ``r`` or ``c``.
        row: a function that returns the cells for a member.
    """
    names = tuple(heads.split("|")) if heads else ()
    sides = {"l": "LEFT", "r": "RIGHT", "c": "CENTER"}
    table = LabelTable(wrap_name(title, _HEAD_WIDTH), names, tuple(sides[side] for side in align))
    members = node["members"]
    if len(members) > _MOST_ROWS:
        table.left_out = len(members) - _MOST_ROWS
        members = members[: _MOST_ROWS // 2] + members[-_MOST_ROWS // 2 :]
    table.rows = [row(member) for member in members]
    return table


def _series_table(node: Node, title: str) -> LabelTable:
    members = node["members"]
    counts = {member.get("provml:count", 0) for member in members}
    heads, align = ["", "", "last"], "lcr"
    if max(counts) > 1:
        heads, align = [*heads, "min", "max"], f"{align}rr"
    if len(counts) == 1:
        title += f", {samples_text(*counts)} each"
    else:
        heads, align = [*heads, "samples"], f"{align}r"

    def row(member: Node) -> tuple[Any, ...]:
        texts = {
            "last": _last_value(member),
            "min": number_text(member["provml:min"]) if "provml:min" in member else "",
            "max": number_text(member["provml:max"]) if "provml:max" in member else "",
            "samples": f"{member.get('provml:count', 0):,}",
        }
        course = member.get("sketch", ())
        plot = course if len(course) > 1 else ""
        return (wrap_name(_member_label(member)), plot, *(texts[head] for head in heads[2:]))

    return _build_rows(node, title, "|".join(heads), align, row)


def samples_text(count: int) -> str:
    """Format a number of samples, for example as ``1 sample`` or ``1,200 samples``."""
    return f"{count:,} sample{'' if count == 1 else 's'}"


def _member_label(member: Node) -> str:
    rank = member.get("provml:rank")
    return member["label"] if rank is None else f"{member['label']} (rank {rank})"


def _settings_table(node: Node, title: str) -> LabelTable:
    def row(member: Node) -> tuple[Any, ...]:
        version = _version_of(member)
        name = member["label"] + (f" (value {version})" if version else "")
        return wrap_name(name), number_text(member.get("prov:value"))

    return _build_rows(node, title, "", "lr", row)


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
        return f"version {_version_of(member) or 1}", _made_at(member), *_size_and_digest(member)

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
        version = _version_of(member)
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
    "provml:ReadingSummary": _settings_table,
    "provml:Event": _events_table,
    "provml:Model": _models_table,
    "provml:Artifact": _contents_table,
    "provml:Dataset": _contents_table,
    "provml:Input": _contents_table,
    "provml:SamplesFile": _contents_table,
    "provml:RelatedRun": _runs_table,
}

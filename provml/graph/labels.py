"""Builds the text in the nodes of a picture: a title and a few facts."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from provml.base.clock import iso_text
from provml.base.text import HIDDEN_CATEGORIES, printable, size_text
from provml.graph.shared_nodes import find_other_labels
from provml.model.names import tag_of_attribute

if TYPE_CHECKING:
    from provml.graph.build import Graph

Node = dict[str, Any]

_TITLE_WIDTH: Final = 26
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


def escape_invisible(text: str) -> str:
    r"""Escape invisible characters, such as line ends, for example as ``\x1b``."""
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
        own_texts = GROUP_TEXTS.get(node["plural"])
        return own_texts(node) if own_texts else _step_group_texts(graph, node)
    own = next((kind for kind in node["types"] if kind in _FACTS), "")
    title, facts = node["label"], _FACTS.get(own, _content_facts)(node)
    if own in ("provml:Step", "provml:Epoch"):
        title, facts = _step_texts(node)
    if "provml:SamplesFile" in node["types"]:  # the label has the long name of a process
        return ["samples file"], [fact for fact in facts[:1] if fact]
    if "provml:Results" in node["types"]:
        return ["results"], [fact for fact in facts if fact]
    first = ", ".join(text for text in (_kind_words(node), *facts[:1]) if text)
    others = find_other_labels(node)
    also = shorten(f"also {', '.join(others)}") if others else ""
    return wrap_name(title), [line for line in (first, *facts[1:], also) if line]


def _kind_words(node: Node) -> str:
    """Return a node's most specific type in words, followed by the node's version if it has one."""
    own = [kind for kind in node["types"] if kind.startswith("provml:")] or node["types"]
    words = re.sub("([a-z])([A-Z])", r"\1 \2", own[0].partition(":")[2]).lower() if own else ""
    version = find_version(node)
    return f"{words}, version {version}" if version else words


def find_version(node: Node) -> str:
    """Return the version in the name of a node, such as ``2`` in ``run:model/net/2``, or ``''``."""
    kind, *parts = node["name"].partition(":")[2].split("/")
    return parts[1] if len(parts) == 2 and kind in _VERSIONED else ""


_VERSIONED: Final = frozenset(
    ("param", "reading-summary", "dataset", "input", "model", "artifact", "script", "source")
)


def _run_lines(node: Node) -> list[str]:
    status, took = str(node.get("provml:status", "")), _duration_of(node)
    began = iso_text(node["start_ns"]) if "start_ns" in node else ""
    lines = ["", ", ".join(text for text in (shorten(status), took) if text)]
    lines += [f"{began[:10]} {began[11:19]} UTC" if began else "", _steps_fact(node)]
    for term in ("reason", "exceptionType"):
        if isinstance(node.get(f"provml:{term}"), str):
            lines.append(shorten(node[f"provml:{term}"]))
    return lines + _tag_lines(node)


def _tag_lines(node: Node) -> list[str]:
    tags = [(tag_of_attribute(k), v) for k, v in node.items() if k.startswith("tags:")]
    lines = [shorten(f"{name}: {number_text(value)}") for name, value in tags[:_FEW]]
    return lines + ([f"{len(tags) - _FEW} more tags"] if len(tags) > _FEW else [])


def _context_facts(node: Node) -> list[str]:
    return [_duration_of(node), _steps_fact(node)]


def _duration_of(node: Node) -> str:
    """Return the duration of an activity, or ``""`` if the start or the end is unknown."""
    if "start_ns" in node and "end_ns" in node:
        return duration_text(node["end_ns"] - node["start_ns"])
    return ""


def _steps_fact(node: Node) -> str:
    facts = []
    if "steps" in node:
        facts.append(f"steps {span_text(*node['steps'])}")
    if "epochs" in node:
        facts.append(f"{node['epochs']:,} epoch{'s' if node['epochs'] != 1 else ''}")
    return ", ".join(facts)


def _series_facts(node: Node) -> list[str]:
    lines = ["", f"{samples_text(count_samples(node))}, last {format_last_value(node)}"]
    if "provml:min" in node:
        low, high = node["provml:min"], node.get("provml:max")
        lines.append(f"{number_text(low)} to {number_text(high)}")
    return lines


def format_last_value(node: Node) -> str:
    """Format the last value of a series for display."""
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
        lines.append(_duration_of(node))
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
    epochs = sorted({m["provml:epoch"] for m in members if _is_whole(m.get("provml:epoch"))})
    steps = [m["provml:step"] for m in members if _is_whole(m.get("provml:step"))]
    if not steps:
        title = f"epochs {range_text(epochs)}" if epochs else str(node["name"])
        return [title], [of]
    lines = [of]
    if epochs:
        lines.append(f"epoch{'s' if len(epochs) > 1 else ''} {range_text(epochs)}")
    return [f"steps {range_text(steps)}"], lines


def _machine_texts(node: Node) -> tuple[list[str], list[str]]:
    """Return the text of a group that describes the machine: its hosts, devices and Python."""
    lines = []
    for member in node["members"]:
        if "provml:Host" in member["types"]:
            lines += [member["label"], *_machine_facts(member)]
        elif "provml:Environment" in member["types"]:
            lines.append(", ".join(line for line in _environment_facts(member) if line))
        elif "provml:Device" in member["types"]:
            lines.append(member["label"])
    return ["machine"], [shorten(line) for line in dict.fromkeys(lines) if line]


def _machine_facts(host: Node) -> list[str]:
    lines = [line for line in _host_facts(host) if line]
    cpus, memory = host.get("provml:cpus"), host.get("provml:memoryBytes")
    facts = [f"{cpus} CPUs"] if isinstance(cpus, int) else []
    facts += [size_text(memory)] if isinstance(memory, int) else []
    return [*lines, ", ".join(facts)]


def _software_texts(node: Node) -> tuple[list[str], list[str]]:
    names = [
        " ".join((member["label"], str(member.get("provml:version", "")))).strip()
        for member in node["members"]
    ]
    return ["software"], [shorten(name) for name in dict.fromkeys(names)][:_MOST_ROWS]


GROUP_TEXTS: Final[dict[str, Callable[[Node], tuple[list[str], list[str]]]]] = {
    "machine": _machine_texts,
    "software": _software_texts,
}


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def count_samples(node: Node) -> int:
    """Return the number of samples of a series, or 0 if the number is unknown."""
    count = node.get("provml:count")
    return int(count) if count is not None and _is_whole(count) else 0


def samples_text(count: int) -> str:
    """Format a number of samples, for example as ``1 sample`` or ``1,200 samples``."""
    return f"{count:,} sample{'' if count == 1 else 's'}"

"""A node of the HTML page, and the texts that the page draws in it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any, Final

from provml.base.text import format_duration, size_text
from provml.journal.values import Moment
from provml.model.reading_names import name_summary

Row = list[Any]
"""A row in a node: a name and a value. A metric's row also has a curve's number and a note."""

_SIZE: Final = re.compile(r"[0-9]{1,20}")
_LONGEST_VALUE: Final = 80
_GENERIC: Final = ("Collection", "Plan", "Span", "Revision", "SourceCode", "Event")


@dataclass(slots=True)
class DiagramNode:
    """A node on the page: an entity, activity or agent, with its attributes and its group.

    Attributes:
        name: the qualified name.
        run: the number of the run that the node belongs to; -1 if several runs share the node.
        kind: 0 for an entity, 1 for an activity, 2 for an agent.
        under: the line below the label.
        rows: the rows of a card; empty for a plain node.
        group: the number of the group that contains the node; -1 if no group contains it.
        curve: the number of the node's curve; None if the node has no curve.
        anchor: the index of the activity that the node belongs to, usually because the activity
            made or used the node; None for no activity.
        series: the index of the series that the node is a sample of; None for other nodes.
        iris: the IRIs of the nodes that were merged into this node.
        reading: the kind of the readings if the node is a series of readings, else ``""``.
    """

    name: str
    run: int
    iri: str
    kind: int = 0
    label: str = ""
    under: str = ""
    types: list[str] = field(default_factory=list)
    attributes: list[list[str | None]] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    start: Moment | None = None
    end: Moment | None = None
    group: int = -1
    curve: int | None = None
    anchor: int | None = None
    series: int | None = None
    iris: list[str] = field(default_factory=list)
    reading: str = ""

    @property
    def type(self) -> str:
        """The most specific type, without its prefix; ``""`` if the node has no type."""
        return self.types[0] if self.types else ""

    def value(self, name: str) -> str | None:
        """Return the first value of an attribute as text; None if the node lacks the attribute."""
        return next((text for own, text, _ in self.attributes if own == name), None)

    def sort_types(self) -> None:
        """Sort the types, so that the most specific type comes first."""
        self.types.sort(key=lambda kind: kind in _GENERIC)

    def plain(self) -> dict[str, Any]:
        """Return the node as plain data for the page's script."""
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
            ("f", self.rows or None),
            ("s", _time_text(self.start)),
            ("e", _time_text(self.end)),
            ("p", self.curve),
            ("i", [self.iri, *self.iris] if self.iris else None),
        ):
            if value is not None:
                made[key] = value
        return made


def _time_text(moment: Moment | None) -> str | None:
    from provml.base.clock import iso_text

    return None if moment is None else iso_text(moment.time_ns)


def describe_node(node: DiagramNode) -> tuple[str, str]:
    """Return a node's label, and the line of text below the label."""
    kind = node.type
    label = node.value("prov:label") or node.value("provml:name") or ""
    if kind in ("Step", "Epoch"):
        step, epoch = node.value("provml:step"), node.value("provml:epoch")
        if step is None:
            return f"epoch {epoch}", ""
        return f"step {step}", "" if epoch is None else f"epoch {epoch}"
    if kind == "SamplesFile":  # the label contains the long name of a process
        return "samples file", _file_size(node)
    if kind == "Results":
        return "results", ""
    if kind == "ReadingSummary":
        return name_summary(label), _round_reading(node.value("prov:value") or "")
    if not label:
        label = node.name.partition(":")[2] or node.name if kind else node.label
    if kind == "Series":
        text = node.value("provml:count") or "0"
        count = int(text) if _SIZE.fullmatch(text) else 0
        last = shorten_value(node.value("provml:last") or "none")
        return label, f"{count:,} sample{'' if count == 1 else 's'}, last {last}"
    if kind == "Run":
        return node.value("provml:experiment") or label, node.value("provml:status") or ""
    if kind == "RelatedRun":
        return label, ""
    value = node.value("prov:value")
    if value is not None:
        return label, shorten_value(value)
    if size := _file_size(node):
        return label, f"{split_camel_case(kind)}{_version_suffix(node.name)}, {size}"
    if kind == "Event" and node.start is not None:
        return label, str(_time_text(node.start))[11:19]
    return label, "" if kind in ("", "Context") else split_camel_case(kind)


def describe_run(node: DiagramNode) -> list[Row]:
    """Return the rows of a run's card: how the run ended, when it started, and its command."""
    rows: list[Row] = []
    status = node.value("provml:status") or ""
    if node.start is not None and node.end is not None:
        took = format_duration((node.end.time_ns - node.start.time_ns) / 1e9)
        status = f"{status} after {took}" if status else took
    if status:
        rows.append(["", status])
    reason = node.value("provml:reason")
    error = (node.value("provml:exceptionType") or "").removeprefix("builtins.")
    message = node.value("provml:exceptionMessage")
    if error or message:
        rows.append(["", ": ".join(text for text in (error, message) if text)])
    elif reason:
        rows.append(["", reason])
    if node.start is not None:
        began = str(_time_text(node.start))
        rows.append(["", f"{began[:10]} {began[11:16]} UTC"])
    command = _command_text(node.value("provml:arguments"))
    if command:
        rows.append(["", command])
    return rows


def describe_host(node: DiagramNode) -> list[Row]:
    """Return the rows that describe a host, an environment or a device."""
    if node.type == "Host":
        rows: list[Row] = [["", node.label]]
        cpus, memory = node.value("provml:cpus"), node.value("provml:memoryBytes")
        facts = [f"{cpus} CPUs" if cpus else "", _size_words(memory)]
        if any(facts):
            rows.append(["", ", ".join(fact for fact in facts if fact)])
        return rows
    if node.type == "Environment":
        python = (node.value("provml:python") or "").partition(" ")[0]
        packages = _json_length(node.value("provml:packages"))
        facts = [f"Python {python}" if python else "", f"{packages} packages" if packages else ""]
        return [["", ", ".join(fact for fact in facts if fact)]] if any(facts) else []
    return [["", node.label]] if node.type == "Device" else []


def describe_commit(node: DiagramNode) -> list[Row]:
    """Return a row with the git commit that a node records; no row if it records none."""
    commit = node.value("provml:gitCommit")
    if not commit:
        return []
    changed = ", changed" if node.value("provml:gitDirty") == "true" else ""
    return [["git", f"{commit[:7]}{changed}"]]


def shorten_value(text: str) -> str:
    """Shorten a long number to six significant digits, and any other text to 80 characters."""
    try:
        number = float(text)
    except ValueError:
        return text if len(text) <= _LONGEST_VALUE else f"{text[: _LONGEST_VALUE - 1]}…"
    return text if len(text) <= 9 else f"{number:.6g}"


def _round_reading(text: str) -> str:
    try:
        return f"{float(text):.3g}" if abs(float(text)) < 1e5 else shorten_value(text)
    except ValueError:
        return shorten_value(text)


def split_camel_case(kind: str) -> str:
    """Split a type's name into words: ``SourceCode`` into ``source code``."""
    return "".join(f" {c.lower()}" if c.isupper() else c for c in kind).strip()


def _version_suffix(name: str) -> str:
    """Return a node's version as a suffix, such as ``" 2"``, or "" for the first version."""
    parts = name.split("/")
    return f" {parts[2]}" if len(parts) == 3 and parts[2].isdecimal() else ""


def _size_words(text: str | None) -> str:
    return size_text(int(text)) if text is not None and _SIZE.fullmatch(text) else ""


def _file_size(node: DiagramNode) -> str:
    return _size_words(node.value("provml:size"))


def _json_length(text: str | None) -> int:
    try:
        value = json.loads(text or "")
    except ValueError:
        return 0
    return len(value) if isinstance(value, (dict, list)) else 0


def _command_text(text: str | None) -> str:
    """Convert a run's command from a JSON list to text, without the folder of the program."""
    try:
        arguments = json.loads(text or "")
    except ValueError:
        return ""
    if not isinstance(arguments, list) or not arguments:
        return ""
    program, *rest = map(str, arguments)
    return " ".join((program.rpartition("/")[2] or program, *rest))

"""Builds the tables that ``provml show`` prints from an overview.

Imports only `base`, `journal`, `_children`, `_overview` and `_terminal` from provml.
"""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from provml.base.file_events import FILES_LEFT_OUT, FILES_WATCHED
from provml.base.store_files import store_root
from provml.cli import _terminal as terminal
from provml.cli._children import build_section
from provml.cli._overview import Overview
from provml.journal.description import RunReference, read_reference
from provml.journal.reader import is_run_folder

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

_LONGEST_NUMBER = 24
_SHORT_DIGEST = 12
_MOST_FILES = 30


def build_sections(found: Overview, first: Collection[str] = ()) -> list[RenderableType]:
    """Build the sections of the overview.

    Args:
        found: the overview.
        first: the titles of the sections that come before all other sections.
    """
    sections: list[tuple[str, RenderableType | None]] = [
        ("", _describe_run(found)),
        (_output_title(found), _output_section(found)),
        ("parameters", _settings_section(found.params)),
        ("tags", _settings_section(found.tags)),
        ("metadata", _settings_section(found.metadata)),
        ("series", _series_section(found)),
        ("system readings (--resources shows all of them)", _readings_section(found)),
        ("summaries of the readings", _settings_section(found.reading_summaries)),
        ("datasets, inputs, artifacts, models", _contents_section(found)),
        ("files of the command", _files_section(found)),
        (_code_title(found), _code_section(found)),
        (_events_title(found), _events_section(found)),
        ("spans", _spans_section(found)),
        ("records that can't be read", _damage_section(found.damage)),
        ("documents", _documents_section(found)),
    ]
    sections.sort(key=lambda section: section[0] not in first)
    parts: list[RenderableType] = []
    for title, body in sections:
        if title == "series" and found.children.count:
            heading = f"\nchildren ({found.children.count:,})"
            parts.append(terminal.styled(heading, "bold"))
            parts += build_section(found.children, str(found.description["id"]), found.tags)
        if body is not None:
            parts += [terminal.styled(f"\n{title}", "bold")] if title else []
            parts.append(body)
    return parts


def _describe_run(found: Overview) -> RenderableType:
    description, state = found.description, found.state
    length_s = terminal.duration_s(state.started_ns, state.ended_ns)
    rows = [
        ("run", terminal.cell(description["id"], "bold")),
        ("experiment", terminal.cell(description["experiment"])),
    ]
    labels = {"project": "project", "owner": "owner", "external_id": "external id"}
    labels |= {"framework": "framework", "task": "task"}
    rows += [
        (name, terminal.cell(description[k])) for k, name in labels.items() if description.get(k)
    ]
    parent = read_reference(description.get("parent"))
    if parent is not None:
        rows.append(("parent", _describe_parent(found.folder, parent)))
    if found.command:
        rows.append(("command", terminal.cell(shlex.join(found.command))))
    rows += _describe_code(found)
    rows.append(("status", terminal.styled(state.status, terminal.STYLES[state.status])))
    if state.reason is not None:
        rows.append(("reason", terminal.cell(state.reason)))
    if state.exception is not None:
        kind = str(state.exception.get("type")).removeprefix("builtins.")
        message = state.exception.get("message")
        rows.append(("exception", terminal.cell(f"{kind}: {message}", "red")))
    rows.append(("started", terminal.styled(terminal.local_text(state.started_ns))))
    if state.ended_ns is not None:
        ended = f"{terminal.local_text(state.ended_ns)}, after {terminal.format_duration(length_s)}"
        rows.append(("ended", terminal.styled(ended)))
    if state.dropped_samples or state.dropped_events:
        lost = f"{state.dropped_samples:,} samples, {state.dropped_events:,} events"
        rows.append(("dropped", terminal.styled(lost, "red")))
    if found.unsummarised and state.status != "running":
        lost = f"the values for {found.unsummarised:,} missing summaries"
        rows.append(("not summarised", terminal.styled(lost, "red")))
    rows.append(("folder", terminal.styled(terminal.printable(found.folder))))
    return terminal.pairs_table(rows)


def _describe_code(found: Overview) -> Iterator[tuple[str, Text]]:
    """Yield the rows about the script and the git commit."""
    path, digest = found.script.get("path"), found.script.get("sha256")
    if isinstance(path, str):
        own = f", sha256 {digest[:_SHORT_DIGEST]}" if isinstance(digest, str) else ""
        yield "script", terminal.cell(f"{path}{own}")
    commit, branch = found.git.get("commit"), found.git.get("branch")
    if isinstance(commit, str):
        own = f" on {branch}" if isinstance(branch, str) else ""
        changes = ", with uncommitted changes" if found.git.get("dirty") else ""
        yield "commit", terminal.cell(f"{commit[:_SHORT_DIGEST]}{own}{changes}")


def _output_title(found: Overview) -> str:
    if found.output is None:
        return "traceback"
    return f"end of {found.output} (--output shows all of it)"


def _output_section(found: Overview) -> RenderableType | None:
    if not found.output_lines:
        return None
    lines = [f"  {terminal.printable(line)}" for line in found.output_lines]
    return terminal.styled("\n".join(lines))


def _describe_parent(folder: Path, parent: RunReference) -> Text:
    """Return the parent's name, and a note if the parent is not in the run's store."""
    text = terminal.cell(parent.name)
    own = None if parent.folder is None else store_root(folder) / parent.folder
    if own is None or not is_run_folder(own):
        text.append("  not found in this store", "yellow")
    return text


def _settings_section(values: dict[str, Any]) -> RenderableType | None:
    if not values:
        return None
    return terminal.pairs_table(
        [(terminal.printable(k), terminal.cell(terminal.value_text(v))) for k, v in values.items()]
    )


def _readings_section(found: Overview) -> RenderableType | None:
    """Build a table with the number of system readings from each collector."""
    rows: list[tuple[str, Text]] = []
    for kind in found.collectors:
        own = [series for series in found.series if series.kind == kind]
        names = len({series.name for series in own})
        count = sum(series.count for series in own)
        rows.append(
            (terminal.printable(kind), terminal.styled(f"{names:,} values, {count:,} readings"))
        )
    return terminal.pairs_table(rows) if rows else None


def _series_section(found: Overview) -> RenderableType | None:
    shown = [series for series in found.series if series.kind not in found.collectors]
    if not shown:
        return None
    numbers = ("count", "last", "min", "max")
    ranked = any(series.rank is not None for series in shown)
    targeted = any(series.of is not None for series in shown)
    columns = ["  name", "context", *(["of"] if targeted else [])]
    columns += [*(["rank"] if ranked else []), *numbers, "unit"]
    rows: list[list[Text]] = []
    for series in shown:
        cells = [f"  {terminal.printable(series.name)}", format_context(series.context)]
        if targeted:
            cells.append("-" if series.of is None else terminal.printable(" ".join(series.of)))
        cells += [terminal.value_text(series.rank)] if ranked else []
        cells.append(f"{series.count:,}")
        for value in (series.last, series.minimum, series.maximum):
            cells.append(terminal.shortened(terminal.value_text(value), _LONGEST_NUMBER))
        cells.append(terminal.printable(", ".join(series.units)))
        rows.append([terminal.styled(cell) for cell in cells])
    cut = ("  name", "context", *(["of"] if targeted else []))
    drop = ("unit", "max", "min", "of", "count")
    return terminal.table(columns, rows, right=("rank", *numbers), cut=cut, drop=drop)


def format_context(context: tuple[str, ...] | None) -> str:
    """Format the path of a context, such as ``training > warm-up``."""
    return "-" if context is None else terminal.printable(" > ".join(context))


def _contents_section(found: Overview) -> RenderableType | None:
    if not found.contents:
        return None
    rows: list[list[Text]] = []
    for content in found.contents:
        facts = content.facts
        digest, size, copy = facts.get("sha256"), facts.get("size"), facts.get("copy")
        versions = f" ({content.versions} versions)" if content.versions > 1 else ""
        cells = [
            terminal.cell(f"  {content.name}{versions}"),
            terminal.cell(content.kind + (f" ({content.role})" if content.role else "")),
            terminal.cell(", ".join(map(format_context, content.contexts))),
            terminal.styled(terminal.size_text(size) if isinstance(size, int) else "-"),
            terminal.cell(digest[:_SHORT_DIGEST] if isinstance(digest, str) else "-"),
            terminal.styled("kept" if isinstance(copy, str) else "-"),
        ]
        rows.append(cells)
    columns = ("  name", "kind", "context", "size", "sha256", "copy")
    drop = ("copy", "sha256", "context")
    return terminal.table(columns, rows, right=("size",), cut=("  name", "context"), drop=drop)


def _files_section(found: Overview) -> RenderableType | None:
    """Build a table of how a command's files were found, and of how many were left out."""
    watched, left_out = found.files.get(FILES_WATCHED, {}), found.files.get(FILES_LEFT_OUT, {})
    rows: list[tuple[str, Text]] = []
    if isinstance(watched.get("method"), str):
        reason = watched.get("reason")
        own = f", because {reason}" if isinstance(reason, str) else ""
        rows.append(("found by", terminal.cell(f"{watched['method']}{own}")))
    unseen = watched.get("not_seen")
    if isinstance(unseen, list):
        rows += [("not seen", terminal.cell(str(text))) for text in unseen]
    rows += [
        ("left out", terminal.cell(f"{count:,} ({reason})"))
        for reason, count in left_out.items()
        if isinstance(count, int)
    ]
    return terminal.pairs_table(rows) if rows else None


def _code_title(found: Overview) -> str:
    count = len(found.code)
    shown = "" if count <= _MOST_FILES else f" (the first {_MOST_FILES} of {count:,})"
    return f"code and configuration{shown}"


def _code_section(found: Overview) -> RenderableType | None:
    if not found.code:
        return None
    rows: list[list[Text]] = []
    for file in found.code[:_MOST_FILES]:
        digest, size, copy = (file.facts.get(key) for key in ("sha256", "size", "copy"))
        versions = f" ({file.versions} versions)" if file.versions > 1 else ""
        rows.append(
            [
                terminal.cell(f"  {file.name}{versions}"),
                terminal.cell(file.role or "-"),
                terminal.styled(terminal.size_text(size) if isinstance(size, int) else "-"),
                terminal.cell(digest[:_SHORT_DIGEST] if isinstance(digest, str) else "-"),
                terminal.styled("kept" if isinstance(copy, str) else "-"),
            ]
        )
    columns = ("  name", "role", "size", "sha256", "copy")
    drop = ("copy", "sha256", "role")
    return terminal.table(columns, rows, right=("size",), cut=("  name",), drop=drop)


def _events_title(found: Overview) -> str:
    shown = len(found.last_events)
    return "events" if shown == found.events else f"events (the last {shown} of {found.events:,})"


def _events_section(found: Overview) -> RenderableType | None:
    if not found.events:
        return None
    rows = [
        [
            terminal.styled(f"  {terminal.local_text(event.time_ns)}"),
            terminal.cell(event.name),
            terminal.cell("-" if event.source is None else event.source),
            terminal.styled(format_context(event.context)),
            terminal.styled(terminal.value_text(event.step)),
        ]
        for event in found.last_events
    ]
    columns = ("  time", "name", "source", "context", "step")
    cut, drop = ("name", "source", "context"), ("source", "step", "context")
    return terminal.table(columns, rows, right=("step",), cut=cut, drop=drop)


def _spans_section(found: Overview) -> RenderableType | None:
    if not found.last_spans:
        return None
    rows = [
        [
            terminal.styled(f"  {terminal.local_text(span.started.time_ns)}"),
            terminal.cell(span.name),
            terminal.cell("-" if span.source is None else span.source),
            terminal.styled(terminal.format_duration(span.duration_s)),
        ]
        for span in found.last_spans
    ]
    columns = ("  start", "name", "source", "duration")
    cut, drop = ("name", "source"), ("source",)
    return terminal.table(columns, rows, right=("duration",), cut=cut, drop=drop)


def _damage_section(damage: dict[str, int]) -> RenderableType | None:
    rows = [(reason, terminal.styled(f"{count:,}", "red")) for reason, count in damage.items()]
    return terminal.pairs_table(rows) if rows else None


def _documents_section(found: Overview) -> RenderableType | None:
    if not found.documents:
        return terminal.styled("  none yet: run provml export to write one", "dim")
    rows: list[tuple[str, Text]] = []
    for name, document in found.documents.items():
        line = terminal.styled(terminal.size_text(document.size))
        if document.out_of_date:
            line.append("  out of date: run provml export to write it again", "yellow")
        rows.append((terminal.printable(name), line))
    return terminal.pairs_table(rows)

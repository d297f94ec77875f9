"""The overview of a run that ``provml show`` prints.

`_overview_reading` reads the overview from a journal. Imports only `base`, `journal`, `model`,
`_children` and `_terminal` from provml.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from provml.cli._children import SeenChildren
from provml.cli._terminal import duration_s, exact, time_text
from provml.journal.history import RecordedSpan
from provml.journal.layout import Record
from provml.journal.record_building import add_later_digest
from provml.journal.record_parsing import record_context
from provml.journal.status import RunState, determine_state
from provml.model.series import RunSeries


@dataclass(frozen=True, slots=True)
class SeenEvent:
    """An event of a run, as shown in the overview."""

    name: str
    time_ns: int
    source: str | None
    context: tuple[str, ...] | None
    step: int | None
    metadata: Any


@dataclass(slots=True)
class SeenContent:
    """Content that a run used or made, as described when the content was last logged.

    Attributes:
        kind: ``dataset``, ``input``, ``artifact``, ``model`` or ``code``.
        role: what an input or a code file was used for, according to the most recent record; None
            if unknown.
        facts: the description in the most recent record under this name.
        contexts: the contexts in which the name was logged, each once, in order of appearance.
        digests: the SHA-256 digests of all contents that were logged under this name.
    """

    kind: str
    name: str
    time_ns: int = 0
    step: int | None = None
    role: str | None = None
    facts: Record = field(default_factory=dict)
    contexts: list[tuple[str, ...] | None] = field(default_factory=list)
    digests: set[str] = field(default_factory=set)

    @property
    def versions(self) -> int:
        """The number of different digests, or 1 if no content has a digest."""
        return max(1, len(self.digests))

    def add(self, time_ns: int, record: Record) -> None:
        """Update the description and the contexts from another record that logs this content."""
        facts, context = record.get("content"), record_context(record)
        self.time_ns = time_ns
        self.step = int_or_none(record.get("step"))
        self.role = record["role"] if isinstance(record.get("role"), str) else None
        self.facts = facts if isinstance(facts, dict) else {}
        if context not in self.contexts:
            self.contexts.append(context)
        self._count()

    def complete(self, facts: Record, later: Record) -> None:
        """Add a digest that was computed after the content was logged.

        Args:
            facts: the description in the record that logged the content.
            later: the description in the later record, which has the digest.
        """
        if self.facts is facts:
            self.facts = add_later_digest(facts, later)
            self._count()
        elif isinstance(later.get("sha256"), str):
            self.digests.add(later["sha256"])

    def _count(self) -> None:
        digest = self.facts.get("sha256")
        if isinstance(digest, str):
            self.digests.add(digest)


@dataclass(frozen=True, slots=True)
class SeenDocument:
    """A document in the run's folder.

    Attributes:
        size: the size of the file in bytes.
        out_of_date: whether the journal was changed after the document was written.
    """

    size: int
    out_of_date: bool


@dataclass(slots=True)
class Overview:
    """Everything that ``provml show`` prints about a run.

    Attributes:
        code: the files of code and configuration that the run used.
        collectors: the names of the collectors that recorded system readings.
        children: the runs that are a part of this run.
        last_events: the last few events, in order of time.
        command: the command line of the process that started the run or last resumed it.
        script: the description of that process's script; empty if the process had no script.
        git: the description of the script's git repository; empty if there is none.
        output: the name of the kept output that `output_lines` come from, such as ``stderr``.
        output_lines: the last lines of that output; empty unless the run failed.
        files: the metadata of the events about the command's files, by the name of the event.
        damage: the number of unreadable records, by the reason why they are unreadable.
        unsummarised: the number of summaries that are missing although the values to summarise
            were stored.
        documents: the documents in the run's folder, by file name.
    """

    folder: Path
    description: dict[str, Any]
    state: RunState = field(default_factory=lambda: determine_state([]))
    children: SeenChildren = field(default_factory=lambda: SeenChildren([], 0))
    params: dict[str, Any] = field(default_factory=dict)
    reading_summaries: dict[str, Any] = field(default_factory=dict)
    tags: dict[str, Any] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)
    series: list[RunSeries] = field(default_factory=list)
    collectors: list[str] = field(default_factory=list)
    contents: list[SeenContent] = field(default_factory=list)
    code: list[SeenContent] = field(default_factory=list)
    events: int = 0
    last_events: list[SeenEvent] = field(default_factory=list)
    last_spans: list[RecordedSpan] = field(default_factory=list)
    command: list[str] = field(default_factory=list)
    script: Record = field(default_factory=dict)
    git: Record = field(default_factory=dict)
    output: str | None = None
    output_lines: list[str] = field(default_factory=list)
    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    damage: dict[str, int] = field(default_factory=dict)
    unsummarised: int = 0
    documents: dict[str, SeenDocument] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return the overview as a dictionary of JSON values."""
        state, description = self.state, self.description
        content: dict[str, Any] = {
            "id": description["id"],
            "experiment": description["experiment"],
            "project": description.get("project"),
            "owner": description.get("owner"),
            "parent": description.get("parent"),
            "external_id": description.get("external_id"),
            "framework": description.get("framework"),
            "task": description.get("task"),
            "status": state.status,
            "reason": state.reason,
            "exception": state.exception,
            "command": self.command,
            "script": _plain_facts(self.script) or None,
            "git": self.git or None,
            "started": time_text(state.started_ns),
            "ended": time_text(state.ended_ns),
            "duration_s": duration_s(state.started_ns, state.ended_ns),
            "dropped": {"samples": state.dropped_samples, "events": state.dropped_events},
            "path": str(self.folder),
            "params": self.params,
            "reading_summaries": self.reading_summaries,
            "children": [child.to_dict() for child in self.children.seen],
            "tags": self.tags,
            "metadata": self.metadata,
            "series": [_series_json(series) for series in self.series],
            "contents": [_content_json(seen) for seen in self.contents],
            "files": self.files,
            "code": [_content_json(seen) for seen in self.code],
            "events": {"count": self.events, "last": [_event_json(e) for e in self.last_events]},
            "spans": [_span_json(span) for span in self.last_spans],
            "damage": self.damage,
            "unsummarised": self.unsummarised,
            "documents": {name: asdict(document) for name, document in self.documents.items()},
        }
        plain: dict[str, Any] = exact(content)
        return plain


def _plain_facts(facts: Record) -> Record:
    return {key: value for key, value in facts.items() if key != "modified"}


def int_or_none(value: Any) -> int | None:
    """Return the value if it is an int, else None."""
    return value if isinstance(value, int) else None


def _context_json(context: tuple[str, ...] | None) -> list[str] | None:
    return None if context is None else list(context)


def _series_json(series: RunSeries) -> dict[str, Any]:
    return {
        "name": series.name,
        "context": _context_json(series.context),
        "kind": series.kind,
        "rank": series.rank,
        "of": None if series.of is None else {"kind": series.of[0], "name": series.of[1]},
        "units": series.units,
        "count": series.count,
        "last": series.last,
        "min": series.minimum,
        "max": series.maximum,
        "first_time": time_text(series.first_ns),
        "last_time": time_text(series.last_ns),
    }


def _content_json(seen: SeenContent) -> dict[str, Any]:
    facts = {key: value for key, value in seen.facts.items() if key not in ("modified", "kind")}
    return {
        "name": seen.name,
        "kind": seen.kind,
        "role": seen.role,
        "contexts": [_context_json(context) for context in seen.contexts],
        "step": seen.step,
        "time": time_text(seen.time_ns),
        "versions": seen.versions,
        "content": {"kind": seen.facts.get("kind"), **facts},
    }


def _event_json(event: SeenEvent) -> dict[str, Any]:
    return {
        "name": event.name,
        "time": time_text(event.time_ns),
        "source": event.source,
        "context": _context_json(event.context),
        "step": event.step,
        "metadata": event.metadata,
    }


def _span_json(span: RecordedSpan) -> dict[str, Any]:
    started, finished = span.started, span.finished
    return {
        "name": span.name,
        "start": time_text(started.time_ns),
        "end": None if finished is None else time_text(finished.time_ns),
        "duration_s": span.duration_s,
        "source": span.source,
    }

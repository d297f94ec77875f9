"""The overview of a run that ``provml show`` prints.

Memory use grows with the number of names and digests, not with the number of samples. Imports only
`base`, `export`, `journal`, `model`, `_children` and `_terminal` from provml.
"""

from __future__ import annotations

import heapq
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from provml.base.file_events import FILES_CAPTURED, FILES_LEFT_OUT, FILES_WATCHED
from provml.base.store_files import OpenFolder, store_root
from provml.cli._children import SeenChildren, read_children
from provml.cli._terminal import duration_s, exact, time_text
from provml.export import DOCUMENT_STEM
from provml.journal import layout
from provml.journal.history import RecordedSpan, find_spans
from provml.journal.kept_copies import OUTPUT_NAMES, copy_path, read_last_lines
from provml.journal.layout import Record
from provml.journal.reader import Journal
from provml.journal.reading_summaries import READING_SUMMARY, find_old_summaries
from provml.journal.record_building import add_later_digest
from provml.journal.record_parsing import record_context, series_number
from provml.journal.status import RunState
from provml.journal.values import decode
from provml.model.series import SAMPLING, RunSeries, SeriesTable

_LAST_EVENTS = 5
_FILE_EVENTS = (FILES_WATCHED, FILES_CAPTURED, FILES_LEFT_OUT)
_OUTPUT_LINES = 10
_CONTENTS = ("dataset", "input", "artifact", "model")


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
        """Update the facts and contexts from another record that logs this content."""
        facts, context = record.get("content"), record_context(record)
        self.time_ns = time_ns
        self.step = _int_or_none(record.get("step"))
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
        last_events: the last events in order of time.
        command: the command line of the process that started the run or last resumed it.
        script: the description of that process's script; empty if the process had no script.
        git: the description of the script's git repository; empty if there is none.
        output: the name of the kept output that `output_lines` come from, such as ``stderr``.
        output_lines: the last lines of that output; empty unless the run failed.
        files: the metadata of the events about the files of a command, by the event's name.
        damage: the number of unreadable records, by the reason why they are unreadable.
        unsummarised: the number of summaries that are missing although the values to summarise
            were stored.
        documents: the documents in the run's folder, by file name.
    """

    folder: Path
    description: dict[str, Any]
    state: RunState
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


def read_overview(journal: Journal) -> Overview:
    """Read the overview of a run from its journal.

    Takes about 20 ms per million samples, and about 10 µs for each record of any other kind. Also
    reads the run's children, which takes a few milliseconds for each child, and the ``run.json`` of
    each run in the store, which takes about 50 µs.
    """
    found = Overview(journal.folder, journal.description, journal.state())
    contents: dict[tuple[str, str], SeenContent] = {}
    code: dict[str, SeenContent] = {}
    last: list[tuple[int, int, SeenEvent]] = []
    settings = {"param": found.params, "tag": found.tags, "metadata": found.metadata}
    settings[READING_SUMMARY] = found.reading_summaries
    old_summaries = find_old_summaries(journal)
    windows: set[object] = set()
    awaiting_digest: dict[object, tuple[SeenContent, Record]] = {}
    for files, offset, record in journal.records():
        kind, name, time_ns = record.get("record"), record.get("name"), record.get("time")
        if offset in old_summaries.get(files.index, ()):
            kind = READING_SUMMARY
        number = series_number(record)
        if kind == "window":
            windows.add((files.index, record_context(record)))
        elif kind == "summary":
            windows.discard((files.index, record_context(record)))
        elif kind == "digest" and isinstance(record.get("content"), dict):
            logged = awaiting_digest.pop((files.index, number), None)
            if logged is not None:
                logged[0].complete(logged[1], record["content"])
        if kind == "start":
            _add_start(found, record)
        elif kind == "source" and isinstance(record.get("git"), dict):
            found.git = record["git"]
        if not isinstance(name, str) or not isinstance(time_ns, int):
            continue
        if kind in settings:
            _store_setting(settings[kind], name, record)
        elif kind in _CONTENTS:
            seen = contents.setdefault((kind, name), SeenContent(kind, name))
            seen.add(time_ns, record)
            if number is not None:
                awaiting_digest[files.index, number] = seen, seen.facts
        elif kind == "code":
            code.setdefault(name, SeenContent(kind, name)).add(time_ns, record)
        elif kind == "event":
            found.events += 1
            _add_file_event(found, name, record)
            heapq.heappush(last, (time_ns, found.events, _seen_event(name, time_ns, record)))
            if len(last) > _LAST_EVENTS:
                heapq.heappop(last)
    found.unsummarised = len(windows)
    found.contents = list(contents.values())
    found.code = list(code.values())
    found.last_events = [event for *_, event in sorted(last)]
    found.last_spans = [span for span in find_spans(journal) if span.finished][-_LAST_EVENTS:]
    table = SeriesTable(journal)
    for block in table.blocks():
        block.series.add(block)
    found.collectors = list(dict.fromkeys(s.name for s in table.all if s.kind == SAMPLING))
    found.series = _sort_by_rank([series for series in table.all if series.kind != SAMPLING])
    found.damage = dict(sorted(journal.damage().items()))
    found.documents = _find_documents(journal.folder)
    found.children = read_children(journal.folder, journal.description)
    if found.state.status not in ("running", "finished"):
        _add_output(found, contents)
    return found


def _add_start(found: Overview, record: Record) -> None:
    if isinstance(record.get("command"), list):
        found.command = [str(word) for word in record["command"]]
    if isinstance(record.get("script"), dict):
        found.script = record["script"]


def _add_file_event(found: Overview, name: str, record: Record) -> None:
    """Add an event about the files of a command. Numbers with the same key are added up."""
    if name not in _FILE_EVENTS:
        return
    metadata = _decode_or(record.get("metadata"))
    for key, value in metadata.items() if isinstance(metadata, dict) else ():
        own = found.files.setdefault(name, {})
        is_count = isinstance(value, int) and isinstance(own.get(key, 0), int)
        own[key] = value + own.get(key, 0) if is_count else value


def _add_output(found: Overview, contents: dict[tuple[str, str], SeenContent]) -> None:
    """Add the last lines of the output that the run kept, or else of the recorded traceback."""
    for name in OUTPUT_NAMES:
        seen = contents.get(("artifact", name))
        path = None if seen is None else copy_path(found.folder, seen.facts)
        lines = [] if path is None else read_last_lines(found.folder, path, _OUTPUT_LINES)
        if lines:
            found.output, found.output_lines = name, lines
            return
    traceback = (found.state.exception or {}).get("traceback")
    if isinstance(traceback, str):
        found.output_lines = traceback.splitlines()[-_OUTPUT_LINES:]


def _plain_facts(facts: Record) -> Record:
    return {key: value for key, value in facts.items() if key != "modified"}


def _store_setting(values: dict[str, Any], name: str, record: Record) -> None:
    decoded = _decode_or(record.get("value"), absent=KeyError)
    if decoded is not KeyError:
        values[name] = decoded


def _decode_or(value: Any, absent: Any = None) -> Any:
    try:
        return decode(value)
    except (KeyError, TypeError, ValueError, ArithmeticError, AttributeError, RecursionError):
        return absent


def _sort_by_rank(series: list[RunSeries]) -> list[RunSeries]:
    """Sort series by first appearance. Series that differ only in their rank stay together."""
    first: dict[tuple[object, ...], int] = {}
    for one in series:
        first.setdefault((one.kind, one.context, one.name), one.index)

    def place(one: RunSeries) -> tuple[int, int]:
        return first[one.kind, one.context, one.name], -1 if one.rank is None else one.rank

    return sorted(series, key=place)


def _seen_event(name: str, time_ns: int, record: Record) -> SeenEvent:
    source = record.get("source")
    return SeenEvent(
        name=name,
        time_ns=time_ns,
        source=source if isinstance(source, str) else None,
        context=record_context(record),
        step=_int_or_none(record.get("step")),
        metadata=_decode_or(record.get("metadata")),
    )


def _int_or_none(value: Any) -> int | None:
    return value if isinstance(value, int) else None


def _find_documents(folder: Path) -> dict[str, SeenDocument]:
    found: dict[str, SeenDocument] = {}
    try:
        with OpenFolder(store_root(folder), Path(os.path.abspath(folder))) as run:
            with run.open_folder(layout.JOURNAL_FOLDER) as journal:
                times = (status.st_mtime_ns for _, status in journal.read_statuses())
                written_ns = max(times, default=0)
            for entry in run.list():
                if entry.is_file and entry.name.startswith(f"{DOCUMENT_STEM}."):
                    status = run.read_status(entry.name)
                    outdated = status.st_mtime_ns < written_ns
                    found[entry.name] = SeenDocument(status.st_size, outdated)
    except OSError:  # the run has no journal, or was removed in the meantime
        pass
    return found


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

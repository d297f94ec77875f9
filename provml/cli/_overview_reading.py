"""Reads the overview of a run for ``provml show``, at once or while the run is being recorded.

Memory use grows with the number of names and digests, not with the number of samples. Imports only
`base`, `export`, `journal`, `model`, `_children` and `_overview` from provml.
"""

from __future__ import annotations

import heapq
import os
from collections import Counter
from pathlib import Path
from typing import Any

from provml.base.file_events import FILES_CAPTURED, FILES_LEFT_OUT, FILES_WATCHED
from provml.base.store_files import OpenFolder, store_root
from provml.cli._children import FollowedChildren, read_children
from provml.cli._overview import Overview, SeenContent, SeenDocument, SeenEvent, int_or_none
from provml.export import DOCUMENT_STEM
from provml.journal import layout
from provml.journal.history import RecordedSpan, SpanMatcher, parse_event, read_clock_ns
from provml.journal.kept_copies import OUTPUT_NAMES, copy_path, read_last_lines
from provml.journal.layout import Record
from provml.journal.reader import Journal
from provml.journal.reading_summaries import READING_SUMMARY, find_old_summaries
from provml.journal.record_parsing import record_context, series_number
from provml.journal.status import RunState
from provml.journal.values import decode
from provml.model.followed_run import FollowedRun
from provml.model.series import SAMPLING, RunSeries, SeriesTable

_LAST_EVENTS = 5
_FILE_EVENTS = (FILES_WATCHED, FILES_CAPTURED, FILES_LEFT_OUT)
_OUTPUT_LINES = 10
_CONTENTS = ("dataset", "input", "artifact", "model")


def read_overview(journal: Journal) -> Overview:
    """Read the overview of a run from its journal.

    Takes about 20 ms per million samples, and about 10 µs for each record of any other kind. Also
    reads the run's children, which takes a few milliseconds for each child, and the ``run.json`` of
    each run in the store, which takes about 50 µs per run.
    """
    builder = OverviewBuilder(journal.folder, journal.description)
    old_summaries = find_old_summaries(journal)
    for files, offset, record in journal.records():
        is_summary = offset in old_summaries.get(files.index, ())
        builder.add_record(files.index, record, READING_SUMMARY if is_summary else None)
    table = SeriesTable(journal)
    for block in table.blocks():
        block.series.add(block)
    found = builder.build(journal.state(), table)
    found.damage = dict(sorted(journal.damage().items()))
    found.children = read_children(journal.folder, journal.description)
    return found


class FollowedOverview:
    """The overview of a run that is being recorded. Each read processes only new data.

    Close the overview when you no longer need it.
    """

    def __init__(self, folder: Path) -> None:
        """Prepare to follow the run in a folder. Reads only its ``run.json``."""
        journal = Journal(folder)
        self._folder = folder
        self._run = FollowedRun(folder)
        self._builder = OverviewBuilder(folder, journal.description)
        self._children = FollowedChildren(folder, journal.description)
        self._skipped = 0

    def close(self) -> None:
        """Close all files."""
        self._run.close()
        self._children.close()

    def read_new(self) -> bool:
        """Read the new data of the run and its children. Return True if there was any."""
        is_changed = self._children.read_new()
        for part in self._run.read_new():
            is_changed = True
            self._skipped += part.skipped
            for record in part.records:
                self._builder.add_record(part.writer, record)
            for block in part.blocks:
                block.series.add(block)
        return is_changed

    def build(self, state: RunState) -> Overview:
        """Return the overview of the data read so far. The number of samples does not matter."""
        found = self._builder.build(state, self._run.table)
        found.damage = dict(Counter({"damaged line": self._skipped}) if self._skipped else {})
        found.children = self._children.list()
        return found


class OverviewBuilder:
    """Builds the overview of a run from the run's records."""

    def __init__(self, folder: Path, description: dict[str, Any]) -> None:
        self._found = Overview(folder, description)
        self._contents: dict[tuple[str, str], SeenContent] = {}
        self._code: dict[str, SeenContent] = {}
        self._last: list[tuple[int, int, SeenEvent]] = []
        self._spans: list[tuple[int, int, RecordedSpan]] = []
        self._matcher = SpanMatcher()
        self._windows: set[object] = set()
        self._awaiting_digest: dict[object, tuple[SeenContent, Record]] = {}
        self._settings = {
            "param": self._found.params,
            "tag": self._found.tags,
            "metadata": self._found.metadata,
            READING_SUMMARY: self._found.reading_summaries,
        }

    def add_record(self, writer: int, record: Record, kind: str | None = None) -> None:
        """Add the next record of a writer.

        Args:
            writer: the index of the writer.
            record: the record.
            kind: the kind of the record; None if the record itself names its kind.
        """
        found = self._found
        kind = kind or record.get("record")
        name, time_ns, number = record.get("name"), record.get("time"), series_number(record)
        if kind == "window":
            self._windows.add((writer, record_context(record)))
        elif kind == "summary":
            self._windows.discard((writer, record_context(record)))
        elif kind == "digest" and isinstance(record.get("content"), dict):
            logged = self._awaiting_digest.pop((writer, number), None)
            if logged is not None:
                logged[0].complete(logged[1], record["content"])
        if kind == "start":
            _add_start(found, record)
        elif kind == "source" and isinstance(record.get("git"), dict):
            found.git = record["git"]
        if not isinstance(name, str) or not isinstance(time_ns, int):
            return
        if kind in self._settings:
            _store_setting(self._settings[kind], name, record)
        elif kind in _CONTENTS:
            seen = self._contents.setdefault((kind, name), SeenContent(kind, name))
            seen.add(time_ns, record)
            if number is not None:
                self._awaiting_digest[writer, number] = seen, seen.facts
        elif kind == "code":
            self._code.setdefault(name, SeenContent(kind, name)).add(time_ns, record)
        elif kind == "event":
            self._add_event(writer, record, name, time_ns)

    def _add_event(self, writer: int, record: Record, name: str, time_ns: int) -> None:
        self._found.events += 1
        _add_file_event(self._found, name, record)
        own = (time_ns, self._found.events, _seen_event(name, time_ns, record))
        heapq.heappush(self._last, own)
        if len(self._last) > _LAST_EVENTS:
            heapq.heappop(self._last)
        event = parse_event(record)
        spans = {} if event is None else self._matcher.match(writer, read_clock_ns(record), event)
        for place, span in spans.items():
            if span.finished is not None:
                heapq.heappush(self._spans, (span.started.time_ns, place, span))
                if len(self._spans) > _LAST_EVENTS:
                    heapq.heappop(self._spans)

    def build(self, state: RunState, table: SeriesTable) -> Overview:
        """Return the overview. The caller must add the damage and the children.

        Args:
            state: the state of the run.
            table: the series of the run, with their summaries.
        """
        found = self._found
        found.state = state
        found.unsummarised = len(self._windows)
        found.contents = list(self._contents.values())
        found.code = list(self._code.values())
        found.last_events = [event for *_, event in sorted(self._last)]
        found.last_spans = [span for *_, span in sorted(self._spans)]
        found.collectors = list(dict.fromkeys(s.name for s in table.all if s.kind == SAMPLING))
        found.series = _sort_by_rank([series for series in table.all if series.kind != SAMPLING])
        found.documents = _find_documents(found.folder)
        if state.status not in ("running", "finished"):
            _add_output(found, self._contents)
        return found


def _add_start(found: Overview, record: Record) -> None:
    if isinstance(record.get("command"), list):
        found.command = [str(word) for word in record["command"]]
    if isinstance(record.get("script"), dict):
        found.script = record["script"]


def _add_file_event(found: Overview, name: str, record: Record) -> None:
    """Add an event about a command's files. Numbers with the same key are added up."""
    if name not in _FILE_EVENTS:
        return
    metadata = _decode_or(record.get("metadata"))
    for key, value in metadata.items() if isinstance(metadata, dict) else ():
        own = found.files.setdefault(name, {})
        is_count = isinstance(value, int) and isinstance(own.get(key, 0), int)
        own[key] = value + own.get(key, 0) if is_count else value


def _add_output(found: Overview, contents: dict[tuple[str, str], SeenContent]) -> None:
    """Add the last lines of the kept output or, without output, of the recorded traceback."""
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
        step=int_or_none(record.get("step")),
        metadata=_decode_or(record.get("metadata")),
    )


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

"""Reads events, spans, parameters, tags and metadata from the journal of a run.

The run may still be in progress.

`Run` and `RecordedRun` both use these functions. Imports only `journal` and `base` from provml.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

from provml.base.clock import to_datetime, to_time_ns
from provml.base.context import Context, context_from_path
from provml.journal.layout import Record
from provml.journal.reader import Journal, read_events_stamp
from provml.journal.reading_summaries import READING_SUMMARY, find_old_summaries
from provml.journal.record_parsing import record_context
from provml.journal.values import DECODE_ERRORS, decode, to_logged_value

_START_SUFFIXES: Final = ("_started", "_start")
_END_SUFFIXES: Final = ("_finish", "_finished", "_ended", "_end")

TimeLike = int | float | datetime


class RecordedEvent(NamedTuple):
    """An event that was logged in a run.

    Attributes:
        of: the kind and name of the model or artifact that the event used, such as ``("model",
            "digits")``; None if the event used neither.
    """

    name: str
    time_ns: int
    source: str | None
    metadata: dict[str, Any]
    context: Context | None
    step: int | None
    epoch: int | None
    of: tuple[str, str] | None = None

    @property
    def time(self) -> datetime:
        """The time of the event, rounded down to whole microseconds."""
        return to_datetime(self.time_ns)


class RecordedSpan(NamedTuple):
    """The period from an ``X_started`` event to the ``X_finish`` event that ends it.

    Both events have the same source and context.

    Attributes:
        name: the common part ``X`` of both events' names.
        started: the event that began the span.
        finished: the event that ended the span; None if the span has not ended.
        elapsed_ns: the duration in nanoseconds, measured with a monotonic clock; None if
            the span has not ended, if two processes logged its events, or if an event was logged
            with an explicit time.
    """

    name: str
    started: RecordedEvent
    finished: RecordedEvent | None
    elapsed_ns: int | None = None

    @property
    def start(self) -> datetime:
        """The start of the span, rounded down to whole microseconds."""
        return self.started.time

    @property
    def end(self) -> datetime | None:
        """The end of the span, rounded down to whole microseconds; None if still open."""
        return None if self.finished is None else self.finished.time

    @property
    def duration_s(self) -> float | None:
        """The duration in seconds; None if the span has not ended."""
        if self.finished is None:
            return None
        if self.elapsed_ns is not None:
            return self.elapsed_ns / 1e9
        return (self.finished.time_ns - self.started.time_ns) / 1e9

    @property
    def source(self) -> str | None:
        """The person or program that both events come from; None if unknown."""
        return self.started.source

    @property
    def metadata(self) -> dict[str, Any]:
        """The metadata of both events. If both define a key, the end event's value is used."""
        return self.started.metadata | (self.finished.metadata if self.finished else {})


def span_started(name: str) -> str | None:
    """Return ``X`` for the event name ``X_started`` or ``X_start``; None for any other name."""
    return _remove_suffix(name, _START_SUFFIXES)


def span_ended(name: str) -> str | None:
    """Return ``X`` for the event name ``X_finish``, ``X_finished``, ``X_ended`` or ``X_end``.

    Returns None for any other name.
    """
    return _remove_suffix(name, _END_SUFFIXES)


def _remove_suffix(name: str, suffixes: tuple[str, ...]) -> str | None:
    for suffix in suffixes:
        if name.endswith(suffix) and len(name) > len(suffix):
            return name.removesuffix(suffix)
    return None


def find_events(
    journal: Journal,
    name: str | None = None,
    source: str | None = None,
    since: TimeLike | None = None,
    until: TimeLike | None = None,
) -> list[RecordedEvent]:
    """Return the events with this name and source that happened between two times.

    An argument that is None matches everything. The events are sorted by time; events with the same
    time keep the order in which they were logged.

    Raises InvalidArgumentError if ``since`` or ``until`` is not a valid time.
    """
    first = None if since is None else to_time_ns(since)
    last = None if until is None else to_time_ns(until)
    found = [
        event
        for event in _read_events(journal)
        if name in (None, event.name)
        and source in (None, event.source)
        and (first is None or first <= event.time_ns)
        and (last is None or event.time_ns <= last)
    ]
    return sorted(found, key=_event_time_ns)


def _event_time_ns(event: RecordedEvent) -> int:
    return event.time_ns


def find_spans(
    journal: Journal,
    name: str | None = None,
    source: str | None = None,
    since: TimeLike | None = None,
    until: TimeLike | None = None,
) -> list[RecordedSpan]:
    """Return the spans with this name and source that overlap a period, ordered by start time.

    An argument that is None matches everything. An end event closes the most recent open span with
    the same name, source and context, but never a span that starts later. If one process logged
    both events without an explicit time, the order of logging shows which event is later, because
    the machine's clock may have been adjusted. If a span has no end event, its ``finished`` is
    None.

    Raises InvalidArgumentError if ``since`` or ``until`` is not a valid time.
    """
    first = None if since is None else to_time_ns(since)
    last = None if until is None else to_time_ns(until)
    matcher = SpanMatcher()
    found: dict[int, RecordedSpan] = {}
    for writer, clock_ns, event in _read_clocked_events(journal):
        found |= matcher.match(writer, clock_ns, event)
    spans = [
        span
        for span in found.values()
        if name in (None, span.name)
        and source in (None, span.source)
        and (last is None or span.started.time_ns <= last)
        and (first is None or span.finished is None or first <= span.finished.time_ns)
    ]
    return sorted(spans, key=lambda span: span.started.time_ns)


class SpanMatcher:
    """Pairs each event that starts a span with the event that ends it; see `find_spans`."""

    def __init__(self) -> None:
        self._count = 0
        self._open: dict[tuple[Any, ...], list[tuple[int, RecordedEvent, int, int | None]]] = {}

    def match(
        self, writer: int, clock_ns: int | None, event: RecordedEvent
    ) -> dict[int, RecordedSpan]:
        """Take the next event, and return the span that it starts or ends.

        Args:
            writer: the index of the writer that logged the event.
            clock_ns: the nanoseconds between the machine's boot and the event; None if unknown.
            event: the event.

        Returns:
            A dict that contains the span; empty if the event neither starts nor ends a span. The
            key is the number of start events before the span's own, so a span that ends has the
            same key as when it started.
        """
        base = span_started(event.name)
        if base is not None:
            opened = (self._count, event, writer, clock_ns)
            self._open.setdefault((base, event.source, event.context), []).append(opened)
            self._count += 1
            return {self._count - 1: RecordedSpan(base, event, None)}
        base = span_ended(event.name)
        places = self._open.get((base, event.source, event.context))
        if base is None or not places:
            return {}
        place, started, own_writer, start_clock_ns = places[-1]
        elapsed_ns = None
        if writer == own_writer and clock_ns is not None and start_clock_ns is not None:
            elapsed_ns = clock_ns - start_clock_ns
        if elapsed_ns is None and started.time_ns > event.time_ns:
            return {}
        places.pop()
        return {place: RecordedSpan(base, started, event, elapsed_ns)}


def _read_events(journal: Journal) -> Iterator[RecordedEvent]:
    return (event for _, _, event in _read_clocked_events(journal))


def _read_clocked_events(journal: Journal) -> Iterator[tuple[int, int | None, RecordedEvent]]:
    """For each event, yield the writer's index, the nanoseconds since boot, and the event."""
    for files in journal.writers:
        for _, record in files.records():
            event = parse_event(record)
            if event is not None:
                yield files.index, read_clock_ns(record), event


def parse_event(record: Record) -> RecordedEvent | None:
    """Return the event that a record describes; None if the record describes no event."""
    name, source = record.get("name"), record.get("source")
    is_event = record.get("record") == "event" and isinstance(name, str)
    if not is_event or not isinstance(record.get("time"), int):
        return None
    return RecordedEvent(
        name=str(name),
        time_ns=record["time"],
        source=source if isinstance(source, str) else None,
        metadata=decode_metadata(record),
        context=context_from_path(record_context(record)),
        step=record.get("step"),
        epoch=record.get("epoch"),
        of=parse_target(record.get("of")),
    )


def read_clock_ns(record: Record) -> int | None:
    """Return the nanoseconds between the machine's boot and an event; None if unknown."""
    clock_ns = record.get("clock")
    is_valid = isinstance(clock_ns, int) and 0 <= clock_ns < 2**63
    return clock_ns if is_valid else None


def parse_target(content: object) -> tuple[str, str] | None:
    """Return the kind and name of the model or artifact that a record's ``of`` field refers to.

    Returns None if the field is missing or invalid.
    """
    if not isinstance(content, dict):
        return None
    kind, name = content.get("kind"), content.get("name")
    if kind not in ("model", "artifact") or not isinstance(name, str):
        return None
    return kind, name


def read_records(journal: Journal, *kinds: str) -> Iterator[Record]:
    """Yield the records of these kinds, writer by writer, in the order of writing."""
    for files in journal.writers:
        for _, record in files.records():
            if record.get("record") in kinds:
                yield record


def decode_metadata(record: Record) -> dict[str, Any]:
    """Return a record's metadata, or an empty dict if it is missing or can't be decoded."""
    try:
        metadata = to_logged_value(decode(record.get("metadata")))
    except DECODE_ERRORS:
        return {}
    return metadata if isinstance(metadata, dict) else {}


class LastValues(Mapping[str, Any]):
    """A mapping from the name of each parameter, tag or other value to its last recorded value.

    Reads the journal again only if the journal has changed.
    """

    def __init__(
        self, folder: Path, kind: str, open_journal: Callable[[], Journal] | None = None
    ) -> None:
        """Prepare to read the values. The journal is not read until a value is needed.

        Args:
            folder: the run's folder.
            kind: the kind of record to read: ``param``, ``tag``, ``metadata`` or
                ``reading_summary``.
            open_journal: a function that opens the run's journal; by default `Journal`.
        """
        self._folder, self._kind = folder, kind
        self._open_journal = open_journal or partial(Journal, folder)
        self._stamp: object = None
        self._encoded: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        self._refresh()
        return to_logged_value(decode(self._encoded[name]))

    def __iter__(self) -> Iterator[str]:
        self._refresh()
        return iter(list(self._encoded))

    def __len__(self) -> int:
        self._refresh()
        return len(self._encoded)

    def to_dict(self) -> dict[str, Any]:
        """Return a new dict with the last recorded value for each name."""
        self._refresh()
        return {name: to_logged_value(decode(value)) for name, value in self._encoded.items()}

    def _refresh(self) -> None:
        # read the stamp first, so that the next call notices records that are added from now on
        stamp = read_events_stamp(self._folder)
        if stamp == self._stamp and stamp is not None:
            return
        self._encoded = {}
        for record in _read_settings(self._open_journal(), self._kind):
            if isinstance(record.get("name"), str):
                try:
                    to_logged_value(decode(record["value"]))
                except DECODE_ERRORS:
                    continue
                self._encoded[record["name"]] = record["value"]
        self._stamp = stamp


def _read_settings(journal: Journal, kind: str) -> Iterator[Record]:
    if kind not in ("param", READING_SUMMARY):
        yield from read_records(journal, kind)
        return
    summaries = find_old_summaries(journal)
    for files, offset, record in journal.records():
        is_old_summary = offset in summaries.get(files.index, ())
        if (READING_SUMMARY if is_old_summary else record.get("record")) == kind:
            yield record

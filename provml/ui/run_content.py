"""Collects what a run recorded, for the pages that show one run.

Reads a run again only if its files have changed. Memory use grows with the number of names, events
and files, up to the limits below, and not with the number of samples. Imports `browsed_store`.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final
from weakref import WeakKeyDictionary

from provml.journal.history import parse_target
from provml.journal.layout import Record
from provml.journal.reader import Journal, read_events_stamp
from provml.journal.reading_summaries import READING_SUMMARY, find_old_summaries
from provml.journal.record_building import add_later_digest
from provml.journal.record_parsing import record_context, series_number
from provml.journal.status import RunState
from provml.journal.values import DECODE_ERRORS, decode, to_logged_value
from provml.model.followed_run import FollowedRun
from provml.model.recorded_values import RecordedAlert, decode_alerts
from provml.model.resources import ResourceSummary, ResourceUse
from provml.model.series import SAMPLING, Block, RunSeries, SeriesTable
from provml.ui.browsed_store import BrowsedStore

MOST_EVENTS: Final = 20_000
MOST_FILES: Final = 20_000
_KEPT_RUNS: Final = 8
_SETTINGS_READ: Final = "settings read"
_NO_STATE: Final = RunState("running", 0, None, None, None, 0, 0)
_CONTENT_KINDS: Final = ("dataset", "input", "artifact", "model", "code")


@dataclass(slots=True)
class SeriesPositions:
    """The steps and epochs of a series' last, lowest and highest values, each None if unknown."""

    last: tuple[int | None, int | None] = (None, None)
    lowest: tuple[int | None, int | None] = (None, None)
    highest: tuple[int | None, int | None] = (None, None)


@dataclass(slots=True)
class LoggedContent:
    """A dataset, input, artifact, model or code file, as one record logged it.

    Attributes:
        kind: ``dataset``, ``input``, ``artifact``, ``model`` or ``code``.
        purpose: what the run used an input or a code file for; None if unknown.
        facts: the description of the content, such as its path, digest and size.
    """

    kind: str
    name: str
    time_ns: int
    context: tuple[str, ...] | None
    step: int | None
    epoch: int | None
    purpose: str | None
    facts: Record
    metadata: Any = None


@dataclass(slots=True)
class LoggedEvent:
    """An event of the run, or an alert.

    Attributes:
        level: ``warning`` or ``critical`` for an alert; None for an event.
        text: a sentence about an alert; None for an event.
    """

    name: str
    time_ns: int
    source: str | None
    context: tuple[str, ...] | None
    step: int | None
    epoch: int | None
    metadata: Any = None
    of: tuple[str, str] | None = None
    level: str | None = None
    text: str | None = None


@dataclass(slots=True)
class RunContent:
    """Everything that a run recorded, except its samples.

    Attributes:
        folder: the run's folder.
        description: the content of ``run.json``.
        state: the run's status, start and end.
        start: the record of the process that started the run or last resumed it.
        git: the description of the code's git repository.
        environment: the record of the interpreter, packages and machine.
        devices: the names and facts of accelerators.
        given: the names of the parameters that were set, not left at their defaults.
        defaults: the names of the parameters that have their default values.
        series: the series of metrics and FLOPs.
        positions: the positions of the last, lowest and highest value of each series, by the
            series' index.
        readings: the statistics of the machine readings.
        contents: the files and objects that the run used or made, in order of time.
        events: the events and alerts, in order of time.
        event_count: the number of events and alerts, including those beyond `MOST_EVENTS`.
        content_count: the number of contents, including those beyond `MOST_FILES`.
        damage: the number of unreadable records, by the reason why they are unreadable.
    """

    folder: Path
    description: dict[str, Any]
    state: RunState
    start: Record = field(default_factory=dict)
    git: Record = field(default_factory=dict)
    environment: Record = field(default_factory=dict)
    devices: list[tuple[str, Any]] = field(default_factory=list)
    params: dict[str, Any] = field(default_factory=dict)
    tags: dict[str, Any] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)
    reading_summaries: dict[str, Any] = field(default_factory=dict)
    given: set[str] = field(default_factory=set)
    defaults: set[str] = field(default_factory=set)
    series: list[RunSeries] = field(default_factory=list)
    positions: dict[int, SeriesPositions] = field(default_factory=dict)
    readings: list[ResourceUse] = field(default_factory=list)
    contents: list[LoggedContent] = field(default_factory=list)
    events: list[LoggedEvent] = field(default_factory=list)
    event_count: int = 0
    content_count: int = 0
    damage: dict[str, int] = field(default_factory=dict)


class RunContents:
    """The contents of the most recently requested runs. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[Path, _KeptRun] = OrderedDict()

    def read(self, folder: Path) -> RunContent:
        """Return the content of a run. Reads only what was recorded since the last call.

        A first read takes about 30 ms per million samples, and about 50 us per record.

        Raises RunNotFoundError or JournalError if the run can't be read.
        """
        evicted: list[_KeptRun] = []
        with self._lock:
            run = self._kept.pop(folder, None) or _KeptRun(folder)
            self._kept[folder] = run
            while len(self._kept) > _KEPT_RUNS:
                evicted.append(self._kept.popitem(last=False)[1])
        for one in evicted:
            one.evict()
        return run.read()


class _KeptRun:
    """A run whose content is kept in memory. During the run, each read adds only new records."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._is_evicted = False
        self._content: RunContent | None = None
        self._stamp: object = None
        self._followed: _FollowedContent | None = None

    def read(self) -> RunContent:
        """Return the content of the run. The returned object does not change later."""
        with self._lock:
            try:
                # read the stamp first, so that the next call notices what is recorded from now on
                stamp = read_events_stamp(self._folder)
                known = self._content
                is_current = stamp is not None and stamp == self._stamp
                if known is not None and is_current and known.state.status != "running":
                    return known
                self._content, self._stamp = self._read_now(), stamp
                return self._content
            finally:
                if self._is_evicted:
                    self._end_following()

    def evict(self) -> None:
        """Close all files. If a thread is still reading the run, that thread closes them later."""
        self._is_evicted = True
        if self._lock.acquire(blocking=False):
            self._end_following()
            self._lock.release()

    def _read_now(self) -> RunContent:
        journal = Journal(self._folder)
        state = journal.state()
        if state.status != "running":
            self._end_following()
            return read_content(self._folder)
        if self._followed is None or self._followed.description != journal.description:
            self._end_following()  # the folder may contain a different run now
            self._followed = _FollowedContent(self._folder, journal.description)
        return self._followed.read(state)

    def _end_following(self) -> None:
        if self._followed is not None:
            self._followed.close()
            self._followed = None


class _FollowedContent:
    """The content of a run in progress. The cost of a read depends only on how much was added."""

    def __init__(self, folder: Path, description: dict[str, Any]) -> None:
        self.description = description
        self._run = FollowedRun(folder)
        self._builder = _ContentBuilder(folder, description)
        self._skipped = 0

    def close(self) -> None:
        """Close all files."""
        self._run.close()

    def read(self, state: RunState) -> RunContent:
        """Read what was added, and return the content."""
        for part in self._run.read_new():
            self._skipped += part.skipped
            for record in part.records:
                self._builder.add(part.writer, record.get("record"), record)
            for block in part.blocks:
                self._builder.add_block(block)
        damage = {"damaged line": self._skipped} if self._skipped else {}
        return self._builder.build(state, self._run.table, damage)


_CONTENTS_BY_STORE: Final[WeakKeyDictionary[BrowsedStore, RunContents]] = WeakKeyDictionary()


def read_run(store: BrowsedStore, key: str) -> RunContent:
    """Return the content of a run of the store.

    Raises RunNotFoundError or JournalError if the run can't be read.
    """
    return _CONTENTS_BY_STORE.setdefault(store, RunContents()).read(store.run_folder(key))


def read_content(folder: Path) -> RunContent:
    """Read everything that a run recorded, except its samples, which are summarised."""
    journal = Journal(folder)
    builder = _ContentBuilder(folder, journal.description)
    old_summaries = find_old_summaries(journal)
    for files, offset, record in journal.records():
        is_summary = offset in old_summaries.get(files.index, ())
        builder.add(files.index, READING_SUMMARY if is_summary else record.get("record"), record)
    table = SeriesTable(journal)
    for block in table.blocks():
        builder.add_block(block)
    return builder.build(journal.state(), table, journal.damage())


class _ContentBuilder:
    """Adds records and samples to a run's content."""

    def __init__(self, folder: Path, description: dict[str, Any]) -> None:
        self._found = found = RunContent(folder, description, _NO_STATE)
        self._resources = ResourceSummary()
        self._awaiting_digest: dict[tuple[int, int], LoggedContent] = {}
        self._scripts: dict[str, LoggedContent] = {}
        self._values: dict[str, dict[str, Any]] = {
            "param": found.params,
            "tag": found.tags,
            "metadata": found.metadata,
            READING_SUMMARY: found.reading_summaries,
        }
        self._takers: dict[str, Callable[[Record], None]] = {
            "start": self._take_start,
            "environment": self._take_environment,
            "source": self._take_source,
            "device": self._take_device,
            "event": self._take_event,
            "alert": self._take_alert,
        }

    def add(self, writer: int, kind: Any, record: Record) -> None:
        """Add the next record of a writer. Ignores records that the pages don't show.

        Args:
            writer: the writer's index.
            kind: the kind of the record.
            record: the record.
        """
        self._resources.add_record(record)
        if kind in self._values:
            self._take_value(self._values[kind], record)
        elif kind in _CONTENT_KINDS:
            self._take_content(writer, record)
        elif kind == "digest":
            self._take_digest(writer, record)
        elif kind in self._takers:
            self._takers[kind](record)

    def add_block(self, block: Block) -> None:
        """Add samples to the summary of their series."""
        _add_positions(self._found.positions, block)
        block.series.add(block)
        self._resources.add_block(block)

    def build(self, state: RunState, table: SeriesTable, damage: Mapping[str, int]) -> RunContent:
        """Return what was added so far. Later additions do not change the result."""
        found = self._found
        readings = {SAMPLING, *(one.name for one in table.all if one.kind == SAMPLING)}
        listed = {one.facts.get("sha256") for one in found.contents if one.kind == "code"}
        scripts = [one for digest, one in self._scripts.items() if digest not in listed]
        return replace(
            found,
            state=state,
            params=dict(found.params),
            tags=dict(found.tags),
            metadata=dict(found.metadata),
            reading_summaries=dict(found.reading_summaries),
            devices=list(found.devices),
            given=set(found.given),
            defaults=set(found.defaults),
            series=[one for one in table.all if one.count and one.kind not in readings],
            positions=dict(found.positions),
            readings=self._resources.build(table),
            contents=sorted([*found.contents, *scripts], key=lambda content: content.time_ns),
            content_count=found.content_count + len(scripts),
            events=sorted(found.events, key=lambda event: event.time_ns),
            damage=dict(sorted(damage.items())),
        )

    def _take_value(self, values: dict[str, Any], record: Record) -> None:
        name = record.get("name")
        decoded = decode_or_none(record.get("value"))
        if isinstance(name, str) and (decoded is not None or record.get("value", "") is None):
            values[name] = decoded

    def _take_content(self, writer: int, record: Record) -> None:
        name, time_ns, facts = record.get("name"), record.get("time"), record.get("content")
        if not isinstance(name, str) or not isinstance(time_ns, int):
            return
        self._found.content_count += 1
        if len(self._found.contents) >= MOST_FILES:
            return
        role = record.get("role")
        content = LoggedContent(
            kind=record["record"],
            name=name,
            time_ns=time_ns,
            context=record_context(record),
            step=int_or_none(record.get("step")),
            epoch=int_or_none(record.get("epoch")),
            purpose=role if isinstance(role, str) else None,
            facts=facts if isinstance(facts, dict) else {},
            metadata=decode_or_none(record.get("metadata")),
        )
        self._found.contents.append(content)
        number = series_number(record)
        if number is not None:
            self._awaiting_digest[writer, number] = content

    def _take_digest(self, writer: int, record: Record) -> None:
        """Add a digest that was computed after the content was logged."""
        number, later = series_number(record), record.get("content")
        content = None if number is None else self._awaiting_digest.pop((writer, number), None)
        if content is not None and isinstance(later, dict):
            content.facts = add_later_digest(content.facts, later)

    def _take_start(self, record: Record) -> None:
        self._found.start = record

    def _take_environment(self, record: Record) -> None:
        self._found.environment = record

    def _take_source(self, record: Record) -> None:
        if isinstance(record.get("git"), dict):
            self._found.git = record["git"]
        facts, time_ns = record.get("content"), record.get("time")
        path = facts.get("path") if isinstance(facts, dict) else None
        if isinstance(facts, dict) and isinstance(path, str) and isinstance(time_ns, int):
            name = path.rpartition("/")[2]
            script = LoggedContent("code", name, time_ns, None, None, None, "script", facts)
            self._scripts[str(facts.get("sha256"))] = script

    def _take_device(self, record: Record) -> None:
        device = (str(record.get("name")), decode_or_none(record.get("facts")))
        if device not in self._found.devices and len(self._found.devices) < MOST_FILES:
            self._found.devices.append(device)

    def _take_event(self, record: Record) -> None:
        name, time_ns, source = record.get("name"), record.get("time"), record.get("source")
        if not isinstance(name, str) or not isinstance(time_ns, int):
            return
        metadata = decode_or_none(record.get("metadata"))
        if name == _SETTINGS_READ and isinstance(metadata, dict):
            for key, names in (("given", self._found.given), ("defaults", self._found.defaults)):
                listed = metadata.get(key)
                if isinstance(listed, list | tuple):
                    names.update(one for one in listed if isinstance(one, str))
        self._add_event(
            LoggedEvent(
                name=name,
                time_ns=time_ns,
                source=source if isinstance(source, str) else None,
                context=record_context(record),
                step=int_or_none(record.get("step")),
                epoch=int_or_none(record.get("epoch")),
                metadata=metadata,
                of=parse_target(record.get("of")),
            )
        )

    def _take_alert(self, record: Record) -> None:
        for alert in decode_alerts([record]):
            self._add_event(_describe_alert(alert, record_context(record)))

    def _add_event(self, event: LoggedEvent) -> None:
        self._found.event_count += 1
        if len(self._found.events) < MOST_EVENTS:
            self._found.events.append(event)


def _describe_alert(alert: RecordedAlert, context: tuple[str, ...] | None) -> LoggedEvent:
    return LoggedEvent(
        name=f"{alert.collector}.{alert.metric}",
        time_ns=alert.time_ns,
        source=alert.collector,
        context=context,
        step=int_or_none(alert.step),
        epoch=int_or_none(alert.epoch),
        level=alert.severity,
        text=f"{alert.value:.6g} is above the threshold of {alert.threshold:.6g}",
    )


def _add_positions(positions: dict[int, SeriesPositions], block: Block) -> None:
    """Store the position of a block's last value, and of a new lowest or highest value.

    Call this function before the block is added to its series.
    """
    import numpy as np

    series, values = block.series, block.values
    own = positions.setdefault(series.index, SeriesPositions())
    own.last = _position_of(block, -1)
    if isinstance(values, list) or np.isnan(values).all():
        return
    low, high = int(np.nanargmin(values)), int(np.nanargmax(values))
    if series.minimum is None or values[low] < series.minimum:
        own.lowest = _position_of(block, low)
    if series.maximum is None or values[high] > series.maximum:
        own.highest = _position_of(block, high)


def _position_of(block: Block, place: int) -> tuple[int | None, int | None]:
    step = None if block.step is None else int(block.step[place])
    epoch = None if block.epoch is None else int(block.epoch[place])
    return step, epoch


def int_or_none(value: Any) -> int | None:
    """Return an integer unchanged, and None for any other value, including a boolean."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def decode_or_none(value: Any) -> Any:
    """Decode a recorded value; return None if it can't be decoded."""
    try:
        return to_logged_value(decode(value))
    except (*DECODE_ERRORS, AttributeError):
        return None

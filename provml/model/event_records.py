"""Maps the records of events and summaries to PROV.

A start event and the matching end event become one span.

Imports `record_mapping`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from provml.journal.history import parse_target, read_clock_ns, span_ended, span_started
from provml.journal.layout import Record
from provml.journal.values import Moment
from provml.model.attributes import Attributes
from provml.model.damage import DamagedRecordError, check_text
from provml.model.names import (
    context_name,
    encode_name,
    local_name,
    summarising_prefix,
    window_prefix,
)
from provml.model.record_mapping import (
    JournalEntry,
    LoggedEvent,
    MappingState,
    make_agent,
    make_entity,
    make_relation,
)
from provml.model.statements import Name, Statement
from provml.model.survey import Path, windows_of


def map_event(state: MappingState, entry: JournalEntry) -> Iterator[Statement]:
    """Map the record of an event to PROV statements.

    A start event, such as ``fit_started``, and the matching end event, such as ``fit_finish``,
    become one span if they have the same source and context.
    """
    source = entry.record.get("source")
    event = LoggedEvent(
        entry,
        entry.read_text("name"),
        None if source is None else check_text(source),
        entry.read_json("metadata") if entry.record.get("metadata") else None,
        parse_target(entry.record.get("of")),
    )
    return _event_statements(state, event)


def _event_statements(state: MappingState, event: LoggedEvent) -> Iterator[Statement]:
    place = (event.source, event.entry.context)
    base = span_started(event.label)
    if base is not None:
        state.open_spans.setdefault((base, *place), []).append(event)
        return
    base = span_ended(event.label)
    spans = state.open_spans.get((base, *place)) if base is not None else None
    end_ns = _find_end_ns(spans[-1].entry, event.entry) if spans else None
    if base is None or not spans or end_ns is None:
        yield from instant_statements(state, event)
    else:
        yield from _activity_statements(state, spans.pop(), base, event, end_ns)


def _find_end_ns(start: JournalEntry, end: JournalEntry) -> int | None:
    """Return the end of a span in nanoseconds since the epoch; None if the events don't match.

    If the machine's clock was set back between the two events, and one process logged both of them,
    the end is computed from the steady clock of that process.
    """
    if start.time_ns <= end.time_ns:
        return end.time_ns
    start_clock_ns, end_clock_ns = read_clock_ns(start.record), read_clock_ns(end.record)
    if start.writer != end.writer or start_clock_ns is None or end_clock_ns is None:
        return None
    return start.time_ns + end_clock_ns - start_clock_ns


def instant_statements(state: MappingState, event: LoggedEvent) -> Iterator[Statement]:
    """Yield the statements about an event, as an activity that starts and ends at the same time."""
    yield from _activity_statements(state, event, event.label)


def _activity_statements(
    state: MappingState,
    event: LoggedEvent,
    label: str,
    end: LoggedEvent | None = None,
    end_ns: int | None = None,
) -> Iterator[Statement]:
    """Yield the statements about an event, or about a span from a start event to an end event.

    Args:
        end_ns: the end of the span in nanoseconds since the epoch; None for a single event.
    """
    activity = local_name("event", event.entry.key)
    last = end or event
    interval: dict[str, Any] = {
        "prov:startTime": event.entry.moment,
        "prov:endTime": event.entry.moment if end_ns is None else Moment(end_ns),
    }
    yield Statement("activity", activity, interval, _event_attributes(event, label, end))
    place = state.survey.step_name(event.entry.record)
    yield make_relation("wasInformedBy", informed=activity, informant=place)
    for target in dict.fromkeys((event.of, last.of)):
        if target is not None:
            state.event_targets.append((activity, last.entry.time_ns, target))
    if event.source == "provml":
        agent = state.software_name()
        yield make_relation("wasAssociatedWith", activity=activity, agent=agent)
    elif event.source is not None:
        agent = local_name("agent", encode_name(event.source))
        if state.declare_once(agent):
            yield make_agent(agent, "prov:SoftwareAgent", event.source)
        yield make_relation("wasAssociatedWith", activity=activity, agent=agent)


def _event_attributes(event: LoggedEvent, label: str, end: LoggedEvent | None) -> Attributes:
    attributes: Attributes = [("prov:type", Name("provml:Event"))]
    if end is not None:
        attributes.append(("prov:type", Name("provml:Span")))
    attributes += [("prov:label", label), ("provml:name", label)]
    if end is not None:
        attributes.append(("provml:startEvent", event.label))
        attributes.append(("provml:endEvent", end.label))
    if event.metadata is not None:
        attributes.append(("provml:metadata", event.metadata))
    if end is not None and end.metadata is not None:
        attributes.append(("provml:endMetadata", end.metadata))
    return attributes


def event_target_statements(state: MappingState) -> Iterator[Statement]:
    """Yield the statements that link each event to the model or artifact that the event is about.

    The event is linked to the latest version that was made before the event.
    """
    for versions in state.outputs.values():
        versions.sort()
    for activity, time_ns, target in state.event_targets:
        before = [name for made_ns, name in state.outputs.get(target, []) if made_ns < time_ns]
        if before:
            yield make_relation("used", activity=activity, entity=before[-1], time=Moment(time_ns))


# -- summaries ------------------------------------------------------------------------------------


def map_summary(state: MappingState, entry: JournalEntry) -> Iterator[Statement]:
    """Map the record of a summary to an activity and to the windows of summarised values."""
    context, windows = entry.context, windows_of(entry.record)
    if context is None or (not windows and entry.record.get("fields") != []):
        raise DamagedRecordError("the record of a summary has no context or no readable fields")
    return _summary_statements(state, entry, context, windows)


def _summary_statements(
    state: MappingState, entry: JournalEntry, context: tuple[str, ...], windows: list[Record]
) -> Iterator[Statement]:
    summarising = Name(f"{summarising_prefix(context, entry.writer)}{entry.time_ns}")
    if state.detail == "series" or not windows or not state.declare_once(summarising):
        return
    interval: dict[str, Any] = {"prov:startTime": entry.moment, "prov:endTime": entry.moment}
    kind = ("prov:type", Name("provml:Summarising"))
    yield Statement("activity", summarising, interval, [kind])
    place = state.survey.step_name(entry.record)
    yield make_relation("wasInformedBy", informed=summarising, informant=place)
    yield make_relation("wasAssociatedWith", activity=summarising, agent=state.software_name())
    for window in windows:
        key = (entry.writer, context, window["name"])
        yield from _window_statements(state, entry, key, window, summarising)


def _window_statements(
    state: MappingState,
    entry: JournalEntry,
    key: tuple[int, Path, str],
    window: Record,
    summarising: Name,
) -> Iterator[Statement]:
    writer, context, label = key
    name = Name(f"{window_prefix(context or (), label, writer)}{entry.time_ns}")
    if not state.declare_once(name):
        return
    attributes: Attributes = [
        ("prov:type", Name("prov:Collection")),
        ("provml:count", window["stored"]),
        ("provml:firstTime", Moment(window["first"])),
        ("provml:lastTime", Moment(window["last"])),
    ]
    yield make_entity(name, "provml:Window", label, attributes)
    yield make_relation("wasGeneratedBy", entity=name, activity=context_name(context))
    yield make_relation("used", activity=summarising, entity=name, time=entry.moment)
    before = state.windows.get(key)
    if window.get("goes_on") is True and before is not None:
        yield make_relation("wasDerivedFrom", generatedEntity=name, usedEntity=before)
    state.windows[key] = name

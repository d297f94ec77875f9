"""Builds the statements about the run itself, its experiment, its owner and its lost data.

Also maps ``start`` records.

Imports `record_mapping` and `event_records`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from provml.journal.values import Moment
from provml.model.attributes import Attributes, content_attributes, json_literal, plain_attributes
from provml.model.event_records import instant_statements
from provml.model.names import RUN, encode_name, local_name, tag_attribute
from provml.model.people import name_owner
from provml.model.record_mapping import (
    RESULTS,
    JournalEntry,
    LoggedEvent,
    MappingState,
    ScriptVersion,
    StartRecord,
    make_agent,
    make_entity,
    make_relation,
    relate_versions,
    use_by_run,
)
from provml.model.statements import Name, Statement

_HOST_FACTS = ("system", "release", "machine", "cpus", "usable_cpus", "memory_bytes")


def frame_statements(state: MappingState) -> Iterator[Statement]:
    """Yield the statements about a run's experiment, results and owner, and about provml."""
    description = state.survey.journal.description
    experiment = str(description["experiment"])
    name = Name(f"base:experiment/{encode_name(experiment)}")
    attributes: Attributes = [("prov:type", Name("prov:Collection"))]
    if description.get("project"):
        attributes.append(("provml:project", str(description["project"])))
    yield make_entity(name, "provml:Experiment", experiment, attributes)
    yield make_entity(
        RESULTS,
        "provml:Results",
        f"results of {description['id']}",
        [("prov:type", Name("prov:Collection"))],
    )
    yield make_relation("wasGeneratedBy", entity=RESULTS, activity=RUN)
    yield make_relation("hadMember", collection=name, entity=RESULTS)
    software = state.software_name()
    agent = make_agent(software, "prov:SoftwareAgent", "provml")
    agent.attributes.append(("provml:version", str(description.get("provml", "unknown"))))
    yield agent
    yield make_relation("wasAssociatedWith", activity=RUN, agent=software)
    person = _person_name(state)
    if person is not None:
        yield make_agent(person, "prov:Person", str(description["owner"]))
        yield make_relation("actedOnBehalfOf", delegate=software, responsible=person, activity=RUN)
        yield make_relation("wasAttributedTo", entity=RESULTS, agent=person)


def run_statements(state: MappingState) -> Iterator[Statement]:
    """Yield the statements about the run's activity.

    Call this function after all records are mapped, because the statements depend on the records.
    """
    run = state.survey.state
    interval = state.survey.places[None]
    arguments: dict[str, Any] = {"prov:startTime": Moment(interval.start_ns or 0)}
    if run.status != "running" and interval.end_ns is not None:
        arguments["prov:endTime"] = Moment(interval.end_ns)
    yield Statement("activity", RUN, arguments, _run_attributes(state))
    person = _person_name(state)
    if person is not None:
        arguments = {"activity": RUN, "agent": person}
        if state.plan is not None:
            arguments["plan"] = state.plan
        yield make_relation("wasAssociatedWith", None, **arguments)


def script_statements(state: MappingState) -> Iterator[Statement]:
    """Yield the statements that declare the versions of the script as entities.

    Call this function after all records are mapped, because a record of source code can describe
    the script's file, and thus add attributes to the version's entity.
    """
    for script in state.scripts:
        attributes: Attributes = [("prov:type", Name("prov:Plan"))]
        if script.source is not None or script.code is not None:
            attributes.append(("prov:type", Name("provml:SourceCode")))
        attributes += script.attributes
        for others in (script.source, script.code):
            known = {name for name, _ in attributes}
            attributes += [(name, value) for name, value in others or () if name not in known]
        yield make_entity(script.version.name, "provml:Script", script.label, attributes)


def loss_statements(state: MappingState) -> Iterator[Statement]:
    """Yield the statements about lost data, with one activity for each reason.

    Examples of lost data are samples that were dropped because the disk was full, and unreadable
    lines.
    """
    run = state.survey.state
    lost = {"samples dropped": run.dropped_samples, "events dropped": run.dropped_events}
    lost |= state.survey.journal.damage()
    if run.status != "running" and state.survey.windows:
        lost["stored values not summarised"] = len(state.survey.windows)
    interval = state.survey.places[None]
    moment = Moment(interval.end_ns or run.started_ns)
    for reason, count in sorted(lost.items()):
        if not count:
            continue
        name = local_name("loss", encode_name(reason))
        yield Statement(
            "activity",
            name,
            {"prov:startTime": moment, "prov:endTime": moment},
            [
                ("prov:type", Name("provml:Event")),
                ("prov:type", Name("provml:Loss")),
                ("prov:label", reason),
                ("provml:name", reason),
                ("provml:count", count),
            ],
        )
        yield make_relation("wasInformedBy", informed=name, informant=RUN)


def map_start(state: MappingState, entry: JournalEntry) -> Iterator[Statement]:
    """Map a ``start`` record, which a process writes when it starts or resumes the run.

    The record also describes the script and the host.
    """
    record = entry.record
    commands: Attributes = [
        (f"provml:{term}", json_literal(record[key]))
        for key, term in (("command", "commandLine"), ("argv", "arguments"))
        if isinstance(record.get(key), list)
    ]
    commands += [
        (f"provml:{term}", record[key])
        for key, term in (("python", "pythonVersion"), ("folder", "workingFolder"))
        if isinstance(record.get(key), str)
    ]
    script = entry.read_optional_object("script")
    return _start_statements(
        state, StartRecord(entry, script, content_attributes(script), commands)
    )


def _start_statements(state: MappingState, start: StartRecord) -> Iterator[Statement]:
    entry, script = start.entry, start.script
    if state.start is None:
        state.start = start
    if entry.record.get("resumed") is True:
        yield from instant_statements(state, LoggedEvent(entry, "resumed", "provml", None, None))
    if script:
        label = str(script.get("path", "")).rpartition("/")[2]
        before = state.versions.get(("script", label))
        if before is None or before.digest != script.get("sha256"):
            version, before = state.add_version("script", label, script.get("sha256"))
            state.scripts.append(ScriptVersion(version, label, start.script_attributes))
            yield from relate_versions(version, before)
            yield use_by_run(version.name, entry.moment)
            state.plan = version.name
    host = entry.record.get("host")
    if isinstance(host, str):
        name = local_name("host", encode_name(host))
        if state.declare_once(name):
            facts = plain_attributes(entry.record, _HOST_FACTS)
            yield make_entity(name, "provml:Host", host, facts)
        yield use_by_run(name, entry.moment)


def _run_attributes(state: MappingState) -> Attributes:
    description, run = state.survey.journal.description, state.survey.state
    attributes: Attributes = [
        ("prov:type", Name("provml:Run")),
        ("prov:label", f"{description['experiment']} {description['id']}"),
        ("provml:name", str(description["id"])),
        ("provml:runId", str(description["id"])),
        ("provml:experiment", str(description["experiment"])),
        ("provml:status", run.status),
        ("provml:startedAt", Moment(run.started_ns)),
        ("provml:detail", state.detail),
    ]
    command = f"provml export {description['id']} --detail sample"
    if state.detail == "series":
        attributes.append(("provml:note", f"the samples are not stated here: {command}"))
    elif not state.states_readings:
        attributes.append(("provml:note", f"readings are stated as series here: {command}"))
    for key, term in (("external_id", "externalId"), ("framework", "framework"), ("task", "task")):
        if isinstance(description.get(key), str):
            attributes.append((f"provml:{term}", description[key]))
    if run.ended_ns is not None:
        attributes.append(("provml:endedAt", Moment(run.ended_ns)))
    if run.reason is not None:
        attributes.append(("provml:reason", run.reason))
    for key, term in (("type", "exceptionType"), ("message", "exceptionMessage")):
        if run.exception and isinstance(run.exception.get(key), str):
            attributes.append((f"provml:{term}", run.exception[key]))
    if run.dropped_samples:
        attributes.append(("provml:droppedSamples", run.dropped_samples))
    if run.dropped_events:
        attributes.append(("provml:droppedEvents", run.dropped_events))
    if state.start is not None:
        attributes += state.start.command_attributes
    attributes += [(tag_attribute(name), tags[-1].value) for name, tags in state.tags.items()]
    return attributes


def _person_name(state: MappingState) -> Name | None:
    owner = name_owner(state.survey.journal.description)
    return None if owner is None else owner.name

"""Maps the records of devices, alerts and workloads to PROV.

A workload is a model or block of code whose FLOPs were counted.

Imports `record_mapping`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from provml.model.attributes import Attributes, json_literal, plain_attributes, typed_literal
from provml.model.damage import DamagedRecordError, check_float
from provml.model.flop_counts import Workload, rate_attributes
from provml.model.names import encode_name, local_name, series_entity, series_path
from provml.model.record_mapping import (
    JournalEntry,
    MappingState,
    collector_name,
    declare_collector,
    make_agent,
    make_entity,
    make_relation,
    use_by_run,
)
from provml.model.statements import Name, Statement
from provml.model.survey import trigger_key

_DEVICE_FACTS = ("index", "uuid", "driver", "memory_bytes")


def map_device(state: MappingState, entry: JournalEntry) -> Iterator[Statement]:
    """Map the record of a device, such as a GPU, to PROV statements."""
    label, facts = entry.read_text("name"), entry.read_object("facts")
    identity = str(facts.get("uuid") or f"{facts.get('kind')}-{facts.get('index')}")
    device = local_name("device", encode_name(identity))

    def states() -> Iterator[Statement]:
        if state.declare_once(device):
            attributes = plain_attributes(facts, _DEVICE_FACTS)
            yield make_entity(device, "provml:Device", label, attributes)
        yield use_by_run(device, entry.moment)

    return states()


def map_alert(state: MappingState, entry: JournalEntry) -> Iterator[Statement]:
    """Map the record of an alert to PROV. An alert is raised when a reading exceeds a threshold."""
    label, collector = entry.read_text("name"), entry.read_text("collector")
    attributes: Attributes = [
        ("prov:type", Name("provml:Event")),
        ("prov:type", Name("provml:Alert")),
        ("prov:label", label),
        ("provml:name", label),
        ("provml:observed", entry.read_float("value")),
        ("provml:threshold", entry.read_float("threshold")),
        ("provml:severity", entry.read_text("severity")),
    ]
    return _alert_statements(state, entry, collector, attributes)


def _alert_statements(
    state: MappingState, entry: JournalEntry, collector: str, attributes: Attributes
) -> Iterator[Statement]:
    alert, moment = local_name("alert", entry.key), entry.moment
    interval: dict[str, Any] = {"prov:startTime": moment, "prov:endTime": moment}
    yield Statement("activity", alert, interval, attributes)
    place = state.survey.step_name(entry.record)
    yield make_relation("wasInformedBy", informed=alert, informant=place)
    yield from declare_collector(state, collector)
    yield make_relation("wasAssociatedWith", activity=alert, agent=collector_name(collector))
    trigger = _find_trigger(state, entry)
    if trigger is not None:
        yield make_relation("wasStartedBy", activity=alert, trigger=trigger, time=moment)


def _find_trigger(state: MappingState, entry: JournalEntry) -> Name | None:
    """Return the name of the sample that set off an alert; None if the sample was not found.

    If the document omits readings, returns the name of the sample's series instead.
    """
    key = trigger_key(entry.writer, entry.record)
    sample = state.survey.triggers.get(key)
    if sample is None or state.states_readings:
        return sample
    _, kind, context, metric, _ = key
    ranks = [
        series.rank
        for series in state.survey.series.all
        if series.identity[:3] == (kind, context, metric)
    ]
    return series_entity(kind, series_path(metric, context, ranks[0]))


def map_flops(state: MappingState, entry: JournalEntry) -> Iterator[Statement]:
    """Map the record of a workload to PROV statements."""
    label, counter = entry.read_text("name"), entry.read_text("counter")
    target, flops = entry.record.get("target"), entry.read_value("flops")
    if not isinstance(target, int) or not isinstance(flops, int):
        raise DamagedRecordError("the fields 'target' and 'flops' of a workload must be integers")
    check_float(flops)
    peak, start_ns = entry.record.get("peak"), entry.record.get("start")
    peak = check_float(peak) if isinstance(peak, (int, float)) and peak > 0 else None
    start_ns = start_ns if isinstance(start_ns, int) and -(2**63) < start_ns < 2**63 else None
    attributes = _workload_attributes(entry, flops, peak)
    if start_ns is not None and start_ns < entry.time_ns:
        attributes += rate_attributes(flops / (entry.time_ns - start_ns) * 1e9, {peak})
    agent = Name(f"base:software/{encode_name(counter.replace(' ', '-'))}")
    name = local_name("workload", entry.key)

    def states() -> Iterator[Statement]:
        yield make_entity(name, "provml:Workload", label, attributes)
        yield from _declare_program(state, agent, counter)
        yield make_relation("wasAttributedTo", entity=name, agent=agent)
        used = [name]
        for kind in ("model", "dataset"):
            version = state.versions.get((kind, str(entry.record.get(kind))))
            if version is not None:
                used.append(version.name)
                yield make_relation("wasDerivedFrom", generatedEntity=name, usedEntity=version.name)
        workload = Workload(tuple(used), agent, start_ns, peak)
        state.workloads[entry.writer, target] = workload

    return states()


def _workload_attributes(entry: JournalEntry, flops: int, peak: float | None) -> Attributes:
    record = entry.record
    attributes: Attributes = [("prov:value", typed_literal(flops)), ("provml:unit", "FLOP")]
    for key, term in (("unit", "extent"), ("passes", "passes"), ("device", "device")):
        if isinstance(record.get(key), str):
            attributes.append((f"provml:{term}", record[key]))
    for key in ("inputs", "uncounted"):
        if record.get(key):
            attributes.append((f"provml:{key}", json_literal(record[key])))
    for key, term in (("samples", "length"), ("batches", "batches")):
        if isinstance(record.get(key), int):
            attributes.append((f"provml:{term}", record[key]))
    if peak is not None:
        attributes.append(("provml:peakFlopsPerSecond", peak))
    return attributes


def _declare_program(state: MappingState, agent: Name, text: str) -> Iterator[Statement]:
    """Declare a program as an agent, unless this pass has already declared it.

    Args:
        state: the state of the mapping pass.
        agent: the name of the agent.
        text: the name and version of the program, such as ``torch 2.13.0``.
    """
    if not state.declare_once(agent):
        return
    label, _, version = text.partition(" ")
    program = make_agent(agent, "prov:SoftwareAgent", label)
    if version:
        program.attributes.append(("provml:version", version))
    yield program

"""How all but the samples becomes PROV: run, people, parameters, data, code, models, events.

One method a kind of record, found by the record's name: ``_on_param``, ``_on_dataset``, ...
Imports `survey`, `attributes`, `names`, `statements`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from provml.journal.event_records import add_later_digest
from provml.journal.files import Record, record_context, series_number
from provml.journal.history import parse_target, span_ended, span_started
from provml.journal.values import Moment, Opaque, decode
from provml.model.attributes import (
    Attributes,
    content_attributes,
    json_literal,
    plain_attributes,
    typed_literal,
)
from provml.model.flop_counts import Workload, WorkloadKey, rate_attributes
from provml.model.names import (
    RUN,
    context_name,
    encode_name,
    local_name,
    series_entity,
    series_path,
    summarising_prefix,
    window_prefix,
)
from provml.model.sample_targets import Versions
from provml.model.statements import Argument, Name, Statement
from provml.model.survey import Path, Survey, time_of, trigger_key, windows_of

_RESULTS: Final = Name("run:results")
_SENSELESS: Final = (
    AttributeError,
    KeyError,
    TypeError,
    ValueError,
    ArithmeticError,
    RecursionError,
)
"""What mapping a record of the wrong shape raises: a number stands where an object should."""


def make_relation(
    kind: str, attributes: Attributes | None = None, **arguments: Argument
) -> Statement:
    """A relation, its formal attributes given without their prefix."""
    formal = {f"prov:{name}": value for name, value in arguments.items()}
    return Statement(kind, None, dict(formal), list(attributes or []))


def _entity(name: Name, kind: str, label: str, attributes: Attributes) -> Statement:
    head: Attributes = [
        ("prov:type", Name(kind)),
        ("prov:label", label),
        ("provml:name", label),
    ]
    return Statement("entity", name, {}, [*head, *attributes])


@dataclass(slots=True)
class _Version:
    """The latest of the entities that share a name."""

    number: int
    name: Name
    digest: str | None


@dataclass(slots=True)
class _Used:
    """A dataset in use, and where."""

    name: Name
    path: Path


@dataclass(slots=True)
class _Pass:
    """What one pass over the records remembers; bounded by the names in use."""

    versions: dict[tuple[str, str], _Version] = field(default_factory=dict)
    used: list[_Used] = field(default_factory=list)
    declared: set[Name] = field(default_factory=set)
    open_spans: dict[tuple[Any, ...], list[tuple[Record, Name]]] = field(default_factory=dict)
    workloads: dict[WorkloadKey, Workload] = field(default_factory=dict)
    made: dict[tuple[str, str], Versions] = field(default_factory=dict)
    event_targets: list[tuple[Name, int, tuple[str, str]]] = field(default_factory=list)
    windows: dict[tuple[int, Path, str], Name] = field(default_factory=dict)
    plan: Name | None = None
    started: Record | None = None


class RecordMapping:
    """The statements of everything but samples, series, steps and contexts."""

    def __init__(self, survey: Survey, detail: str, states_readings: bool) -> None:
        self._survey = survey
        self._detail = detail
        self._states_readings = states_readings
        self._journal = survey.journal
        self._workloads: dict[WorkloadKey, Workload] | None = None
        self._versions: dict[tuple[str, str], Versions] | None = None

    @property
    def versions(self) -> dict[tuple[str, str], Versions]:
        """The versions of each model and artifact; takes a pass where there was none."""
        if self._versions is None:
            for _ in self.statements():
                pass
        return self._versions or {}

    @property
    def workloads(self) -> dict[WorkloadKey, Workload]:
        """What FLOPs were counted of; takes a pass over the records where there was none."""
        if self._workloads is None:
            for _ in self.statements():
                pass
        return self._workloads or {}

    def statements(self) -> Iterator[Statement]:
        """All of them, in one pass over the records."""
        memory = _Pass()
        yield from self._frame()
        for files, offset, record in self._journal.records():
            handler: Callable[..., Iterator[Statement]] | None = getattr(
                self, f"_on_{record.get('record')}", None
            )
            if handler is None or time_of(record) is None:
                continue
            name = Name(f"{files.index}.{offset}")
            try:
                made = list(handler(memory, record, name))
            except _SENSELESS:
                files.damage["record that makes no sense"] = 1
                continue
            yield from made
        for spans in memory.open_spans.values():
            for record, name in spans:
                yield from self._instant(memory, record, name)
        for collector in self._survey.collectors:  # also where what it said of itself is lost
            yield from self._collector(memory, collector)
        for versions in memory.made.values():
            versions.sort()
        for name, time_ns, of in memory.event_targets:
            before = [version for made_ns, version in memory.made.get(of, []) if made_ns < time_ns]
            if before:
                yield make_relation("used", activity=name, entity=before[-1], time=Moment(time_ns))
        self._workloads, self._versions = memory.workloads, memory.made
        yield from self._run(memory)
        yield from self._losses()

    # -- the frame: run, experiment, people ---------------------------------------------------

    def _frame(self) -> Iterator[Statement]:
        description = self._journal.description
        experiment = str(description["experiment"])
        name = Name(f"base:experiment/{encode_name(experiment)}")
        attributes: Attributes = [("prov:type", Name("prov:Collection"))]
        if description.get("project"):
            attributes.append(("provml:project", str(description["project"])))
        yield _entity(name, "provml:Experiment", experiment, attributes)
        yield _entity(
            _RESULTS,
            "provml:Results",
            f"results of {description['id']}",
            [("prov:type", Name("prov:Collection"))],
        )
        yield make_relation("wasGeneratedBy", entity=_RESULTS, activity=RUN)
        yield make_relation("hadMember", collection=name, entity=_RESULTS)
        software = self._software()
        yield Statement(
            "agent",
            software,
            {},
            [
                ("prov:type", Name("prov:SoftwareAgent")),
                ("prov:label", "provml"),
                ("provml:name", "provml"),
                ("provml:version", str(description.get("provml", "unknown"))),
            ],
        )
        yield make_relation("wasAssociatedWith", activity=RUN, agent=software)
        owner = description.get("owner")
        if owner is not None:
            person = Name(f"base:person/{encode_name(str(owner))}")
            yield Statement(
                "agent",
                person,
                {},
                [
                    ("prov:type", Name("prov:Person")),
                    ("prov:label", str(owner)),
                    ("provml:name", str(owner)),
                ],
            )
            yield make_relation(
                "actedOnBehalfOf", delegate=software, responsible=person, activity=RUN
            )
            yield make_relation("wasAttributedTo", entity=_RESULTS, agent=person)

    def _software(self) -> Name:
        version = str(self._journal.description.get("provml", "0"))
        return Name(f"base:software/provml-{encode_name(version)}")

    def _run(self, memory: _Pass) -> Iterator[Statement]:
        description, state = self._journal.description, self._survey.state
        interval = self._survey.places[None]
        arguments: dict[str, Any] = {"prov:startTime": Moment(interval.start_ns or 0)}
        if state.status != "running" and interval.end_ns is not None:
            arguments["prov:endTime"] = Moment(interval.end_ns)
        attributes: Attributes = [
            ("prov:type", Name("provml:Run")),
            ("prov:label", f"{description['experiment']} {description['id']}"),
            ("provml:name", str(description["id"])),
            ("provml:runId", str(description["id"])),
            ("provml:experiment", str(description["experiment"])),
            ("provml:status", state.status),
            ("provml:startedAt", Moment(state.started_ns)),
            ("provml:detail", self._detail),
        ]
        how = f"provml export {description['id']} --detail sample"
        if self._detail == "series":
            attributes.append(("provml:note", f"the samples are not stated here: {how}"))
        elif not self._states_readings:
            attributes.append(("provml:note", f"readings are stated as series here: {how}"))
        for key, term in (
            ("external_id", "externalId"),
            ("framework", "framework"),
            ("task", "task"),
        ):
            if isinstance(description.get(key), str):
                attributes.append((f"provml:{term}", description[key]))
        if state.ended_ns is not None:
            attributes.append(("provml:endedAt", Moment(state.ended_ns)))
        if state.reason is not None:
            attributes.append(("provml:reason", state.reason))
        for key, term in (("type", "exceptionType"), ("message", "exceptionMessage")):
            if state.exception and isinstance(state.exception.get(key), str):
                attributes.append((f"provml:{term}", state.exception[key]))
        if state.dropped_samples:
            attributes.append(("provml:droppedSamples", state.dropped_samples))
        if state.dropped_events:
            attributes.append(("provml:droppedEvents", state.dropped_events))
        started = memory.started or {}
        for key, term in (("command", "commandLine"), ("argv", "arguments")):
            if isinstance(started.get(key), list):
                attributes.append((f"provml:{term}", json_literal(started[key])))
        for key, term in (("python", "pythonVersion"), ("folder", "workingFolder")):
            if isinstance(started.get(key), str):
                attributes.append((f"provml:{term}", started[key]))
        yield Statement("activity", RUN, arguments, attributes)
        owner = description.get("owner")
        if owner is not None:
            person = Name(f"base:person/{encode_name(str(owner))}")
            arguments = {"activity": RUN, "agent": person}
            if memory.plan is not None:
                arguments["plan"] = memory.plan
            yield make_relation("wasAssociatedWith", None, **arguments)

    def _losses(self) -> Iterator[Statement]:
        """What is not there is said: records lost to a full disk, lines that can't be read."""
        state = self._survey.state
        lost = {"samples dropped": state.dropped_samples, "events dropped": state.dropped_events}
        lost |= self._journal.damage()
        if state.status != "running" and self._survey.windows:
            lost["stored values not summarised"] = len(self._survey.windows)
        interval = self._survey.places[None]
        moment = Moment(interval.end_ns or state.started_ns)
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

    # -- records ------------------------------------------------------------------------------

    def _version(
        self, memory: _Pass, kind: str, label: str, digest: str | None
    ) -> tuple[_Version, _Version | None]:
        """The next version of what has a name, and the one before."""
        before = memory.versions.get((kind, label))
        number = before.number + 1 if before else 1
        version = _Version(number, local_name(kind, encode_name(label), version=number), digest)
        memory.versions[kind, label] = version
        return version, before

    def _revision(self, version: _Version, before: _Version | None) -> Iterator[Statement]:
        if before is None:
            return
        if version.digest is not None and version.digest == before.digest:
            yield make_relation("alternateOf", alternate1=version.name, alternate2=before.name)
        else:
            yield make_relation(
                "wasDerivedFrom",
                [("prov:type", Name("prov:Revision"))],
                generatedEntity=version.name,
                usedEntity=before.name,
            )

    def _on_start(self, memory: _Pass, record: Record, name: Name) -> Iterator[Statement]:
        moment = Moment(record["time"])
        if memory.started is None:
            memory.started = record
        if record.get("resumed") is True:
            yield from self._instant(memory, record | {"name": "resumed", "source": "provml"}, name)
        script = record.get("script")
        if isinstance(script, dict):
            label = str(script.get("path", "")).rpartition("/")[2]
            before = memory.versions.get(("script", label))
            if before is None or before.digest != script.get("sha256"):
                version, before = self._version(memory, "script", label, script.get("sha256"))
                attributes = [("prov:type", Name("prov:Plan")), *content_attributes(script)]
                yield _entity(version.name, "provml:Script", label, attributes)
                yield from self._revision(version, before)
                yield make_relation("used", activity=RUN, entity=version.name, time=moment)
                memory.plan = version.name
        host = record.get("host")
        if isinstance(host, str):
            host_name = local_name("host", encode_name(host))
            if host_name not in memory.declared:
                memory.declared.add(host_name)
                facts = ("system", "release", "machine", "cpus", "usable_cpus", "memory_bytes")
                yield _entity(host_name, "provml:Host", host, plain_attributes(record, facts))
            yield make_relation("used", activity=RUN, entity=host_name, time=moment)

    def _on_param(self, memory: _Pass, record: Record, name: Name) -> Iterator[Statement]:
        yield from self._setting(memory, record, "param", "provml:Parameter")

    def _on_tag(self, memory: _Pass, record: Record, name: Name) -> Iterator[Statement]:
        yield from self._setting(memory, record, "tag", "provml:Tag")

    def _setting(
        self, memory: _Pass, record: Record, kind: str, prov_type: str
    ) -> Iterator[Statement]:
        label = _text(record["name"])
        value = decode(record["value"])
        # ranks and restarts set the same again: that is no revision
        same = json.dumps(record["value"], sort_keys=True)
        version = memory.versions.get((kind, label))
        moment = Moment(record["time"])
        if version is not None and version.digest == same:
            yield make_relation("used", activity=RUN, entity=version.name, time=moment)
            return
        version, before = self._version(memory, kind, label, same)
        attributes: Attributes = [("prov:value", typed_literal(value))]
        if isinstance(value, Opaque):
            attributes.append(("provml:pythonType", value.python_type))
        if record.get("masked") is True:
            attributes.append(("provml:masked", True))
        yield _entity(version.name, prov_type, label, attributes)
        yield from self._revision(version, before)
        yield make_relation("used", activity=RUN, entity=version.name, time=moment)

    def _on_metadata(self, memory: _Pass, record: Record, name: Name) -> Iterator[Statement]:
        yield from self._setting(memory, record, "metadata", "provml:Metadata")

    def _on_dataset(self, memory: _Pass, record: Record, name: Name) -> Iterator[Statement]:
        label, content = _text(record["name"]), record["content"]
        number = series_number(record)
        place = None if number is None else (int(name.partition(".")[0]), number)
        found = None if place is None else self._survey.digests.get(place)
        if found is not None:
            content = add_later_digest(content, found)
        path, digest = record_context(record), content.get("sha256")
        version = memory.versions.get(("dataset", label))
        if version is None or digest is None or version.digest != digest:
            version, before = self._version(memory, "dataset", label, digest)
            attributes = content_attributes(content)
            if record.get("metadata") is not None:
                attributes.append(("provml:metadata", json_literal(record["metadata"])))
            yield _entity(version.name, "provml:Dataset", label, attributes)
            yield from self._revision(version, before)
        memory.used.append(_Used(version.name, path))
        yield make_relation(
            "used",
            activity=context_name(path),
            entity=version.name,
            time=Moment(record["time"]),
        )

    def _on_artifact(self, memory: _Pass, record: Record, name: Name) -> Iterator[Statement]:
        yield from self._made(memory, record, "artifact", "provml:Artifact")

    def _on_model(self, memory: _Pass, record: Record, name: Name) -> Iterator[Statement]:
        yield from self._made(memory, record, "model", "provml:Model")

    def _made(
        self, memory: _Pass, record: Record, kind: str, prov_type: str
    ) -> Iterator[Statement]:
        label, content, path = _text(record["name"]), record["content"], record_context(record)
        version, before = self._version(memory, kind, label, content.get("sha256"))
        attributes = content_attributes(content)
        if record.get("metadata") is not None:
            attributes.append(("provml:metadata", json_literal(record["metadata"])))
        yield _entity(version.name, prov_type, label, attributes)
        yield make_relation(
            "wasGeneratedBy",
            entity=version.name,
            activity=self._survey.step_name(record),
            time=Moment(record["time"]),
        )
        yield from self._revision(version, before)
        memory.made.setdefault((kind, label), []).append((record["time"], version.name))
        yield make_relation("hadMember", collection=_RESULTS, entity=version.name)
        for used in dict.fromkeys(use.name for use in memory.used if _reaches(use.path, path)):
            yield make_relation("wasDerivedFrom", generatedEntity=version.name, usedEntity=used)

    def _on_source(self, memory: _Pass, record: Record, name: Name) -> Iterator[Statement]:
        content = record.get("content") or {}
        git = record.get("git") or {}
        label = str(content.get("path") or git.get("root") or "source").rpartition("/")[2]
        version, before = self._version(memory, "source", label, content.get("sha256"))
        attributes = content_attributes(content)
        for key, term in (
            ("root", "gitRoot"),
            ("commit", "gitCommit"),
            ("branch", "gitBranch"),
            ("remote", "gitRemote"),
            ("dirty", "gitDirty"),
            ("unread", "gitUnread"),
        ):
            if isinstance(git.get(key), (str, bool)):
                attributes.append((f"provml:{term}", git[key]))
        if git.get("untracked"):
            attributes.append(("provml:gitUntracked", json_literal(git["untracked"])))
        if isinstance(record.get("modules"), dict):
            attributes.append(("provml:modules", json_literal(record["modules"])))
        if isinstance(git.get("untracked_total"), int):  # more than are listed
            attributes.append(("provml:gitUntrackedTotal", git["untracked_total"]))
        yield _entity(version.name, "provml:SourceCode", label, attributes)
        yield from self._revision(version, before)
        yield make_relation("used", activity=RUN, entity=version.name, time=Moment(record["time"]))
        if isinstance(git.get("diff"), dict):
            diff = local_name("source-diff", encode_name(label), version=version.number)
            yield _entity(diff, "provml:Diff", f"{label}.diff", content_attributes(git["diff"]))
            yield make_relation("wasDerivedFrom", generatedEntity=diff, usedEntity=version.name)

    def _on_environment(self, memory: _Pass, record: Record, name: Name) -> Iterator[Statement]:
        version, before = self._version(memory, "environment", "python", None)
        keys = ("python", "implementation", "executable", "platform", "cpu")
        attributes = plain_attributes(record, keys)
        for key in ("packages", "variables", "gpus", "cuda", "container"):
            if isinstance(record.get(key), (dict, list)):
                attributes.append((f"provml:{key}", json_literal(record[key])))
        yield _entity(version.name, "provml:Environment", "environment", attributes)
        yield from self._revision(version, before)
        yield make_relation("used", activity=RUN, entity=version.name, time=Moment(record["time"]))

    # -- what the machine did -------------------------------------------------------------------

    def _collector(self, memory: _Pass, collector: str) -> Iterator[Statement]:
        """The agent that takes readings, once."""
        agent = collector_name(collector)
        if agent in memory.declared:
            return
        memory.declared.add(agent)
        kind = ("prov:type", Name("prov:SoftwareAgent"))
        named = [("prov:label", collector), ("provml:name", collector)]
        yield Statement("agent", agent, {}, [kind, *named])
        yield make_relation("actedOnBehalfOf", delegate=agent, responsible=self._software())

    def _on_collector(self, memory: _Pass, record: Record, name: Name) -> Iterator[Statement]:
        label = _text(record["name"])
        yield from self._collector(memory, label)
        same = json.dumps(record["settings"], sort_keys=True)
        before = memory.versions.get(("settings", label))
        if before is not None and before.digest == same:  # ranks and restarts
            used = before.name
        else:
            version, before = self._version(memory, "settings", label, same)
            used = version.name
            value = json_literal(record["settings"])
            yield _entity(used, "provml:Settings", label, [("prov:value", value)])
            yield from self._revision(version, before)
        yield make_relation("used", activity=RUN, entity=used, time=Moment(record["time"]))

    def _on_device(self, memory: _Pass, record: Record, name: Name) -> Iterator[Statement]:
        label, facts = _text(record["name"]), record["facts"]
        identity = str(facts.get("uuid") or f"{facts.get('kind')}-{facts.get('index')}")
        device = local_name("device", encode_name(identity))
        if device not in memory.declared:
            memory.declared.add(device)
            attributes = plain_attributes(facts, ("index", "uuid", "driver", "memory_bytes"))
            yield _entity(device, "provml:Device", label, attributes)
        yield make_relation("used", activity=RUN, entity=device, time=Moment(record["time"]))

    def _on_alert(self, memory: _Pass, record: Record, name: Name) -> Iterator[Statement]:
        label, collector = _text(record["name"]), _text(record["collector"])
        moment = Moment(record["time"])
        alert = local_name("alert", name)
        attributes: Attributes = [
            ("prov:type", Name("provml:Event")),
            ("prov:type", Name("provml:Alert")),
            ("prov:label", label),
            ("provml:name", label),
            ("provml:observed", float(decode(record["value"]))),
            ("provml:threshold", float(decode(record["threshold"]))),
            ("provml:severity", _text(record["severity"])),
        ]
        interval: dict[str, Any] = {"prov:startTime": moment, "prov:endTime": moment}
        yield Statement("activity", alert, interval, attributes)
        yield make_relation(
            "wasInformedBy", informed=alert, informant=self._survey.step_name(record)
        )
        yield from self._collector(memory, collector)
        yield make_relation("wasAssociatedWith", activity=alert, agent=collector_name(collector))
        trigger = self._trigger(record, name)
        if trigger is not None:
            yield make_relation("wasStartedBy", activity=alert, trigger=trigger, time=moment)

    def _trigger(self, record: Record, name: Name) -> Name | None:
        """The sample that set off an alert; its series where samples are not stated."""
        key = trigger_key(int(name.partition(".")[0]), record)
        sample = self._survey.triggers.get(key)
        if sample is None or self._states_readings:
            return sample
        _, kind, context, metric, _ = key
        ranks = [
            s.rank for s in self._survey.series.all if s.identity[:3] == (kind, context, metric)
        ]
        return series_entity(kind, series_path(metric, context, ranks[0]))

    def _on_flops(self, memory: _Pass, record: Record, name: Name) -> Iterator[Statement]:
        label, target = _text(record["name"]), record["target"]
        flops = decode(record["flops"])
        if not isinstance(target, int) or not isinstance(flops, int):
            raise TypeError(f"not the numbers of a workload: {record!r:.80}")
        workload = local_name("workload", name)
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
        peak, start_ns = record.get("peak"), record.get("start")
        own_peak = float(peak) if isinstance(peak, (int, float)) and peak > 0 else None
        if own_peak is not None:
            attributes.append(("provml:peakFlopsPerSecond", own_peak))
        own_start = start_ns if isinstance(start_ns, int) else None
        if own_start is not None and own_start < record["time"]:
            per_second = flops / (record["time"] - own_start) * 1e9
            attributes += rate_attributes(per_second, {own_peak})
        yield _entity(workload, "provml:Workload", label, attributes)
        agent = Name(f"base:software/{encode_name(_text(record['counter']).replace(' ', '-'))}")
        yield from self._software_agent(memory, agent, record["counter"])
        yield make_relation("wasAttributedTo", entity=workload, agent=agent)
        used = [workload]
        for kind in ("model", "dataset"):
            version = memory.versions.get((kind, str(record.get(kind))))
            if version is not None:
                used.append(version.name)
                yield make_relation(
                    "wasDerivedFrom", generatedEntity=workload, usedEntity=version.name
                )
        writer = int(name.partition(".")[0])
        memory.workloads[writer, target] = Workload(tuple(used), agent, own_start, own_peak)

    def _software_agent(self, memory: _Pass, agent: Name, text: str) -> Iterator[Statement]:
        """A program by its name and version, ``torch 2.13.0``."""
        if agent in memory.declared:
            return
        memory.declared.add(agent)
        label, _, version = text.partition(" ")
        named: Attributes = [("prov:label", label), ("provml:name", label)]
        if version:
            named.append(("provml:version", version))
        yield Statement("agent", agent, {}, [("prov:type", Name("prov:SoftwareAgent")), *named])

    # -- summaries ----------------------------------------------------------------------------

    def _on_summary(self, memory: _Pass, record: Record, name: Name) -> Iterator[Statement]:
        """The making of a summary, and the windows of stored values that it is of."""
        context, writer, time_ns = (
            record_context(record),
            int(name.partition(".")[0]),
            record["time"],
        )
        windows = windows_of(record)
        if self._detail == "series" or context is None or not windows:
            return
        moment = Moment(time_ns)
        summarising = Name(f"{summarising_prefix(context, writer)}{time_ns}")
        if summarising in memory.declared:
            return
        memory.declared.add(summarising)
        interval: dict[str, Any] = {"prov:startTime": moment, "prov:endTime": moment}
        kind = ("prov:type", Name("provml:Summarising"))
        yield Statement("activity", summarising, interval, [kind])
        place = self._survey.step_name(record)
        yield make_relation("wasInformedBy", informed=summarising, informant=place)
        yield make_relation("wasAssociatedWith", activity=summarising, agent=self._software())
        for own in windows:
            yield from self._window(memory, (writer, context, own["name"]), own, summarising)

    def _window(
        self, memory: _Pass, key: tuple[int, Path, str], own: Record, summarising: Name
    ) -> Iterator[Statement]:
        writer, context, label = key
        time_ns = summarising.rpartition(".")[2]
        window = Name(f"{window_prefix(context or (), label, writer)}{time_ns}")
        attributes: Attributes = [
            ("prov:type", Name("prov:Collection")),
            ("provml:count", own["stored"]),
            ("provml:firstTime", Moment(own["first"])),
            ("provml:lastTime", Moment(own["last"])),
        ]
        if window in memory.declared:
            return
        memory.declared.add(window)
        yield _entity(window, "provml:Window", label, attributes)
        yield make_relation("wasGeneratedBy", entity=window, activity=context_name(context))
        yield make_relation("used", activity=summarising, entity=window, time=Moment(int(time_ns)))
        before = memory.windows.get(key)
        if own.get("goes_on") is True and before is not None:
            yield make_relation("wasDerivedFrom", generatedEntity=window, usedEntity=before)
        memory.windows[key] = window

    # -- events -------------------------------------------------------------------------------

    def _on_event(self, memory: _Pass, record: Record, name: Name) -> Iterator[Statement]:
        label = _text(record["name"])
        place = (record.get("source"), record_context(record))
        base = span_started(label)
        if base is not None:
            memory.open_spans.setdefault((base, *place), []).append((record, name))
            return
        base = span_ended(label)
        spans = memory.open_spans.get((base, *place)) if base is not None else None
        if spans and spans[-1][0]["time"] <= record["time"]:
            start, start_name = spans.pop()
            yield from self._activity(memory, start, start_name, base, record)
            return
        yield from self._instant(memory, record, name)

    def _instant(self, memory: _Pass, record: Record, name: Name) -> Iterator[Statement]:
        yield from self._activity(memory, record, name, None, None)

    def _activity(
        self, memory: _Pass, record: Record, name: Name, span: str | None, end: Record | None
    ) -> Iterator[Statement]:
        """An event at its instant, or a span from one to another."""
        activity = local_name("event", name)
        label = span if span is not None else _text(record["name"])
        attributes: Attributes = [
            ("prov:type", Name("provml:Event")),
            ("prov:label", label),
            ("provml:name", label),
        ]
        if end is not None:
            attributes.insert(1, ("prov:type", Name("provml:Span")))
            attributes.append(("provml:startEvent", _text(record["name"])))
            attributes.append(("provml:endEvent", _text(end["name"])))
        for part, term in ((record, "metadata"), (end or {}, "endMetadata")):
            if part.get("metadata"):
                attributes.append((f"provml:{term}", json_literal(part["metadata"])))
        interval: dict[str, Any] = {
            "prov:startTime": Moment(record["time"]),
            "prov:endTime": Moment((end or record)["time"]),
        }
        yield Statement("activity", activity, interval, attributes)
        place = self._survey.step_name(record)
        yield make_relation("wasInformedBy", informed=activity, informant=place)
        for of in dict.fromkeys(parse_target(part.get("of")) for part in (record, end or {})):
            if of is not None:
                memory.event_targets.append((activity, (end or record)["time"], of))
        source = record.get("source")
        if source == "provml":
            agent = self._software()
            yield make_relation("wasAssociatedWith", activity=activity, agent=agent)
        elif isinstance(source, str):
            agent = local_name("agent", encode_name(source))
            if agent not in memory.declared:
                memory.declared.add(agent)
                kind = ("prov:type", Name("prov:SoftwareAgent"))
                named = [("prov:label", source), ("provml:name", source)]
                yield Statement("agent", agent, {}, [kind, *named])
            yield make_relation("wasAssociatedWith", activity=activity, agent=agent)


def collector_name(collector: str) -> Name:
    """The agent that takes readings."""
    return local_name("collector", encode_name(collector))


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"not a text: {value!r}")
    return value


def _reaches(used: Path, made: Path) -> bool:
    """Whether what is used in one place goes into what is made in another.

    What the run uses goes into all it makes; what a context uses goes into what it, a context
    under it, or the run itself makes.
    """
    return not used or not made or made[: len(used)] == used

"""Defines what the record mappers share: access to a record, and the state of a mapping pass.

A record mapper is a function that converts records of one kind to PROV statements.

Imports `survey`, `damage`, `names` and `statements`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

from provml.journal.layout import Record
from provml.journal.record_parsing import record_context
from provml.journal.values import Moment
from provml.model.attributes import Attributes, json_literal
from provml.model.damage import (
    DamagedRecordError,
    check_float,
    check_object,
    check_text,
    decode_field,
    json_text_of,
)
from provml.model.flop_counts import Workload, WorkloadKey
from provml.model.names import RUN, encode_name, local_name
from provml.model.sample_targets import Versions
from provml.model.statements import Argument, Literal, Name, Statement, Value
from provml.model.survey import Path, Survey

RESULTS: Final = Name("run:results")
"""The name of the collection that contains everything the run made."""


class JournalEntry(NamedTuple):
    """A record and its position in the journal.

    The methods that read a field raise DamagedRecordError if the field does not have the expected
    type.
    """

    record: Record
    writer: int
    offset: int
    time_ns: int

    @property
    def key(self) -> str:
        """A unique key within the run: the index of the writer and the offset of the record."""
        return f"{self.writer}.{self.offset}"

    @property
    def moment(self) -> Moment:
        """The time at which the record was written."""
        return Moment(self.time_ns)

    @property
    def context(self) -> Path:
        """The path of the record's context; None for the run itself."""
        return record_context(self.record)

    def read_text(self, key: str) -> str:
        """Return the string that a field contains."""
        return check_text(self.record.get(key))

    def read_object(self, key: str) -> Record:
        """Return the JSON object that a field contains."""
        return check_object(self.record.get(key))

    def read_optional_object(self, key: str) -> Record:
        """Return the JSON object that a field contains, or {} if the field is missing or null."""
        content = self.record.get(key)
        return {} if content is None else check_object(content)

    def read_value(self, key: str) -> Any:
        """Decode the value that a field contains."""
        return decode_field(self.record, key)

    def read_float(self, key: str) -> float:
        """Decode the number that a field contains, and return it as a float."""
        return check_float(self.read_value(key))

    def read_json(self, key: str) -> Literal:
        """Return the content of a field as a JSON literal."""
        if key not in self.record:
            raise DamagedRecordError(f"the field {key!r} is missing")
        return json_literal(self.record[key])

    def read_canonical_json(self, key: str) -> str:
        """Return the content of a field as JSON text. Equal contents have equal texts."""
        if key not in self.record:
            raise DamagedRecordError(f"the field {key!r} is missing")
        return json_text_of(self.record[key], sort_keys=True)

    def read_metadata(self) -> Attributes:
        """Return the record's metadata as attributes, or [] if the record has no metadata."""
        if self.record.get("metadata") is None:
            return []
        return [("provml:metadata", self.read_json("metadata"))]


class Version(NamedTuple):
    """A version of a dataset, model, parameter or other entity.

    Attributes:
        number: the number of the version, from 1.
        name: the name of the entity that represents the version.
        digest: the digest of the content, or another value that is equal for equal contents; None
            if it is unknown.
    """

    number: int
    name: Name
    digest: object


class TagVersion(NamedTuple):
    """A value of a tag, and the time when the value was set, in nanoseconds since the epoch.

    Equal values have the same `json_text`.
    """

    value: Value
    json_text: str
    time_ns: int


class ContentUse(NamedTuple):
    """A dataset or other input, and the context that used it."""

    content: Name
    context: Path


class ModelUse(NamedTuple):
    """The use of a model that the same run made.

    Attributes:
        target: the kind and name under which the model was logged.
        context: the context that used the model.
        time_ns: the time of the use, in nanoseconds since the epoch.
    """

    target: tuple[str, str]
    context: Path
    time_ns: int


class ContentMade(NamedTuple):
    """An artifact or model that the run made.

    Attributes:
        name: the entity's name.
        revised: the name of the previous version; None for the first version.
        entry: the record of the artifact or model.
    """

    name: Name
    revised: Name | None
    entry: JournalEntry


class StartRecord(NamedTuple):
    """The parts of a ``start`` record: the script, and attributes of the script and the command."""

    entry: JournalEntry
    script: Record
    script_attributes: Attributes
    command_attributes: Attributes


class ScriptVersion:
    """A version of the script.

    The entity of the version is written after all records are mapped, because a record of source
    code can describe the same file, and thus add attributes to the entity.

    Attributes:
        version: the number, name and digest of the version.
        label: the name of the script's file.
        attributes: the attributes of the script's file.
        source: the attributes from a ``source`` record about the same file, such as the git commit;
            None if there is no such record.
        code: the attributes from a ``code`` record about the same file, such as the path of a copy;
            None if there is no such record.
    """

    def __init__(self, version: Version, label: str, attributes: Attributes) -> None:
        self.version = version
        self.label = label
        self.attributes = attributes
        self.source: Attributes | None = None
        self.code: Attributes | None = None


class LoggedEvent(NamedTuple):
    """The parts of an ``event`` record.

    Attributes:
        entry: the record and its position in the journal.
        label: the name of the event.
        source: the program or library that logged the event; None if it is unknown.
        metadata: the event's metadata; None if the event has no metadata.
        of: the kind and name of the model or artifact that the event is about, or None.
    """

    entry: JournalEntry
    label: str
    source: str | None
    metadata: Literal | None
    of: tuple[str, str] | None


class MappingState:
    """The state of one pass over the records: the elements that the pass has declared so far.

    The size of the state depends on the number of names in use, not on the number of samples.
    """

    def __init__(self, survey: Survey, detail: str, states_readings: bool) -> None:
        self.survey = survey
        self.detail = detail
        self.states_readings = states_readings
        self.versions: dict[tuple[str, str], Version] = {}
        self.tags: dict[str, list[TagVersion]] = {}
        self.content_used: list[ContentUse] = []
        self.roles: dict[Name, object] = {}
        self.model_uses: list[ModelUse] = []
        self.made: list[ContentMade] = []
        self.declared: set[Name] = set()
        self.open_spans: dict[tuple[Any, ...], list[LoggedEvent]] = {}
        self.workloads: dict[WorkloadKey, Workload] = {}
        self.outputs: dict[tuple[str, str], Versions] = {}
        self.event_targets: list[tuple[Name, int, tuple[str, str]]] = []
        self.windows: dict[tuple[int, Path, str], Name] = {}
        self.scripts: list[ScriptVersion] = []
        self.plan: Name | None = None
        self.start: StartRecord | None = None

    def software_name(self) -> Name:
        """Return the name of the agent that represents provml."""
        version = str(self.survey.journal.description.get("provml", "0"))
        return Name(f"base:software/provml-{encode_name(version)}")

    def declare_once(self, name: Name) -> bool:
        """Mark a name as declared. Returns False if the name was already declared."""
        if name in self.declared:
            return False
        self.declared.add(name)
        return True

    def add_version(self, kind: str, label: str, digest: object) -> tuple[Version, Version | None]:
        """Add a new version of the entity with this kind and label.

        Returns the new version and the previous version. The previous version is None for the first
        version of an entity.
        """
        before = self.versions.get((kind, label))
        number = before.number + 1 if before else 1
        version = Version(number, local_name(kind, encode_name(label), version=number), digest)
        self.versions[kind, label] = version
        return version, before


Mapper = Callable[[MappingState, JournalEntry], Iterator[Statement]]
"""A function that reads a record and returns an iterator over its statements.

If the record is damaged, the call itself raises DamagedRecordError; the iterator never does.
"""


def make_relation(
    kind: str, attributes: Attributes | None = None, **arguments: Argument
) -> Statement:
    """Build a relation from its formal attributes, which are named without ``prov:``."""
    formal = {f"prov:{name}": value for name, value in arguments.items()}
    return Statement(kind, None, dict(formal), list(attributes or []))


def make_entity(name: Name, kind: str, label: str, attributes: Attributes) -> Statement:
    """Build an entity from its name, type, label and other attributes."""
    return Statement("entity", name, {}, [*node_attributes(kind, label), *attributes])


def make_agent(name: Name, kind: str, label: str) -> Statement:
    """Build an agent. ``kind`` must be ``prov:SoftwareAgent`` or ``prov:Person``."""
    return Statement("agent", name, {}, node_attributes(kind, label))


def node_attributes(kind: str, label: str) -> Attributes:
    """Return the attributes that every entity and agent has: type, label and name."""
    return [("prov:type", Name(kind)), ("prov:label", label), ("provml:name", label)]


def use_by_run(entity: Name, moment: Moment) -> Statement:
    """Build the statement that the run used an entity at a given time."""
    return make_relation("used", activity=RUN, entity=entity, time=moment)


def relate_versions(version: Version, before: Version | None) -> Iterator[Statement]:
    """Yield the statement that relates a version to the previous version.

    The new version is an alternate of the previous version if both have the same digest, else a
    revision. Yields nothing if there is no previous version.
    """
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


def collector_name(collector: str) -> Name:
    """Return the name of the agent that represents a collector."""
    return local_name("collector", encode_name(collector))


def declare_collector(state: MappingState, collector: str) -> Iterator[Statement]:
    """Declare the agent that represents a collector, unless this pass has already declared it."""
    agent = collector_name(collector)
    if state.declare_once(agent):
        yield make_agent(agent, "prov:SoftwareAgent", collector)
        yield make_relation("actedOnBehalfOf", delegate=agent, responsible=state.software_name())

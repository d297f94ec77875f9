"""Maps the records of settings, reading summaries, collectors and the environment to PROV.

A run's settings are its parameters, tags and metadata.

Imports `record_mapping`.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from provml.journal.values import Opaque
from provml.model.attributes import Attributes, json_literal, plain_attributes, typed_literal
from provml.model.names import RUN
from provml.model.record_mapping import (
    RESULTS,
    JournalEntry,
    MappingState,
    TagVersion,
    declare_collector,
    make_entity,
    make_relation,
    relate_versions,
    use_by_run,
)
from provml.model.statements import Statement

_ENVIRONMENT_TEXTS = ("python", "implementation", "executable", "platform", "cpu")
_ENVIRONMENT_LISTS = ("packages", "variables", "gpus", "cuda", "container")


def _map_setting(
    kind: str, prov_type: str, state: MappingState, entry: JournalEntry
) -> Iterator[Statement]:
    value = entry.read_value("value")
    attributes: Attributes = [("prov:value", typed_literal(value))]
    if isinstance(value, Opaque):
        attributes.append(("provml:pythonType", value.python_type))
    if entry.record.get("masked") is True:
        attributes.append(("provml:masked", True))
    label, same = entry.read_text("name"), entry.read_canonical_json("value")
    return _setting_statements(state, entry, kind, prov_type, label, same, attributes)


map_metadata = partial(_map_setting, "metadata", "provml:Metadata")


def map_param(state: MappingState, entry: JournalEntry) -> Iterator[Statement]:
    """Map the record of a parameter to PROV statements.

    If an early version of provml recorded the run, the record may be a summary of readings (see
    `find_old_summaries`).
    """
    if entry.offset in state.survey.old_summaries.get(entry.writer, ()):
        return map_reading_summary(state, entry)
    return _map_setting("param", "provml:Parameter", state, entry)


def map_tag(state: MappingState, entry: JournalEntry) -> Iterator[Statement]:
    """Read the record of a tag, and store the value in the state. Returns no statements.

    The last value of each tag becomes an attribute of the run's activity.
    """
    value = typed_literal(entry.read_value("value"))
    same = entry.read_canonical_json("value")
    versions = state.tags.setdefault(entry.read_text("name"), [])
    if not versions or versions[-1].json_text != same:
        versions.append(TagVersion(value, same, entry.time_ns))
    return iter(())


def map_reading_summary(state: MappingState, entry: JournalEntry) -> Iterator[Statement]:
    """Map the record of a reading summary to PROV. provml writes these records when a run ends."""
    label, same = entry.read_text("name"), entry.read_canonical_json("value")
    attributes: Attributes = [("prov:value", typed_literal(entry.read_value("value")))]

    def states() -> Iterator[Statement]:
        version, before = state.add_version("reading-summary", label, same)
        yield make_entity(version.name, "provml:ReadingSummary", label, attributes)
        yield make_relation("wasGeneratedBy", entity=version.name, activity=RUN, time=entry.moment)
        yield make_relation("hadMember", collection=RESULTS, entity=version.name)
        yield from relate_versions(version, before)

    return states()


def _setting_statements(
    state: MappingState,
    entry: JournalEntry,
    kind: str,
    prov_type: str,
    label: str,
    same: str,
    attributes: Attributes,
) -> Iterator[Statement]:
    """Yield the statements about a setting that the run used.

    The setting is a parameter, metadata, or the settings of a collector. Ranks and restarts often
    set the same value again. An equal value does not create a new version.

    Args:
        state: the state of the mapping pass.
        entry: the record of the setting.
        kind: the kind of setting, which becomes part of the entity's name.
        prov_type: the PROV type of the setting's entity.
        label: the name under which the setting was logged.
        same: a text form of the value. Equal values have equal texts.
        attributes: the attributes that describe the value.
    """
    version = state.versions.get((kind, label))
    if version is None or version.digest != same:
        version, before = state.add_version(kind, label, same)
        yield make_entity(version.name, prov_type, label, attributes)
        yield from relate_versions(version, before)
    yield use_by_run(version.name, entry.moment)


def map_collector(state: MappingState, entry: JournalEntry) -> Iterator[Statement]:
    """Map the record of a collector to an agent, and to an entity for the collector's settings.

    These are the settings with which the collector started.
    """
    label, same = entry.read_text("name"), entry.read_canonical_json("settings")
    attributes: Attributes = [("prov:value", entry.read_json("settings"))]

    def states() -> Iterator[Statement]:
        yield from declare_collector(state, label)
        yield from _setting_statements(
            state, entry, "settings", "provml:Settings", label, same, attributes
        )

    return states()


def map_environment(state: MappingState, entry: JournalEntry) -> Iterator[Statement]:
    """Map the record of the environment: Python, packages, environment variables and hardware."""
    record = entry.record
    attributes = plain_attributes(record, _ENVIRONMENT_TEXTS)
    attributes += [
        (f"provml:{key}", json_literal(record[key]))
        for key in _ENVIRONMENT_LISTS
        if isinstance(record.get(key), (dict, list))
    ]

    def states() -> Iterator[Statement]:
        version, before = state.add_version("environment", "python", None)
        yield make_entity(version.name, "provml:Environment", "environment", attributes)
        yield from relate_versions(version, before)
        yield use_by_run(version.name, entry.moment)

    return states()

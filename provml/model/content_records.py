"""Maps the records of datasets, artifacts, models and source code to PROV.

These records describe content by its digest.

Imports `record_mapping`.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from provml.journal.files import Record, series_number
from provml.journal.record_building import add_later_digest
from provml.model.attributes import Attributes, content_attributes, json_literal
from provml.model.damage import check_object
from provml.model.names import context_name, encode_name, local_name
from provml.model.record_mapping import (
    RESULTS,
    DatasetUse,
    JournalEntry,
    MappingState,
    ScriptVersion,
    Version,
    make_entity,
    make_relation,
    relate_versions,
    use_by_run,
)
from provml.model.statements import Statement
from provml.model.survey import Path

_GIT_TERMS = (
    ("root", "gitRoot"),
    ("commit", "gitCommit"),
    ("branch", "gitBranch"),
    ("remote", "gitRemote"),
    ("dirty", "gitDirty"),
    ("unread", "gitUnread"),
)


def map_dataset(state: MappingState, entry: JournalEntry) -> Iterator[Statement]:
    """Map the record of a dataset that a context or the run used."""
    label, content = entry.read_text("name"), entry.read_object("content")
    number = series_number(entry.record)
    later = None if number is None else state.survey.digests.get((entry.writer, number))
    if later is not None:  # the digest was computed after this record was written
        content = add_later_digest(content, later)
    attributes = content_attributes(content) + entry.read_metadata()
    return _dataset_statements(state, entry, label, content.get("sha256"), attributes)


def _dataset_statements(
    state: MappingState, entry: JournalEntry, label: str, digest: object, attributes: Attributes
) -> Iterator[Statement]:
    version = state.versions.get(("dataset", label))
    if version is None or digest is None or version.digest != digest:
        version, before = state.add_version("dataset", label, digest)
        yield make_entity(version.name, "provml:Dataset", label, attributes)
        yield from relate_versions(version, before)
    state.datasets_used.append(DatasetUse(version.name, entry.context))
    yield make_relation(
        "used", activity=context_name(entry.context), entity=version.name, time=entry.moment
    )


def _map_output(
    kind: str, prov_type: str, state: MappingState, entry: JournalEntry
) -> Iterator[Statement]:
    label, content = entry.read_text("name"), entry.read_object("content")
    attributes = content_attributes(content) + entry.read_metadata()
    return _output_statements(
        state, entry, kind, prov_type, label, content.get("sha256"), attributes
    )


map_artifact = partial(_map_output, "artifact", "provml:Artifact")
map_model = partial(_map_output, "model", "provml:Model")


def _output_statements(
    state: MappingState,
    entry: JournalEntry,
    kind: str,
    prov_type: str,
    label: str,
    digest: object,
    attributes: Attributes,
) -> Iterator[Statement]:
    version, before = state.add_version(kind, label, digest)
    yield make_entity(version.name, prov_type, label, attributes)
    yield make_relation(
        "wasGeneratedBy",
        entity=version.name,
        activity=state.survey.step_name(entry.record),
        time=entry.moment,
    )
    yield from relate_versions(version, before)
    state.outputs.setdefault((kind, label), []).append((entry.time_ns, version.name))
    yield make_relation("hadMember", collection=RESULTS, entity=version.name)
    inputs = [use.dataset for use in state.datasets_used if _reaches(use.context, entry.context)]
    for dataset in dict.fromkeys(inputs):
        yield make_relation("wasDerivedFrom", generatedEntity=version.name, usedEntity=dataset)


def _reaches(used_in: Path, made_in: Path) -> bool:
    """Return whether an input of one context may have influenced an output of another context.

    An input of the run may have influenced every output. An input of a context may have influenced
    the outputs of that context, of the contexts within it, and of the run.
    """
    return not used_in or not made_in or made_in[: len(used_in)] == used_in


def map_source(state: MappingState, entry: JournalEntry) -> Iterator[Statement]:
    """Map the record of source code, including the git commit and any uncommitted changes.

    If the source code is the script's file, both have one entity.
    """
    content, git = entry.read_optional_object("content"), entry.read_optional_object("git")
    label = str(content.get("path") or git.get("root") or "source").rpartition("/")[2]
    attributes = content_attributes(content) + _git_attributes(git)
    if isinstance(entry.record.get("modules"), dict):
        attributes.append(("provml:modules", entry.read_json("modules")))
    if isinstance(git.get("untracked_total"), int):  # not every untracked file is listed
        attributes.append(("provml:gitUntrackedTotal", git["untracked_total"]))
    diff = None
    if git.get("diff") is not None:
        diff = content_attributes(check_object(git["diff"]))
    return _source_statements(state, entry, label, content, attributes, diff)


def _git_attributes(git: Record) -> Attributes:
    attributes: Attributes = [
        (f"provml:{term}", git[key])
        for key, term in _GIT_TERMS
        if isinstance(git.get(key), (str, bool))
    ]
    if git.get("untracked"):
        attributes.append(("provml:gitUntracked", json_literal(git["untracked"])))
    return attributes


def _source_statements(
    state: MappingState,
    entry: JournalEntry,
    label: str,
    content: Record,
    attributes: Attributes,
    diff_attributes: Attributes | None,
) -> Iterator[Statement]:
    before = state.versions.get(("source", label))
    number, digest = before.number + 1 if before else 1, content.get("sha256")
    script = _find_script(state, content)
    if script is not None and script.source in (None, attributes):
        if script.source is not None:  # the same record again, for example from another rank
            return
        script.source, name = attributes, script.version.name
        state.versions["source", label] = Version(number, name, digest)
    else:
        version, before = state.add_version("source", label, digest)
        name = version.name
        yield make_entity(name, "provml:SourceCode", label, attributes)
        yield from relate_versions(version, before)
        yield use_by_run(name, entry.moment)
    if diff_attributes is not None:
        diff = local_name("source-diff", encode_name(label), version=number)
        yield make_entity(diff, "provml:Diff", f"{label}.diff", diff_attributes)
        yield make_relation("wasDerivedFrom", generatedEntity=diff, usedEntity=name)


def _find_script(state: MappingState, content: Record) -> ScriptVersion | None:
    """Return the version of the script that is the same file as a piece of source code."""
    digest, path = content.get("sha256"), content.get("path")
    if digest is None or path is None:
        return None
    for script in state.scripts:
        if script.version.digest == digest and ("provml:path", path) in script.attributes:
            return script
    return None

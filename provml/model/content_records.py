"""Maps the records of datasets, inputs, artifacts, models and source code to PROV.

These records identify content by its digest.

Imports `record_mapping`.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from provml.journal.history import parse_target
from provml.journal.layout import Record
from provml.journal.record_building import add_later_digest
from provml.journal.record_parsing import series_number
from provml.journal.values import Moment
from provml.model.attributes import Attributes, content_attributes, json_literal
from provml.model.damage import check_object
from provml.model.names import context_name, encode_name, local_name
from provml.model.record_mapping import (
    RESULTS,
    ContentMade,
    ContentUse,
    JournalEntry,
    MappingState,
    ModelUse,
    ScriptVersion,
    Version,
    make_entity,
    make_relation,
    relate_versions,
    use_by_run,
)
from provml.model.statements import Statement
from provml.model.survey import Path, find_file_key

CONFIGURATION = "configuration"
"""The role of configuration files in ``code`` records. Files with other roles are source code."""

_GIT_TERMS = (
    ("root", "gitRoot"),
    ("commit", "gitCommit"),
    ("branch", "gitBranch"),
    ("remote", "gitRemote"),
    ("dirty", "gitDirty"),
    ("unread", "gitUnread"),
)


def map_dataset(state: MappingState, entry: JournalEntry) -> Iterator[Statement]:
    """Map the record of a dataset to PROV statements. A context or the run used the dataset."""
    label, content = entry.read_text("name"), _read_used_content(state, entry)
    attributes = content_attributes(content) + entry.read_metadata()
    digest = content.get("sha256")
    return _use_statements(state, entry, ("dataset", "provml:Dataset"), label, digest, attributes)


def map_input(state: MappingState, entry: JournalEntry) -> Iterator[Statement]:
    """Map the record of an input to PROV statements.

    The input is not a dataset, but for example a model that this run made.
    """
    label, content = entry.read_text("name"), _read_used_content(state, entry)
    attributes = content_attributes(content)
    if isinstance(entry.record.get("role"), str):
        attributes.append(("provml:role", entry.record["role"]))
    digest = content.get("sha256")
    target = parse_target(entry.record.get("of"))
    if target is not None:
        state.model_uses.append(ModelUse(target, entry.context, entry.time_ns))
        return iter(())
    return _use_statements(state, entry, ("input", "provml:Input"), label, digest, attributes)


def _read_used_content(state: MappingState, entry: JournalEntry) -> Record:
    """Return the description of the dataset or input that a context or the run used.

    The description includes the digest, even if the digest was computed after the record was
    written.
    """
    content, number = entry.read_object("content"), series_number(entry.record)
    later = None if number is None else state.survey.digests.get((entry.writer, number))
    return _add_copy(state, content if later is None else add_later_digest(content, later))


def _add_copy(state: MappingState, content: Record) -> Record:
    """Return the description of a file. Adds the copy that the run keeps of a code file."""
    key = find_file_key(content)
    copied = None if key is None or "copy" in content else state.survey.code_copies.get(key)
    return content if copied is None else content | copied


def _use_statements(
    state: MappingState,
    entry: JournalEntry,
    kinds: tuple[str, str],
    label: str,
    digest: object,
    attributes: Attributes,
) -> Iterator[Statement]:
    """Yield the statements about content that a context or the run used.

    Args:
        kinds: the kind of content in two forms: as part of the entity's name, and as a PROV type.
    """
    kind, prov_type = kinds
    role = next((value for name, value in attributes if name == "provml:role"), None)
    version = state.versions.get((kind, label))
    if (
        version is None
        or digest is None
        or version.digest != digest
        or state.roles.get(version.name) != role
    ):
        version, before = state.add_version(kind, label, digest)
        state.roles[version.name] = role
        yield make_entity(version.name, prov_type, label, attributes)
        yield from relate_versions(version, before)
    state.content_used.append(ContentUse(version.name, entry.context))
    yield make_relation(
        "used", activity=context_name(entry.context), entity=version.name, time=entry.moment
    )


def _map_output(
    kind: str, prov_type: str, state: MappingState, entry: JournalEntry
) -> Iterator[Statement]:
    label, content = entry.read_text("name"), _add_copy(state, entry.read_object("content"))
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
    state.made.append(ContentMade(version.name, before.name if before else None, entry))
    yield make_relation("hadMember", collection=RESULTS, entity=version.name)
    inputs = [use.content for use in state.content_used if _reaches(use.context, entry.context)]
    for content in dict.fromkeys(inputs):
        yield make_relation("wasDerivedFrom", generatedEntity=version.name, usedEntity=content)


def _reaches(used_in: Path, made_in: Path) -> bool:
    """Return whether an input of one context may have influenced an output of another context.

    An input of the run may have influenced every output. An input of a context may have influenced
    the outputs of that context, of the contexts within it, and of the run.
    """
    return not used_in or not made_in or made_in[: len(used_in)] == used_in


def model_use_statements(state: MappingState) -> Iterator[Statement]:
    """Yield the statements about the use of models that the run itself made.

    A use refers to the latest version of the model that was made before the use. Artifacts and
    models that were made after the use are derived from that version if the use may have influenced
    them (see `_reaches`). Call this function after the records of all processes are mapped, because
    one process may use a model that another process made.
    """
    for use in state.model_uses:
        versions = sorted(state.outputs.get(use.target, []))
        before = [name for made_ns, name in versions if made_ns < use.time_ns]
        if not before:
            continue
        model = before[-1]
        yield make_relation(
            "used", activity=context_name(use.context), entity=model, time=Moment(use.time_ns)
        )
        for made in state.made:
            is_later = made.entry.time_ns > use.time_ns and made.revised != model
            if is_later and _reaches(use.context, made.entry.context):
                yield make_relation("wasDerivedFrom", generatedEntity=made.name, usedEntity=model)


def map_code(state: MappingState, entry: JournalEntry) -> Iterator[Statement]:
    """Map the record of a code or configuration file to PROV statements.

    A process of the run used the file. If several processes recorded the same content of a file,
    one entity represents that content.
    Yields nothing for a configuration file that was also logged as a dataset, input, artifact or
    model.
    """
    label, content = entry.read_text("name"), entry.read_object("content")
    role = entry.read_text("role")
    attributes: Attributes = [*content_attributes(content), ("provml:role", role)]
    if isinstance(entry.record.get("found_by"), str):
        attributes.append(("provml:foundBy", entry.record["found_by"]))
    if role == CONFIGURATION:
        kinds, digest = ("input", "provml:Input"), content.get("sha256")
        before = state.versions.get(("input", label))
        is_known = before is not None and before.digest == digest
        if find_file_key(content) in state.survey.logged_files or is_known:
            return iter(())
        return _use_statements(state, entry, kinds, label, digest, attributes)
    return _code_statements(state, entry, label, content, attributes)


def _code_statements(
    state: MappingState,
    entry: JournalEntry,
    label: str,
    content: Record,
    attributes: Attributes,
) -> Iterator[Statement]:
    script = _find_script(state, content)
    if script is not None:
        script.code = script.code or attributes
        return
    before = state.versions.get(("source", label))
    if before is None or before.digest != content.get("sha256"):
        version, before = state.add_version("source", label, content.get("sha256"))
        yield make_entity(version.name, "provml:SourceCode", label, attributes)
        yield from relate_versions(version, before)
        yield use_by_run(version.name, entry.moment)


def map_source(state: MappingState, entry: JournalEntry) -> Iterator[Statement]:
    """Map the record of source code to PROV, including the git commit and any uncommitted changes.

    If the source code is the script's file, one entity represents both.
    """
    content, git = entry.read_optional_object("content"), entry.read_optional_object("git")
    label = str(content.get("path") or git.get("root") or "source").rpartition("/")[2]
    attributes = content_attributes(content) + _git_attributes(git)
    if isinstance(entry.record.get("modules"), dict):
        attributes.append(("provml:modules", entry.read_json("modules")))
    if isinstance(git.get("untracked_total"), int):  # the list of untracked files is incomplete
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
        if script.source is not None:  # another rank may have written the same record
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
    """Return the version of the script that has the path and digest in ``content``, or None."""
    digest, path = content.get("sha256"), content.get("path")
    if digest is None or path is None:
        return None
    for script in state.scripts:
        if script.version.digest == digest and ("provml:path", path) in script.attributes:
            return script
    return None

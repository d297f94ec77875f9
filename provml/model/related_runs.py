"""Builds the statements that relate a run to its parent and its children.

Each related run has a document of its own. Therefore this run's document contains only the name of
the related run. Both documents use the same name, so they can be combined:

    activity(base:sweep/20260301T120000-abcdefgh/run, [prov:type='provml:RelatedRun', ...])
    wasInformedBy(run:run, base:sweep/20260301T120000-abcdefgh/run)

If the names of the parent and of this run have different base IRIs, the parent's name has the
prefix ``parent``.

Imports `record_mapping`, `names` and `vocabulary`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from provml.journal.description import RunReference, read_reference
from provml.model import vocabulary
from provml.model.damage import DamagedRecordError
from provml.model.names import RUN, encode_name
from provml.model.record_mapping import JournalEntry, MappingState, make_relation
from provml.model.statements import Name, Statement

_TYPE = "provml:RelatedRun"


def base_iri(description: Mapping[str, Any]) -> str:
    """Return the base IRI of a run's names.

    If the run has no namespace, the base IRI contains the store's id, so that names from different
    stores differ. Runs that were recorded by early versions of provml do not have this id.

    Args:
        description: the content of ``run.json``.
    """
    namespace, store_id = description.get("namespace"), description.get("store_id")
    own = "" if store_id is None else f"{encode_name(store_id)}/"
    return namespace or f"{vocabulary.DEFAULT_NAMESPACE}{own}"


def parent_prefixes(description: Mapping[str, Any]) -> dict[str, str]:
    """Return, as a dict, any prefix that the parent's name needs and the run does not declare.

    Returns {} if there is no such prefix.

    Args:
        description: the content of the run's ``run.json``.
    """
    parent = read_reference(description.get("parent"))
    if parent is None or parent.experiment is None:
        return {}
    base = base_iri(parent._asdict())
    return {} if base == base_iri(description) else {"parent": base}


def parent_statements(state: MappingState) -> Iterator[Statement]:
    """Yield the statements that relate a run to its parent, if the run has a parent."""
    description = state.survey.journal.description
    parent = read_reference(description.get("parent"))
    if parent is None or parent.experiment is None:
        return
    name = _name_run(parent, next(iter(parent_prefixes(description)), "base"))
    state.declare_once(name)
    yield _make_run(name, parent)
    yield make_relation("wasInformedBy", informed=RUN, informant=name)


def map_child(state: MappingState, entry: JournalEntry) -> Iterator[Statement]:
    """Map the record of a child run to PROV statements."""
    child = read_reference(entry.read_object("run"))
    if child is None or child.experiment is None:
        raise DamagedRecordError("the field 'run' does not identify a run")
    return _child_statements(state, child)


def _child_statements(state: MappingState, child: RunReference) -> Iterator[Statement]:
    name = _name_run(child, "base")
    if base_iri(child._asdict()) != base_iri(state.survey.journal.description):
        return  # only the child's document states the relation
    if state.declare_once(name):
        yield _make_run(name, child)
        yield make_relation("wasInformedBy", informed=name, informant=RUN)


def _name_run(run: RunReference, prefix: str) -> Name:
    local = RUN.partition(":")[2]
    return Name(f"{prefix}:{encode_name(str(run.experiment))}/{encode_name(run.id)}/{local}")


def _make_run(name: Name, run: RunReference) -> Statement:
    attributes: list[tuple[str, Any]] = [
        ("prov:type", Name(_TYPE)),
        ("prov:label", f"{run.experiment} {run.id}"),
        ("provml:name", run.id),
    ]
    return Statement("activity", name, {}, attributes)

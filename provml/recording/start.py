"""Starts a run, both for `start_run` in a script and for the command ``provml run``.

`validate_start` checks the arguments before anything is created; `open_run` creates the run and its
first records. Imports `child_runs`, `run`, `run_directory`, `collect.collector_selection` and
`base.settings`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from provml.base.context import validate_name
from provml.base.format_names import check_format
from provml.base.settings import Settings, default_store
from provml.collect.collector_selection import DEFAULT_COLLECTORS, check_collectors
from provml.collect.readings import Collector
from provml.collect.secrets import mask_text, use_mask_settings
from provml.errors import InvalidArgumentError
from provml.journal import layout
from provml.recording.active_runs import is_in_main_code
from provml.recording.checks import metadata_record, tag_record
from provml.recording.child_runs import Parent, record_child
from provml.recording.run import Run
from provml.recording.run_directory import open_directory, validate_namespace
from provml.version import __version__


class RunStart(NamedTuple):
    """The validated arguments for starting a run, as `validate_start` returns them."""

    description: dict[str, Any]
    """The content of ``run.json`` without the run's id."""
    settings_records: list[dict[str, Any]]
    """The records of the tags and the metadata. `open_run` replaces the times in these records."""
    formats: tuple[str, ...]
    """The formats of the documents to write when the run ends."""
    interval_s: float
    """The number of seconds between two readings of the machine; 0 means no readings."""
    collectors: tuple[str | Collector, ...]


def validate_start(
    settings: Settings,
    experiment: str,
    *,
    project: str | None = None,
    owner: str | None = None,
    namespace: str | None = None,
    labels: Mapping[str, str | None] | None = None,
    tags: Mapping[str, Any] | None = None,
    metadata: Mapping[str, Any] | None = None,
    formats: tuple[str, ...] = ("provjson",),
    sample_interval_s: float | None = None,
    collect: Iterable[str | Collector] | None = None,
) -> RunStart:
    """Check the arguments of `provml.start_run` without creating anything.

    Args:
        labels: more fields for ``run.json``, such as ``external_id``; None values are left out.

    Raises:
        InvalidArgumentError, ExportError: an argument is invalid.
    """
    from provml.collect.environment import find_login_name

    description = {
        "format": layout.FORMAT_VERSION,
        "experiment": validate_name(experiment, "experiment"),
        "project": None if project is None else validate_name(project, "project"),
        "owner": find_login_name() if owner is None else validate_name(owner, "owner"),
        "namespace": validate_namespace(namespace),
        "created": time.time_ns(),
        "provml": __version__,
    }
    if not settings.code:
        description["code"] = False
    description |= {
        key: validate_name(v, key) for key, v in (labels or {}).items() if v is not None
    }
    use_mask_settings(settings.mask)
    description = {
        key: mask_text(value) if isinstance(value, str) else value
        for key, value in description.items()
    }
    _validate_formats(formats)
    settings_records = _build_setting_records("tags", tags, tag_record)
    settings_records += _build_setting_records("metadata", metadata, metadata_record)
    return RunStart(
        description,
        settings_records,
        tuple(formats),
        _validate_interval(sample_interval_s, settings.sample_interval_s),
        check_collectors(
            collect if collect is not None else settings.collect or DEFAULT_COLLECTORS
        ),
    )


def open_run(
    settings: Settings,
    start: RunStart,
    execution: Mapping[str, Any],
    *,
    store: str | os.PathLike[str] | None = None,
    run_id: str | None = None,
    resume: bool = False,
    parent: Parent | None = None,
) -> Run:
    """Create the run's folder and files, and write the first records.

    Args:
        execution: the command line, script and folder, as `describe_execution` returns them.
        parent: the run that this run is a part of, or None.

    Raises:
        InvalidArgumentError: the run id is not a valid file name.
        RunExistsError: the run id is taken.
        StoreError, JournalError: the run's folder can't be created, read or written to.
    """
    from provml.collect.environment import describe_host

    own_id = settings.run_id if run_id is None else run_id
    description = start.description
    if parent is not None:
        if run_id is None and own_id == parent.reference.id:
            own_id = None  # PROVML_RUN_ID is the id of the parent
        store = parent.store if store is None else store
        description = _add_parent(description, parent, own_id)
    store = default_store() if store is None else store
    launch = None
    # a run that a thread or task starts, such as a trial, belongs to this rank alone
    if own_id is None and settings.rank is not None and is_in_main_code():
        from provml.recording.launch import find_launch

        launch = find_launch(os.environ, settings.rank)
    folder, resumed = open_directory(store, description, own_id, resume, settings, launch)
    run = Run(folder, folder.open_writer("owner"), start.formats, owner=True)
    facts = {"formats": list(start.formats), **execution, **describe_host()}
    now = time.time_ns()
    record = {"record": "start", "time": now, "resumed": resumed, **facts}
    run._append_all([record, *(one | {"time": now} for one in start.settings_records)])
    if parent is not None and "parent" in folder.description and not resumed:
        record_child(parent, run)
    return run


def _add_parent(description: dict[str, Any], parent: Parent, own_id: str | None) -> dict[str, Any]:
    """Add the parent to the content of a child's ``run.json``.

    If the child has no namespace, also add the parent's namespace.
    """
    reference = parent.reference
    if (own_id, description["experiment"]) == (reference.id, reference.experiment):
        return description  # this rank joins its parent process's run
    if description["namespace"] is None and parent.store is not None:
        description = description | {"namespace": reference.namespace}
    return description | {"parent": reference.to_json()}


def _validate_interval(given: object, default: float) -> float:
    if given is None:
        return default
    if isinstance(given, bool) or not isinstance(given, (int, float)) or not 0 <= given < 1e6:
        raise InvalidArgumentError(
            f"sample_interval_s must be a number of seconds, not {given!r}; 0 means no readings"
        )
    return float(given)


def _validate_formats(formats: object) -> None:
    if not isinstance(formats, (tuple, list)):
        raise InvalidArgumentError(f"formats must be a tuple or list of names, not {formats!r}")
    for name in formats:
        check_format(name)


def _build_setting_records(
    what: str, given: Mapping[str, Any] | None, record: Callable[[str, Any], dict[str, Any]]
) -> list[dict[str, Any]]:
    if given is not None and not isinstance(given, Mapping):
        raise InvalidArgumentError(f"{what} must be a mapping, not {given!r:.80}")
    return [record(name, value) for name, value in (given or {}).items()]

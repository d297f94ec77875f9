"""Child runs. A child run is a part of another run, its parent, as a trial is a part of a search.

`find_parent` finds the parent of a run that is being started. The child's ``run.json`` names the
parent. If this process can record into the parent, `record_child` also adds a record to the
parent's journal, so the documents of both runs contain the relation.

Imports `worker_run`, `run`, and the journal's readers.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Literal, NamedTuple

from provml.base.notices import warn_without_raising
from provml.base.settings import Settings, default_store
from provml.base.store_files import store_root
from provml.collect.secrets import mask_text
from provml.errors import InvalidArgumentError, ProvMLError, RunClosedError, RunNotFoundError
from provml.journal import layout
from provml.journal.description import RunReference, read_description, read_reference
from provml.journal.store_identity import open_store_id
from provml.recording.active_runs import active_runs, folder_of
from provml.recording.run import Run
from provml.recording.worker_run import find_own_run, find_run_or_none

ParentArgument = Run | str | os.PathLike[str] | Literal[False] | None
"""The types of the argument ``parent`` of `provml.start_run`."""

_KINDS = "a run, or a run's folder, id or <experiment>/<id>"


_must_be_given: ContextVar[bool] = ContextVar("provml_parent_must_be_given", default=False)


@contextmanager
def no_default_parent() -> Iterator[None]:
    """Turn off default parents: a run started in the ``with`` block has only an explicit parent."""
    before = _must_be_given.get()
    _must_be_given.set(True)
    try:
        yield
    finally:
        _must_be_given.set(before)  # `reset` would fail if the block ends in another context


class Parent(NamedTuple):
    """The parent of a run that is being started.

    Attributes:
        reference: the facts that identify the parent.
        store: the store in which the child is recorded by default; None if the parent does not
            determine the store.
        run: the parent as a `Run`, if this process can record into the parent; otherwise None.
    """

    reference: RunReference
    store: Path | None = None
    run: Run | None = None


def find_parent(given: ParentArgument, settings: Settings, store: Any = None) -> Parent | None:
    """Return the parent of a run that is being started, or None if that run has no parent.

    If the caller gives no parent, the parent is the first of these runs that exists:

    - the active run of this thread, task or process,
    - the active run of a process that started this process, unless ``provml run`` started both,
    - the run that ``PROVML_PARENT_RUN`` names.

    If no run has the given name, this function warns, and returns a parent that is known by name
    only.

    Args:
        given: the argument ``parent`` of `provml.start_run`; False for no parent.
        settings: the settings of this process.
        store: the store in which to look for a name; None for the default store.

    Raises:
        InvalidArgumentError: the argument is not a run or the name of a run.
    """
    if given is False:
        return None
    if given is not None:
        return _find_given(given, store)
    if _must_be_given.get():
        return None
    own = find_own_run()
    if own is not None:
        return describe_parent(own)
    if settings.joined_run is not None or active_runs.is_ambiguous():
        return None
    started_by = find_run_or_none()
    if started_by is not None:
        found = describe_parent(started_by)
        # if PROVML_STORE is set, this process records into that store, not into the parent's
        if found is not None and settings.store is not None:
            return found._replace(store=None)
        return found
    return None if settings.parent_run is None else _find_named(settings.parent_run, store)


def record_child(parent: Parent, child: Run) -> None:
    """Add a record about the child to the parent's journal, if this process can write to it."""
    if parent.run is None:
        return
    known = read_reference(child._folder.description)
    if known is None:
        return
    try:
        parent.run._append({"record": "child", "time": time.time_ns(), "run": known.to_json()})
    except RunClosedError:
        pass  # the parent has ended; the child's own files name the parent


def _find_given(given: object, store: Any) -> Parent | None:
    if isinstance(given, Run):
        return describe_parent(given)
    name = getattr(given, "path", given)  # a `RecordedRun` has a path
    if not isinstance(name, (str, os.PathLike)) or not isinstance(os.fspath(name), str):
        raise InvalidArgumentError(
            f"parent must be {_KINDS}, or False for no parent, not {given!r:.80}"
        )
    text = os.fspath(name)
    if not text or "\0" in text:
        raise InvalidArgumentError(f"parent must be {_KINDS}, not {text!r}")
    return _find_named(text, store)


def describe_parent(run: Run) -> Parent | None:
    """Return the `Parent` for a run that this process records; None if the run is disabled."""
    if folder_of(run) is None:
        return None
    reference = read_reference(run._folder.description)
    return None if reference is None else Parent(reference, run._folder.root, run)


def _find_named(name: str, store: Any) -> Parent:
    """Find a recorded run by its folder or name, and return it as a `Parent`.

    If no such run can be read, warn, and return a parent that is known by name only.
    """
    from provml.journal.store import find_run

    place = default_store() if store is None else store
    experiment, slash, own_id = name.rpartition("/")
    try:
        path = Path(place, layout.encode_folder_name(experiment), own_id) if slash else None
        description = None if path is None else read_description(path)
        if path is None or description is None:
            path = Path(os.path.abspath(find_run(name, place)))
            description = read_description(path)
        reference = read_reference(description)
    except (ProvMLError, OSError, ValueError) as error:
        path, reference = None, None
        reason = str(error) if isinstance(error, RunNotFoundError) else f"{name!r}: {error}"
    else:
        reason = f"run {name!r} has no readable run.json"
    if path is None or reference is None:
        warn_without_raising(
            "the parent of the new run can't be found, so only the parent's name is recorded: "
            f"{reason}"
        )
        return _guess_reference(name, place)
    folder = os.path.abspath(path)
    run = next((run for run in active_runs.all.copy() if folder_of(run) == folder), None)
    return Parent(reference, store_root(Path(folder)), run)


def _guess_reference(name: str, store: str | os.PathLike[str]) -> Parent:
    """Return a parent that is known by name only, assuming that the parent is in the store."""
    experiment, slash, own_id = name.rpartition("/")
    if not slash:
        return Parent(RunReference(mask_text(own_id)))
    try:
        store_id = open_store_id(Path(store).absolute())
    except (ProvMLError, OSError):
        store_id = None  # the start of the run fails later, for the same reason
    experiment = os.path.basename(experiment) if os.path.isabs(name) else experiment
    return Parent(RunReference(mask_text(own_id), mask_text(experiment), store_id=store_id))

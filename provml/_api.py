"""The module-level verbs: each is the active run's verb of the same name.

Imports `run` and what it stands on; nothing that derives.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from typing import Any, SupportsIndex

from provml.base.context import Context
from provml.base.event import Event, EventSource
from provml.base.settings import Settings, read_settings
from provml.collect.collector_selection import plan_collectors
from provml.collect.readings import Collector
from provml.errors import NoActiveRunError
from provml.recording import process_hooks
from provml.recording.annotations import MetadataUpdate, Timestamp
from provml.recording.disabled_run import DisabledRun
from provml.recording.joined_run import SOURCE, STARTED, join_run
from provml.recording.recorder import Target
from provml.recording.run import Run
from provml.recording.start import RunStart, open_run, validate_start


def start_run(
    experiment: str,
    *,
    store: str | os.PathLike[str] | None = None,
    run_id: str | None = None,
    project: str | None = None,
    owner: str | None = None,
    namespace: str | None = None,
    external_id: str | None = None,
    framework: str | None = None,
    task: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    resume: bool = False,
    tags: Mapping[str, Any] | None = None,
    formats: tuple[str, ...] = ("provjson",),
    sample_interval_s: float | None = None,
    collect: Iterable[str | Collector] | None = None,
    disabled: bool = False,
) -> Run:
    """Start recording a run and make it the active one; also a context manager.

    Under ``provml run`` this joins the run around the script: what it is called with is recorded
    as an event, and the command ends the run and writes the documents.

    Costs a few milliseconds. This verb alone raises when the disk is in trouble: nothing was
    trained yet. A body left by an exception ends the run as failed; a process that exits without
    `end_run` ends it too, and says how it exited.

    Args:
        experiment: the experiment's name.
        store: the folder that holds the runs; by default ``PROVML_STORE``, else
            ``provenance``.
        run_id: an id of one's own; by default the time and eight random characters. Ranks of a
            distributed job (``RANK``, ``SLURM_PROCID``, ...) that give the same id, here or by
            ``PROVML_RUN_ID``, record into one run.
        project: a name that groups experiments.
        owner: who is responsible; by default the login name.
        namespace: the base IRI of what the run describes; by default ``urn:provml:``.
        external_id: what the run is called elsewhere.
        framework: the framework that it is made with, ``"pytorch"``.
        task: what the model is to do, ``"detection"``.
        metadata: as by `update_metadata`, key by key.
        resume: go on with the run of that id, or, without one, with the experiment's latest
            run; starts a new one where there is none.
        tags: as by `set_tag`.
        formats: the documents to write at the end; ``()`` for none.
        sample_interval_s: seconds between two readings of the machine in the background; by
            default ``PROVML_SAMPLE_INTERVAL_S``, else 5; 0 for none.
        collect: what reads it: ``system``, ``disk``, ``network``, ``process``, ``gpu``,
            ``energy``, a name that another package announces, or a collector; by default
            ``PROVML_COLLECT``, else the six.
        disabled: accept every call and record nothing; also ``PROVML_DISABLED=1``.

    Raises:
        InvalidArgumentError, ExportError: an argument is unusable.
        RunExistsError: the run id is taken.
        StoreError: the folder can't be made or written.
    """
    from provml.collect.source import describe_execution

    settings = read_settings()
    told = {"external_id": external_id, "framework": framework, "task": task}
    start = validate_start(
        settings,
        experiment,
        project=project,
        owner=owner,
        namespace=namespace,
        told=told,
        tags=tags,
        metadata=metadata,
        formats=formats,
        sample_interval_s=sample_interval_s,
        collect=collect,
    )
    if disabled or settings.disabled:
        run: Run = DisabledRun(experiment)
        process_hooks.activate(run)
        return run
    if settings.joined_run is not None:
        asked = {"experiment": experiment, "run_id": run_id, "project": project, "owner": owner}
        return _join(settings, asked | told, start)
    run = open_run(settings, start, describe_execution(), store=store, run_id=run_id, resume=resume)
    process_hooks.activate(run)
    # of a job's processes on one machine, one reads what is the machine's
    machine_wide = settings.local_rank in (None, 0)
    _start_sampling(run, start, machine_wide)
    return run


def _start_sampling(run: Run, start: RunStart, machine_wide: bool) -> None:
    interval_s = start.interval_s
    planned = plan_collectors(start.collectors, interval_s, machine_wide) if interval_s else []
    run._start_sampling(interval_s, planned)


def _join(settings: Settings, asked: dict[str, Any], start: RunStart) -> Run:
    """The run around this process, whose machine and processes the command there reads."""
    run = join_run(settings)
    metadata = {key: value for key, value in asked.items() if value is not None}
    run.log_event(STARTED, source=SOURCE, metadata=metadata)
    now = time.time_ns()
    run._append_all([record | {"time": now} for record in start.said])
    process_hooks.activate(run)
    own = tuple(one for one in start.collectors if not isinstance(one, str))
    _start_sampling(run, start._replace(collectors=own), machine_wide=False)
    return run


def active_run() -> Run | None:
    """The run that was started last and has not ended; None where there is none."""
    run: Run | None = process_hooks.active()
    return run


def _active(verb: str) -> Run:
    run: Run | None = process_hooks.active()
    if run is None:
        raise NoActiveRunError(verb)
    return run


def end_run(status: str = "finished") -> None:
    """End the active run and write its documents; see `Run.end_run`."""
    _active("end_run").end_run(status)


def log_metric(
    name: str,
    value: Any,
    context: Context | str | None = None,
    step: SupportsIndex | None = None,
    *,
    epoch: SupportsIndex | None = None,
    timestamp: Timestamp | None = None,
    unit: str | None = None,
    of: Target | None = None,
) -> None:
    """Record one sample of a metric in the active run; see `Run.log_metric`."""
    stack = process_hooks.active_runs
    if not stack:
        raise NoActiveRunError("log_metric")
    stack[-1].log_metric(
        name, value, context, step, epoch=epoch, timestamp=timestamp, unit=unit, of=of
    )


def log_metrics(
    metrics: Mapping[str, Any],
    context: Context | str | None = None,
    step: SupportsIndex | None = None,
    *,
    epoch: SupportsIndex | None = None,
    timestamp: Timestamp | None = None,
    of: Target | None = None,
) -> None:
    """Record a sample of each metric in the active run; see `Run.log_metrics`."""
    _active("log_metrics").log_metrics(
        metrics, context, step, epoch=epoch, timestamp=timestamp, of=of
    )


def log_param(name: str, value: Any) -> None:
    """Record a parameter of the active run; see `Run.log_param`."""
    _active("log_param").log_param(name, value)


def log_params(params: Mapping[str, Any], prefix: str = "") -> None:
    """Record every parameter of a mapping; see `Run.log_params`."""
    _active("log_params").log_params(params, prefix)


def set_tag(name: str, value: Any) -> None:
    """Set a tag of the active run; see `Run.set_tag`."""
    _active("set_tag").set_tag(name, value)


def update_metadata(key: str, value: Any) -> MetadataUpdate:
    """Record metadata of the active run; see `Run.update_metadata`."""
    return _active("update_metadata").update_metadata(key, value)


def log_event(
    event: str | Event,
    *,
    source: str | EventSource | None = None,
    metadata: Mapping[str, Any] | None = None,
    context: Context | str | None = None,
    step: SupportsIndex | None = None,
    epoch: SupportsIndex | None = None,
    timestamp: Timestamp | None = None,
    of: Target | None = None,
) -> None:
    """Record that something happened in the active run; see `Run.log_event`."""
    _active("log_event").log_event(
        event,
        source=source,
        metadata=metadata,
        context=context,
        step=step,
        epoch=epoch,
        timestamp=timestamp,
        of=of,
    )


def log_dataset(
    name: str, data: object, *, context: Context | str | None = None, copy: bool = False
) -> None:
    """Record a dataset that the active run uses; see `Run.log_dataset`."""
    _active("log_dataset").log_dataset(name, data, context=context, copy=copy)


def log_artifact(
    path: str | os.PathLike[str],
    name: str | None = None,
    *,
    context: Context | str | None = None,
    step: SupportsIndex | None = None,
    epoch: SupportsIndex | None = None,
    metadata: Mapping[str, Any] | None = None,
    copy: bool | None = None,
) -> None:
    """Record a file or folder that the active run made; see `Run.log_artifact`."""
    _active("log_artifact").log_artifact(
        path, name, context=context, step=step, epoch=epoch, metadata=metadata, copy=copy
    )


def log_model(
    name: str,
    model: object,
    *,
    context: Context | str | None = None,
    step: SupportsIndex | None = None,
    epoch: SupportsIndex | None = None,
    copy: bool | None = None,
) -> None:
    """Record a model of the active run; see `Run.log_model`."""
    _active("log_model").log_model(name, model, context=context, step=step, epoch=epoch, copy=copy)


def log_source_code(path: str | os.PathLike[str] | None = None) -> None:
    """Record the source code of the active run; see `Run.log_source_code`."""
    _active("log_source_code").log_source_code(path)


def log_environment(variables: Iterable[str] = ()) -> None:
    """Record interpreter, packages and variables of the active run; see `Run.log_environment`."""
    _active("log_environment").log_environment(variables)


def log_flops_per_batch(
    label: str,
    context: Context | str | None,
    step: SupportsIndex | None = None,
    *,
    model: Any = None,
    batch: Any = None,
    epoch: SupportsIndex | None = None,
    backward: bool | None = None,
) -> None:
    """Record the FLOPs of a batch in the active run; see `Run.log_flops_per_batch`."""
    _active("log_flops_per_batch").log_flops_per_batch(
        label, context, step, model=model, batch=batch, epoch=epoch, backward=backward
    )


def log_flops_per_epoch(
    label: str,
    dataset: Any,
    context: Context | str | None,
    step: SupportsIndex | None = None,
    *,
    model: Any = None,
    batch: Any = None,
    epoch: SupportsIndex | None = None,
    backward: bool | None = None,
) -> None:
    """Record the FLOPs of a pass over a dataset; see `Run.log_flops_per_epoch`."""
    _active("log_flops_per_epoch").log_flops_per_epoch(
        label, dataset, context, step, model=model, batch=batch, epoch=epoch, backward=backward
    )


def count_flops(
    label: str,
    context: Context | str | None,
    step: SupportsIndex | None = None,
    *,
    epoch: SupportsIndex | None = None,
) -> AbstractContextManager[None]:
    """Record the FLOPs of a ``with`` block in the active run; see `Run.count_flops`."""
    return _active("count_flops").count_flops(label, context, step, epoch=epoch)


def log_system_metrics(
    context: Context | str | None = None,
    step: SupportsIndex | None = None,
    synchronous: bool = True,
    timestamp: Timestamp | None = None,
    *,
    epoch: SupportsIndex | None = None,
) -> None:
    """Record memory, disk and GPUs in use now; see `Run.log_system_metrics`."""
    _active("log_system_metrics").log_system_metrics(
        context, step, synchronous, timestamp, epoch=epoch
    )


def log_execution_start_time() -> None:
    """Record that the execution proper begins; see `Run.log_execution_start_time`."""
    _active("log_execution_start_time").log_execution_start_time()


def log_execution_end_time() -> None:
    """Record that the execution proper ends; see `Run.log_execution_end_time`."""
    _active("log_execution_end_time").log_execution_end_time()


def log_current_execution_time(
    label: str,
    context: Context | str | None = None,
    step: SupportsIndex | None = None,
    *,
    epoch: SupportsIndex | None = None,
) -> None:
    """Record the seconds since the execution started; see `Run.log_current_execution_time`."""
    _active("log_current_execution_time").log_current_execution_time(
        label, context, step, epoch=epoch
    )

"""The recording functions: `start_run`, `active_run`, and functions for the active run's methods.

Imports `recording` and the layers below it, but no modules that derive documents. Modules that only
`start_run` and worker processes need are imported on first use.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from functools import partial, update_wrapper
from typing import TYPE_CHECKING, Any, cast

from provml.base.settings import may_record_code, read_settings
from provml.collect.code_watch import WATCH
from provml.recording.active_runs import active_runs
from provml.recording.run import Run

if TYPE_CHECKING:
    from provml.collect.readings import Collector
    from provml.recording.child_runs import ParentArgument


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
    code: bool = True,
    disabled: bool = False,
    parent: ParentArgument = None,
) -> Run:
    """Start recording a run, and make it the active run. The run is also a context manager.

    Costs a few milliseconds. If the disk can't be written to, this function raises an error. If the
    disk fails later, provml only issues a warning, so that the training continues.

    The run is the active run of the thread or asyncio task that calls this function, and of all
    threads and tasks that the caller starts. `active_run` explains which run other threads and
    tasks record into. If another run is active, the new run is nested in that run and becomes its
    child. In that case, this function warns if no ``with`` block will end the other run.

    If an exception leaves the ``with`` block, the run ends as failed. If the process exits without
    calling `end_run`, provml ends the run and records how the process exited.

    Under ``provml run``, the script joins the run that the command started: provml records the
    arguments of this call as an event, and the command ends the run and writes the documents. A run
    with a parent never joins another run.

    Args:
        experiment: the experiment's name.
        store: the folder that contains the runs. The default is the parent's store; for a run
            without a parent, it is ``PROVML_STORE`` or, if that is not set, ``provenance``.
        run_id: the run's id; by default ``PROVML_RUN_ID`` or, if that is not set, the current time
            and eight random characters. If torchrun, srun or mpirun started this process as a rank
            of a job, the default is an id that all ranks share, so they record the same run.
        project: a name that groups experiments.
        owner: the person responsible; by default the login name. An e-mail address, an ORCID or an
            IRI identifies the person in the documents of all stores. Any other text identifies the
            person only in the documents of this store.
        namespace: the base IRI of the run's PROV identifiers; by default ``urn:provml:`` followed
            by the id of the store.
        external_id: the run's id in another system.
        framework: the machine-learning framework, such as ``"pytorch"``.
        task: the task of the model, such as ``"detection"``.
        metadata: a mapping of keys to values, as for `update_metadata`.
        resume: whether to resume an earlier run: the run with this id or, without an id, the
            experiment's latest run. If that run does not exist, a new run starts.
        tags: a mapping of names to values, as for `set_tag`.
        formats: the formats of the documents to write when the run ends; ``()`` writes none.
        sample_interval_s: the number of seconds between two background readings of the machine; 0
            means no readings. By default ``PROVML_SAMPLE_INTERVAL_S`` or, if that is not set, 5.
        collect: the collectors to use: ``system``, ``disk``, ``network``, ``process``, ``gpu``,
            ``energy``, the name of another package's collector, or a collector object. By default
            ``PROVML_COLLECT`` or, if that is not set, the first six of these.
        code: whether to record the code and configuration files that the script uses, with a copy
            of each. ``PROVML_CODE=off`` turns this off too. Under ``provml run``, the command's
            option ``--no-code`` decides instead. A child run gets no copies of its own if this
            process already records the code of the parent.
        disabled: whether to accept all calls but record nothing. ``PROVML_DISABLED=1`` has the same
            effect.
        parent: the run that this run is a part of: for example, the parent of a trial is the
            hyperparameter search. Pass a run, or the folder, the id or ``<experiment>/<id>`` of a
            run. By default, the parent is the first of these that exists: the active run of this
            process, the active run of the process that started this process, or the run that
            ``PROVML_PARENT_RUN`` names. False means no parent. If the parent can't be found, this
            function warns and records only the parent's name.

    Raises:
        InvalidArgumentError, ExportError: an argument is invalid.
        RunExistsError: the run id is taken.
        StoreError: the run's folder can't be created or written to.
    """
    from provml.recording.run_activation import activate_disabled_run, activate_run
    from provml.recording.start import validate_start

    settings = read_settings()
    settings = settings._replace(code=settings.code and code)
    labels = {"external_id": external_id, "framework": framework, "task": task}
    start = validate_start(
        settings,
        experiment,
        project=project,
        owner=owner,
        namespace=namespace,
        labels=labels,
        tags=tags,
        metadata=metadata,
        formats=formats,
        sample_interval_s=sample_interval_s,
        collect=collect,
    )
    if disabled or settings.disabled:
        return activate_disabled_run(experiment)
    asked = {"experiment": experiment, "run_id": run_id, "project": project, "owner": owner}
    return activate_run(
        settings,
        start,
        store=store,
        run_id=run_id,
        resume=resume,
        parent=parent,
        asked=asked | labels,
    )


def active_run() -> Run | None:
    """Return the run that functions such as `log_metric` record into; None if no run is active.

    The result is the first of these runs that exists:

    - the latest run that this thread or task started, or that was active in the code that started
      this thread or task,
    - the latest run of the main thread,
    - the active run of this process, if exactly one run is active,
    - in a process that another process started: the active run of that other process.

    Costs about a microsecond.
    """
    from provml.recording.worker_run import find_run_or_none

    return find_run_or_none()


def _find_run(verb: str) -> Run:
    """Return the run to record into, if that run depends on the calling thread or process.

    Args:
        verb: the name of the function that was called, for error messages.
    """
    from provml.recording.worker_run import find_run

    return find_run(verb)


def _log_metric_of_active(
    name: Any,
    value: Any,
    context: Any = None,
    step: Any = None,
    epoch: Any = None,
    *,
    timestamp: Any = None,
    unit: Any = None,
    of: Any = None,
) -> None:
    # named parameters are faster: *args and **kwargs would cost 0.2 microseconds per call
    run = active_runs.process_run
    if run is None:
        run = _find_run("log_metric")
    run.log_metric(name, value, context, step, epoch, timestamp=timestamp, unit=unit, of=of)


def _call_active(verb: str) -> Callable[..., Any]:
    """Build a function that finds the active run at each call, and calls one of its methods."""

    def call(*args: Any, **kwargs: Any) -> Any:
        run = active_runs.process_run
        if run is None:
            run = _find_run(verb)
        return getattr(run, verb)(*args, **kwargs)

    return call


class _ActiveRun:
    """An object whose attributes are functions that call methods of the active run.

    Each function has the signature and the docstring of the method of `Run` that it calls.
    """

    def __getattr__(self, verb: str) -> Callable[..., Any]:
        method = getattr(Run, verb)
        function: Any = _log_metric_of_active if verb == "log_metric" else _call_active(verb)
        update_wrapper(function, method)
        # so that inspect.signature and help() show the method's parameters without self
        function.__wrapped__ = partial(method, None)
        function.__module__, function.__qualname__ = (
            __name__,
            verb,
        )  # so that the function can be pickled
        return cast(Callable[..., Any], function)


# Type checkers and editors treat this object as a Run, so that signatures and docstrings are
# written only once. The standard library's random module creates its functions in the same way.
_active_run = cast(Run, _ActiveRun())

end_run = _active_run.end_run
log_metric = _active_run.log_metric
log_metrics = _active_run.log_metrics
log_param = _active_run.log_param
log_params = _active_run.log_params
set_tag = _active_run.set_tag
update_metadata = _active_run.update_metadata
log_event = _active_run.log_event
log_dataset = _active_run.log_dataset
log_artifact = _active_run.log_artifact
log_input = _active_run.log_input
use_model = _active_run.use_model
log_model = _active_run.log_model
log_source_code = _active_run.log_source_code
log_environment = _active_run.log_environment
log_flops_per_batch = _active_run.log_flops_per_batch
log_flops_per_epoch = _active_run.log_flops_per_epoch
count_flops = _active_run.count_flops
log_system_metrics = _active_run.log_system_metrics
log_execution_start_time = _active_run.log_execution_start_time
log_execution_end_time = _active_run.log_execution_end_time
log_current_execution_time = _active_run.log_current_execution_time

if may_record_code():
    WATCH.install()  # at import, because scripts often read their configuration before start_run

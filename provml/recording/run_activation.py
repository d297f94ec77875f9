"""Starts a run, makes it the active run, and starts everything that records in the background.

`provml.start_run` imports this module when a program first calls it. Imports `start`, `child_runs`,
`disabled_run`, `joined_run` and `process_hooks`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import Any

from provml.base.notices import warn_without_raising
from provml.base.settings import Settings
from provml.collect.collector_selection import plan_collectors
from provml.collect.source import describe_execution
from provml.recording import process_hooks
from provml.recording.active_runs import active_runs, folder_of
from provml.recording.child_runs import ParentArgument, find_parent
from provml.recording.joined_run import RUN_STARTED, SOURCE, join_run
from provml.recording.run import Run
from provml.recording.start import RunStart, open_run


def activate_disabled_run(experiment: str) -> Run:
    """Create a run that records nothing, make it the active run, and return it."""
    from provml.recording.disabled_run import DisabledRun

    run: Run = DisabledRun(experiment)
    process_hooks.activate(run)
    return run


def activate_run(
    settings: Settings,
    start: RunStart,
    *,
    store: str | os.PathLike[str] | None,
    run_id: str | None,
    resume: bool,
    parent: ParentArgument,
    asked: Mapping[str, Any],
) -> Run:
    """Start a run, or join the run that ``provml run`` started, and make it the active run.

    Args:
        settings: the settings of this process.
        start: the validated arguments of `provml.start_run`.
        store, run_id, resume, parent: as in `provml.start_run`.
        asked: the arguments of `provml.start_run` to record as an event, if this process joins the
            run that ``provml run`` started.

    Raises:
        InvalidArgumentError, RunExistsError, StoreError: as `provml.start_run`.
    """
    enclosing = active_runs.find_enclosing()
    found = find_parent(parent, settings, store)
    if settings.joined_run is not None and found is None:
        return _join_outer_run(settings, asked, start)
    run = open_run(
        settings,
        start,
        describe_execution(),
        store=store,
        run_id=run_id,
        resume=resume,
        parent=found,
    )
    process_hooks.activate(run)
    # a trial runs the same code as its parent, and this process already records the parent's code
    is_recorded = found is not None and found.run is not None and found.run._code is not None
    if run._folder.records_code and not is_recorded:
        run._start_code()
    _warn_about_open_run(enclosing, run)
    # only one process of a job on each machine takes readings of the machine itself
    machine_wide = settings.local_rank in (None, 0)
    _start_sampling(run, start, machine_wide)
    return run


def _warn_about_open_run(enclosing: Run | None, run: Run) -> None:
    """Warn if the new run is nested in a run that no ``with`` block will end.

    This happens, for example, if a notebook cell that starts a run is executed twice.
    """
    if enclosing is None or enclosing._is_block or enclosing in active_runs.guests:
        return
    if folder_of(enclosing) is None:  # a disabled run has no folder
        return
    before, now = f"{enclosing.experiment}/{enclosing.id}", f"{run.experiment}/{run.id}"
    warn_without_raising(
        f"run {before} has not ended, so run {now} is nested in it: functions such as "
        f"provml.log_metric now record into {now} and, after that run has ended, into {before} "
        "again. If you did not intend this, call provml.end_run() before you start the next run"
    )


def _start_sampling(run: Run, start: RunStart, machine_wide: bool) -> None:
    interval_s = start.interval_s
    planned = plan_collectors(start.collectors, interval_s, machine_wide) if interval_s else []
    run._start_sampling(interval_s, planned)


def _join_outer_run(settings: Settings, asked: Mapping[str, Any], start: RunStart) -> Run:
    """Join the run that ``provml run`` started, and record the arguments as an event.

    Starts only the caller's own collectors, because the command already takes the other readings.
    """
    run = join_run(settings)
    metadata = {key: value for key, value in asked.items() if value is not None}
    run.log_event(RUN_STARTED, source=SOURCE, metadata=metadata)
    now = time.time_ns()
    run._append_all([record | {"time": now} for record in start.settings_records])
    process_hooks.activate(run)
    own = tuple(one for one in start.collectors if not isinstance(one, str))
    _start_sampling(run, start._replace(collectors=own), machine_wide=False)
    return run

"""Records the studies and trials of Optuna.

    import provml.integrations.optuna

    provml.integrations.optuna.autolog()

| Optuna | provml |
|---|---|
| a trial | a child run, which is active while the objective runs |
| suggested parameters | parameters of the child run |
| reported intermediate values | the metric ``intermediate_value`` of the child run |
| the values of the objective | metrics of the child run, and of its parent with the trial as step |
| a pruned or failed trial | an interrupted or failed child run |
| directions, sampler, pruner, attributes and best parameters of the study | parameters |

Instead of calling `autolog`, you can pass a `ProvMLCallback` to ``Study.optimize``. The callback
records each trial when the trial is over.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from types import ModuleType
from typing import Any, Final

from provml.base.context import Context
from provml.capture.recorded_calls import CallEnd, RecordedCalls
from provml.capture.state import STATE
from provml.capture.trackers.identity_map import IdentityMap
from provml.capture.trackers.sources import find_active_run
from provml.integrations._child_runs import ChildMetric, ChildRuns
from provml.integrations._printed_lines import announce_printed_lines
from provml.integrations._recorder import FrameworkRecorder, never_raise
from provml.integrations._values import plain_settings
from provml.journal.values import plain_number
from provml.recording import process_hooks
from provml.recording.active_runs import active_runs
from provml.recording.run import Run

name: Final = "optuna"
modules: Final = ("optuna.study",)

LOWER_IS_BETTER: Final = "lower_is_better"
"""The tag that lists the child runs' metrics that Optuna minimises."""
INTERMEDIATE_VALUE: Final = "intermediate_value"
"""The metric that contains the intermediate values of a trial."""
_STATUSES: Final = {
    "COMPLETE": ("finished", None),
    "PRUNED": ("interrupted", "pruned"),
    "FAIL": ("failed", None),
    "RUNNING": ("failed", "the trial did not end"),
}


class _Study:
    """A study that is recorded.

    Attributes:
        run: the run whose children are the trials.
        children: the object that starts the child runs.
        recorded: the numbers of the trials that have been recorded.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self.children = ChildRuns(run, name)
        self.recorded: set[int] = set()


class _Studies:
    """The recorded studies of this process, by their Optuna ``Study`` objects."""

    def __init__(self) -> None:
        self.known: IdentityMap[_Study] = IdentityMap()

    def find(self, study: Any) -> _Study | None:
        """Return the `_Study` that belongs to an Optuna study; None if no run is active.

        The first call for an Optuna study ties the study to the run that is active at that time,
        until that run ends.
        """
        found = self.known.get(study)
        if found is not None and not found.run.closed:
            return found
        run = find_active_run()
        if run is None or run.closed:
            return None
        announce_printed_lines(name)
        found = _Study(run)
        self.known.add(study, found)
        return found


class _Trial(threading.local):
    """The trial that ``Study.optimize`` runs in a thread.

    Attributes:
        is_running: whether ``Study.optimize`` is running a trial in this thread.
        child: the child run of the trial; None if the trial is not recorded.
        trial: Optuna's object for the trial.
        error: the exception that the objective raised, or None.
    """

    def __init__(self) -> None:
        self.is_running = False
        self.child: Run | None = None
        self.trial: Any = None
        self.error: BaseException | None = None


def autolog() -> None:
    """Start to record what Optuna reports, as ``provml run`` does. Idempotent.

    The trials of a study become child runs of the active run.
    """
    from provml.integrations import autolog

    autolog(name)


def patch(module: ModuleType, calls: RecordedCalls) -> None:
    """Wrap Optuna's functions, so that studies and trials are recorded."""
    import optuna.study._optimize as optimizing
    from optuna.trial import Trial

    study = module.Study
    calls.surround(study, "optimize", _begin_study)
    calls.surround(optimizing, "_run_trial", _begin_trial)
    calls.record(study, "ask", _asked, leaf=True, nested=True)
    calls.record(study, "tell", _told, leaf=True, nested=True)
    calls.record(Trial, "_suggest", _suggested, leaf=True, nested=True)
    calls.record(Trial, "report", _reported, leaf=True, nested=True)
    if hasattr(optimizing, "_log_failed_trial"):
        calls.record_before(optimizing, "_log_failed_trial", _failed)


# -- studies ----------------------------------------------------------------------------------


def _begin_study(study: Any, *_: Any, **__: Any) -> CallEnd | None:
    found = STATE.part(_Studies).find(study)
    if found is None:
        return None
    log_study(found.run, study)

    def end(result: None, error: BaseException | None) -> None:
        log_best(found.run, study)

    return end


def log_study(run: Run, study: Any) -> None:
    """Record the settings and attributes of a study as parameters."""
    settings = {
        "study_name": study.study_name,
        "directions": [direction.name.lower() for direction in study.directions],
        "sampler": type(study.sampler).__name__,
        "pruner": type(study.pruner).__name__,
    }
    run.log_params(settings, prefix="optuna.")
    if [direction.name for direction in study.directions] == ["MINIMIZE"]:
        metrics = [INTERMEDIATE_VALUE, *(getattr(study, "metric_names", None) or ["value"])]
        run.set_tag(LOWER_IS_BETTER, ", ".join(metrics))
    if study.user_attrs:
        run.log_params(plain_settings(study.user_attrs), prefix="optuna.user_attrs.")


def log_best(run: Run, study: Any) -> None:
    """Record the parameters and the value of the best trial of a study with one objective."""
    if run.closed or len(study.directions) > 1:
        return
    try:
        best = study.best_trial
    except ValueError:  # no trial is complete
        return
    run.log_params(plain_settings(best.params), prefix="best_params.")
    run.log_metric("best_value", best.value, Context.VALIDATION, best.number)


# -- trials -----------------------------------------------------------------------------------


def _begin_trial(study: Any, *_: Any, **__: Any) -> CallEnd:
    state = STATE.part(_Trial)
    state.is_running, state.child, state.trial, state.error = True, None, None, None

    def end(result: Any, error: BaseException | None) -> None:
        child, trial = state.child, state.trial
        state.is_running, state.child, state.trial = False, None, None
        found = STATE.part(_Studies).find(study)
        if child is None:
            return
        try:
            if found is not None and trial is not None:
                frozen = study._storage.get_trial(trial._trial_id)
                _finish_trial(found, child, frozen, study, state.error or error)
        finally:
            if not child.closed:
                child.end_run("failed", exception=error)
            active_runs.forget_ended()

    return end


def _asked(trial: Any, study: Any, *_: Any, **__: Any) -> None:
    state = STATE.part(_Trial)
    found = STATE.part(_Studies).find(study) if state.is_running else None
    if found is None:
        return
    state.trial = trial
    state.child = found.children.start({"study": study.study_name, "trial": trial.number})
    process_hooks.activate(state.child)


def _suggested(value: Any, trial: Any, parameter: str, *_: Any, **__: Any) -> None:
    state = STATE.part(_Trial)
    if state.child is not None and state.trial is trial:
        state.child.log_params(plain_settings({parameter: value}))


def _reported(result: None, trial: Any, value: Any, step: Any, *_: Any, **__: Any) -> None:
    state = STATE.part(_Trial)
    if state.child is not None and state.trial is trial:
        number = float(value)
        state.child.log_metric(INTERMEDIATE_VALUE, number, Context.VALIDATION, int(step))


def _failed(*args: Any, exc_info: Any = None, **_: Any) -> None:
    if isinstance(exc_info, tuple) and len(exc_info) > 1:
        STATE.part(_Trial).error = exc_info[1]


def _finish_trial(
    found: _Study, child: Run, frozen: Any, study: Any, error: BaseException | None
) -> None:
    """Record a trial's result in its child run and in the study's run, and end the child run."""
    found.recorded.add(frozen.number)
    missing = {key: value for key, value in frozen.params.items() if key not in child.params}
    child.log_params(plain_settings(missing))
    if frozen.user_attrs:
        child.log_params(plain_settings(frozen.user_attrs), prefix="user_attrs.")
    for metric in _result_metrics(study, frozen):
        child.log_metric(metric.name, metric.value, metric.context)
        found.run.log_metric(metric.name, metric.value, metric.context, frozen.number)
    status, reason = _read_state(frozen)
    child.end_run(status, reason=reason, exception=error if status == "failed" else None)


def _read_state(frozen: Any) -> tuple[str, str | None]:
    status, reason = _STATUSES.get(frozen.state.name, ("interrupted", frozen.state.name.lower()))
    if status == "interrupted" and frozen.intermediate_values:
        reason = f"{reason} at step {max(frozen.intermediate_values)}"
    return status, reason


def _result_metrics(study: Any, frozen: Any) -> Iterator[ChildMetric]:
    """Yield the values of a trial's objective, under the names that the study gives them."""
    if frozen.state.name != "COMPLETE" or not frozen.values:
        return
    names = getattr(study, "metric_names", None)
    if not names:
        single = len(frozen.values) == 1
        names = ["value"] if single else [f"value_{n}" for n in range(len(frozen.values))]
    for own_name, value in zip(names, frozen.values, strict=False):
        yield ChildMetric(own_name, plain_number(value), Context.VALIDATION)


def _told(frozen: Any, study: Any, *_: Any, **__: Any) -> None:
    """Record a trial that the script runs itself, with ``ask`` and ``tell``."""
    if not STATE.part(_Trial).is_running:
        found = STATE.part(_Studies).find(study)
        if found is not None:
            _record_trial(found, study, frozen)


def _record_trial(found: _Study, study: Any, frozen: Any) -> None:
    """Record an ended trial as a child run, unless the trial is already recorded."""
    if frozen.number in found.recorded:
        return
    found.recorded.add(frozen.number)
    results = list(_result_metrics(study, frozen))
    reports = [
        ChildMetric(INTERMEDIATE_VALUE, float(value), Context.VALIDATION, step)
        for step, value in sorted(frozen.intermediate_values.items())
    ]
    settings = plain_settings(frozen.params)
    settings |= {f"user_attrs.{k}": v for k, v in plain_settings(frozen.user_attrs).items()}
    tags = {"study": study.study_name, "trial": frozen.number}
    found.children.record(tags, settings, [*reports, *results], *_read_state(frozen))
    for metric in results:
        found.run.log_metric(metric.name, metric.value, metric.context, frozen.number)


class ProvMLCallback:
    """A callback for ``Study.optimize`` that records each trial as a child of the active run.

    If no run is active, the callback starts one.

    Args:
        experiment: the experiment of the run to start; by default the name of the script.
    """

    def __init__(self, experiment: str | None = None) -> None:
        self._recorder = FrameworkRecorder(name, starts_run=True, experiment=experiment)

    @never_raise
    def __call__(self, study: Any, trial: Any) -> None:
        """Record a trial that has ended."""
        self._recorder.find_run()
        found = STATE.part(_Studies).find(study)
        if found is not None:
            if not found.recorded:
                log_study(found.run, study)
            _record_trial(found, study, trial)

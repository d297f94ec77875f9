"""Records the trials of Ray Tune.

    import provml.integrations.ray

    provml.integrations.ray.autolog()

| Ray Tune | provml |
|---|---|
| a trial | a child run, recorded by the process that runs the ``Tuner`` |
| the configuration of a trial | parameters of the child |
| reported values | metrics of the child; the step is ``training_iteration`` |
| a failed trial | a failed child |
| a trial that has not ended when the experiment ends | an interrupted child |

Instead of calling `autolog`, you can pass a `ProvMLCallback` in ``RunConfig(callbacks=[...])``.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from types import ModuleType
from typing import Any, Final

from ray.tune import Callback

from provml.base.context import Context
from provml.capture.metric_contexts import context_from_name
from provml.capture.recorded_calls import RecordedCalls
from provml.capture.state import STATE
from provml.capture.trackers.identity_map import IdentityMap
from provml.capture.trackers.sources import find_active_run
from provml.integrations._child_runs import ChildRuns
from provml.integrations._printed_lines import announce_printed_lines
from provml.integrations._recorder import FrameworkRecorder, never_raise
from provml.integrations._values import plain_settings
from provml.journal.values import plain_number
from provml.recording.checks import flatten
from provml.recording.run import Run

name: Final = "ray"
modules: Final = ("ray.tune",)

_ABOUT_TRIAL: Final = frozenset(
    (
        "config",
        "date",
        "done",
        "experiment_id",
        "experiment_tag",
        "hostname",
        "iterations_since_restore",
        "node_ip",
        "pid",
        "should_checkpoint",
        "time_since_restore",
        "time_this_iter_s",
        "time_total_s",
        "timestamp",
        "timesteps_since_restore",
        "timesteps_total",
        "training_iteration",
        "trial_id",
        "warmup_time",
    )
)
"""The names of values that Ray Tune adds to each result. These values are not metrics."""


class _Experiment:
    """The trials of one experiment of Ray Tune, recorded as the children of a run.

    Attributes:
        children: the object that starts the child runs.
        runs: the child runs of the trials that have not ended, by trial id.
    """

    def __init__(self, run: Run) -> None:
        self.children = ChildRuns(run, name)
        self.runs: dict[str, Run] = {}

    def start(self, trial: Any) -> Run:
        """Return the child run of a trial. The first call for a trial starts the child run."""
        child = self.runs.get(trial.trial_id)
        if child is None:
            child = self.children.start({"trial": trial.trial_id})
            self.runs[trial.trial_id] = child
            child.log_params(flatten(plain_settings(trial.config), ""))
        return child

    def log_result(self, trial: Any, result: Mapping[str, Any]) -> None:
        """Record the values that a trial has reported."""
        child = self.start(trial)
        own = {key: value for key, value in result.items() if key not in _ABOUT_TRIAL}
        step = plain_number(result.get("training_iteration"))
        own_step = step if isinstance(step, int) else None
        for metric, value in flatten(own, "").items():
            number = plain_number(value)
            if isinstance(number, (int, float)) and not isinstance(number, bool):
                context = context_from_name(metric) or Context.TRAINING
                child.log_metric(metric, number, context, own_step)

    def end(self, trial: Any, status: str, reason: str | None = None) -> None:
        """End the child run of a trial."""
        self.start(trial).end_run(status, reason=reason)
        del self.runs[trial.trial_id]

    def finish(self) -> None:
        """End the child runs of the trials that have not ended."""
        while self.runs:
            self.runs.popitem()[1].end_run("interrupted", reason="the experiment ended first")


class _Experiments:
    """The recorded experiments of this process, by owner (see `find`)."""

    def __init__(self) -> None:
        self.known: IdentityMap[_Experiment] = IdentityMap()

    def find(self, owner: Any) -> _Experiment | None:
        """Return the experiment of an owner; None if no run is active.

        The first call for an owner ties its experiment to the run that is active at that time.

        Args:
            owner: the experiment's list of callbacks, or the `ProvMLCallback` in that list.
        """
        found = self.known.get(owner)
        if found is None:
            run = find_active_run()
            if run is None or run.closed:
                return None
            announce_printed_lines(name)
            found = _Experiment(run)
            self.known.add(owner, found)
        return found


def autolog() -> None:
    """Start to record what Ray Tune reports, as ``provml run`` does. Idempotent.

    The trials of an experiment become child runs of the active run.
    """
    from provml.integrations import autolog

    autolog(name)


def patch(module: ModuleType, calls: RecordedCalls) -> None:
    """Wrap the methods that call an experiment's callbacks, so that the trials are recorded."""
    callbacks = sys.modules["ray.tune.callback"].CallbackList
    calls.record_before(callbacks, "on_trial_start", _started)
    calls.record_before(callbacks, "on_trial_result", _reported)
    calls.record_before(callbacks, "on_trial_complete", _completed)
    calls.record_before(callbacks, "on_trial_error", _failed)
    calls.record_before(callbacks, "on_experiment_end", _ended)


def _find(callbacks: Any) -> _Experiment | None:
    """Return the experiment of a list of callbacks; None if it contains a `ProvMLCallback`."""
    own = any(isinstance(callback, ProvMLCallback) for callback in callbacks._callbacks)
    return None if own else STATE.part(_Experiments).find(callbacks)


def _started(callbacks: Any, trial: Any, **_: Any) -> None:
    if (found := _find(callbacks)) is not None:
        found.start(trial)


def _reported(callbacks: Any, trial: Any, result: Any, **_: Any) -> None:
    if (found := _find(callbacks)) is not None:
        found.log_result(trial, result)


def _completed(callbacks: Any, trial: Any, **_: Any) -> None:
    if (found := _find(callbacks)) is not None:
        found.end(trial, "finished")


def _failed(callbacks: Any, trial: Any, **_: Any) -> None:
    if (found := _find(callbacks)) is not None:
        found.end(trial, "failed", _read_error(trial))


def _ended(callbacks: Any, **_: Any) -> None:
    if (found := _find(callbacks)) is not None:
        found.finish()


def _read_error(trial: Any) -> str:
    """Return the last line of a trial's error."""
    error = trial.get_error() if hasattr(trial, "get_error") else None
    lines = [line for line in str(error or "").splitlines() if line.strip()]
    return lines[-1].strip() if lines else "the trial failed"


class ProvMLCallback(Callback):
    """A callback that records each trial as a child of the active run.

    If no run is active, the callback starts one.

    Args:
        experiment: the experiment of the run to start; by default the name of the script.
    """

    def __init__(self, experiment: str | None = None) -> None:
        self._recorder = FrameworkRecorder(name, starts_run=True, experiment=experiment)

    @never_raise
    def setup(self, **_: Any) -> None:
        """Start a run if none is active."""
        self._recorder.find_run()

    @never_raise
    def on_trial_start(self, iteration: int, trials: Any, trial: Any, **_: Any) -> None:
        """Start the child run of a trial."""
        if (found := STATE.part(_Experiments).find(self)) is not None:
            found.start(trial)

    @never_raise
    def on_trial_result(
        self, iteration: int, trials: Any, trial: Any, result: Any, **_: Any
    ) -> None:
        """Record the values that a trial has reported."""
        if (found := STATE.part(_Experiments).find(self)) is not None:
            found.log_result(trial, result)

    @never_raise
    def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **_: Any) -> None:
        """End the child run of a trial."""
        if (found := STATE.part(_Experiments).find(self)) is not None:
            found.end(trial, "finished")

    @never_raise
    def on_trial_error(self, iteration: int, trials: Any, trial: Any, **_: Any) -> None:
        """End the child run of a failed trial."""
        if (found := STATE.part(_Experiments).find(self)) is not None:
            found.end(trial, "failed", _read_error(trial))

    @never_raise
    def on_experiment_end(self, trials: Any, **_: Any) -> None:
        """End the child runs of the trials that have not ended."""
        if (found := STATE.part(_Experiments).find(self)) is not None:
            found.finish()

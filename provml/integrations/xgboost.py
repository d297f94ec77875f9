"""Records trainings with XGBoost.

    import provml.integrations.xgboost

    provml.integrations.xgboost.autolog()

| XGBoost | provml |
|---|---|
| values of the evaluation sets | metrics with the round as step; the set's name gives the context |
| parameters of ``train`` or of an estimator | parameters |
| data of an estimator or a ``DMatrix`` | datasets |
| the trained booster, and files saved with ``save_model`` | a model and its versions |

Instead of calling `autolog`, you can pass a `ProvMLCallback` to ``xgboost.train`` or to an
estimator. The callback records only the metrics and the booster.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Any, Final

from xgboost.callback import CallbackContainer, TrainingCallback

from provml.base.context import Context
from provml.capture.recorded_calls import CallEnd, RecordedCalls
from provml.capture.state import STATE
from provml.capture.trackers.sources import find_active_run
from provml.integrations._data_sources import DataSources, TrainingData, copy_data
from provml.integrations._fits import Fit, begin_fit
from provml.integrations._recorder import FrameworkRecorder, never_raise
from provml.integrations._trainings import (
    Trainings,
    build_fit_start,
    list_evaluation_data,
    log_evaluations,
    surround_fits,
    surround_function,
)

name: Final = "xgboost"
modules: Final = ("xgboost",)

_ARGUMENTS: Final = ("early_stopping_rounds", "maximize", "nfold", "stratified", "seed")
_ESTIMATORS: Final = ("XGBModel", "XGBClassifier", "XGBRanker")


class _Trainings(Trainings):
    """The running trainings of XGBoost in each thread."""


def autolog() -> None:
    """Start to record what XGBoost reports, as ``provml run`` does. Idempotent.

    A training is recorded in the run that is active when the training begins.
    """
    from provml.integrations import autolog

    autolog(name)


def patch(module: ModuleType, calls: RecordedCalls) -> None:
    """Wrap XGBoost's functions, so that trainings and saved models are recorded."""
    sklearn = getattr(module, "sklearn", None)
    for function in ("train", "cv"):
        surround_function(calls, (module.training, module, sklearn), function, _begin_training)
    calls.record(CallbackContainer, "after_iteration", _iterated, leaf=True, nested=True)
    calls.record(module.Booster, "save_model", _saved, leaf=True, nested=True)
    for kind in ("DMatrix", "QuantileDMatrix"):
        matrix = getattr(module, kind, None)
        if matrix is not None and "__init__" in vars(matrix):
            calls.record(matrix, "__init__", _built, leaf=True, nested=True)
    surround_fits(calls, sklearn, _ESTIMATORS, build_fit_start(name, _Trainings))


def _built(result: None, matrix: Any, data: Any, label: Any = None, *_: Any, **__: Any) -> None:
    STATE.part(DataSources).note(matrix, data, label)


def _read_data(matrix: Any) -> TrainingData | None:
    """Return the original data of a ``DMatrix`` or, if that data is gone, a copy of its values."""
    found = STATE.part(DataSources).find(matrix)
    if found is not None:
        return found
    return copy_data(matrix.num_row(), matrix.num_col(), matrix.get_data, matrix.get_label)


def _begin_training(
    params: Any, dtrain: Any, num_boost_round: int = 10, *_: Any, **options: Any
) -> CallEnd | None:
    settings = dict(params) if isinstance(params, (Mapping, list)) else {}
    settings["num_boost_round"] = num_boost_round
    settings |= {key: options[key] for key in _ARGUMENTS if key in options}

    def read_data() -> Iterator[tuple[Context, TrainingData | None]]:
        yield Context.TRAINING, _read_data(dtrain)
        yield from list_evaluation_data(options.get("evals") or (), dtrain, _read_data)

    return STATE.part(_Trainings).begin_training(name, settings, read_data, _end_training)


def _end_training(fit: Fit, result: Any) -> None:
    if hasattr(result, "save_model"):  # ``cv`` returns no booster
        fit.log_model(result)


def _iterated(result: bool, container: Any, model: Any, epoch: int, *_: Any) -> None:
    fit = STATE.part(_Trainings).current
    if fit is not None and not any(isinstance(c, ProvMLCallback) for c in container.callbacks):
        _log_history(fit, container.history, epoch)


def _log_history(fit: Fit, history: Mapping[str, Mapping[str, Any]], epoch: int) -> None:
    latest = {
        data: [(metric, values[-1]) for metric, values in metrics.items()]
        for data, metrics in history.items()
    }
    log_evaluations(fit, latest, epoch)


def _saved(result: None, booster: Any, fname: Any, *_: Any, **__: Any) -> None:
    """Record a file that XGBoost's C++ code has written, because no audit hook sees the file."""
    run = find_active_run()
    if run is not None and not run.closed and os.path.isfile(fname):
        run.log_model(os.path.basename(fname), fname, Context.TRAINING)


class ProvMLCallback(TrainingCallback):
    """A callback that records the booster and the metrics of the evaluation sets.

    The callback records in the active run, or starts a run if none is active.

    Args:
        experiment: the experiment of the run to start; by default the name of the script.
    """

    def __init__(self, experiment: str | None = None) -> None:
        self._recorder = FrameworkRecorder(name, starts_run=True, experiment=experiment)
        self._fit: Fit | None = None

    def before_training(self, model: Any) -> Any:
        """Find the run to record in, or start one."""
        self._begin()
        return model

    @never_raise
    def _begin(self) -> None:
        self._recorder.find_run()
        self._fit = STATE.part(_Trainings).current or begin_fit(name, name)

    def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
        """Record the metrics of all evaluation sets after a round of training."""
        self._log(evals_log, epoch)
        return False

    @never_raise
    def _log(self, history: Any, epoch: int) -> None:
        if self._fit is not None:
            _log_history(self._fit, history, epoch)

    def after_training(self, model: Any) -> Any:
        """Record the trained booster as a model."""
        self._end(model)
        return model

    @never_raise
    def _end(self, model: Any) -> None:
        if self._fit is not None and STATE.part(_Trainings).current is None:
            _end_training(self._fit, model)
        self._fit = None

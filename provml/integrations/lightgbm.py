"""Records trainings with LightGBM.

    import provml.integrations.lightgbm

    provml.integrations.lightgbm.autolog()

| LightGBM | provml |
|---|---|
| values of the evaluation sets | metrics with the round as step; the set's name gives the context |
| parameters of ``train`` or of an estimator | parameters |
| data of an estimator or a ``Dataset`` | datasets |
| the trained booster, and files saved with ``save_model`` | a model and its versions |

Instead of calling `autolog`, you can add ``provml_callback()`` to the callbacks of
``lightgbm.train`` or ``fit``. The callback records only the metrics.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from types import ModuleType
from typing import Any, Final

from provml.base.context import Context
from provml.capture.recorded_calls import CallEnd, RecordedCalls
from provml.capture.state import STATE
from provml.capture.trackers.sources import find_active_run
from provml.integrations._data_sources import TrainingData, find_file
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

name: Final = "lightgbm"
modules: Final = ("lightgbm",)

_ESTIMATORS: Final = ("LGBMModel", "LGBMClassifier", "LGBMRegressor", "LGBMRanker")
_ARGUMENTS: Final = ("nfold", "stratified", "shuffle", "metrics", "seed")


class _Trainings(Trainings):
    """The running trainings of LightGBM in each thread.

    Attributes:
        has_callback: whether the hooks leave out the metrics of the training, because `_Callback`
            or `_end_folds` records these metrics.
    """

    def __init__(self) -> None:
        super().__init__()
        self.has_callback = False


def autolog() -> None:
    """Start to record what LightGBM reports, as ``provml run`` does. Idempotent.

    A training is recorded in the run that is active when the training begins.
    """
    from provml.integrations import autolog

    autolog(name)


def patch(module: ModuleType, calls: RecordedCalls) -> None:
    """Wrap LightGBM's functions, so that trainings and saved models are recorded."""
    sklearn = getattr(module, "sklearn", None)
    owners = (module.engine, module, sklearn)
    surround_function(calls, owners, "train", _begin_training)
    surround_function(calls, owners, "cv", _begin_folds)
    for method in ("eval_train", "eval_valid"):
        calls.record(module.Booster, method, _evaluated, leaf=True, nested=True)
    calls.record(module.Booster, "save_model", _saved, leaf=True, nested=True)
    surround_fits(calls, sklearn, _ESTIMATORS, build_fit_start(name, _Trainings, _note_callbacks))


def _note_callbacks(options: Mapping[str, Any]) -> None:
    STATE.part(_Trainings).has_callback = _has_own_callback(options.get("callbacks"))


def _begin_training(
    params: Any, train_set: Any, num_boost_round: int = 100, *_: Any, **options: Any
) -> CallEnd | None:
    trainings = STATE.part(_Trainings)
    if not trainings.stack:
        trainings.has_callback = _has_own_callback(options.get("callbacks"))
    settings = dict(params) if isinstance(params, Mapping) else {}
    settings["num_boost_round"] = num_boost_round

    def read_data() -> Iterator[tuple[Context, TrainingData | None]]:
        yield Context.TRAINING, _read_data(train_set)
        sets = options.get("valid_sets") or ()
        sets = list(sets) if isinstance(sets, (list, tuple)) else [sets]
        names = options.get("valid_names") or ()
        names = [names] if isinstance(names, str) else [*names]
        names += [f"valid_{place}" for place in range(len(names), len(sets))]
        named = zip(sets, names, strict=False)
        yield from list_evaluation_data(named, train_set, _read_data)

    return trainings.begin_training(name, settings, read_data, _end_training)


def _begin_folds(
    params: Any, train_set: Any, *arguments: Any, num_boost_round: int = 100, **options: Any
) -> CallEnd | None:
    trainings = STATE.part(_Trainings)
    trainings.has_callback = True  # `_end_folds` records the metrics
    settings = dict(params) if isinstance(params, Mapping) else {}
    settings["num_boost_round"] = num_boost_round
    settings |= {key: options[key] for key in _ARGUMENTS if key in options}

    def read_data() -> list[tuple[Context, TrainingData | None]]:
        return [(Context.TRAINING, _read_data(train_set))]

    return trainings.begin_training(name, settings, read_data, _end_folds)


def _read_data(dataset: Any) -> TrainingData | None:
    """Return the data in a ``lightgbm.Dataset``; None if LightGBM has freed it."""
    features = getattr(dataset, "data", None)
    if isinstance(features, (str, os.PathLike)):
        features = find_file(features)
    return None if features is None else TrainingData(features, dataset.label)


def _has_own_callback(callbacks: Any) -> bool:
    return any(isinstance(c, _Callback) for c in callbacks or ())


def _end_training(fit: Fit, booster: Any) -> None:
    fit.log_model(booster)


def _end_folds(fit: Fit, results: Any) -> None:
    """Record what ``cv`` returns: the means and standard deviations over the folds."""
    for key, values in results.items():
        if isinstance(values, list):
            data, _, metric = key.partition(" ")
            for step, value in enumerate(values):
                log_evaluations(fit, {data: [(metric or key, value)]}, step)


def _evaluated(result: Any, booster: Any, *_: Any, **__: Any) -> None:
    trainings = STATE.part(_Trainings)
    if trainings.current is not None and not trainings.has_callback:
        step = booster.current_iteration() - 1
        _log_results(trainings.current, result, step)


def _log_results(fit: Fit, results: Any, step: int) -> None:
    latest: dict[str, list[tuple[str, Any]]] = {}
    for data, metric, value, *_ in results:
        latest.setdefault(data, []).append((metric, value))
    log_evaluations(fit, latest, step)


def _saved(result: Any, booster: Any, filename: Any, *_: Any, **__: Any) -> None:
    """Record a file that LightGBM's C++ code has written, because no audit hook sees the file."""
    run = find_active_run()
    if run is not None and not run.closed and os.path.isfile(filename):
        run.log_model(os.path.basename(filename), filename, Context.TRAINING)


class _Callback:
    """The callback that `provml_callback` returns."""

    order = 25
    """The callback's position among all callbacks: after the evaluation, before early stopping."""

    def __init__(self, experiment: str | None) -> None:
        self._recorder = FrameworkRecorder(name, starts_run=True, experiment=experiment)
        self._fit: Fit | None = None

    @never_raise
    def __call__(self, env: Any) -> None:
        if env.iteration == env.begin_iteration or self._fit is None:
            self._recorder.find_run()
            self._fit = STATE.part(_Trainings).current or begin_fit(name, name)
        if self._fit is not None:
            _log_results(self._fit, env.evaluation_result_list or (), env.iteration)


def provml_callback(experiment: str | None = None) -> Callable[[Any], None]:
    """Return a callback that records the values of the evaluation sets.

    The callback records in the active run, or starts a run if none is active.

    Args:
        experiment: the experiment of the run to start; by default the name of the script.
    """
    return _Callback(experiment)

"""Records trainings with CatBoost.

    import provml.integrations.catboost

    provml.integrations.catboost.autolog()

| CatBoost | provml |
|---|---|
| values of the training and evaluation sets | metrics with the iteration as step |
| parameters | parameters |
| data that is passed to ``fit``, including the data in a ``Pool`` | datasets |
| the trained model, and files saved with ``save_model`` | a model and its versions |

CatBoost trains in C++, so the metrics are recorded only when the training is over.
"""

from __future__ import annotations

import os
from types import ModuleType
from typing import Any, Final

from provml.base.context import Context
from provml.capture.recorded_calls import CallEnd, RecordedCalls
from provml.capture.state import STATE
from provml.capture.trackers.sources import find_active_run
from provml.integrations._data_sources import (
    DataSources,
    TrainingData,
    copy_data,
    find_file,
)
from provml.integrations._fits import Fit
from provml.integrations._trainings import Trainings, log_evaluations, surround_fits

name: Final = "catboost"
modules: Final = ("catboost.core",)

_DATA_NAMES: Final = {"learn": "train"}
_ESTIMATORS: Final = ("CatBoost", "CatBoostClassifier", "CatBoostRegressor", "CatBoostRanker")


class _Trainings(Trainings):
    """The running trainings of CatBoost in each thread."""


def autolog() -> None:
    """Start to record what CatBoost reports, as ``provml run`` does. Idempotent.

    A training is recorded in the run that is active when the training begins.
    """
    from provml.integrations import autolog

    autolog(name)


def patch(module: ModuleType, calls: RecordedCalls) -> None:
    """Wrap CatBoost's methods, so that trainings and saved models are recorded."""
    surround_fits(calls, module, _ESTIMATORS, _begin_estimator)
    if "__init__" in vars(module.Pool):
        calls.record(module.Pool, "__init__", _built, leaf=True, nested=True)
    calls.record(module.CatBoost, "save_model", _saved, leaf=True, nested=True)


def _begin_estimator(
    estimator: Any,
    X: Any,  # noqa: N803
    y: Any = None,
    *_: Any,
    **options: Any,
) -> CallEnd | None:
    trainings = STATE.part(_Trainings)
    own = _read_data(X, y)
    pairs = [_read_data(*pair) for pair in _list_pairs(options.get("eval_set"))]
    end = trainings.begin_estimator(name, estimator, own.features, own.target, pairs)
    fit = trainings.current
    if end is None:
        return None

    def finish(result: Any, error: BaseException | None) -> None:
        if fit is not None and error is None:
            _log_results(fit, estimator)
        end(result, error)

    return finish


def _built(result: None, pool: Any, data: Any, label: Any = None, *_: Any, **__: Any) -> None:
    STATE.part(DataSources).note(pool, data, label)


def _read_data(data: Any, target: Any = None) -> TrainingData:
    """Return the features and the target of an argument of ``fit``.

    For a ``Pool``, returns the original data from which the ``Pool`` was built or, if that data is
    gone, a copy of the data in the ``Pool``.
    """
    if type(data).__name__ == "Pool":
        rows, columns = data.shape
        found = STATE.part(DataSources).find(data)
        found = found or copy_data(rows, columns, data.get_features, data.get_label)
        return found or TrainingData(None)
    if isinstance(data, (str, os.PathLike)):
        return TrainingData(find_file(data))
    return TrainingData(data, target)


def _list_pairs(eval_set: Any) -> list[tuple[Any, ...]]:
    """Return the evaluation sets as arguments of `_read_data`."""
    if eval_set is None:
        return []
    sets = eval_set if isinstance(eval_set, list) else [eval_set]
    return [one if isinstance(one, tuple) else (one,) for one in sets]


def _log_results(fit: Fit, estimator: Any) -> None:
    for data, metrics in estimator.get_evals_result().items():
        for metric, values in metrics.items():
            for step, value in enumerate(values):
                log_evaluations(fit, {_DATA_NAMES.get(data, data): [(metric, value)]}, step)


def _saved(result: Any, model: Any, fname: Any, *_: Any, **__: Any) -> None:
    """Record a file that CatBoost's C++ code has written, because no audit hook sees the file."""
    run = find_active_run()
    if run is not None and not run.closed and os.path.isfile(fname):
        run.log_model(os.path.basename(fname), fname, Context.TRAINING)

"""Records trainings with CatBoost.

    import provml.integrations.catboost

    provml.integrations.catboost.autolog()

| CatBoost | provml |
|---|---|
| values of the training and evaluation sets | metrics with the iteration as step |
| parameters | parameters |
| data that is passed to ``fit`` | datasets |
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
from provml.integrations._fits import Fit
from provml.integrations._trainings import Trainings, log_evaluations

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
    for kind in _ESTIMATORS:
        estimator = getattr(module, kind, None)
        if estimator is not None and "fit" in vars(estimator):
            calls.surround(estimator, "fit", _begin_estimator)
    calls.record(module.CatBoost, "save_model", _saved, leaf=True, nested=True)


def _begin_estimator(
    estimator: Any,
    X: Any,  # noqa: N803
    y: Any = None,
    *_: Any,
    **options: Any,
) -> CallEnd | None:
    trainings = STATE.part(_Trainings)
    is_pool = type(X).__name__ == "Pool"  # the data in a pool can't be read
    features, eval_set = None if is_pool else X, options.get("eval_set")
    end = trainings.begin_estimator(name, estimator, features, y, eval_set)
    fit = trainings.current
    if end is None:
        return None

    def finish(result: Any, error: BaseException | None) -> None:
        if fit is not None and error is None:
            _log_results(fit, estimator)
        end(result, error)

    return finish


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

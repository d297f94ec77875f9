"""Records the results of scikit-learn's fits, searches and evaluations.

Reads only results that scikit-learn has computed for the script. Does not import scikit-learn.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from provml.base.context import Context
from provml.capture.trackers.sources import find_active_run
from provml.integrations._child_runs import ChildMetric, ChildRuns
from provml.integrations._fits import Fit, begin_fit, find_model_name, was_fitted_to
from provml.integrations._values import plain_settings
from provml.journal.values import plain_number

FRAMEWORK: Final = "sklearn"
_CURVES: Final = {
    "loss_curve_": ("loss", Context.TRAINING),
    "lower_bounds_": ("lower_bound", Context.TRAINING),
    "oob_scores_": ("oob_score", Context.VALIDATION),
    "train_score_": ("train_score", Context.TRAINING),
    "validation_score_": ("validation_score", Context.VALIDATION),
    "validation_scores_": ("validation_score", Context.VALIDATION),
}
"""The attributes of fitted estimators that hold one number for each iteration.

Maps the name of each attribute to the name and context of the metric.
"""
_RESULTS: Final = {
    "best_score_": ("best_score", Context.VALIDATION),
    "inertia_": ("inertia", Context.TRAINING),
    "lower_bound_": ("lower_bound", Context.TRAINING),
    "n_iter_": ("n_iter", Context.TRAINING),
    "oob_score_": ("oob_score", Context.VALIDATION),
    "reconstruction_err_": ("reconstruction_err", Context.TRAINING),
}
"""The attributes of fitted estimators that hold a single number.

Maps the name of each attribute to the name and context of the metric.
"""
_CANDIDATE_KEY: Final = re.compile(r"(?:mean|std|rank|split\d+)_(test|train|fit|score)_(\w+)")
_CALLBACKS: Final = "_skl_callbacks"
_MONITOR_COLUMNS: Final = frozenset(
    {
        "estimator_name",
        "parent_task_id_path",
        "sequential_subtasks",
        "task_id",
        "task_id_path",
        "task_name",
    }
)
"""The columns in the log of a ``ScoringMonitor`` that are not scores."""
_SIDES: Final = {"test": Context.VALIDATION, "train": Context.TRAINING}


def begin_estimator(estimator: Any, features: Any, target: Any) -> Fit | None:
    """Record an estimator's parameters and data before the estimator is fitted.

    Returns the `Fit` to pass to `end_estimator`; None if the fit is not recorded.
    """
    fit = begin_fit(FRAMEWORK, type(estimator).__name__, estimator)
    if fit is not None:
        settings: dict[str, Any] = {"estimator": type(estimator).__name__}
        if callable(getattr(estimator, "get_params", None)):
            settings |= estimator.get_params(deep=True)
        fit.log_settings(settings)
        fit.log_data(features, target)
    return fit


def end_estimator(fit: Fit, estimator: Any) -> None:
    """Record a fitted estimator as a model, and its results, such as ``inertia_``, as metrics."""
    results = vars(estimator) if hasattr(estimator, "__dict__") else {}
    for attribute, (metric, context) in _CURVES.items():
        for step, value in enumerate(_read_numbers(results.get(attribute))):
            fit.log_metric(metric, value, context, step)
    for attribute, (metric, context) in _RESULTS.items():
        fit.log_metric(metric, results.get(attribute), context, None)
    for callback in _find_monitors(estimator):
        _log_monitor(fit, callback)
    if isinstance(results.get("cv_results_"), dict) and "params" in results["cv_results_"]:
        _log_search(fit, estimator)
    fit.log_model(results.get("best_estimator_", estimator))


def log_evaluation(metric: str, value: Any, target: Any, estimator: Any = None) -> None:
    """Record the result of a metric function, or of ``score``, that the script called.

    Args:
        metric: the name of the function.
        value: the function's result, which is recorded only if it is a single number.
        target: the true values. If an estimator was fitted to this object, the metric belongs to
            the training; otherwise, it belongs to the evaluation.
        estimator: the estimator that was evaluated, if it is known.
    """
    number = plain_number(value)
    run = find_active_run()
    if run is None or run.closed or not isinstance(number, float):
        return
    name = None if estimator is None else find_model_name(run, estimator)
    context = Context.TRAINING if was_fitted_to(target) else Context.EVALUATION
    run.log_metric(metric, number, context, of=None if name is None else ("model", name))


def log_folds(fit: Fit, scores: Mapping[str, Any]) -> None:
    """Record the result of ``cross_validate``: for each metric, one sample per fold."""
    for key, values in scores.items():
        side = key.partition("_")[0]
        if key in ("fit_time", "score_time") or side in _SIDES:
            for fold, value in enumerate(values):
                fit.log_metric(key, value, _SIDES.get(side), fold)


def _read_numbers(values: Any) -> Iterator[float]:
    """Yield the numbers in a list or one-dimensional array, up to the first value of another type.

    Yields nothing for other objects.
    """
    if not hasattr(values, "__len__") or getattr(values, "ndim", 1) != 1:
        return
    for value in values:
        number = plain_number(value)
        if not isinstance(number, (int, float)):
            return
        yield number


def _find_monitors(estimator: Any) -> Iterator[Any]:
    """Yield the ``ScoringMonitor`` callbacks of an estimator and of the estimators inside it."""
    has_params = callable(getattr(estimator, "get_params", None))
    parts = estimator.get_params(deep=True).values() if has_params else ()
    for part in (estimator, *parts):
        for callback in getattr(part, _CALLBACKS, None) or ():
            if type(callback).__name__ == "ScoringMonitor":
                yield callback


def _log_monitor(fit: Fit, callback: Any) -> None:
    """Record the scores that a ``ScoringMonitor`` of scikit-learn has kept for each iteration.

    In scikit-learn's tree of tasks, the iterations of a fit are directly below the fit. The
    iterations of the fits inside a search are further down, so they are left out.
    """
    try:
        rows = callback.get_logs(select="most_recent").data
    except ValueError:  # the callback has no scores
        return
    for row in rows:
        step = plain_number(row["task_id"])
        if len(row["task_id_path"]) == 2 and isinstance(step, int):
            for metric in row.keys() - _MONITOR_COLUMNS:
                fit.log_metric(metric, row[metric], Context.TRAINING, step)


# -- searches ---------------------------------------------------------------------------------


def _log_search(fit: Fit, search: Any) -> None:
    """Record the candidates of a search as child runs, and the best candidate's parameters."""
    best = getattr(search, "best_params_", None)
    if isinstance(best, Mapping):
        fit.log_settings({"best_params": dict(best)})
    results = search.cv_results_
    children = ChildRuns(fit.run, FRAMEWORK)
    for index, params in enumerate(results["params"]):
        metrics = list(_read_candidate(results, index))
        folds = [metric.value for metric in metrics if metric.name.startswith("split")]
        has_failed = bool(folds) and all(math.isnan(value) for value in folds)
        children.record(
            {"search": fit.name, "candidate": index},
            plain_settings(params),
            metrics,
            "failed" if has_failed else "finished",
            "the scores of all folds are NaN" if has_failed else None,
        )


def _read_candidate(results: Mapping[str, Any], index: int) -> Iterator[ChildMetric]:
    """Yield the metrics of one candidate, under the names of the columns of ``cv_results_``."""
    for key, column in results.items():
        found = _CANDIDATE_KEY.fullmatch(key)
        number = plain_number(column[index]) if found or key in ("iter", "n_resources") else None
        if isinstance(number, (int, float)) and not isinstance(number, bool):
            is_time = key.endswith("_time")
            context = None if found is None or is_time else _SIDES.get(found[1])
            yield ChildMetric(key, number, context, None, "s" if is_time else None)

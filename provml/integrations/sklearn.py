"""Records fits, searches and evaluations with scikit-learn.

    import provml.integrations.sklearn

    provml.integrations.sklearn.autolog()

| scikit-learn | provml |
|---|---|
| ``fit`` of an estimator or pipeline | its parameters, the data, and a model |
| what the estimator reports about its fit, such as ``loss_curve_`` | metrics of the training |
| ``fit`` of a search, such as ``GridSearchCV`` | also a child run for each candidate |
| ``cross_validate``, ``cross_val_score`` | the scores of the folds, as metrics of the validation |
| ``score`` of an estimator, functions such as ``accuracy_score`` | metrics of the evaluation |

Only outermost calls are recorded. For example, a fit inside a search or a meta-estimator is not
recorded. provml never fits, predicts or scores by itself.

This module installs the hooks, and `provml.integrations._sklearn_results` records what they report.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Callable, Iterator
from functools import partial
from types import ModuleType
from typing import Any, Final

from provml.capture.recorded_calls import CallEnd, RecordedCalls
from provml.integrations._fits import fit_calls
from provml.integrations._sklearn_results import (
    begin_estimator,
    end_estimator,
    log_evaluation,
    log_folds,
)

name: Final = "sklearn"
modules: Final = ("sklearn.base", "sklearn.metrics", "sklearn.model_selection")

_FIT_METHODS: Final = ("fit", "fit_transform", "fit_predict")
_METRIC_SUFFIXES: Final = ("_score", "_error", "_loss", "_deviance", "_coef", "_corrcoef")
_TARGETS: Final = ("y_true", "labels_true")
_FITTING_FUNCTIONS: Final = (
    "cross_val_predict",
    "learning_curve",
    "permutation_test_score",
    "validation_curve",
)
_HELPING_PACKAGES: Final = ("sklearn.base", "sklearn.metrics", "sklearn.utils")
"""The packages of scikit-learn whose functions fit estimators only for their own use."""
_MOST_FRAMES: Final = 20
_REPORTED_ELSEWHERE: Final = ("xgboost", "lightgbm", "catboost", "skorch")
"""The packages whose estimators other integrations record."""


def autolog() -> None:
    """Start to record what scikit-learn reports, as ``provml run`` does. Idempotent.

    A fit is recorded in the run that is active when the fit begins.
    """
    from provml.integrations import autolog

    autolog(name)


def patch(module: ModuleType, calls: RecordedCalls) -> None:
    """Wrap scikit-learn's functions, so that fits and evaluations are recorded."""
    if module.__name__ == "sklearn.base":
        _patch_estimators(module, calls)
    elif module.__name__ == "sklearn.metrics":
        for function in _list_metric_functions(module):
            _surround_function(module, function, calls, partial(_evaluated, function))
    else:
        _surround_function(module, "cross_validate", calls, _cross_validated)
        for function in _FITTING_FUNCTIONS:
            _surround_function(module, function, calls, _fitted_often)


# -- estimators -------------------------------------------------------------------------------


def _patch_estimators(module: ModuleType, calls: RecordedCalls) -> None:
    """Wrap the ``fit`` methods of all estimators, including classes that are defined later."""
    root = module.BaseEstimator
    for kind in _list_subclasses(root):
        _patch_class(kind, calls)
    for mixin in ("ClassifierMixin", "RegressorMixin", "OutlierMixin"):
        if "score" in vars(getattr(module, mixin, object)):
            calls.surround(getattr(module, mixin), "score", _scored)
    for owner in root.__mro__:
        if isinstance(vars(owner).get("__init_subclass__"), classmethod):
            calls.record(
                owner,
                "__init_subclass__",
                partial(_defined, calls),
                leaf=True,
                nested=True,
            )
            return


def _defined(calls: RecordedCalls, result: None, kind: type, **_: Any) -> None:
    _patch_class(kind, calls)


def _list_subclasses(root: type) -> Iterator[type]:
    waiting, seen = [root], {root}
    while waiting:
        subclasses: list[type] = waiting.pop().__subclasses__()
        for kind in subclasses:
            if kind not in seen:
                seen.add(kind)
                waiting.append(kind)
                yield kind


def _patch_class(kind: type, calls: RecordedCalls) -> None:
    if kind.__module__.partition(".")[0] in _REPORTED_ELSEWHERE:
        return
    for method in _FIT_METHODS:
        if isinstance(vars(kind).get(method), types.FunctionType):
            calls.surround(kind, method, _begin_fit)


def _begin_fit(estimator: Any, X: Any = None, y: Any = None, *_: Any, **options: Any) -> CallEnd:  # noqa: N803
    fits = fit_calls()
    y = options.get("Y", y)
    is_recorded = fits.is_recorded() and not _is_fitted_by_library(estimator)
    fit = begin_estimator(estimator, X, y) if is_recorded else None
    fits.owners.append(estimator)

    def end(result: Any, error: BaseException | None) -> None:
        fits.owners.pop()
        if fit is not None and error is None:
            end_estimator(fit, estimator)

    return end


def _scored(estimator: Any, X: Any, y: Any = None, *_: Any, **__: Any) -> CallEnd:  # noqa: N803
    fits = fit_calls()
    is_recorded = fits.is_recorded()
    fits.owners.append("score")

    def end(result: Any, error: BaseException | None) -> None:
        fits.owners.pop()
        if is_recorded and error is None:
            log_evaluation("score", result, y, estimator)

    return end


# -- functions --------------------------------------------------------------------------------


def _list_metric_functions(module: ModuleType) -> list[str]:
    """Return the names of the functions that compare true values with predictions."""
    found: list[str] = []
    for function_name in module.__all__:
        function = getattr(module, function_name, None)
        code = getattr(getattr(function, "__wrapped__", None), "__code__", None)
        if code is None or not function_name.endswith(_METRIC_SUFFIXES):
            continue
        if code.co_varnames[:1] and code.co_varnames[0] in _TARGETS:
            found.append(function_name)
    return found


class _ClosureFunction:
    """The original function behind a decorator, as an attribute that can be replaced.

    scikit-learn decorates its public functions, and keeps references to the decorated functions.
    If provml replaced a decorated function, these references could no longer be pickled, because
    pickle finds a function by its name.
    """

    __name__ = "sklearn"

    def __init__(self, cell: types.CellType) -> None:
        vars(self).update(cell=cell, function=cell.cell_contents)

    def __setattr__(self, attribute: str, function: Any) -> None:
        vars(self)[attribute] = function
        vars(self)["cell"].cell_contents = function


def _surround_function(
    package: ModuleType, function_name: str, calls: RecordedCalls, before: Callable[..., CallEnd]
) -> None:
    """Wrap the original function behind a decorator in a package."""
    decorated = getattr(package, function_name, None)
    original = getattr(decorated, "__wrapped__", None)
    for cell in getattr(decorated, "__closure__", None) or ():
        if original is not None and cell.cell_contents is original:
            calls.surround(_ClosureFunction(cell), "function", before)


def _is_called_by_script() -> bool:
    """Return whether the script, not an installed package, called the wrapped function."""
    frame: types.FrameType | None = sys._getframe(1)
    while frame is not None and _is_wrapper(frame.f_globals.get("__name__", "")):
        frame = frame.f_back
    name = "" if frame is None else frame.f_code.co_filename
    return "site-packages" not in name and "dist-packages" not in name


def _is_wrapper(module_name: str) -> bool:
    return module_name.startswith("provml.") or module_name == "sklearn.utils._param_validation"


def _is_fitted_by_library(estimator: Any) -> bool:
    """Return whether a function of scikit-learn fits this estimator for its own use.

    ``classification_report`` is such a function. Calls by the estimator's own methods, such as
    ``fit_transform``, do not count.
    """
    frame: types.FrameType | None = sys._getframe(1)
    for _ in range(_MOST_FRAMES):
        frame = None if frame is None else frame.f_back
        if frame is None:
            return False
        module = str(frame.f_globals.get("__name__"))
        if module.startswith("provml."):
            continue
        if not module.startswith(_HELPING_PACKAGES):
            return False
        if all(frame.f_locals.get(name) is not estimator for name in ("self", "estimator")):
            return True
    return False


def _hide_fits(what: str) -> Callable[[], None]:
    """Stop recording the fits and metrics of this thread. The returned function undoes this."""
    owners = fit_calls().owners
    owners.append(what)

    def show() -> None:
        owners.pop()

    return show


def _fitted_often(*_: Any, **__: Any) -> CallEnd:
    show = _hide_fits("function")
    return lambda result, error: show()


def _evaluated(function_name: str, *args: Any, **options: Any) -> CallEnd:
    is_recorded = fit_calls().is_recorded() and _is_called_by_script()
    show = _hide_fits(function_name)

    def end(result: Any, error: BaseException | None) -> None:
        show()
        if is_recorded and error is None:
            target = args[0] if args else next((options[k] for k in _TARGETS if k in options), None)
            log_evaluation(function_name, result, target)

    return end


def _cross_validated(estimator: Any, X: Any, y: Any = None, **__: Any) -> CallEnd:  # noqa: N803
    fit = begin_estimator(estimator, X, y) if fit_calls().is_recorded() else None
    show = _hide_fits("cross_validate")

    def end(result: Any, error: BaseException | None) -> None:
        show()
        if fit is not None and error is None:
            log_folds(fit, result)

    return end

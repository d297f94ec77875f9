"""Tracks the running trainings of XGBoost, LightGBM and CatBoost.

A training begins when the script calls either the ``fit`` of an estimator or the function
``train``. Because ``fit`` also calls ``train``, `Trainings` recognises those calls, so that each
training is recorded only once.

Imports no framework.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import ModuleType
from typing import Any

from provml.base.context import Context, context_from_word
from provml.capture.recorded_calls import CallEnd, CallStart, RecordedCalls
from provml.capture.state import STATE
from provml.integrations._data_sources import TrainingData
from provml.integrations._fits import Fit, begin_fit, context_of_data, fit_calls
from provml.integrations._printed_lines import announce_printed_lines


class Trainings(threading.local):
    """The running trainings of one framework in each thread, outermost first.

    Attributes:
        stack: the `Fit` of each running training; None for a training that is not recorded.
    """

    def __init__(self) -> None:
        self.stack: list[Fit | None] = []

    @property
    def current(self) -> Fit | None:
        """The `Fit` of the innermost running training.

        None if no training is running, or if that training is not recorded.
        """
        return self.stack[-1] if self.stack else None

    def begin_estimator(
        self, framework: str, estimator: Any, features: Any, target: Any, eval_set: Any
    ) -> CallEnd | None:
        """Record an estimator's parameters and data when its ``fit`` begins.

        Args:
            framework: the name of the framework.
            estimator: the estimator to be fitted.
            features, target: the training data.
            eval_set: the evaluation sets, as pairs of features and target; None for no sets.

        Returns:
            A function to call when ``fit`` ends, which records the model; None if the estimator's
            ``fit`` is already running and now calls the ``fit`` of its base class.
        """
        calls = fit_calls()
        if calls.owners and calls.owners[-1] is estimator:
            return None
        is_recorded = calls.is_training_recorded() and not self.stack
        fit = begin_fit(framework, type(estimator).__name__, estimator) if is_recorded else None
        is_outermost = not calls.owners
        if fit is not None:
            announce_printed_lines(framework)
            if is_outermost:
                fit.log_settings(
                    {"estimator": type(estimator).__name__} | _set_params(estimator.get_params())
                )
                fit.log_data(features, target)
                self._log_eval_set(fit, eval_set)
        self.stack.append(fit)
        calls.owners.append(estimator)

        def end(result: Any, error: BaseException | None) -> None:
            calls.owners.pop()
            self.stack.pop()
            if fit is not None and error is None and is_outermost:
                fit.log_model(estimator)

        return end

    def _log_eval_set(self, fit: Fit, eval_set: Any) -> None:
        pairs = [eval_set] if isinstance(eval_set, tuple) else eval_set
        if isinstance(pairs, Sequence) and not isinstance(pairs, str):
            for pair in pairs:
                if isinstance(pair, Sequence) and len(pair) == 2:
                    fit.log_data(pair[0], pair[1], Context.VALIDATION)

    def begin_training(
        self,
        framework: str,
        settings: Mapping[Any, Any],
        read_data: Callable[[], Iterable[tuple[Context, TrainingData | None]]],
        finish: Callable[[Fit, Any], None],
    ) -> CallEnd | None:
        """Record the settings and the data of a training, if the script itself called ``train``.

        Args:
            framework: the name of the framework.
            settings: the settings to record as parameters.
            read_data: a function that returns pairs of a context and the data used in it.
            finish: a function that records the result of ``train``.

        Returns:
            A function to call when ``train`` ends; None if ``fit`` called ``train``.
        """
        if self.stack:
            return None  # the estimator's fit is already recorded
        fit = begin_fit(framework, framework) if fit_calls().is_training_recorded() else None
        if fit is not None:
            announce_printed_lines(framework)
            fit.log_settings(settings)
            for context, data in read_data():
                if data is not None:
                    fit.log_data(data.features, data.target, context)
        self.stack.append(fit)

        def end(result: Any, error: BaseException | None) -> None:
            self.stack.pop()
            if fit is not None and error is None:
                finish(fit, result)

        return end


def surround_fits(
    calls: RecordedCalls, module: Any, kinds: Sequence[str], before: CallStart
) -> None:
    """Wrap the method ``fit`` of each estimator class that defines this method itself.

    Args:
        calls: the collection to which the wrapped methods are added.
        module: the module that contains the estimators.
        kinds: the names of the estimators' classes. A class that does not exist is skipped.
        before: see `RecordedCalls.surround`.
    """
    for kind in kinds:
        estimator = getattr(module, kind, None)
        if estimator is not None and "fit" in vars(estimator):
            calls.surround(estimator, "fit", before)


def build_fit_start(
    framework: str,
    kind: type[Trainings],
    prepare: Callable[[Mapping[str, Any]], None] | None = None,
) -> CallStart:
    """Build the function to call before each call of an estimator's ``fit``.

    Args:
        framework: the name of the framework.
        kind: the class of the framework's trainings.
        prepare: a function to call first, with the keyword arguments of ``fit``.
    """

    def begin(
        estimator: Any,
        X: Any,  # noqa: N803 - the frameworks' own name, which callers may use as a keyword
        y: Any = None,
        *_: Any,
        **options: Any,
    ) -> CallEnd | None:
        if prepare is not None:
            prepare(options)
        eval_set = options.get("eval_set")
        return STATE.part(kind).begin_estimator(framework, estimator, X, y, eval_set)

    return begin


def list_evaluation_data(
    named: Iterable[tuple[Any, str]],
    training_data: Any,
    read_data: Callable[[Any], TrainingData | None],
) -> Iterator[tuple[Context, TrainingData | None]]:
    """Yield the context and the data of each evaluation set, except the training data.

    Args:
        named: the data object and the name of each evaluation set.
        training_data: the data object that contains the training data.
        read_data: a function that takes a data object, and returns the data in it.
    """
    others = [(holder, name) for holder, name in named if holder is not training_data]
    for holder, name in others:
        yield context_of_data(name, is_only_one=len(others) == 1), read_data(holder)


def surround_function(
    calls: RecordedCalls,
    modules: Sequence[ModuleType | None],
    function_name: str,
    before: CallStart,
) -> None:
    """Wrap a function in the module that defines it, and in the modules that import it.

    All modules get the same wrapper, because pickle finds a function through the module that
    defines it.

    Args:
        calls: the collection to which the wrapped function is added.
        modules: the module that defines the function, and modules that may have imported it.
        function_name: the name of the function.
        before: see `RecordedCalls.surround`.
    """
    owner = modules[0]
    original = getattr(owner, function_name, None)
    if original is None:
        return
    calls.surround(owner, function_name, before)
    for module in modules[1:]:
        if module is not None and vars(module).get(function_name) is original:
            setattr(module, function_name, getattr(owner, function_name))


def _set_params(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters that are not None. The framework chooses values for the others."""
    return {name: value for name, value in params.items() if value is not None}


def log_evaluations(fit: Fit, values: Mapping[str, Iterable[tuple[str, Any]]], step: int) -> None:
    """Record the metrics of all evaluation sets after one round of training.

    Args:
        fit: the `Fit` that records the training.
        values: the names and values of the metrics, by the name of the evaluation set. A value can
            be a tuple of the mean and the standard deviation over several folds.
        step: the number of the round.
    """
    others = [data for data in values if context_from_word(data.lower()) is None]
    for data, metrics in values.items():
        context = context_of_data(data, is_only_one=len(others) == 1)
        for metric, value in metrics:
            if isinstance(value, tuple):
                for suffix, number in zip(("mean", "std"), value, strict=False):
                    fit.log_metric(f"{metric}-{suffix}", number, context, step)
            else:
                fit.log_metric(metric, value, context, step)

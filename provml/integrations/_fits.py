"""Decides which fits of estimators and boosters are recorded, and under which names.

A fit that runs inside another fit is not recorded. A search, for example, fits its estimator
hundreds of times, often in several threads or processes. These fits are not recorded one by one:
the candidates of the search become child runs when the search has ended.

The parameters and metrics of the first model in a run are recorded under their own names. For all
other models, the model's name becomes a prefix of the parameters and a sub-context of the metrics.

Imports no framework.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from typing import Any, Final

from provml.base.context import Context, context_from_word
from provml.capture.state import STATE
from provml.capture.trackers.identity_map import IdentityMap
from provml.capture.trackers.sources import find_active_run
from provml.collect.datasets import describe_dataset
from provml.integrations._recorder import FrameworkRecorder, note_failure
from provml.integrations._values import plain_settings
from provml.journal.values import plain_number
from provml.recording.published_runs import is_worker_process
from provml.recording.run import Run
from provml.recording.worker_run import find_own_run

TRAINING_DATA: Final = "training data"
MOST_FITS: Final = 30
"""The maximum number of fits of each kind that a run records."""
FITS_LEFT_OUT: Final = "fits left out"
"""The name of the event that says that a run leaves out all further fits of a kind."""
_DEFAULT_NAME: Final = re.compile(r"valid(?:ation)?_0")
_TRANSPARENT: Final = frozenset({"ColumnTransformer", "Pipeline", "TransformedTargetRegressor"})
"""The classes that fit each of their estimators once, as a script would."""


class FitCalls(threading.local):
    """The fits that are under way in a thread, outermost first.

    Attributes:
        owners: for each fit, the estimator, or the name of a function such as ``cross_validate``.
    """

    def __init__(self) -> None:
        self.owners: list[Any] = []

    def is_recorded(self) -> bool:
        """Return whether to record a fit that starts now.

        Only outermost fits are recorded. A worker process without a run of its own records no fits.
        """
        return not self.owners and not _is_helper()

    def is_training_recorded(self) -> bool:
        """Return whether to record the training of a booster or net that starts now.

        The training may be part of the fit of a pipeline, but not of a search.
        """
        return all(type(o).__name__ in _TRANSPARENT for o in self.owners) and not _is_helper()


def _is_helper() -> bool:
    """Return whether this process is a worker process without a run of its own."""
    return is_worker_process() and find_own_run() is None


def fit_calls() -> FitCalls:
    """Return the fits that are under way in this thread."""
    return STATE.part(FitCalls)


class _Fits:
    """The fits of this process.

    Attributes:
        names: for each estimator, the name of its model in each run.
        counts: the number of models of each kind, by run and kind.
        fitted: the number of fits of each kind, by run and kind.
        first: the name of the first model that was fitted in each run.
        data: the digest of the data that was last recorded under each name, by run and name.
        targets: the targets that estimators were fitted to.
        lock: the lock to hold while choosing a name or counting a fit.
    """

    def __init__(self) -> None:
        self.names: IdentityMap[dict[str, str]] = IdentityMap()
        self.counts: dict[tuple[str, str], int] = {}
        self.fitted: dict[tuple[str, str], int] = {}
        self.first: dict[str, str] = {}
        self.data: dict[tuple[str, str], object] = {}
        self.targets: IdentityMap[bool] = IdentityMap()
        self.lock = threading.Lock()

    def after_fork_in_child(self) -> None:
        """Replace the lock, because another thread may have held it."""
        self.lock = threading.Lock()


class Fit:
    """A fit that is recorded in a run.

    Attributes:
        framework: the name of the framework.
        run: the run that records the fit.
        name: the name of the model in the run. The first model of a kind is named after the kind,
            such as ``Ridge``; later models also get a number, such as ``Ridge 2``.
    """

    def __init__(self, framework: str, run: Run, kind: str, estimator: Any = None) -> None:
        """Choose the name of the model.

        Args:
            framework: the name of the framework.
            run: the run that records the fit.
            kind: the name of the estimator's class, or of the framework.
            estimator: the object that is fitted. If the same object is fitted again, the model
                keeps its name.
        """
        self.framework = framework
        self.run = run
        fits, folder = STATE.part(_Fits), str(run.path)
        with fits.lock:
            names = None if estimator is None else fits.names.get(estimator)
            if names is None:
                names = {}
                if estimator is not None:
                    fits.names.add(estimator, names)
            if folder not in names:
                count = fits.counts.get((folder, kind), 0) + 1
                fits.counts[folder, kind] = count
                names[folder] = kind if count == 1 else f"{kind} {count}"
            self.name = names[folder]
            self._is_first = fits.first.setdefault(folder, self.name) == self.name

    def log_settings(self, settings: Mapping[Any, Any]) -> None:
        """Record settings as parameters. A setting never replaces a parameter of the script."""
        prefix = "" if self._is_first else f"{self.name}."
        FrameworkRecorder(self.framework).log_settings(plain_settings(settings), prefix)

    def log_metric(self, name: str, value: Any, context: Context | None, step: int | None) -> None:
        """Record a sample of a metric. Do nothing if the value is not a number."""
        number = plain_number(value)
        if isinstance(number, (int, float)) and not isinstance(number, bool):
            own = context if self._is_first else Context(self.name, context)
            self.run.log_metric(name, number, own, step)

    def log_data(self, features: Any, target: Any, context: Context = Context.TRAINING) -> None:
        """Record the data of the fit, if this data differs from the data that was recorded last.

        Costs two passes over the data. If the data can't be read, `note_failure` reports the error.
        """
        try:
            self._log_data(features, target, context)
        except Exception as error:  # a user's class can raise anything
            note_failure(f"{self.framework}: the data of {self.name}", error)

    def _log_data(self, features: Any, target: Any, context: Context) -> None:
        if features is None:
            return
        fits = STATE.part(_Fits)
        if target is not None and context is Context.TRAINING:
            try:
                fits.targets.add(target, True)
            except TypeError:
                pass  # a list does not support weak references
        data = features if target is None else {"X": features, "y": target}
        name = TRAINING_DATA if context is Context.TRAINING else f"{context} data"
        key = str(self.run.path), name
        digest = describe_dataset(data, self.run.path, copy=False).get("sha256")
        if digest is None or digest != fits.data.get(key):
            self.run.log_dataset(name, data, context)
            fits.data[key] = digest

    def log_model(self, model: Any) -> None:
        """Record the fitted model. Costs one pass over the values in the model."""
        self.run.log_model(self.name, model, Context.TRAINING)


def begin_fit(framework: str, kind: str, estimator: Any = None) -> Fit | None:
    """Return the `Fit` that records a fit; None if the fit is not recorded.

    A script can fit thousands of estimators in a loop. So a run records only the first `MOST_FITS`
    fits of each kind, and an event says that the other fits are left out.
    """
    run = find_active_run()
    if run is None or run.closed:
        return None
    fits, key = STATE.part(_Fits), (str(run.path), kind)
    with fits.lock:
        fits.fitted[key] = count = fits.fitted.get(key, 0) + 1
    if count > MOST_FITS:
        if count == MOST_FITS + 1:
            metadata = {"kind": kind, "recorded": MOST_FITS}
            run.log_event(FITS_LEFT_OUT, source=framework, metadata=metadata)
        return None
    return Fit(framework, run, kind, estimator)


def find_model_name(run: Run, estimator: Any) -> str | None:
    """Return the name of an estimator's model in a run; None if the run has no such model."""
    names = STATE.part(_Fits).names.get(estimator)
    return None if names is None else names.get(str(run.path))


def was_fitted_to(target: Any) -> bool:
    """Return whether an estimator was fitted to this very object. Equal values do not count."""
    return target is not None and STATE.part(_Fits).targets.get(target) is not None


def context_of_data(name: str, is_only_one: bool) -> Context:
    """Return the context of an evaluation set with this name.

    Words such as ``train``, ``valid`` and ``test`` name the standard contexts. Any other name
    becomes a sub-context of validation. If only one evaluation set has such a name, and the name is
    a default of the framework such as ``validation_0``, the context is validation itself.

    Args:
        name: the name of the evaluation set.
        is_only_one: whether all other evaluation sets have names of standard contexts.
    """
    standard = context_from_word(name.lower())
    if standard is None and is_only_one and _DEFAULT_NAME.fullmatch(name):
        return Context.VALIDATION
    return standard or Context(name, Context.VALIDATION)

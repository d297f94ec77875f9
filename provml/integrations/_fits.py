"""Says which fits of estimators are recorded: the outermost ones, and none in worker processes.

A search fits its estimator hundreds of times, often in several threads or processes. These fits are
parts of the search, which records its candidates itself. `FitCalls` counts the fits that are under
way in each thread.

Imports nothing of any framework.
"""

from __future__ import annotations

import threading
from typing import Any, Final

from provml.capture.state import STATE
from provml.recording.worker_run import is_worker_process

_TRANSPARENT: Final = frozenset({"Pipeline", "TransformedTargetRegressor", "ColumnTransformer"})
"""The classes that fit each of their estimators once, as the script would."""


class FitCalls(threading.local):
    """The fits that are under way in a thread, outermost first.

    Attributes:
        owners: the estimators, or the names of functions such as ``cross_validate``.
    """

    def __init__(self) -> None:
        self.owners: list[Any] = []

    @property
    def is_outermost(self) -> bool:
        """Whether no fit is under way in this thread."""
        return not self.owners

    @property
    def hides_trainings(self) -> bool:
        """Whether a training that starts now is one of many, such as the trainings of a search."""
        if any(type(owner).__name__ not in _TRANSPARENT for owner in self.owners):
            return True
        return is_worker_process()


def fit_calls() -> FitCalls:
    """Return the fits that are under way in this thread."""
    return STATE.part(FitCalls)

"""Finds the data in objects such as XGBoost's ``DMatrix`` and CatBoost's ``Pool``.

These objects keep the data in a form of their own. To record the data of a training, provml
remembers the array, data frame or file that each object was built from, without keeping it alive.

Imports no framework.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

from provml.capture.trackers.identity_map import IdentityMap

MOST_VALUES: Final = 2**24
"""The maximum number of values of a data object to copy, if the data it was built from is gone."""


class TrainingData(NamedTuple):
    """The features and the target of a training. The features may be the path of a file."""

    features: Any
    target: Any = None


class DataSources:
    """The data that each data object of a framework was built from."""

    def __init__(self) -> None:
        self._found: IdentityMap[tuple[Callable[[], Any], Callable[[], Any]]] = IdentityMap()

    def note(self, holder: Any, features: Any, target: Any = None) -> None:
        """Remember what a data object was built from, until the object or the data is gone."""
        self._found.add(holder, (_refer_to(features), _refer_to(target)))

    def find(self, holder: Any) -> TrainingData | None:
        """Return what a data object was built from; None if unknown, or if the data is gone."""
        noted = self._found.get(holder)
        if noted is None:
            return None
        features, target = (read() for read in noted)
        if isinstance(features, (str, os.PathLike)):
            features = find_file(features)
        return None if features is None else TrainingData(features, target)


def _refer_to(value: Any) -> Callable[[], Any]:
    """Return a function that returns a value while it is alive. A path is kept."""
    if isinstance(value, (str, os.PathLike)):
        return lambda: value
    try:
        return weakref.ref(value)
    except TypeError:  # None, or a type such as list, which can't be referred to
        return lambda: None


def find_file(text: str | os.PathLike[str]) -> Path | None:
    """Return the path of the file that a framework reads; None if it does not exist.

    XGBoost and CatBoost accept more than a path, such as ``train.txt?format=libsvm#cache`` or
    ``libsvm://train.txt``.
    """
    name = os.fspath(text)
    plain = name.partition("://")[2] or name
    for candidate in (name, plain, plain.partition("?")[0], plain.partition("#")[0]):
        if os.path.isfile(candidate):
            return Path(candidate)
    return None


def copy_data(
    rows: int, columns: int, features: Callable[[], Any], target: Callable[[], Any]
) -> TrainingData | None:
    """Copy the data out of a data object; None if there is too much of it, or it can't be read.

    Args:
        rows, columns: the size of the data.
        features, target: functions that return a copy of the features and of the target.
    """
    if rows * columns > MOST_VALUES:
        return None
    try:
        own = features()
    except Exception:  # the framework raises its own error for data that it can't return
        return None
    try:
        return TrainingData(own, target())
    except Exception:
        return TrainingData(own)

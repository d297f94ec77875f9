"""Finds the data in objects such as XGBoost's ``DMatrix`` and CatBoost's ``Pool``.

These objects store the data in a format of their own. To record the data of a training, provml
remembers the array, data frame or file that each object was built from. It does not keep the array
or data frame alive.

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
"""The maximum number of values to copy from a data object, if its original data is gone."""


class TrainingData(NamedTuple):
    """The features and the target of a training. The features may be the path of a file."""

    features: Any
    target: Any = None


class DataSources:
    """Remembers the original data from which each data object of a framework was built."""

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
    """Return a function that returns the value, or None when the value no longer exists.

    Does not keep the value alive, unless it is a path.
    """
    if isinstance(value, (str, os.PathLike)):
        return lambda: value
    try:
        return weakref.ref(value)
    except TypeError:  # None, or a type such as list, which doesn't support weak references
        return lambda: None


def find_file(text: str | os.PathLike[str]) -> Path | None:
    """Return the path of the data file that a script passes to a framework.

    XGBoost and CatBoost accept more than plain paths: for example,
    ``train.txt?format=libsvm#cache`` or ``libsvm://train.txt``. Returns None if the file does not
    exist.
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
    """Copy the data of a data object. Returns None if the data is too large or can't be read.

    Args:
        rows, columns: the size of the data.
        features, target: functions that return a copy of the features or of the target.
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

"""Finds the metrics that the program logs itself, so that printed copies are not recorded again.

A script often prints the loss that it also logs, with provml or with another tracker.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Set
from typing import Final

from provml.base.context import Context, context_from_path, context_path
from provml.capture.lines import _vocabulary as vocabulary
from provml.errors import ProvMLError
from provml.recording.run import Run

_MAX_NAMES: Final = 4096


class LoggedNames:
    """The names of the metrics that a program logs itself, instead of only printing them.

    Args:
        run: the run into which the printed metrics are recorded.
        printed: the names of the printed metrics that have been recorded.
        others_log: whether other processes may log metrics into the run.
    """

    def __init__(self, run: Run, printed: Set[str], others_log: bool) -> None:
        self._run = run
        self._printed = printed
        self._others_log = others_log
        self._known: dict[tuple[str, Context | None], bool] = {}

    def has(self, name: str, context: Context | None) -> bool:
        """Return whether the program itself logs a metric with this name and context.

        If other processes may log, the first call for each name reads the run's journal. Names are
        compared without case, folders, contexts and underscores: ``train/F1_Score`` is ``f1 score``
        in training. A missing context matches any context.
        """
        key = _simplify(name)[0], context
        known = self._known.get(key)
        if known is None:
            if len(self._known) >= _MAX_NAMES:
                return False
            known = self._known[key] = self._find(*key)
        return known

    def _find(self, name: str, context: Context | None) -> bool:
        for logged, given in self._list_logged():
            found, implied = _simplify(logged)
            own = given or implied
            if found == name and (own is None or context is None or own is context):
                return True
        return False

    def _list_logged(self) -> Iterator[tuple[str, Context | None]]:
        """Yield the name and context of each metric that has been logged."""
        for call in list(self._run._fast):  # logged in this process
            if isinstance(call[0], str) and call[0] not in self._printed:
                path = context_path(call[1]) if isinstance(call[1], (Context, str)) else None
                yield call[0], context_from_path(path)
        if not self._others_log:
            return
        try:
            from provml.journal.reader import Journal

            for files in Journal(self._run.path).writers:
                identity = files.read_identity() or {}
                if identity.get("role") == "helper" and identity.get("pid") != os.getpid():
                    for series in files.series().values():
                        if series.kind == "metric":
                            yield series.name, context_from_path(series.context)
        except (ProvMLError, OSError):
            pass  # record the printed metrics anyway, even if they are then recorded twice


def _simplify(name: str) -> tuple[str, Context | None]:
    context, own = vocabulary.split_name(name)
    return own.rpartition("/")[2].lower().replace("_", " ").strip(), context

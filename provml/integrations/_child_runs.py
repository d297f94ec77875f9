"""Starts and records child runs for the trials of an experiment or the candidates of a search.

Each child run costs a few milliseconds. A child run has no documents and no readings of the
machine, and its files are synced to the disk only when it ends.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from provml.base.context import Context
from provml.base.settings import read_settings
from provml.collect.source import describe_execution
from provml.recording.child_runs import Parent, describe_parent
from provml.recording.run import Run
from provml.recording.start import RunStart, open_run, validate_start


class ChildMetric(NamedTuple):
    """A sample of a metric of a child run; the fields are arguments of `Run.log_metric`."""

    name: str
    value: Any
    context: Context | None = None
    step: int | None = None
    unit: str | None = None


class ChildRuns:
    """Starts the child runs of one run.

    Attributes:
        parent: the run to which the children belong.
    """

    def __init__(self, parent: Run, framework: str) -> None:
        """Prepare the settings that all child runs share.

        Args:
            parent: the run to which the children belong.
            framework: the name of the framework.
        """
        self.parent = parent
        self._settings = read_settings()._replace(
            sync_interval_s=0, run_id=None, joined_run=None, rank=None, code=False
        )
        self._start = validate_start(
            self._settings, parent.experiment, labels={"framework": framework}, formats=()
        )
        self._execution = describe_execution()
        self._found: Parent | None = describe_parent(parent)

    def start(self, tags: Mapping[str, Any]) -> Run:
        """Start a child run and return it. The caller must end the child run.

        Args:
            tags: the tags of the child run, such as the number of the trial.
        """
        start: RunStart = validate_start(self._settings, self.parent.experiment, tags=tags)
        description = self._start.description | {"created": time.time_ns()}
        start = start._replace(description=description, formats=())
        store = self.parent.path.parent.parent
        return open_run(self._settings, start, self._execution, store=store, parent=self._found)

    def record(
        self,
        tags: Mapping[str, Any],
        params: Mapping[str, Any],
        metrics: Iterable[ChildMetric],
        status: str = "finished",
        reason: str | None = None,
    ) -> None:
        """Record a finished trial or candidate as a child run, which starts and ends in this call.

        Args:
            tags: the tags of the child run, such as the number of the trial.
            params: the parameters of the trial or candidate, by name.
            metrics: the metrics of the trial or candidate.
            status, reason: as in `Run.end_run`.
        """
        child = self.start(tags)
        try:
            child.log_params(params)
            for metric in metrics:
                child.log_metric(
                    metric.name, metric.value, metric.context, metric.step, unit=metric.unit
                )
        finally:
            child.end_run(status, reason=reason)

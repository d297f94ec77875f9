"""The disabled twin of a run: takes every call, records nothing, touches no file. Imports `run`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from provml import lifecycle
from provml.run import Run


class DisabledRun(Run):
    """What ``start_run(disabled=True)`` gives. Its `path` is the null device: nothing is there."""

    def __init__(self, experiment: str) -> None:
        self.id = "disabled"
        self.experiment = experiment
        self.path = Path(os.devnull)
        self._closed = False

    @property
    def dropped(self) -> tuple[int, int]:
        return 0, 0

    def _nothing(self, *arguments: Any, **options: Any) -> None:
        return None

    log_metric = log_metrics = log_param = log_params = set_tag = log_event = _nothing
    log_dataset = log_artifact = log_model = log_source_code = log_environment = _nothing
    log_execution_start_time = log_execution_end_time = log_current_execution_time = _nothing
    append_all = after_fork_in_child = _nothing

    def end_run(self, *arguments: Any, **options: Any) -> None:
        self._closed = True
        lifecycle.deactivate(self)

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return DisabledRun, (self.experiment,)

"""The disabled twin of a run: takes every call, records nothing, touches no file. Imports `run`."""

from __future__ import annotations

import atexit
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from provml import lifecycle
from provml.run import Run


class DisabledRun(Run):
    """What ``start_run(disabled=True)`` gives.

    Its `path` is a temporary folder, made when it is asked for and removed at the process's end:
    a script that puts files there runs as well disabled.
    """

    def __init__(self, experiment: str) -> None:
        self.id = "disabled"
        self.experiment = experiment
        self._closed = False

    @property
    def dropped(self) -> tuple[int, int]:
        return 0, 0

    @property
    def hashing(self) -> list[Any]:
        return []

    def __getattr__(self, name: str) -> Path:
        if name != "path":
            raise AttributeError(f"a disabled run has no attribute {name!r}")
        import shutil
        import tempfile

        folder = tempfile.mkdtemp(prefix="provml-disabled-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        self.path = Path(folder)
        return self.path

    def _nothing(self, *arguments: Any, **options: Any) -> None:
        return None

    log_metric = log_metrics = log_param = log_params = set_tag = log_event = _nothing
    log_dataset = log_artifact = log_model = log_source_code = log_environment = _nothing
    log_system_metrics = _nothing
    log_flops_per_batch = log_flops_per_epoch = _nothing
    log_execution_start_time = log_execution_end_time = log_current_execution_time = _nothing
    _append_all = _before_fork = _after_fork_in_parent = _after_fork_in_child = _nothing

    @contextmanager
    def count_flops(self, *arguments: Any, **options: Any) -> Iterator[None]:
        yield

    def end_run(self, *arguments: Any, **options: Any) -> None:
        self._closed = True
        lifecycle.deactivate(self)

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return DisabledRun, (self.experiment,)

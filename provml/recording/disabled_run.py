"""The disabled twin of a run: takes every call, records nothing, touches no file. Imports `run`."""

from __future__ import annotations

import atexit
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from provml.recording import process_hooks
from provml.recording.annotations import MetadataUpdate, Params
from provml.recording.metric_groups import MetricGroup, Metrics, Number, SummaryCache
from provml.recording.run import Run


class DisabledParams(Params):
    """Parameters that are not kept."""

    def _values(self) -> dict[str, Any]:
        return {}


class DisabledCache(SummaryCache):
    """A summary cache that holds nothing."""

    def store(self, /, **values: Any) -> None:
        """Nothing."""

    set = store

    def summarize(self, clear: bool = True) -> dict[str, Any]:
        return {}

    def peek(self, key: str, limit: int | None = None) -> list[Number]:
        return []


class DisabledGroup(MetricGroup):
    """A group that records nothing."""

    def __init__(self, metrics: Metrics, path: tuple[str, ...]) -> None:
        super().__init__(metrics, path)
        self.summary_cache = DisabledCache(self)

    def log(self, /, **fields: Any) -> MetricGroup:
        return self

    def append(self, /, **fields: Any) -> dict[str, int]:
        return {"index": 0}

    def append_batch(self, points: Any) -> dict[str, int]:
        count = len(points) if hasattr(points, "__len__") else 0
        return {"count": count, "start_index": 0, "end_index": count - 1}

    def read(self, start_index: int = 0, limit: int = 1000) -> dict[str, Any]:
        return {"data": [], "total": 0, "has_more": False}


class DisabledMetrics(Metrics):
    """Metrics that are not kept."""

    def __init__(self) -> None:
        """There is nothing to keep."""

    def __call__(self, group: object) -> MetricGroup:
        return DisabledGroup(self, ("",))

    def log(self, /, **groups: Any) -> Metrics:
        return self

    def flush(self) -> None:
        """Nothing."""


class DisabledRun(Run):
    """What ``start_run(disabled=True)`` gives.

    Its `path` is a temporary folder, made when it is asked for and removed at the process's end:
    a script that puts files there runs as well disabled.
    """

    def _nothing(self, *arguments: Any, **options: Any) -> None:
        return None

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

    @property
    def metrics(self) -> Metrics:
        return DisabledMetrics()

    @property
    def params(self) -> Params:
        return DisabledParams(self)

    def update_metadata(self, *arguments: Any, **options: Any) -> MetadataUpdate:
        return MetadataUpdate(1, datetime.now(UTC))

    def events(self, *arguments: Any, **options: Any) -> list[Any]:
        return []

    spans = events

    log = _nothing
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
        process_hooks.deactivate(self)

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return DisabledRun, (self.experiment,)

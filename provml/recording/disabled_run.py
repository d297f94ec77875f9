"""The run that you get while recording is disabled: it accepts every call and records nothing.

Imports `run` and `process_hooks`.
"""

from __future__ import annotations

import atexit
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path
from types import FunctionType
from typing import TYPE_CHECKING, Any

from provml.recording import process_hooks
from provml.recording.annotations import MetadataUpdate, Params
from provml.recording.metric_groups import MetricGroup, Metrics
from provml.recording.run import Run
from provml.recording.summary_cache import Number, SummaryCache

if TYPE_CHECKING:
    from provml.base.results import AppendedBatch, AppendedPoint, DroppedCounts, PointPage


class DisabledParams(Params):
    """The parameters of a disabled run; always empty."""

    def _values(self) -> dict[str, Any]:
        return {}


class DisabledCache(SummaryCache):
    """A summary cache that stores nothing."""

    def store(self, /, **values: Any) -> None:
        """Accept the values, but store nothing."""

    set = store

    def summarize(self, clear: bool = True) -> dict[str, Any]:
        return {}

    def peek(self, key: str, limit: int | None = None) -> list[Number]:
        return []


class DisabledGroup(MetricGroup):
    """A metric group that records nothing."""

    def __init__(self, metrics: Metrics, path: tuple[str, ...]) -> None:
        super().__init__(metrics, path)
        self.summary_cache = DisabledCache(self)

    def log(self, /, **fields: Any) -> MetricGroup:
        return self

    def append(self, /, **fields: Any) -> AppendedPoint:
        from provml.base.results import AppendedPoint

        return AppendedPoint(0)

    def append_batch(self, points: Any) -> AppendedBatch:
        count = len(points) if hasattr(points, "__len__") else 0
        from provml.base.results import AppendedBatch

        return AppendedBatch(count, 0, count - 1)

    def read(self, start_index: int = 0, limit: int = 1000) -> PointPage:
        from provml.base.results import PointPage

        return PointPage([], 0, False)


class DisabledMetrics(Metrics):
    """The metric groups of a disabled run; they record nothing."""

    def __init__(self) -> None:
        """Create the object without the state of `Metrics`, which a disabled run doesn't need."""

    def __call__(self, group: object) -> MetricGroup:
        return DisabledGroup(self, ("",))

    __getitem__ = __call__

    def log(self, /, **groups: Any) -> Metrics:
        return self

    def flush(self) -> None:
        """Do nothing: no points are waiting."""


class DisabledRun(Run):
    """The run that ``start_run(disabled=True)`` returns.

    Its `path` is a temporary folder, so that scripts can still write files there. provml creates
    the folder on first access and removes it when the process exits.
    """

    def __init__(self, experiment: str) -> None:
        self.id = "disabled"
        self.experiment = experiment
        self._closed = False

    @property
    def dropped(self) -> DroppedCounts:
        from provml.base.results import DroppedCounts

        return DroppedCounts(0, 0)

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

    @contextmanager
    def count_flops(self, *arguments: Any, **options: Any) -> Iterator[None]:
        yield

    def _ignore(self, *arguments: Any, **options: Any) -> None:
        return None

    _log_checkpoint = _ignore
    _append_all = _before_fork = _after_fork_in_parent = _after_fork_in_child = _ignore

    def end_run(self, *arguments: Any, **options: Any) -> None:
        self._closed = True
        process_hooks.deactivate(self)

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return DisabledRun, (self.experiment,)


def _silence_verb(
    verb: Callable[..., Any], silent: Callable[..., Any] | None
) -> Callable[..., Any]:
    """Build a method that accepts any call, records nothing, and has the docstring of `verb`.

    Args:
        verb: the method of `Run` to replace.
        silent: a function that computes the result of the new method; None for a method that
            returns None.
    """

    @wraps(verb)
    def method(self: DisabledRun, *arguments: Any, **options: Any) -> Any:
        return None if silent is None else silent(self, *arguments, **options)

    return method


def _silence_verbs() -> None:
    """In `DisabledRun`, override each public method of `Run` with a method that records nothing."""
    for name in dir(Run):
        verb = getattr(Run, name)
        if isinstance(verb, FunctionType) and not name.startswith("_"):
            setattr(DisabledRun, name, _silence_verb(verb, vars(DisabledRun).get(name)))


_silence_verbs()

"""The results that a run's methods return: small classes whose fields can also be read by key.

Imports nothing else from provml.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple


class KeyedResult:
    """A result whose fields can also be read by key.

    ``result["count"]`` equals ``result.count``, and ``dict(result)`` is a dict of all fields.
    """

    __slots__ = ()

    def __getitem__(self, key: str) -> Any:
        """Return a field's value. Raises KeyError if no field has this name."""
        if key not in self.__slots__:
            raise KeyError(key)
        return getattr(self, key)

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def keys(self) -> tuple[str, ...]:
        """Return the names of the fields."""
        return tuple(self.__slots__)


@dataclass(frozen=True, slots=True)
class AppendedPoint(KeyedResult):
    """The result of `MetricGroup.append`.

    Attributes:
        index: the index of the new point within its group.
    """

    index: int


@dataclass(frozen=True, slots=True)
class AppendedBatch(KeyedResult):
    """The result of `MetricGroup.append_batch`.

    Attributes:
        count: the number of points in the batch.
        start_index: the index of the batch's first point within the group.
        end_index: the index of the batch's last point; ``start_index - 1`` for an empty batch.
    """

    count: int
    start_index: int
    end_index: int


@dataclass(frozen=True, slots=True)
class Point(KeyedResult):
    """A point of a metric group.

    Attributes:
        index: the point's index within its group.
        data: the values by metric name, with ``step`` and ``epoch`` if the point has them.
    """

    index: int
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class PointPage(KeyedResult):
    """One page of a metric group's points: the result of `MetricGroup.read`.

    Attributes:
        data: the points, in the order of their indices.
        total: the number of points in the group.
        has_more: True if more points follow this page.
    """

    data: list[Point]
    total: int
    has_more: bool


@dataclass(frozen=True, slots=True)
class RecordedException(KeyedResult):
    """The exception that ended a run.

    Attributes:
        type: the qualified name of the exception's class, such as ``builtins.ValueError``.
        message: the exception's message.
        traceback: the end of the exception's traceback, as Python prints it.
    """

    type: str
    message: str
    traceback: str


class DroppedCounts(NamedTuple):
    """The numbers of records that a run lost because of a problem such as a full disk.

    Attributes:
        samples: the number of lost samples.
        events: the number of lost events and other records.
    """

    samples: int
    events: int

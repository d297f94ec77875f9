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


@dataclass(frozen=True, slots=True)
class Damage(KeyedResult):
    """A part of a run's files that is damaged, missing, or can't be verified.

    ``str(damage)`` describes the damage in one line, such as ``NAME.samples: records 257 to 512 are
    damaged``.

    Attributes:
        file: the name of the file; None if the damage is not limited to one file.
        problem: a description of the damage, without the file's name.
        count: the number of affected records, lines or bytes; 1 if the whole file is affected.
        unit: the unit of ``count``, ``first`` and ``last``: ``records``, ``lines`` or ``bytes``;
            None if the whole file is affected.
        first: the number of the first affected record or line, counted from 1; None if unknown.
        last: the number of the last affected record or line; None if unknown.
    """

    file: str | None
    problem: str
    count: int = 1
    unit: str | None = None
    first: int | None = None
    last: int | None = None

    def __str__(self) -> str:
        return self.problem if self.file is None else f"{self.file}: {self.problem}"

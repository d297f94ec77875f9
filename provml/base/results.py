"""The results that a run's methods return: small classes whose fields can also be read by key.

Imports nothing else from provml.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple


class KeyedResult:
    """A result whose fields can also be read by key.

    ``result["count"]`` equals ``result.count``, and ``dict(result)`` is a dict of all fields.
    """

    __match_args__: tuple[str, ...] = ()
    __slots__ = ()

    def _set_fields(self, *values: Any) -> None:
        """Set all fields, in the order of ``__match_args__``. The fields can't be changed later."""
        for name, value in zip(self.__match_args__, values, strict=True):
            object.__setattr__(self, name, value)

    def _values(self) -> tuple[Any, ...]:
        return tuple(getattr(self, name) for name in self.__match_args__)

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"{type(self).__name__} can't be changed: {name!r} is read-only")

    def __delattr__(self, name: str) -> None:
        self.__setattr__(name, None)

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self) or not isinstance(other, KeyedResult):
            return NotImplemented
        return self._values() == other._values()

    def __hash__(self) -> int:
        return hash(self._values())

    def __repr__(self) -> str:
        fields = (f"{name}={getattr(self, name)!r}" for name in self.__match_args__)
        return f"{type(self).__name__}({', '.join(fields)})"

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self._values()

    def __getitem__(self, key: str) -> Any:
        """Return a field's value. Raises KeyError if no field has this name."""
        if key not in self.__match_args__:
            raise KeyError(key)
        return getattr(self, key)

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def keys(self) -> tuple[str, ...]:
        """Return the names of the fields."""
        return self.__match_args__


class AppendedPoint(KeyedResult):
    """The result of `MetricGroup.append`.

    Attributes:
        index: the index of the new point within its group.
    """

    __match_args__ = ("index",)
    __slots__ = __match_args__

    index: int

    def __init__(self, index: int) -> None:
        self._set_fields(index)


class AppendedBatch(KeyedResult):
    """The result of `MetricGroup.append_batch`.

    Attributes:
        count: the number of points in the batch.
        start_index: the index of the batch's first point within the group.
        end_index: the index of the batch's last point; ``start_index - 1`` for an empty batch.
    """

    __match_args__ = ("count", "start_index", "end_index")
    __slots__ = __match_args__

    count: int
    start_index: int
    end_index: int

    def __init__(self, count: int, start_index: int, end_index: int) -> None:
        self._set_fields(count, start_index, end_index)


class Point(KeyedResult):
    """A point of a metric group.

    Attributes:
        index: the point's index within its group.
        data: the values by metric name, with ``step`` and ``epoch`` if the point has them.
    """

    __match_args__ = ("index", "data")
    __slots__ = __match_args__

    index: int
    data: dict[str, Any]

    def __init__(self, index: int, data: dict[str, Any]) -> None:
        self._set_fields(index, data)


class PointPage(KeyedResult):
    """One page of a metric group's points: the result of `MetricGroup.read`.

    Attributes:
        data: the points, in the order of their indices.
        total: the number of points in the group.
        has_more: True if more points follow this page.
    """

    __match_args__ = ("data", "total", "has_more")
    __slots__ = __match_args__

    data: list[Point]
    total: int
    has_more: bool

    def __init__(self, data: list[Point], total: int, has_more: bool) -> None:
        self._set_fields(data, total, has_more)


class RecordedException(KeyedResult):
    """The exception that ended a run.

    Attributes:
        type: the qualified name of the exception's class, such as ``builtins.ValueError``.
        message: the exception's message.
        traceback: the end of the exception's traceback, as Python prints it.
    """

    __match_args__ = ("type", "message", "traceback")
    __slots__ = __match_args__

    type: str
    message: str
    traceback: str

    def __init__(self, type: str, message: str, traceback: str) -> None:
        self._set_fields(type, message, traceback)


class DroppedCounts(NamedTuple):
    """The numbers of records that a run lost because of a problem such as a full disk.

    Attributes:
        samples: the number of lost samples.
        events: the number of lost events and other records.
    """

    samples: int
    events: int


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

    __match_args__ = ("file", "problem", "count", "unit", "first", "last")
    __slots__ = __match_args__

    file: str | None
    problem: str
    count: int
    unit: str | None
    first: int | None
    last: int | None

    def __init__(
        self,
        file: str | None,
        problem: str,
        count: int = 1,
        unit: str | None = None,
        first: int | None = None,
        last: int | None = None,
    ) -> None:
        self._set_fields(file, problem, count, unit, first, last)

    def __str__(self) -> str:
        return self.problem if self.file is None else f"{self.file}: {self.problem}"

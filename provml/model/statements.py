"""Defines PROV statements, and tables of many similar statements.

A `Statement` is one PROV statement, or a table of them. If a field is a column, the table has one
statement per row, and all other fields are the same. Ten million samples make a few thousand
tables, which a writer prints column by column.

Imports `journal.values` (for `Moment`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from provml.journal.values import Moment

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Name(str):
    """A qualified name, ``prefix:local``, whose local part is percent-encoded ASCII."""

    __slots__ = ()


class Iri(str):
    """An absolute IRI as a value (xsd:anyURI)."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Literal:
    """A value with its lexical form and the qualified name of its datatype."""

    lexical: str
    datatype: Name


@dataclass(frozen=True, slots=True, eq=False)
class NameColumn:
    """A column of qualified names that differ only in integers.

    Its parts are texts and integer arrays. Each row joins them to one name.
    """

    parts: tuple[str | NDArray[np.int64], ...]

    def rows(self) -> Iterator[Name]:
        """Yield the names row by row."""
        columns = [part.tolist() for part in self.parts if not isinstance(part, str)]
        for numbers in zip(*columns, strict=True):
            left = iter(numbers)
            yield Name(
                "".join(part if isinstance(part, str) else str(next(left)) for part in self.parts)
            )


@dataclass(frozen=True, slots=True, eq=False)
class TimeColumn:
    """A column of times, in nanoseconds since the epoch."""

    time_ns: NDArray[np.int64]

    def rows(self) -> Iterator[Moment]:
        """Yield the times row by row."""
        return map(Moment, self.time_ns.tolist())


@dataclass(frozen=True, slots=True, eq=False)
class ValueColumn:
    """A column of values: a float64 or int64 array, or a list."""

    values: NDArray[np.float64] | NDArray[np.int64] | list[Any]

    def rows(self) -> Iterator[Value]:
        """Yield the values row by row."""
        return iter(self.values if isinstance(self.values, list) else self.values.tolist())


Value = str | bool | int | float | Name | Iri | Moment | Literal
Argument = Name | Moment


@dataclass(slots=True)
class Statement:
    """One PROV statement, or a table of ``rows`` statements.

    Attributes:
        kind: the PROV-JSON name of the statement: ``entity``, ``wasGeneratedBy``, ...
        id: the element's name; None for a relation.
        arguments: the formal attributes, by their PROV-JSON names.
        attributes: the other attributes, as (name, value) pairs; a name may occur several times.
        rows: the number of statements; 1 if no field is a column.
    """

    kind: str
    id: Name | NameColumn | None
    arguments: dict[str, Argument | NameColumn | TimeColumn] = field(default_factory=dict)
    attributes: list[tuple[str, Value | ValueColumn | NameColumn]] = field(default_factory=list)
    rows: int = 1

    def singly(self) -> Iterator[Statement]:
        """Yield the statements one by one, without columns."""
        columns = [
            column
            for column in (self.id, *self.arguments.values(), *(v for _, v in self.attributes))
            if isinstance(column, (NameColumn, TimeColumn, ValueColumn))
        ]
        if not columns:
            yield self
            return
        for row in zip(*(column.rows() for column in columns), strict=True):
            values = dict(zip(columns, row, strict=True))  # columns hash by identity

            def pick(field: Any, values: dict[Any, Any] = values) -> Any:
                is_column = isinstance(field, (NameColumn, TimeColumn, ValueColumn))
                return values[field] if is_column else field

            yield Statement(
                self.kind,
                pick(self.id),
                {name: pick(value) for name, value in self.arguments.items()},
                [(name, pick(value)) for name, value in self.attributes],
            )

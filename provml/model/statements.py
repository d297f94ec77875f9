"""Defines PROV statements, and tables of many similar statements.

A `Statement` is one PROV statement, or a table of similar statements. In a table, some fields are
columns with one value per row, and the other fields have the same value in every row. Ten million
samples become a few thousand tables. Exporters format each table column by column.

Imports only `journal.values` from provml.
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
    """An absolute IRI that serves as the value of an attribute (xsd:anyURI)."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Literal:
    """A typed value: its lexical form, and the qualified name of its datatype."""

    lexical: str
    datatype: Name


@dataclass(frozen=True, slots=True, eq=False)
class NameColumn:
    """A column of qualified names that differ only in the integers that they contain.

    The parts are strings and integer arrays. Joining the parts of one row gives a name.
    Example: ``("run:step/training/", array([1, 2]))``.
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
        """Yield the statements one by one, with plain values instead of columns."""
        columns = [
            column
            for column in (self.id, *self.arguments.values(), *(v for _, v in self.attributes))
            if isinstance(column, (NameColumn, TimeColumn, ValueColumn))
        ]
        if not columns:
            yield self
            return
        for row in zip(*(column.rows() for column in columns), strict=True):
            values = dict(zip(columns, row, strict=True))  # columns are hashed by identity

            def pick(field: Any, values: dict[Any, Any] = values) -> Any:
                is_column = isinstance(field, (NameColumn, TimeColumn, ValueColumn))
                return values[field] if is_column else field

            yield Statement(
                self.kind,
                pick(self.id),
                {name: pick(value) for name, value in self.arguments.items()},
                [(name, pick(value)) for name, value in self.attributes],
            )

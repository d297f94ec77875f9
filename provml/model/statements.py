"""Defines PROV statements, and tables of many similar statements.

A `Statement` is one PROV statement, or a table of similar statements. In a table, some fields are
columns with one value per row, and the other fields have the same value in every row. Ten million
samples become a few thousand tables. Exporters format each table column by column.

Imports only `journal.values` from provml.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

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


class Literal(NamedTuple):
    """A typed value: its lexical form, and the qualified name of its datatype."""

    lexical: str
    datatype: Name


class NameColumn:
    """A column of qualified names that differ only in the integers that they contain.

    The parts are strings and integer arrays. Joining the parts of one row gives a name.
    Example: ``("run:step/training/", array([1, 2]))``.
    """

    __slots__ = ("parts",)

    def __init__(self, parts: tuple[str | NDArray[np.int64], ...]) -> None:
        self.parts = parts

    def __repr__(self) -> str:
        return f"NameColumn(parts={self.parts!r})"

    def rows(self) -> Iterator[Name]:
        """Yield the names row by row."""
        columns = [part.tolist() for part in self.parts if not isinstance(part, str)]
        for numbers in zip(*columns, strict=True):
            left = iter(numbers)
            yield Name(
                "".join(part if isinstance(part, str) else str(next(left)) for part in self.parts)
            )


class TimeColumn:
    """A column of times, in nanoseconds since the epoch."""

    __slots__ = ("time_ns",)

    def __init__(self, time_ns: NDArray[np.int64]) -> None:
        self.time_ns = time_ns

    def __repr__(self) -> str:
        return f"TimeColumn(time_ns={self.time_ns!r})"

    def rows(self) -> Iterator[Moment]:
        """Yield the times row by row."""
        return map(Moment, self.time_ns.tolist())


class ValueColumn:
    """A column of values: a float64 or int64 array, or a list."""

    __slots__ = ("values",)

    def __init__(self, values: NDArray[np.float64] | NDArray[np.int64] | list[Any]) -> None:
        self.values = values

    def __repr__(self) -> str:
        return f"ValueColumn(values={self.values!r})"

    def rows(self) -> Iterator[Value]:
        """Yield the values row by row."""
        return iter(self.values if isinstance(self.values, list) else self.values.tolist())


Value = str | bool | int | float | Name | Iri | Moment | Literal
Argument = Name | Moment


class Statement:
    """One PROV statement, or a table of ``rows`` statements.

    Attributes:
        kind: the PROV-JSON name of the statement, such as ``entity`` or ``wasGeneratedBy``.
        id: the element's name; None for a relation.
        arguments: the formal attributes, by their PROV-JSON names.
        attributes: the other attributes, as (name, value) pairs; a name may occur several times.
        rows: the number of statements; 1 if no field is a column.
    """

    __slots__ = ("arguments", "attributes", "id", "kind", "rows")

    def __init__(
        self,
        kind: str,
        id: Name | NameColumn | None,
        arguments: dict[str, Argument | NameColumn | TimeColumn] | None = None,
        attributes: list[tuple[str, Value | ValueColumn | NameColumn]] | None = None,
        rows: int = 1,
    ) -> None:
        self.kind = kind
        self.id = id
        self.arguments = {} if arguments is None else arguments
        self.attributes = [] if attributes is None else attributes
        self.rows = rows

    def _fields(self) -> tuple[Any, ...]:
        return tuple(getattr(self, name) for name in self.__slots__)

    def __eq__(self, other: object) -> bool:
        return self._fields() == other._fields() if isinstance(other, Statement) else NotImplemented

    __hash__ = None  # type: ignore[assignment]  # statements are mutable

    def __repr__(self) -> str:
        fields = zip(self.__slots__, self._fields(), strict=True)
        return f"Statement({', '.join(f'{name}={value!r}' for name, value in fields)})"

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

"""Answers as tables, which convert to pyarrow, pandas and polars.

Imports only `errors` from provml; imports pyarrow, pandas or polars only when needed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from provml.errors import MissingExtraError

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa

_ARROW: Final = {
    "VARCHAR": "string",
    "BIGINT": "int64",
    "INTEGER": "int32",
    "DOUBLE": "float64",
    "BOOLEAN": "bool_",
}


class TableAnswer:
    """A table: columns with names and SQL types, and rows of Python objects.

    ``len(table)`` is the number of rows. ``table[0]`` and iteration give each row as a dict.

    Attributes:
        columns: the columns' names, which are all different.
        types: the columns' SQL types.
        rows: a tuple for each row.
        notes: messages for the user: runs that could not be read, and other limits of the answer.
    """

    def __init__(
        self,
        columns: Sequence[str],
        types: Sequence[str],
        rows: list[tuple[Any, ...]],
        notes: Sequence[str] = (),
    ) -> None:
        self.columns: list[str] = []
        for name in columns:  # SELECT 1 a, 2 a: a data frame needs different names
            unique, number = name, 1
            while unique in self.columns:
                unique, number = f"{name}_{number}", number + 1
            self.columns.append(unique)
        self.types = list(types)
        self.rows = rows
        self.notes = list(notes)

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (dict(zip(self.columns, row, strict=True)) for row in self.rows)

    def __getitem__(self, row: int) -> dict[str, Any]:
        return dict(zip(self.columns, self.rows[row], strict=True))

    def __repr__(self) -> str:
        return f"<provml.lineage.TableAnswer {len(self.rows)} rows: {', '.join(self.columns)}>"

    def column(self, name: str) -> list[Any]:
        """Return the cells of a column. Raises ValueError if no column has this name."""
        place = self.columns.index(name)
        return [row[place] for row in self.rows]

    def to_arrow(self) -> pa.Table:
        """Convert to a ``pyarrow`` table. Raises MissingExtraError if it is not installed."""
        try:
            import pyarrow as pa
        except ImportError:
            raise MissingExtraError("a pyarrow table", "pyarrow", "lineage") from None
        arrays = []
        for name, kind in zip(self.columns, self.types, strict=True):
            arrow_type = getattr(pa, _ARROW[kind])() if kind in _ARROW else None
            if kind == "TIMESTAMP":
                arrow_type = pa.timestamp("us")
            arrays.append(pa.array(self.column(name), arrow_type))
        return pa.table(arrays, names=self.columns)

    def to_pandas(self) -> pd.DataFrame:
        """Convert to a ``pandas`` data frame. Raises MissingExtraError if it is not installed."""
        try:
            import pandas  # noqa: F401 - pyarrow's own message names no pip command
        except ImportError:
            raise MissingExtraError("a pandas data frame", "pandas", "frames") from None
        return self.to_arrow().to_pandas()

    def to_polars(self) -> pl.DataFrame:
        """Convert to a ``polars`` data frame. Raises MissingExtraError if it is not installed."""
        try:
            import polars
        except ImportError:
            raise MissingExtraError("a polars data frame", "polars", "frames") from None
        frame = polars.from_arrow(self.to_arrow())
        assert isinstance(frame, polars.DataFrame)
        return frame


class HasTable:
    """Base class of answers that convert to a table, and to pyarrow, pandas and polars."""

    __slots__ = ()

    def table(self) -> TableAnswer:
        """Return the answer as a table."""
        raise NotImplementedError

    def to_arrow(self) -> pa.Table:
        """Convert `table` to a ``pyarrow`` table. Raises MissingExtraError."""
        return self.table().to_arrow()

    def to_pandas(self) -> pd.DataFrame:
        """Convert `table` to a ``pandas`` data frame. Raises MissingExtraError."""
        return self.table().to_pandas()

    def to_polars(self) -> pl.DataFrame:
        """Convert `table` to a ``polars`` data frame. Raises MissingExtraError."""
        return self.table().to_polars()

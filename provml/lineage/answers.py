"""Answers as tables that can be converted to pyarrow, pandas and polars.

Imports only `base` and `errors` from provml; imports pyarrow, pandas or polars only when needed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from provml.base.notebook_html import build_table_html
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
    """The answer to a question, as a table with named and typed columns.

    ``len(table)`` is the number of rows. Indexing (``table[0]``) returns a row as a dict, and
    iteration yields each row as a dict.

    Attributes:
        columns: the names of the columns. Each name is unique.
        types: the SQL types of the columns, in the same order.
        rows: the rows, each as a tuple of Python objects.
        notes: messages for the user, for example about runs that could not be read.
    """

    def __init__(
        self,
        columns: Sequence[str],
        types: Sequence[str],
        rows: list[tuple[Any, ...]],
        notes: Sequence[str] = (),
    ) -> None:
        self.columns: list[str] = []
        for name in columns:  # SQL allows duplicate column names, but data frames do not
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

    def _repr_html_(self) -> str:
        """Return the first rows as an HTML table, which notebooks show instead of the ``repr``."""
        return build_table_html(self.columns, self.rows, notes=self.notes)

    def column(self, name: str) -> list[Any]:
        """Return the values in a column. Raises ValueError if there is no column with this name."""
        place = self.columns.index(name)
        return [row[place] for row in self.rows]

    def to_arrow(self) -> pa.Table:
        """Convert the table to a ``pyarrow`` table.

        Raises MissingExtraError if pyarrow is not installed.
        """
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
        """Convert the table to a ``pandas`` data frame.

        Raises MissingExtraError if pandas or pyarrow is not installed.
        """
        try:
            import pandas  # noqa: F401 - pyarrow's error would not name the pip command
        except ImportError:
            raise MissingExtraError("a pandas data frame", "pandas", "frames") from None
        return self.to_arrow().to_pandas()

    def to_polars(self) -> pl.DataFrame:
        """Convert the table to a ``polars`` data frame.

        Raises MissingExtraError if polars or pyarrow is not installed.
        """
        try:
            import polars
        except ImportError:
            raise MissingExtraError("a polars data frame", "polars", "frames") from None
        frame = polars.from_arrow(self.to_arrow())
        assert isinstance(frame, polars.DataFrame)
        return frame


class HasTable:
    """The base class of answers that can be converted to tables and data frames."""

    __slots__ = ()

    def table(self) -> TableAnswer:
        """Return the answer as a table."""
        raise NotImplementedError

    def _repr_html_(self) -> str:
        """Return the table as HTML, which notebooks show instead of the ``repr``."""
        return self.table()._repr_html_()

    def to_arrow(self) -> pa.Table:
        """Return the answer as a ``pyarrow`` table.

        Raises MissingExtraError if pyarrow is not installed.
        """
        return self.table().to_arrow()

    def to_pandas(self) -> pd.DataFrame:
        """Return the answer as a ``pandas`` data frame.

        Raises MissingExtraError if pandas or pyarrow is not installed.
        """
        return self.table().to_pandas()

    def to_polars(self) -> pl.DataFrame:
        """Return the answer as a ``polars`` data frame.

        Raises MissingExtraError if polars or pyarrow is not installed.
        """
        return self.table().to_polars()

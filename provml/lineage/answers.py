"""Answers that are tables: rows, and frames of the libraries that people use.

Imports `errors`; pyarrow, pandas or polars when it is asked for one.
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

    Attributes:
        columns: the names, each once.
        types: the columns' SQL types.
        rows: a tuple a row.
        notes: what is to be known of it, for people: runs that could not be read, and the like.
    """

    def __init__(
        self,
        columns: Sequence[str],
        types: Sequence[str],
        rows: list[tuple[Any, ...]],
        notes: Sequence[str] = (),
    ) -> None:
        self.columns: list[str] = []
        for name in columns:  # SELECT 1 a, 2 a: a frame needs other names
            own, number = name, 1
            while own in self.columns:
                own, number = f"{name}_{number}", number + 1
            self.columns.append(own)
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
        return f"<provml.lineage.Answer {len(self.rows)} rows: {', '.join(self.columns)}>"

    def column(self, name: str) -> list[Any]:
        """One column. Raises ValueError where there is none of that name."""
        place = self.columns.index(name)
        return [row[place] for row in self.rows]

    def to_arrow(self) -> pa.Table:
        """A table of ``pyarrow``. Raises MissingExtraError without it."""
        try:
            import pyarrow as pa
        except ImportError:
            raise MissingExtraError("a table of pyarrow", "pyarrow", "lineage") from None
        arrays = []
        for name, kind in zip(self.columns, self.types, strict=True):
            own = getattr(pa, _ARROW[kind])() if kind in _ARROW else None
            if kind == "TIMESTAMP":
                own = pa.timestamp("us")
            arrays.append(pa.array(self.column(name), own))
        return pa.table(arrays, names=self.columns)

    def to_pandas(self) -> pd.DataFrame:
        """A frame of ``pandas``. Raises MissingExtraError without it."""
        try:
            import pandas  # noqa: F401 - pyarrow's own message would name no command
        except ImportError:
            raise MissingExtraError("a frame of pandas", "pandas", "frames") from None
        return self.to_arrow().to_pandas()

    def to_polars(self) -> pl.DataFrame:
        """A frame of ``polars``. Raises MissingExtraError without it."""
        try:
            import polars
        except ImportError:
            raise MissingExtraError("a frame of polars", "polars", "frames") from None
        frame = polars.from_arrow(self.to_arrow())
        assert isinstance(frame, polars.DataFrame)
        return frame

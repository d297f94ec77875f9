r"""Describes pandas, polars and Arrow tables by their digests, schemas and summaries.

Digest
------
A table's digest is the SHA-256 of one line ``<column digest>  <name>\n`` per column, in order. The
digest of a column covers

- for values with a fixed width: the digest of the array of values, as `arrays.digest_array`
  computes it;
- for text: the lengths of all values in bytes, as little-endian int64, then the values in UTF-8;
- for other values: one line of JSON per value. For an object that JSON can't represent, the line
  contains the object's digest.

If a column has missing values, its digest first covers a mask that is true for present values.
If a column contains times with a time zone, its digest covers the line ``UTC\n`` first, and then
the times in UTC.

A table has the same digest in every process, on every machine, and in each of the three libraries.

Imports only `arrays`, `content`, `summaries`, `unreadable` and `journal.values` from provml. Never
imports a table library.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, Final, NamedTuple

from provml.collect.arrays import digest_array
from provml.collect.content import Facts, manifest_line
from provml.collect.summaries import summarize_array
from provml.collect.unreadable import UnreadableError, describe_type, printable_text
from provml.journal.values import encode


class TableColumn(NamedTuple):
    """A column of a table, from any of the libraries.

    Attributes:
        name: the column's name.
        dtype: the library's name for the type of the values.
        present: a mask that is true for the values that are not missing; None if no value is
            missing.
        values: the values that are not missing, as a numpy array or a list of objects.
        has_zone: whether the values are times in UTC, as opposed to times without a zone.
    """

    name: str
    dtype: str
    present: Any
    values: Any
    has_zone: bool = False


DigestCell = Callable[[object], str]
"""A function that returns the digest of an object that JSON can't represent."""

_TEXT_MODULES: Final = ("datetime", "decimal", "pandas", "pathlib", "polars", "pyarrow", "uuid")
"""The top-level modules of classes whose encoded text depends only on the value."""


def is_table(data: object) -> bool:
    """Return True if the object is a table, column or index of pandas, polars or Arrow."""
    kind: Any = type(data)
    return _find_reader(kind) is not None


def describe_table(data: object, digest_cell: DigestCell) -> Facts:
    """Describe a table, column or index by its digest, schema and summary.

    Reads the table once. Needs additional memory for one column at a time.

    Args:
        data: an object for which `is_table` returns True.
        digest_cell: a function that computes the digest of an object in a cell.

    Raises:
        UnreadableError: a cell has no reproducible content, so it has no digest.
        BaseException: the table's library, or the class of a cell, raised an exception.
    """
    kind: Any = type(data)
    read_columns = _find_reader(kind)
    if read_columns is None:
        raise UnreadableError(f"provml can't read tables of the class {describe_type(data)}")
    columns = read_columns(data)
    facts: Facts = {"kind": "table", "python": describe_type(data)}
    digest = hashlib.sha256()
    schema: dict[str, str] = {}
    summary: dict[str, Any] = {}
    size = rows = 0
    for column in columns:
        name = printable_text(column.name)
        name = name if name not in schema else f"{name} {len(schema)}"
        column_digest, column_size = _digest_column(column, digest_cell)
        digest.update(manifest_line(column_digest, column.name.encode("utf-8", "backslashreplace")))
        schema[name] = printable_text(column.dtype)
        rows = len(column.values) if column.present is None else len(column.present)
        column_summary = _summarize_column(column, rows)
        if column_summary:
            summary[name] = column_summary
        size += column_size
    shape = [rows, len(schema)]
    facts |= {"length": rows, "shape": shape, "size": size, "schema": schema}
    if summary:
        facts["summary"] = summary
    facts["sha256"] = digest.hexdigest()
    return facts


def _summarize_column(column: TableColumn, rows: int) -> dict[str, Any]:
    summary = {} if isinstance(column.values, list) else summarize_array(column.values)
    missing = rows - len(column.values)
    return summary | ({"missing": missing} if missing else {})


def _digest_column(column: TableColumn, digest_cell: DigestCell) -> tuple[str, int]:
    digest = hashlib.sha256(b"UTC\n" if column.has_zone else b"")
    size = 0
    if column.present is not None:
        digest.update(digest_array(column.present).encode())
    values = column.values
    if not isinstance(values, list):
        digest.update(digest_array(values).encode())
        return digest.hexdigest(), int(values.nbytes)
    import numpy as np

    if all(type(value) is str for value in values):
        texts = [value.encode("utf-8", "surrogatepass") for value in values]
        digest.update(np.fromiter(map(len, texts), "<i8", len(texts)).tobytes())
        for start in range(0, len(texts), 65_536):
            block = b"".join(texts[start : start + 65_536])
            digest.update(block)
            size += len(block)
        return digest.hexdigest(), size
    for value in values:
        content = _encode_cell(value, digest_cell)
        line = json.dumps(content, sort_keys=True).encode() + b"\n"
        digest.update(line)
        size += len(line)
    return digest.hexdigest(), size


def _encode_cell(value: Any, digest_cell: DigestCell) -> Any:
    """Encode a cell as JSON. An object that JSON can't represent is replaced by its digest."""
    own = _to_python(value)
    if _has_stable_text(own):
        return encode(own)
    return {"$": digest_cell(value), "type": "digest"}


def _has_stable_text(value: Any) -> bool:
    """Return whether the encoded form of a value depends only on the value's content."""
    kind = type(value)
    if issubclass(kind, (str, int, float, bytes, bytearray, type(None))):
        return True
    if issubclass(kind, dict):
        return all(map(_has_stable_text, dict.values(value)))
    if issubclass(kind, (list, set, frozenset)):
        return all(map(_has_stable_text, value))
    return str(kind.__module__).partition(".")[0] in _TEXT_MODULES


def _to_python(value: Any) -> Any:
    """Convert an array, list or mapping in a cell to plain Python objects."""
    if hasattr(value, "to_list"):
        return value.to_list()
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, dict):
        return {str(key): _to_python(member) for key, member in value.items()}
    return [_to_python(member) for member in value] if isinstance(value, (list, tuple)) else value


@lru_cache(maxsize=256)
def _find_reader(kind: type) -> Callable[[Any], Iterator[TableColumn]] | None:
    """Return the function that yields a table's columns, or None for an unsupported class."""
    for name, classes, read_columns in _LIBRARIES:
        module = sys.modules.get(name)
        own = tuple(c for c in (getattr(module, c, None) for c in classes) if isinstance(c, type))
        if own and issubclass(kind, own):
            return read_columns
    return None


def _read_pandas(data: Any) -> Iterator[TableColumn]:
    """Yield the columns of a pandas table. The index comes first, unless it is a RangeIndex."""
    frame = data.to_frame() if data.ndim == 1 else data
    if type(frame.index).__name__ != "RangeIndex":
        for level in range(frame.index.nlevels):
            values = frame.index.get_level_values(level)
            yield _pandas_column(str(values.name or "index"), values.to_series())
    for place, name in enumerate(frame.columns):
        yield _pandas_column(str(name), frame.iloc[:, place])


def _read_pandas_values(data: Any) -> Iterator[TableColumn]:
    """Yield the columns of a pandas index, or the only column of a pandas array."""
    pandas = sys.modules["pandas"]
    if isinstance(data, pandas.MultiIndex):
        yield from _read_pandas(data.to_frame(index=False))
    else:
        name = getattr(data, "name", None)
        yield _pandas_column("0" if name is None else str(name), pandas.Series(data))


def _pandas_column(name: str, series: Any) -> TableColumn:
    dtype = str(series.dtype)
    if dtype == "category":
        series = series.astype(series.cat.categories.dtype)
    if hasattr(series.dtype, "pyarrow_dtype"):
        stored = sys.modules["pyarrow"].chunked_array([series.array.__arrow_array__()])
        return _arrow_column(name, stored)._replace(dtype=dtype)
    has_zone = getattr(series.dtype, "tz", None) is not None
    if has_zone:
        series = series.dt.tz_convert("UTC").dt.tz_localize(None)
    if type(series.dtype).__module__.startswith("numpy") and series.dtype.kind != "O":
        if series.dtype.kind in "mM" and series.hasnans:
            present = series.notna().to_numpy()
            return TableColumn(name, dtype, present, series.to_numpy()[present], has_zone)
        return TableColumn(name, dtype, None, series.to_numpy(), has_zone)
    present = series.notna().to_numpy()
    kept = series[present]
    target = getattr(series.dtype, "numpy_dtype", None)  # only nullable types define this
    if target is not None and target.kind in "biuf":
        values: Any = kept.to_numpy(dtype=target)
    else:
        values = kept.tolist()
        if values and all(type(value) is bool for value in values):
            values = kept.to_numpy(dtype=bool)
    return TableColumn(name, dtype, None if present.all() else present, values)


def _read_polars(data: Any) -> Iterator[TableColumn]:
    for series in data.get_columns() if hasattr(data, "get_columns") else [data]:
        dtype = series.dtype
        kept = series.drop_nulls()
        name = str(dtype)
        fixed = dtype.is_numeric() and not dtype.is_decimal() and "128" not in name
        fixed = fixed or name == "Boolean" or name.startswith(("Datetime", "Duration"))
        present = series.is_not_null().to_numpy() if len(kept) != len(series) else None
        yield TableColumn(
            series.name,
            name,
            present,
            kept.to_numpy() if fixed else kept.to_list(),
            getattr(dtype, "time_zone", None) is not None,
        )


def _read_arrow(data: Any) -> Iterator[TableColumn]:
    for name, stored in zip(data.schema.names, data.columns, strict=True):
        yield _arrow_column(str(name), stored)


def _read_arrow_values(data: Any) -> Iterator[TableColumn]:
    yield _arrow_column("0", data)


def _arrow_column(name: str, stored: Any) -> TableColumn:
    types = sys.modules["pyarrow"].types
    own = stored.type
    dtype = str(own)
    column = stored
    if types.is_dictionary(own):
        own = own.value_type
        column = stored.cast(own)
    missing = column.null_count
    present = column.is_valid().to_numpy(zero_copy_only=False) if missing else None
    kept = column.drop_null() if missing else column
    fixed = types.is_integer(own) or types.is_floating(own) or types.is_boolean(own)
    fixed = fixed or types.is_timestamp(own) or types.is_duration(own)
    values = kept.to_numpy(zero_copy_only=False) if fixed else kept.to_pylist()
    has_zone = types.is_timestamp(own) and own.tz is not None
    return TableColumn(name, dtype, present, values, has_zone)


_LIBRARIES: Final = (
    ("pandas", ("DataFrame", "Series"), _read_pandas),
    ("polars", ("DataFrame", "Series"), _read_polars),
    ("pyarrow", ("Table", "RecordBatch"), _read_arrow),
    ("pyarrow", ("Array", "ChunkedArray"), _read_arrow_values),
    ("pandas", ("Index",), _read_pandas_values),
    ("pandas.api.extensions", ("ExtensionArray",), _read_pandas_values),
)

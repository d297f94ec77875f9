r"""Describes pandas, polars and Arrow tables by digest, schema and summary.

Digest
------
A table's digest is the SHA-256 of one line ``<column digest>  <name>\n`` per column, in order. The
digest of a column covers

- for values with a fixed width: the array of the values, as in `content.describe_array`;
- for text: the lengths of all values in bytes, as little-endian int64, then the values in UTF-8;
- for other values: one line of JSON per value.

If a column has missing values, its digest first covers the mask of the values that are present.

A table has the same digest in every process, on every machine, and in each of the three libraries.

Imports only `content`, `summaries` and `journal.values` from provml. Never imports a table library.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator
from typing import Any, NamedTuple

from provml.collect.content import Facts, digest_array
from provml.collect.summaries import summarize_array
from provml.journal.values import encode


class TableColumn(NamedTuple):
    """A column of a table, from any of the libraries.

    Attributes:
        name: the column's name.
        dtype: the library's name for the type.
        present: a mask that is true for the values that are not missing; None if no value is
            missing.
        values: the values that are not missing, as a numpy array or a list of objects.
    """

    name: str
    dtype: str
    present: Any
    values: Any


def describe_table(data: object) -> Facts | None:
    """Describe a table; return None for any other object.

    Reads the table once. Needs additional memory for one column at a time.
    """
    columns = _find_columns(data)
    if columns is None:
        return None
    kind = type(data)
    facts: Facts = {"kind": "table", "python": f"{kind.__module__}.{kind.__qualname__}"}
    digest = hashlib.sha256()
    schema: dict[str, str] = {}
    summary: dict[str, Any] = {}
    size = rows = 0
    for column in columns:
        name = column.name if column.name not in schema else f"{column.name} {len(schema)}"
        column_digest, column_size = _digest_column(column)
        digest.update(f"{column_digest}  {column.name}\n".encode("utf-8", "backslashreplace"))
        schema[name] = column.dtype
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


def _digest_column(column: TableColumn) -> tuple[str, int]:
    digest = hashlib.sha256()
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
        line = json.dumps(encode(_to_python(value)), sort_keys=True).encode() + b"\n"
        digest.update(line)
        size += len(line)
    return digest.hexdigest(), size


def _to_python(value: Any) -> Any:
    """Convert a nested value to plain Python objects."""
    if hasattr(value, "to_list"):
        return value.to_list()
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, dict):
        return {str(key): _to_python(member) for key, member in value.items()}
    return [_to_python(member) for member in value] if isinstance(value, (list, tuple)) else value


def _find_columns(data: Any) -> Iterator[TableColumn] | None:
    root = type(data).__module__.partition(".")[0]
    module = sys.modules.get(root)
    if root == "pandas" and isinstance(data, (module.DataFrame, module.Series)):  # type: ignore[union-attr]
        return _pandas_columns(data)
    if root == "polars" and isinstance(data, (module.DataFrame, module.Series)):  # type: ignore[union-attr]
        return _polars_columns(data)
    if root == "pyarrow" and isinstance(data, (module.Table, module.RecordBatch)):  # type: ignore[union-attr]
        return _arrow_columns(data)
    return None


def _pandas_columns(data: Any) -> Iterator[TableColumn]:
    """Yield a pandas table's columns. The index comes first, unless it only numbers the rows."""
    frame = data.to_frame() if data.ndim == 1 else data
    if type(frame.index).__name__ != "RangeIndex":
        for level in range(frame.index.nlevels):
            values = frame.index.get_level_values(level)
            yield _pandas_column(str(values.name or "index"), values.to_series())
    for place, name in enumerate(frame.columns):
        yield _pandas_column(str(name), frame.iloc[:, place])


def _pandas_column(name: str, series: Any) -> TableColumn:
    dtype = str(series.dtype)
    if dtype == "category":
        series = series.astype(series.cat.categories.dtype)
    if getattr(series.dtype, "tz", None) is not None:
        series = series.dt.tz_convert("UTC").dt.tz_localize(None)
    if type(series.dtype).__module__.startswith("numpy") and series.dtype.kind != "O":
        return TableColumn(name, dtype, None, series.to_numpy())
    present = series.notna().to_numpy()
    kept = series[present]
    target = getattr(series.dtype, "numpy_dtype", None)  # only nullable numeric types have it
    if target is not None and target.kind in "biuf":
        values: Any = kept.to_numpy(dtype=target)
    else:
        values = kept.tolist()
        if values and all(type(value) is bool for value in values):
            values = kept.to_numpy(dtype=bool)
    return TableColumn(name, dtype, None if present.all() else present, values)


def _polars_columns(data: Any) -> Iterator[TableColumn]:
    for series in data.get_columns() if hasattr(data, "get_columns") else [data]:
        dtype = series.dtype
        kept = series.drop_nulls()
        fixed = dtype.is_numeric() and not dtype.is_decimal()
        fixed = fixed or str(dtype) == "Boolean" or str(dtype).startswith(("Datetime", "Duration"))
        present = series.is_not_null().to_numpy() if len(kept) != len(series) else None
        yield TableColumn(
            series.name, str(dtype), present, kept.to_numpy() if fixed else kept.to_list()
        )


def _arrow_columns(data: Any) -> Iterator[TableColumn]:
    types = sys.modules["pyarrow"].types
    for name, stored in zip(data.schema.names, data.columns, strict=True):
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
        yield TableColumn(str(name), dtype, present, values)

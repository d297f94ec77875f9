"""The answer to a SPARQL query: a table, a graph, or true or false.

Imports only `errors`, `model.statements` and `model.vocabulary` from provml; imports pyoxigraph and
pyarrow only when needed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from provml.errors import MissingExtraError, QueryError, StoreError
from provml.model.statements import Iri
from provml.model.vocabulary import XSD

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa

TABLE_FORMATS: Final = ("csv", "json", "arrow", "parquet")
GRAPH_FORMATS: Final = ("turtle", "ntriples", "jsonld")
ANSWER_FORMATS: Final = (*TABLE_FORMATS, *GRAPH_FORMATS)
ANSWER_SUFFIXES: Final = {
    ".csv": "csv",
    ".json": "json",
    ".arrow": "arrow",
    ".parquet": "parquet",
    ".ttl": "turtle",
    ".nt": "ntriples",
    ".jsonld": "jsonld",
}

_INTEGERS: Final = {
    f"{XSD}{name}"
    for name in (
        *("integer", "int", "long", "short", "byte", "nonNegativeInteger", "positiveInteger"),
        *("nonPositiveInteger", "negativeInteger"),
        *("unsignedLong", "unsignedInt", "unsignedShort", "unsignedByte"),
    )
}
_FLOATS: Final = {f"{XSD}double", f"{XSD}float"}
_EXACT_INTEGER: Final = 2**53


class SparqlAnswer:
    """The answer to a SPARQL query. You can read it only once.

    Iterating over a table yields its rows as tuples; iterating over a graph yields its triples. The
    terms in rows and triples are converted to Python values:

    - IRIs become `provml.model.statements.Iri`.
    - Numbers become int, float or Decimal.
    - Values of xsd:boolean become True or False.
    - Values of xsd:dateTime become datetime objects, truncated to microseconds.
    - Values of all other datatypes become text.
    - Unbound variables become None.

    Attributes:
        kind: ``table``, ``graph`` or ``boolean``.
        variables: the column names of a table; empty for other answers.
    """

    def __init__(self, result: Any, prefixes: Mapping[str, str]) -> None:
        from pyoxigraph import QueryBoolean, QuerySolutions

        self._result = result
        self.prefixes = dict(prefixes)
        self.variables: tuple[str, ...] = ()
        self.kind = "graph"
        if isinstance(result, QueryBoolean):
            self.kind = "boolean"
        elif isinstance(result, QuerySolutions):
            self.kind = "table"
            self.variables = tuple(variable.value for variable in result.variables)

    def __repr__(self) -> str:
        columns = f": {', '.join(self.variables)}" if self.kind == "table" else ""
        return f"<provml.sparql.SparqlAnswer {self.kind}{columns}>"

    def __bool__(self) -> bool:
        if self.kind != "boolean":
            raise QueryError(
                f"this answer is a {self.kind}: only the answer to an ASK query is true or false"
            )
        return bool(self._result)

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        if self.kind == "boolean":
            raise QueryError("the answer to an ASK query has no rows: use bool(answer)")
        for row in self.rows():
            yield tuple(map(python_value, row))

    def rows(self) -> Iterator[tuple[Any, ...]]:
        """Yield rows or triples as pyoxigraph terms. Raises StoreError if the data is damaged."""
        with _explain_damage():
            if self.kind == "table":
                yield from map(tuple, self._result)
            else:
                for triple in self._result:
                    yield triple.subject, triple.predicate, triple.object

    def to_arrow(self) -> pa.Table:
        """Convert the answer, which must be a table, to a pyarrow table.

        The type of a column depends on its values:

        - integers that fit into 64 bits: int64
        - doubles, or doubles mixed with integers from -2**53 to 2**53: float64
        - booleans: bool
        - times in UTC, with nanosecond precision or less: timestamp[ns, UTC]
        - all other values, and mixtures: text

        Raises:
            QueryError: the answer is not a table.
            MissingExtraError: pyarrow is not installed.
        """
        if self.kind != "table":
            raise QueryError(f"the answer is a {self.kind}, not a table")
        try:
            import pyarrow as pa
        except ImportError:
            raise MissingExtraError("a pyarrow table", "pyarrow", "arrow") from None
        columns: list[list[Any]] = [[] for _ in self.variables]
        for row in self.rows():
            for column, term in zip(columns, row, strict=True):
                column.append(term)
        return pa.Table.from_arrays(
            [_build_arrow_array(column) for column in columns], list(self.variables)
        )

    def to_pandas(self) -> pd.DataFrame:
        """Convert the answer, which must be a table, to a pandas data frame, through `to_arrow`.

        Raises:
            QueryError: the answer is not a table.
            MissingExtraError: pandas or pyarrow is not installed.
        """
        try:
            import pandas  # noqa: F401 - pyarrow's error would not name the pip command
        except ImportError:
            raise MissingExtraError("a pandas data frame", "pandas", "frames") from None
        return self.to_arrow().to_pandas()

    def to_polars(self) -> pl.DataFrame:
        """Convert the answer, which must be a table, to a polars data frame, through `to_arrow`.

        Raises:
            QueryError: the answer is not a table.
            MissingExtraError: polars or pyarrow is not installed.
        """
        try:
            import polars
        except ImportError:
            raise MissingExtraError("a polars data frame", "polars", "frames") from None
        frame = polars.from_arrow(self.to_arrow())
        assert isinstance(frame, polars.DataFrame)
        return frame

    def write(self, format: str, sink: BinaryIO) -> None:
        """Write the answer to a binary file. CSV, JSON and graphs are streamed.

        Args:
            format: one of these formats.

                - For a table: ``csv`` or ``json`` (SPARQL 1.1 results), ``arrow`` (an IPC file) or
                  ``parquet``.
                - For true or false: ``json``.
                - For a graph: ``turtle``, ``ntriples`` or ``jsonld``.
            sink: an object that is open for writing bytes.

        Raises:
            QueryError: the format is unknown, or does not support this kind of answer.
            MissingExtraError: pyarrow is not installed.
            StoreError: the loaded data is damaged.
        """
        with _explain_damage():
            self._write(format, sink)

    def _write(self, format: str, sink: BinaryIO) -> None:
        import pyoxigraph

        if self.kind == "graph":
            forms = {"turtle": "TURTLE", "ntriples": "N_TRIPLES", "jsonld": "JSON_LD"}
            if format not in forms:
                raise QueryError(
                    f"the answer is a graph, but {format} is not a format for graphs: use one of "
                    f"{', '.join(forms)}"
                )
            form = getattr(pyoxigraph.RdfFormat, forms[format])
            prefixes = self.prefixes if format != "ntriples" else None
            pyoxigraph.serialize(self._result, sink, form, prefixes=prefixes)
        elif format in GRAPH_FORMATS:
            raise QueryError(
                f"the answer is a {self.kind}, but {format} is a format for graphs: use json"
            )
        elif format == "json":
            self._result.serialize(sink, pyoxigraph.QueryResultsFormat.JSON)
        elif self.kind == "boolean":
            raise QueryError(
                f"the answer is true or false, but {format} is a format for tables: use json"
            )
        elif format == "csv":
            self._result.serialize(sink, pyoxigraph.QueryResultsFormat.CSV)
        elif format == "arrow":
            _write_arrow(self.to_arrow(), sink)
        elif format == "parquet":
            _write_parquet(self.to_arrow(), sink)
        else:
            raise QueryError(f"unknown format {format!r}; use one of {', '.join(ANSWER_FORMATS)}")


@contextmanager
def _explain_damage() -> Iterator[None]:
    """Turn an error from a damaged database into a StoreError that says how to repair it."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        if "corruption" not in str(error).lower():
            raise
        raise StoreError(
            f"the loaded data is damaged ({error}): delete .provml/sparql in the store, then run "
            "the query again"
        ) from error


def python_value(term: Any) -> Any:
    """Convert a pyoxigraph term to a Python value, as `SparqlAnswer` describes."""
    if term is None:
        return None
    datatype = getattr(term, "datatype", None)
    if datatype is None:
        return Iri(term.value) if type(term).__name__ == "NamedNode" else str(term)
    text, kind = term.value, datatype.value
    try:
        if kind in _INTEGERS:
            return int(text)
        if kind in _FLOATS:
            return float(text.replace("INF", "inf"))
        if kind == f"{XSD}boolean":
            return text in ("true", "1")
        if kind == f"{XSD}decimal":
            return Decimal(text)
        if kind == f"{XSD}dateTime":
            return datetime.fromisoformat(text)
    except (ValueError, InvalidOperation):
        pass  # the text is not valid for its datatype
    return text


def _find_column_type(term: Any) -> str:
    datatype = getattr(term, "datatype", None)
    kind = "" if datatype is None else datatype.value
    return "integer" if kind in _INTEGERS else "double" if kind in _FLOATS else kind


def _build_arrow_array(terms: list[Any]) -> pa.Array:
    """Convert a column to a pyarrow array, with a type that represents all its values exactly."""
    import pyarrow as pa

    kinds = {_find_column_type(term) for term in terms if term is not None}
    values = [None if term is None else python_value(term) for term in terms]
    numbers = [value for value in values if isinstance(value, int)]
    if kinds == {"integer"} and all(-(2**63) <= number < 2**63 for number in numbers):
        return pa.array(values, pa.int64())
    exact = all(abs(number) <= _EXACT_INTEGER for number in numbers)
    if kinds and kinds <= {"integer", "double"} and "double" in kinds and exact:
        return pa.array([None if v is None else float(v) for v in values], pa.float64())
    if kinds == {f"{XSD}boolean"} and all(isinstance(v, bool | None) for v in values):
        return pa.array(values, pa.bool_())
    if kinds == {f"{XSD}dateTime"}:
        moments = [None if term is None else _parse_time_ns(term.value) for term in terms]
        if all(isinstance(m, int) or t is None for m, t in zip(moments, terms, strict=True)):
            return pa.array(moments, pa.timestamp("ns", "UTC"))
    texts = [None if term is None else _lexical_form(term) for term in terms]
    return pa.array(texts, pa.string())


def _lexical_form(term: Any) -> str:
    value: str = term.value
    return value


def _parse_time_ns(text: str) -> int | None:
    """Convert an xsd:dateTime in UTC to nanoseconds since the epoch.

    Returns None for times in other zones, and for times that don't fit exactly into 64 bits.
    """
    whole, _, fraction = text.removesuffix("Z").partition(".")
    if not text.endswith("Z") or len(fraction) > 9:
        return None
    try:
        seconds = round(datetime.fromisoformat(f"{whole}+00:00").timestamp())
    except ValueError:
        return None
    time_ns = seconds * 10**9 + int(fraction.ljust(9, "0"))
    return time_ns if -(2**63) < time_ns < 2**63 else None


def _write_arrow(table: pa.Table, sink: BinaryIO) -> None:
    import pyarrow as pa

    with pa.ipc.new_file(pa.PythonFile(_ArrowSink(sink), "w"), table.schema) as writer:
        writer.write_table(table)


def _write_parquet(table: pa.Table, sink: BinaryIO) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(table, pa.PythonFile(_ArrowSink(sink), "w"))


class _ArrowSink:
    """A wrapper through which pyarrow writes to a sink. Tracks the position; ignores `close`."""

    closed = False

    def __init__(self, sink: BinaryIO) -> None:
        self._sink = sink
        self._place = 0

    def write(self, data: Any) -> int:
        self._sink.write(bytes(data))
        self._place += len(data)
        return len(data)

    def tell(self) -> int:
        return self._place

    def flush(self) -> None:
        pass

    def close(self) -> None:
        pass

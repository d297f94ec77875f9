"""What a query answered: a table, a graph, or yes or no.

Imports `model.statements`, `clock`, `errors`; pyoxigraph and pyarrow when it runs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from provml.errors import MissingExtraError, QueryError, StoreError
from provml.model import vocabulary
from provml.model.statements import Iri

if TYPE_CHECKING:
    import pyarrow as pa

TABLE_FORMATS: Final = ("csv", "json", "arrow", "parquet")
GRAPH_FORMATS: Final = ("turtle", "ntriples", "jsonld")
FORMATS: Final = (*TABLE_FORMATS, *GRAPH_FORMATS)
ENDINGS: Final = {
    ".csv": "csv",
    ".json": "json",
    ".arrow": "arrow",
    ".parquet": "parquet",
    ".ttl": "turtle",
    ".nt": "ntriples",
    ".jsonld": "jsonld",
}

_XSD: Final = vocabulary.XSD
_INTEGERS: Final = {
    f"{_XSD}{name}"
    for name in (
        *("integer", "int", "long", "short", "byte", "nonNegativeInteger", "positiveInteger"),
        *("nonPositiveInteger", "negativeInteger"),
        *("unsignedLong", "unsignedInt", "unsignedShort", "unsignedByte"),
    )
}
_FLOATS: Final = {f"{_XSD}double", f"{_XSD}float"}
_EXACT_INTEGER: Final = 2**53


class SparqlAnswer:
    """The answer to a query; what pyoxigraph gave, read as it is asked for.

    A table iterates as tuples of Python values, a graph as triples of them: an IRI is a
    `provml.model.statements.Iri`, an xsd:dateTime a datetime cut to microseconds, a number an int,
    float or Decimal, what has another datatype its text, what is unbound None. An answer is read
    once.

    Attributes:
        kind: ``table``, ``graph`` or ``boolean``.
        variables: the names of a table's columns.
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

    def __bool__(self) -> bool:
        if self.kind != "boolean":
            raise QueryError("only the answer to an ASK query is true or false")
        return bool(self._result)

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        if self.kind == "boolean":
            raise QueryError("the answer to an ASK query is true or false, no rows")
        for row in self.rows():
            yield tuple(map(python_value, row))

    def rows(self) -> Iterator[tuple[Any, ...]]:
        """The rows, or triples, as pyoxigraph's terms. Raises StoreError for a damaged store."""
        with _damage_named():
            if self.kind == "table":
                yield from map(tuple, self._result)
            else:
                for triple in self._result:
                    yield triple.subject, triple.predicate, triple.object

    def to_arrow(self) -> pa.Table:
        """A table as a table of pyarrow; a column whose values have one datatype is typed.

        Integers are int64, doubles float64 (also with integers among them, where that is exact),
        booleans bool, times timestamp[ns, UTC]; all else, and what does not fit, is text.

        Raises:
            QueryError: it is no table.
            MissingExtraError: pyarrow is not installed.
        """
        if self.kind != "table":
            raise QueryError(f"the answer is a {self.kind}, no table")
        try:
            import pyarrow as pa
        except ImportError:
            raise MissingExtraError("a table of pyarrow", "pyarrow", "arrow") from None
        columns: list[list[Any]] = [[] for _ in self.variables]
        for row in self.rows():
            for column, term in zip(columns, row, strict=True):
                column.append(term)
        return pa.Table.from_arrays([_arrow(column) for column in columns], list(self.variables))

    def write(self, format: str, sink: BinaryIO) -> None:
        """Write the answer in a format, csv, json and the graphs' as they come.

        Args:
            format: ``csv`` or ``json`` (SPARQL 1.1 results), ``arrow`` (IPC file), ``parquet``
                for a table; ``json`` for yes or no; ``turtle``, ``ntriples``, ``jsonld`` for a
                graph.

        Raises:
            QueryError: the answer does not go into that format.
            MissingExtraError: pyarrow is not installed.
            StoreError: what was loaded is damaged.
        """
        with _damage_named():
            self._write(format, sink)

    def _write(self, format: str, sink: BinaryIO) -> None:
        import pyoxigraph

        if self.kind == "graph":
            forms = {"turtle": "TURTLE", "ntriples": "N_TRIPLES", "jsonld": "JSON_LD"}
            if format not in forms:
                raise QueryError(f"the answer is a graph: {format} holds a table, no graph")
            form = getattr(pyoxigraph.RdfFormat, forms[format])
            prefixes = self.prefixes if format != "ntriples" else None
            pyoxigraph.serialize(self._result, sink, form, prefixes=prefixes)
        elif format in GRAPH_FORMATS:
            raise QueryError(f"the answer is a {self.kind}: {format} holds a graph")
        elif format == "json":
            self._result.serialize(sink, pyoxigraph.QueryResultsFormat.JSON)
        elif self.kind == "boolean":
            raise QueryError(f"the answer is yes or no, which {format} does not hold; json does")
        elif format == "csv":
            self._result.serialize(sink, pyoxigraph.QueryResultsFormat.CSV)
        elif format == "arrow":
            _write_arrow(self.to_arrow(), sink)
        elif format == "parquet":
            _write_parquet(self.to_arrow(), sink)
        else:
            raise QueryError(f"unknown format {format!r}; there are: {', '.join(FORMATS)}")


@contextmanager
def _damage_named() -> Iterator[None]:
    """Say what helps where the database's files turn out to be damaged while they are read."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        if "corruption" not in str(error).lower():
            raise
        raise StoreError(
            f"what was loaded is damaged: delete .provml/sparql in the store ({error})"
        ) from error


def python_value(term: Any) -> Any:
    """A term as a Python value; see `SparqlAnswer`."""
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
        if kind == f"{_XSD}boolean":
            return text in ("true", "1")
        if kind == f"{_XSD}decimal":
            return Decimal(text)
        if kind == f"{_XSD}dateTime":
            return datetime.fromisoformat(text)
    except (ValueError, InvalidOperation):
        pass  # a lexical form that its datatype does not have
    return text


def _datatype(term: Any) -> str:
    datatype = getattr(term, "datatype", None)
    kind = "" if datatype is None else datatype.value
    return "integer" if kind in _INTEGERS else "double" if kind in _FLOATS else kind


def _arrow(terms: list[Any]) -> pa.Array:
    """A column as an array, of the type that holds all of it exactly."""
    import pyarrow as pa

    kinds = {_datatype(term) for term in terms if term is not None}
    values = [None if term is None else python_value(term) for term in terms]
    numbers = [value for value in values if isinstance(value, int)]
    if kinds == {"integer"} and all(-(2**63) <= number < 2**63 for number in numbers):
        return pa.array(values, pa.int64())
    exact = all(abs(number) <= _EXACT_INTEGER for number in numbers)
    if kinds and kinds <= {"integer", "double"} and "double" in kinds and exact:
        return pa.array([None if v is None else float(v) for v in values], pa.float64())
    if kinds == {f"{_XSD}boolean"} and all(isinstance(v, bool | None) for v in values):
        return pa.array(values, pa.bool_())
    if kinds == {f"{_XSD}dateTime"}:
        moments = [None if term is None else _time_ns(term.value) for term in terms]
        if all(isinstance(m, int) or t is None for m, t in zip(moments, terms, strict=True)):
            return pa.array(moments, pa.timestamp("ns", "UTC"))
    texts = [None if term is None else _text(term) for term in terms]
    return pa.array(texts, pa.string())


def _text(term: Any) -> str:
    value: str = term.value
    return value


def _time_ns(text: str) -> int | None:
    """An xsd:dateTime in UTC as nanoseconds since the epoch; None where that can't be."""
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

    with pa.ipc.new_file(pa.PythonFile(_Sink(sink), "w"), table.schema) as writer:
        writer.write_table(table)


def _write_parquet(table: pa.Table, sink: BinaryIO) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(table, pa.PythonFile(_Sink(sink), "w"))


class _Sink:
    """A sink for pyarrow, which asks where it is and would close it."""

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

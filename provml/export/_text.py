"""Converts values and columns to text, and joins columns into rows, for all exporters.

A table is written column by column. Each piece of a table's text is either one string, which is
used in every row, or a list with one string per row.

Imports orjson and numpy only when they are needed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from provml.base.clock import iso_text
from provml.journal.values import Moment
from provml.model.statements import (
    Iri,
    Literal,
    Name,
    NameColumn,
    TimeColumn,
    Value,
    ValueColumn,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_BLOCK_ROWS: Final = 8192
_BLOCK_BYTES: Final = 2**20

Piece = bytes | list[bytes]
"""A piece of text for a block of rows: one string for every row, or a list with one per row."""

quote_json = json.JSONEncoder(ensure_ascii=False).encode
"""Quotes a string with the escapes that JSON, N-Triples, Turtle and PROV-N have in common."""


class Rows:
    """A block of a table's rows, which converts each column to text only once.

    Texts are looked up by the identity of their column, so the block keeps a reference to each
    column. A block has few columns, so searching a list is faster than computing a hash.
    """

    __slots__ = ("_texts", "start", "stop")

    def __init__(self, start: int, stop: int) -> None:
        self.start = start
        self.stop = stop
        self._texts: list[tuple[Any, Callable[[Any], list[bytes]], list[bytes]]] = []

    def __len__(self) -> int:
        return self.stop - self.start

    def texts(self, column: Any, make: Callable[[Any], list[bytes]]) -> list[bytes]:
        """Return the texts of a column's values in these rows, as formatted by ``make``."""
        for known, known_make, texts in self._texts:
            if known is column and known_make is make:
                return texts
        texts = make(column[self.start : self.stop])
        self._texts.append((column, make, texts))
        return texts


def split_rows(rows: int) -> Iterator[Rows]:
    """Split the rows of a table into blocks of limited size, so that memory use stays bounded."""
    for start in range(0, rows, _BLOCK_ROWS):
        yield Rows(start, min(start + _BLOCK_ROWS, rows))


def join_rows(pieces: list[Piece], rows: int, separator: bytes) -> bytes:
    """Join the pieces of each row, then join the rows with a separator."""
    merged: list[Piece] = []
    for piece in pieces:
        if isinstance(piece, bytes) and merged and isinstance(merged[-1], bytes):
            merged[-1] += piece
        else:
            merged.append(piece)
    if rows == 1:
        return b"".join(piece if isinstance(piece, bytes) else piece[0] for piece in merged)
    # append the separator to the last text of each row, except in the last row
    last = merged.pop() if isinstance(merged[-1], bytes) else b""
    assert isinstance(last, bytes)
    merged.append(last + separator)
    width = len(merged)
    texts: list[bytes] = [b""] * (width * rows)
    for place, piece in enumerate(merged):
        texts[place::width] = [piece] * rows if isinstance(piece, bytes) else piece
    texts[-1] = last
    return b"".join(texts)


def gather_blocks(texts: Iterator[bytes], separator: bytes = b"") -> Iterator[bytes]:
    """Join small texts into blocks of about a megabyte, and yield the blocks."""
    held: list[bytes] = []
    size = 0
    for text in texts:
        held.append(text)
        size += len(text)
        if size >= _BLOCK_BYTES:
            yield separator.join(held)
            held, size = [], 0
    if held:
        yield separator.join(held)


def write_joined(sink: BinaryIO, texts: Iterator[bytes], separator: bytes) -> None:
    """Write small texts to a file, with a separator between them."""
    before = b""
    for block in gather_blocks(texts, separator):
        sink.write(before + block)
        before = separator


def group_values(attributes: list[tuple[str, Any]]) -> list[tuple[str, list[Any]]]:
    """Group the values of attributes by name, in the order in which the names first occur."""
    group_values: dict[str, list[Any]] = {}
    for name, value in attributes:
        group_values.setdefault(name, []).append(value)
    return list(group_values.items())


# -- values -----------------------------------------------------------------------------------


def format_name(
    name: Name | NameColumn, rows: Rows, written: Callable[[str], bytes]
) -> list[Piece]:
    """Format a name, or a column of names.

    Args:
        written: a function that formats one name. For a column, the function receives only the
            text before the first number. The rest of the name consists of digits and
            dots, and is written unchanged.
    """
    if isinstance(name, str):
        return [written(name)]
    first, *rest = name.parts
    assert isinstance(first, str)
    pieces: list[Piece] = [written(first)]
    for part in rest:
        pieces.append(part.encode() if isinstance(part, str) else rows.texts(part, format_integers))
    return pieces


def format_value(
    value: Value | ValueColumn | NameColumn,
    rows: Rows,
    single: Callable[[Any], bytes],
    typed: Callable[[Piece, str], list[Piece]],
) -> list[Piece]:
    """Format a value, or a column of values.

    Args:
        single: a function that formats one value.
        typed: a function that formats a lexical form together with its datatype. The lexical form
            needs no escaping.
    """
    if not isinstance(value, ValueColumn):
        return [single(value)]
    own = value.values[rows.start : rows.stop]
    if isinstance(own, list):
        return [[single(one) for one in own]]
    if own.dtype.kind == "f":
        return typed(rows.texts(value.values, format_floats), "xsd:double")
    if len(own) and (own.min() < -(2**31) or own.max() >= 2**31):
        return [[single(number) for number in own.tolist()]]
    return typed(rows.texts(value.values, format_integers), "xsd:int")


def format_time(time: Moment | TimeColumn, rows: Rows) -> Piece:
    """Format a time, or a column of times, as xsd:dateTime."""
    if isinstance(time, TimeColumn):
        return rows.texts(time.time_ns, format_times)
    return iso_text(time.time_ns).encode()


def lexical_form(value: Value) -> tuple[str, str | None]:
    """Return a value's lexical form and datatype. The datatype of a plain string is None."""
    if isinstance(value, Name):
        return value, "xsd:QName"
    if isinstance(value, Iri):
        return value, "xsd:anyURI"
    if isinstance(value, str):
        return value, None
    if isinstance(value, bool):
        return ("true" if value else "false"), "xsd:boolean"
    if isinstance(value, int):
        return str(value), _choose_integer_type(value)
    if isinstance(value, float):
        return format_float(value), "xsd:double"
    if isinstance(value, Moment):
        return iso_text(value.time_ns), "xsd:dateTime"
    assert isinstance(value, Literal)
    return value.lexical, value.datatype


def _choose_integer_type(number: int) -> str:
    if -(2**31) <= number < 2**31:
        return "xsd:int"
    return "xsd:long" if -(2**63) <= number < 2**63 else "xsd:integer"


def format_float(value: float) -> str:
    """Format a float as xsd:double: the shortest text that reads back as the same number."""
    if value != value:
        return "NaN"
    if value in (float("inf"), float("-inf")):
        return "INF" if value > 0 else "-INF"
    return repr(value)


def format_integers(numbers: NDArray[np.int64]) -> list[bytes]:
    """Format each integer in decimal digits."""
    import orjson

    return orjson.dumps(numbers, option=orjson.OPT_SERIALIZE_NUMPY)[1:-1].split(b",")


def format_floats(numbers: NDArray[np.float64]) -> list[bytes]:
    """Format each float as xsd:double, as `format_float` does."""
    import numpy as np
    import orjson

    texts = orjson.dumps(numbers, option=orjson.OPT_SERIALIZE_NUMPY)[1:-1].split(b",")
    for place in np.flatnonzero(~np.isfinite(numbers)).tolist():  # orjson writes these as null
        texts[place] = format_float(float(numbers[place])).encode()
    return texts


def format_times(time_ns: NDArray[np.int64]) -> list[bytes]:
    """Format each time as xsd:dateTime with nine decimals, as `clock.iso_text` does."""
    import numpy as np

    seconds, fraction = np.divmod(time_ns, 1_000_000_000)
    distinct, places = np.unique(seconds, return_inverse=True)
    heads = np.datetime_as_string(distinct.view("datetime64[s]")).astype("S19")
    text = np.empty((len(time_ns), 30), np.uint8)
    text[:, :19] = heads.view(np.uint8).reshape(-1, 19)[places]
    text[:, 19], text[:, 29] = ord("."), ord("Z")
    rest = fraction.astype(np.uint32)
    for place in range(28, 19, -1):
        tens = rest // 10
        text[:, place] = rest - tens * 10 + ord("0")
        rest = tens
    texts: list[bytes] = text.view("S30").ravel().tolist()
    return texts

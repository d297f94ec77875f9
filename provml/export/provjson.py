"""PROV-JSON (W3C Member Submission, 2013), streamed kind by kind and column by column.

What the submission leaves open, or its schema gets wrong, is done as the ``prov`` library reads it:
an integer is an xsd:int, xsd:long or xsd:integer by its size, NaN and the infinities are the xsd
forms in strings, a relation's id is a blank node's. Imports `model`; orjson and numpy when it runs.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from io import BytesIO
from typing import IO, TYPE_CHECKING, Any, BinaryIO, Final

from provml.clock import iso_text
from provml.journal.values import Moment
from provml.model import vocabulary
from provml.model.statements import (
    Iri,
    Literal,
    Name,
    NameColumn,
    Statement,
    TimeColumn,
    Value,
    ValueColumn,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from provml.model.mapping import RunMapping

SUFFIX: Final = ".json"

_BLOCK_ROWS: Final = 8192
_BLOCK_BYTES: Final = 2**20
_WAITING_BYTES: Final = 4 * 2**20

Piece = bytes | list[bytes]
"""Text that all rows share, or each row's own."""

_quote = json.JSONEncoder(ensure_ascii=False).encode


def write(mapping: RunMapping, sink: BinaryIO) -> None:
    """Write a run's statements.

    What is stated one by one is met once, of all kinds, and waits in a file for its kind's turn;
    what is stated by the thousand is passed over kind by kind. Memory is bounded by a block.
    """
    prefixes = {k: v for k, v in mapping.prefixes().items() if k not in ("prov", "xsd")}
    sink.write(b'{"prefix":' + _quote(prefixes).encode())
    with ExitStack() as open_files:
        waiting: dict[str, _Waiting] = {kind: _Waiting(open_files) for kind in vocabulary.KINDS}
        for statement in mapping.singles():
            waiting[statement.kind].add(statement)
        for kind, singles in waiting.items():
            _write_kind(sink, kind, singles, mapping)
    sink.write(b"}\n")


class _Waiting:
    """The texts of one kind's single statements: in memory while small, then in a file."""

    def __init__(self, open_files: ExitStack) -> None:
        self.count = 0
        self._open_files = open_files
        self._texts: BytesIO | IO[bytes] = BytesIO()

    def add(self, statement: Statement) -> None:
        """Take one in."""
        if self.count:
            self._texts.write(b",\n")
        pieces = _pieces(statement, slice(0, 1), f"_:{statement.kind}", self.count)
        self._texts.write(_joined(pieces, 1))
        self.count += 1
        if isinstance(self._texts, BytesIO) and self._texts.tell() > _WAITING_BYTES:
            self._move_to_file(self._texts)

    def _move_to_file(self, texts: BytesIO) -> None:
        import tempfile  # slow to import: most runs never come here

        self._texts = self._open_files.enter_context(tempfile.TemporaryFile(prefix="provml-"))
        self._texts.write(texts.getvalue())

    def copy_to(self, sink: BinaryIO) -> None:
        """Give them out, in the order they came."""
        self._texts.seek(0)
        while block := self._texts.read(_BLOCK_BYTES):
            sink.write(block)


def _write_kind(sink: BinaryIO, kind: str, singles: _Waiting, mapping: RunMapping) -> None:
    """One member of the document, if there is anything of its kind."""
    start = b',\n"%b":{\n' % kind.encode()
    separator = start
    if singles.count:
        sink.write(start)
        singles.copy_to(sink)
        separator = b",\n"
    for block in _blocks(_rows(mapping, kind, singles.count)):
        sink.write(separator)
        sink.write(block)
        separator = b",\n"
    if separator is not start:
        sink.write(b"\n}")


def _blocks(texts: Iterator[bytes]) -> Iterator[bytes]:
    """Small texts joined to larger ones."""
    held: list[bytes] = []
    size = 0
    for text in texts:
        held.append(text)
        size += len(text)
        if size >= _BLOCK_BYTES:
            yield b",\n".join(held)
            held, size = [], 0
    if held:
        yield b",\n".join(held)


def _rows(mapping: RunMapping, kind: str, count: int) -> Iterator[bytes]:
    """The tables of one kind; relations get blank ids, counted on from a number."""
    for statement in mapping.tables({kind}):
        for start in range(0, statement.rows, _BLOCK_ROWS):
            rows = slice(start, min(start + _BLOCK_ROWS, statement.rows))
            pieces = _pieces(statement, rows, f"_:{kind}", count + start)
            yield _joined(pieces, rows.stop - rows.start)
        count += statement.rows


def _joined(pieces: list[Piece], rows: int) -> bytes:
    """The rows, each of all pieces in order, with a comma between them."""
    merged: list[Piece] = []
    for piece in pieces:
        if isinstance(piece, bytes) and merged and isinstance(merged[-1], bytes):
            merged[-1] += piece
        else:
            merged.append(piece)
    if rows == 1:
        return b"".join(piece if isinstance(piece, bytes) else piece[0] for piece in merged)
    # the last piece is text that closes the row: the comma joins it, but for the last row
    last = merged[-1]
    assert isinstance(last, bytes)
    merged[-1] = last + b",\n"
    width = len(merged)
    texts: list[bytes] = [b""] * (width * rows)
    for place, piece in enumerate(merged):
        texts[place::width] = [piece] * rows if isinstance(piece, bytes) else piece
    texts[-1] = last
    return b"".join(texts)


def _pieces(statement: Statement, rows: slice, blank: str, count: int) -> list[Piece]:
    """One statement's text: key, formal attributes, attributes."""
    if statement.id is not None:
        pieces: list[Piece] = [b'"', *_name(statement.id, rows), b'":{']
    elif statement.rows == 1:
        pieces = [f'"{blank}{count}":{{'.encode()]
    else:
        numbers = _integers(_numbered(count, rows.stop - rows.start))
        pieces = [f'"{blank}'.encode(), numbers, b'":{']
    comma = b""
    for name, argument in statement.arguments.items():
        pieces += [comma, b'"%b":"' % name.encode()]
        if isinstance(argument, (Name, NameColumn)):
            pieces += _name(argument, rows)
        else:
            pieces.append(_time(argument, rows))
        pieces.append(b'"')
        comma = b","
    for name, values in _grouped(statement.attributes):
        pieces += [comma, b'"%b":' % name.encode()]
        if len(values) > 1:
            pieces.append(b"[")
        for place, value in enumerate(values):
            if place:
                pieces.append(b",")
            pieces += _value(value, rows)
        if len(values) > 1:
            pieces.append(b"]")
        comma = b","
    pieces.append(b"}")
    return pieces


def _numbered(start: int, length: int) -> NDArray[np.int64]:
    import numpy as np

    return np.arange(start, start + length, dtype=np.int64)


def _grouped(attributes: list[tuple[str, Any]]) -> list[tuple[str, list[Any]]]:
    """The values by attribute: one that comes twice is a list."""
    grouped: dict[str, list[Any]] = {}
    for name, value in attributes:
        grouped.setdefault(name, []).append(value)
    return list(grouped.items())


def _name(name: Name | NameColumn, rows: slice) -> list[Piece]:
    if isinstance(name, str):
        return [name.encode()]
    return [
        part.encode() if isinstance(part, str) else _integers(part[rows]) for part in name.parts
    ]


def _time(time: Any, rows: slice) -> Piece:
    if isinstance(time, TimeColumn):
        return time_texts(time.time_ns[rows])
    return iso_text(time.time_ns).encode()


def _value(value: Any, rows: slice) -> list[Piece]:
    if isinstance(value, ValueColumn):
        return _values(value.values, rows)
    return [_single(value)]


def _values(values: Any, rows: slice) -> list[Piece]:
    own = values[rows]
    if isinstance(own, list):
        return [[_single(value) for value in own]]
    if own.dtype.kind == "f":
        return [b'{"$":"', _floats(own), b'","type":"xsd:double"}']
    types: Piece = b"xsd:int"
    if len(own) and (own.min() < -(2**31) or own.max() >= 2**31):
        types = [_integer_type(number).encode() for number in own.tolist()]
    return [b'{"$":"', _integers(own), b'","type":"', types, b'"}']


def _single(value: Value) -> bytes:
    """A value's JSON: a string and a boolean by itself, all else with its type."""
    if isinstance(value, Name):
        return _typed(value, "xsd:QName")
    if isinstance(value, Iri):
        return _typed(value, "xsd:anyURI")
    if isinstance(value, str):
        return _quote(value).encode()
    if isinstance(value, bool):
        return b"true" if value else b"false"
    if isinstance(value, int):
        return _typed(str(value), _integer_type(value))
    if isinstance(value, float):
        return _typed(float_text(value), "xsd:double")
    if isinstance(value, Moment):
        return _typed(iso_text(value.time_ns), "xsd:dateTime")
    assert isinstance(value, Literal)
    return _typed(value.lexical, value.datatype)


def _typed(lexical: str, datatype: str) -> bytes:
    return f'{{"$":{_quote(lexical)},"type":"{datatype}"}}'.encode()


def _integer_type(number: int) -> str:
    if -(2**31) <= number < 2**31:
        return "xsd:int"
    return "xsd:long" if -(2**63) <= number < 2**63 else "xsd:integer"


def float_text(value: float) -> str:
    """The xsd:double of a float: the shortest text that reads back as the same number."""
    if value != value:
        return "NaN"
    if value in (float("inf"), float("-inf")):
        return "INF" if value > 0 else "-INF"
    return repr(value)


def _integers(numbers: NDArray[np.int64]) -> list[bytes]:
    import orjson

    return orjson.dumps(numbers, option=orjson.OPT_SERIALIZE_NUMPY)[1:-1].split(b",")


def _floats(numbers: NDArray[np.float64]) -> list[bytes]:
    import numpy as np
    import orjson

    texts = orjson.dumps(numbers, option=orjson.OPT_SERIALIZE_NUMPY)[1:-1].split(b",")
    for place in np.flatnonzero(~np.isfinite(numbers)).tolist():  # JSON has no such numbers
        texts[place] = float_text(float(numbers[place])).encode()
    return texts


def time_texts(time_ns: NDArray[np.int64]) -> list[bytes]:
    """The xsd:dateTime of each time, with nine digits, as `clock.iso_text` has it."""
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

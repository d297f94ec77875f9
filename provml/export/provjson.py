"""PROV-JSON (W3C Member Submission, 2013): PROV as JSON, what most PROV tools read.

It is streamed kind by kind and column by column. What the submission leaves open, or its schema
gets wrong, is done as the ``prov`` library reads it: an integer is an xsd:int, xsd:long or
xsd:integer by its size, NaN and the infinities are the xsd forms in strings, a relation's id is a
blank node's. Imports `model`, `_text`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from io import BytesIO
from typing import IO, TYPE_CHECKING, BinaryIO, Final

from provml.export._text import (
    Piece,
    Rows,
    blocks_of_rows,
    gathered,
    grouped,
    integers,
    joined,
    json_text,
    lexical,
    name_pieces,
    time_piece,
    value_pieces,
)
from provml.model import vocabulary
from provml.model.bundles import RunBundles
from provml.model.statements import Name, NameColumn, Statement, Value

if TYPE_CHECKING:
    from provml.model.mapping import RunMapping

SUFFIX: Final = ".json"

_BLOCK_BYTES: Final = 2**20
_WAITING_BYTES: Final = 4 * 2**20


def write(mapping: RunMapping, sink: BinaryIO) -> None:
    """Write a run's statements.

    What is stated one by one is met once, of all kinds, and waits in a file for its kind's turn;
    what is stated by the thousand is passed over kind by kind. Memory is bounded by a block.
    """
    _write_statements(mapping, sink)
    sink.write(b"\n")


def write_bundles(bundles: RunBundles, sink: BinaryIO) -> None:
    """Write several runs, each as a bundle with prefixes of its own."""
    sink.write(b'{"prefix":' + json_text(bundles.prefixes()).encode() + b',\n"entity":{')
    names = [json_text(name) for name in bundles.names()]
    bundle_type = b'{"prov:type":{"$":"prov:Bundle","type":"xsd:QName"}}'
    sink.write(b",\n".join(b"%b:%b" % (name.encode(), bundle_type) for name in names))
    sink.write(b'},\n"bundle":{')
    for number, (name, mapping) in enumerate(zip(names, bundles, strict=True)):
        sink.write((b",\n" if number else b"") + name.encode() + b":")
        _write_statements(mapping, sink)
    sink.write(b"}}\n")


def _write_statements(mapping: RunMapping, sink: BinaryIO) -> None:
    prefixes = {k: v for k, v in mapping.prefixes().items() if k not in ("prov", "xsd")}
    sink.write(b'{"prefix":' + json_text(prefixes).encode())
    with ExitStack() as open_files:
        waiting: dict[str, _Waiting] = {kind: _Waiting(open_files) for kind in vocabulary.KINDS}
        for statement in mapping.singles():
            waiting[statement.kind].add(statement)
        for kind, singles in waiting.items():
            _write_kind(sink, kind, singles, mapping)
    sink.write(b"}")


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
        pieces = _pieces(statement, Rows(0, 1), f"_:{statement.kind}", self.count)
        self._texts.write(joined(pieces, 1, b""))
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
    for block in gathered(_rows(mapping, kind, singles.count), b",\n"):
        sink.write(separator)
        sink.write(block)
        separator = b",\n"
    if separator is not start:
        sink.write(b"\n}")


def _rows(mapping: RunMapping, kind: str, count: int) -> Iterator[bytes]:
    """The tables of one kind; relations get blank ids, counted on from a number."""
    for statement in mapping.tables({kind}):
        for rows in blocks_of_rows(statement.rows):
            pieces = _pieces(statement, rows, f"_:{kind}", count + rows.start)
            yield joined(pieces, len(rows), b",\n")
        count += statement.rows


def _pieces(statement: Statement, rows: Rows, blank: str, count: int) -> list[Piece]:
    """One statement's text: key, formal attributes, attributes."""
    if statement.id is not None:
        pieces: list[Piece] = [b'"', *name_pieces(statement.id, rows, str.encode), b'":{']
    elif statement.rows == 1:
        pieces = [f'"{blank}{count}":{{'.encode()]
    else:
        pieces = [f'"{blank}'.encode(), _numbered(count, len(rows)), b'":{']
    comma = b""
    for name, argument in statement.arguments.items():
        pieces += [comma, b'"%b":"' % name.encode()]
        if isinstance(argument, (Name, NameColumn)):
            pieces += name_pieces(argument, rows, str.encode)
        else:
            pieces.append(time_piece(argument, rows))
        pieces.append(b'"')
        comma = b","
    for name, values in grouped(statement.attributes):
        pieces += [comma, b'"%b":' % name.encode()]
        if len(values) > 1:
            pieces.append(b"[")
        for place, value in enumerate(values):
            if place:
                pieces.append(b",")
            pieces += value_pieces(value, rows, _single, _typed)
        if len(values) > 1:
            pieces.append(b"]")
        comma = b","
    pieces.append(b"}")
    return pieces


def _numbered(start: int, length: int) -> list[bytes]:
    import numpy as np

    return integers(np.arange(start, start + length, dtype=np.int64))


def _single(value: Value) -> bytes:
    """A value's JSON: a string and a boolean by itself, all else with its type."""
    text, datatype = lexical(value)
    if datatype is None:
        return json_text(text).encode()
    if isinstance(value, bool):
        return text.encode()
    return f'{{"$":{json_text(text)},"type":"{datatype}"}}'.encode()


def _typed(text: Piece, datatype: str) -> list[Piece]:
    return [b'{"$":"', text, b'","type":"%b"}' % datatype.encode()]

"""PROV-JSON (W3C Member Submission, 2013): PROV as JSON, which most PROV tools read.

The document is written one kind of statement at a time, and tables are written column by column.
For details that the submission does not define, or that its schema gets wrong, the output
follows the ``prov`` library:

- The size of an integer decides whether its type is xsd:int, xsd:long or xsd:integer.
- NaN and the infinities are strings, spelled as in XML Schema.
- The identifier of a relation is a blank node.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from io import BytesIO
from typing import IO, TYPE_CHECKING, BinaryIO, Final

from provml.export._text import (
    Piece,
    Rows,
    format_integers,
    format_name,
    format_time,
    format_value,
    gather_blocks,
    group_values,
    join_rows,
    lexical_form,
    quote_json,
    split_rows,
)
from provml.model import vocabulary
from provml.model.bundles import RunBundles
from provml.model.statements import Name, NameColumn, Statement, Value

if TYPE_CHECKING:
    from provml.model.mapping import RunMapping

SUFFIX: Final = ".json"
OTHER_SUFFIXES: Final = (".provjson",)

_BLOCK_BYTES: Final = 2**20
_WAITING_BYTES: Final = 4 * 2**20


def write(mapping: RunMapping, sink: BinaryIO) -> None:
    """Write the statements of one run as PROV-JSON, grouped by kind.

    One pass builds all single statements, and keeps them in memory or in a temporary file until
    their kind is written. Then, for each kind, another pass builds the tables of this kind, and
    writes them block by block. Memory use therefore does not grow with the run.
    """
    _write_provjson(mapping, sink)
    sink.write(b"\n")


def write_bundles(bundles: RunBundles, sink: BinaryIO) -> None:
    """Write several runs as PROV-JSON: one bundle for each run, with the run's prefixes."""
    sink.write(b'{"prefix":' + quote_json(bundles.prefixes()).encode() + b',\n"entity":{')
    names = [quote_json(name) for name in bundles.names()]
    bundle_type = b'{"prov:type":{"$":"prov:Bundle","type":"xsd:QName"}}'
    sink.write(b",\n".join(b"%b:%b" % (name.encode(), bundle_type) for name in names))
    sink.write(b'},\n"bundle":{')
    for number, (name, mapping) in enumerate(zip(names, bundles, strict=True)):
        sink.write((b",\n" if number else b"") + name.encode() + b":")
        _write_provjson(mapping, sink)
    sink.write(b"}}\n")


def _write_provjson(mapping: RunMapping, sink: BinaryIO) -> None:
    prefixes = {k: v for k, v in mapping.prefixes().items() if k not in ("prov", "xsd")}
    sink.write(b'{"prefix":' + quote_json(prefixes).encode())
    with ExitStack() as open_files:
        waiting: dict[str, _PendingStatements] = {
            kind: _PendingStatements(open_files) for kind in vocabulary.KINDS
        }
        for statement in mapping.singles():
            waiting[statement.kind].add(statement)
        for kind, singles in waiting.items():
            _write_kind(sink, kind, singles, mapping)
    sink.write(b"}")


class _PendingStatements:
    """Collects the single statements of one kind as text, in memory or in a temporary file."""

    def __init__(self, open_files: ExitStack) -> None:
        self.count = 0
        self._open_files = open_files
        self._texts: BytesIO | IO[bytes] = BytesIO()

    def add(self, statement: Statement) -> None:
        """Convert a statement to text, and keep the text."""
        if self.count:
            self._texts.write(b",\n")
        pieces = _provjson_member(statement, Rows(0, 1), f"_:{statement.kind}", self.count)
        self._texts.write(join_rows(pieces, 1, b""))
        self.count += 1
        if isinstance(self._texts, BytesIO) and self._texts.tell() > _WAITING_BYTES:
            self._move_to_file(self._texts)

    def _move_to_file(self, texts: BytesIO) -> None:
        import tempfile  # this import is slow, and most runs do not need it

        self._texts = self._open_files.enter_context(tempfile.TemporaryFile(prefix="provml-"))
        self._texts.write(texts.getvalue())

    def copy_to(self, sink: BinaryIO) -> None:
        """Copy the texts to a file, in the order in which their statements were added."""
        self._texts.seek(0)
        while block := self._texts.read(_BLOCK_BYTES):
            sink.write(block)


def _write_kind(
    sink: BinaryIO, kind: str, singles: _PendingStatements, mapping: RunMapping
) -> None:
    """Write all statements of one kind, as one member of the document.

    Writes nothing if there are no statements of this kind.
    """
    start = b',\n"%b":{\n' % kind.encode()
    separator = start
    if singles.count:
        sink.write(start)
        singles.copy_to(sink)
        separator = b",\n"
    for block in gather_blocks(_table_blocks(mapping, kind, singles.count), b",\n"):
        sink.write(separator)
        sink.write(block)
        separator = b",\n"
    if separator is not start:
        sink.write(b"\n}")


def _table_blocks(mapping: RunMapping, kind: str, count: int) -> Iterator[bytes]:
    """Yield the text of all tables of one kind.

    Args:
        count: the number for the first identifier. Identifiers are blank nodes such as ``_:used3``.
    """
    for statement in mapping.tables({kind}):
        for rows in split_rows(statement.rows):
            pieces = _provjson_member(statement, rows, f"_:{kind}", count + rows.start)
            yield join_rows(pieces, len(rows), b",\n")
        count += statement.rows


def _provjson_member(statement: Statement, rows: Rows, blank: str, count: int) -> list[Piece]:
    """Build the text of a statement or table: its identifier, arguments and attributes."""
    if statement.id is not None:
        pieces: list[Piece] = [b'"', *format_name(statement.id, rows, str.encode), b'":{']
    elif statement.rows == 1:
        pieces = [f'"{blank}{count}":{{'.encode()]
    else:
        pieces = [f'"{blank}'.encode(), _count_from(count, len(rows)), b'":{']
    comma = b""
    for name, argument in statement.arguments.items():
        pieces += [comma, b'"%b":"' % name.encode()]
        if isinstance(argument, (Name, NameColumn)):
            pieces += format_name(argument, rows, str.encode)
        else:
            pieces.append(format_time(argument, rows))
        pieces.append(b'"')
        comma = b","
    for name, values in group_values(statement.attributes):
        pieces += [comma, b'"%b":' % name.encode()]
        if len(values) > 1:
            pieces.append(b"[")
        for place, value in enumerate(values):
            if place:
                pieces.append(b",")
            pieces += format_value(value, rows, _provjson_value, _provjson_typed_value)
        if len(values) > 1:
            pieces.append(b"]")
        comma = b","
    pieces.append(b"}")
    return pieces


def _count_from(start: int, length: int) -> list[bytes]:
    import numpy as np

    return format_integers(np.arange(start, start + length, dtype=np.int64))


def _provjson_value(value: Value) -> bytes:
    """Convert a value to JSON. Values other than strings and booleans include the datatype."""
    text, datatype = lexical_form(value)
    if datatype is None:
        return quote_json(text).encode()
    if isinstance(value, bool):
        return text.encode()
    return f'{{"$":{quote_json(text)},"type":"{datatype}"}}'.encode()


def _provjson_typed_value(text: Piece, datatype: str) -> list[Piece]:
    return [b'{"$":"', text, b'","type":"%b"}' % datatype.encode()]

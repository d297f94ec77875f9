"""PROV-N (W3C Recommendation, 2013): PROV for people to read, a statement a line.

Imports `model`, `_text`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from provml.export._text import (
    Piece,
    Rows,
    blocks_of_rows,
    gathered,
    joined,
    json_text,
    lexical,
    name_pieces,
    time_piece,
    value_pieces,
)
from provml.model.relations import FORMAL
from provml.model.statements import Name, NameColumn, Statement, Value

if TYPE_CHECKING:
    from provml.model.bundles import RunBundles
    from provml.model.mapping import RunMapping

SUFFIX: Final = ".provn"

_INDENT: Final = b"  "


def write(mapping: RunMapping, sink: BinaryIO) -> None:
    """Write a run's statements."""
    sink.write(b"document\n" + _prefix_lines(mapping.prefixes(), _INDENT) + b"\n")
    _write_statements(mapping.statements(), sink, _INDENT)
    sink.write(b"endDocument\n")


def write_bundles(bundles: RunBundles, sink: BinaryIO) -> None:
    """Write several runs, each as a bundle with prefixes of its own."""
    sink.write(b"document\n" + _prefix_lines(bundles.prefixes(), _INDENT) + b"\n")
    for name in bundles.names():
        sink.write(b"%bentity(%b, [prov:type='prov:Bundle'])\n" % (_INDENT, name.encode()))
    for name, mapping in zip(bundles.names(), bundles, strict=True):
        sink.write(b"\n%bbundle %b\n" % (_INDENT, name.encode()))
        sink.write(_prefix_lines(mapping.prefixes(), 2 * _INDENT) + b"\n")
        _write_statements(mapping.statements(), sink, 2 * _INDENT)
        sink.write(b"%bendBundle\n" % _INDENT)
    sink.write(b"endDocument\n")


def _prefix_lines(prefixes: dict[str, str], indent: bytes) -> bytes:
    return b"".join(
        b"%bprefix %b <%b>\n" % (indent, prefix.encode(), iri.encode())
        for prefix, iri in prefixes.items()
        if prefix not in ("prov", "xsd")  # declared already (PROV-N, 3.7.1)
    )


def _write_statements(statements: Iterable[Statement], sink: BinaryIO, indent: bytes) -> None:
    for block in gathered(_blocks(statements, indent)):
        sink.write(block)


def _blocks(statements: Iterable[Statement], indent: bytes) -> Iterator[bytes]:
    for statement in statements:
        for rows in blocks_of_rows(statement.rows):
            yield joined([indent, *_pieces(statement, rows), b"\n"], len(rows), b"")


def _pieces(statement: Statement, rows: Rows) -> list[Piece]:
    arguments: list[list[Piece]] = []
    if statement.id is not None:
        arguments.append(_name(statement.id, rows))
    for name in FORMAL[statement.kind]:
        arguments.append(_argument(statement.arguments.get(name), rows))
    pieces: list[Piece] = [b"%b(" % statement.kind.encode(), *_listed(arguments)]
    if statement.attributes:
        attributes = [
            [b"%b=" % name.encode(), *value_pieces(value, rows, _single, _typed)]
            for name, value in statement.attributes
        ]
        pieces += [b", [", *_listed(attributes), b"]"]
    return [*pieces, b")"]


def _listed(members: list[list[Piece]]) -> list[Piece]:
    pieces: list[Piece] = []
    for place, member in enumerate(members):
        pieces += [b", " if place else b"", *member]
    return pieces


def _argument(value: Any, rows: Rows) -> list[Piece]:
    if value is None:
        return [b"-"]
    return (
        _name(value, rows) if isinstance(value, (Name, NameColumn)) else [time_piece(value, rows)]
    )


def _name(name: Name | NameColumn, rows: Rows) -> list[Piece]:
    """A name as it is: of our local names PROV-N wants nothing escaped (PN_LOCAL)."""
    return name_pieces(name, rows, str.encode)


def _single(value: Value) -> bytes:
    if isinstance(value, Name):
        return f"'{value}'".encode()
    text, datatype = lexical(value)
    quoted = json_text(text)
    return (quoted if datatype is None else f"{quoted} %% {datatype}").encode()


def _typed(text: Piece, datatype: str) -> list[Piece]:
    return [b'"', text, b'" %% ' + datatype.encode()]

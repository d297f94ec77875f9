"""PROV-N (W3C Recommendation, 2013): PROV that people can read, one statement on each line."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from provml.export._text import (
    Piece,
    Rows,
    format_name,
    format_time,
    format_value,
    gather_blocks,
    join_rows,
    lexical_form,
    quote_json,
    split_rows,
)
from provml.model.relations import FORMAL
from provml.model.statements import Name, NameColumn, Statement, Value

if TYPE_CHECKING:
    from provml.model.bundles import RunBundles
    from provml.model.mapping import RunMapping

SUFFIX: Final = ".provn"

_INDENT: Final = b"  "
_ESCAPED: Final = re.compile(r"[=',:;()]|^[-.]")
"""The characters in local names that PROV-N escapes with a backslash (PN_CHARS_ESC)."""


def write(mapping: RunMapping, sink: BinaryIO) -> None:
    """Write the statements of one run as PROV-N."""
    sink.write(b"document\n" + _provn_prefixes(mapping.prefixes(), _INDENT) + b"\n")
    _write_provn(mapping.statements(), sink, _INDENT)
    sink.write(b"endDocument\n")


def write_bundles(bundles: RunBundles, sink: BinaryIO) -> None:
    """Write several runs as PROV-N: one bundle for each run, with the run's prefixes."""
    sink.write(b"document\n" + _provn_prefixes(bundles.prefixes(), _INDENT) + b"\n")
    for name in bundles.names():
        sink.write(b"%bentity(%b, [prov:type='prov:Bundle'])\n" % (_INDENT, name.encode()))
    for name, mapping in zip(bundles.names(), bundles, strict=True):
        sink.write(b"\n%bbundle %b\n" % (_INDENT, name.encode()))
        sink.write(_provn_prefixes(mapping.prefixes(), 2 * _INDENT) + b"\n")
        _write_provn(mapping.statements(), sink, 2 * _INDENT)
        sink.write(b"%bendBundle\n" % _INDENT)
    sink.write(b"endDocument\n")


def _provn_prefixes(prefixes: dict[str, str], indent: bytes) -> bytes:
    return b"".join(
        b"%bprefix %b <%b>\n" % (indent, prefix.encode(), iri.encode())
        for prefix, iri in prefixes.items()
        if prefix not in ("prov", "xsd")  # PROV-N predeclares these prefixes (3.7.1)
    )


def _write_provn(statements: Iterable[Statement], sink: BinaryIO, indent: bytes) -> None:
    for block in gather_blocks(_provn_blocks(statements, indent)):
        sink.write(block)


def _provn_blocks(statements: Iterable[Statement], indent: bytes) -> Iterator[bytes]:
    for statement in statements:
        for rows in split_rows(statement.rows):
            yield join_rows([indent, *_provn_statement(statement, rows), b"\n"], len(rows), b"")


def _provn_statement(statement: Statement, rows: Rows) -> list[Piece]:
    arguments: list[list[Piece]] = []
    if statement.id is not None:
        arguments.append(_provn_name(statement.id, rows))
    for name in FORMAL[statement.kind]:
        arguments.append(_provn_argument(statement.arguments.get(name), rows))
    pieces: list[Piece] = [b"%b(" % statement.kind.encode(), *_comma_separated(arguments)]
    if statement.attributes:
        attributes = [
            [
                b"%b=" % name.encode(),
                *format_value(value, rows, _provn_literal, _provn_typed_literal),
            ]
            for name, value in statement.attributes
        ]
        pieces += [b", [", *_comma_separated(attributes), b"]"]
    return [*pieces, b")"]


def _comma_separated(members: list[list[Piece]]) -> list[Piece]:
    pieces: list[Piece] = []
    for place, member in enumerate(members):
        pieces += [b", " if place else b"", *member]
    return pieces


def _provn_argument(value: Any, rows: Rows) -> list[Piece]:
    if value is None:
        return [b"-"]
    return (
        _provn_name(value, rows)
        if isinstance(value, (Name, NameColumn))
        else [format_time(value, rows)]
    )


def _provn_name(name: Name | NameColumn, rows: Rows) -> list[Piece]:
    return format_name(name, rows, _escape_provn_name)


def _escape_provn_name(name: str) -> bytes:
    prefix, _, local = name.partition(":")
    return f"{prefix}:{_ESCAPED.sub(_escape_character, local)}".encode()


def _escape_character(found: re.Match[str]) -> str:
    return f"\\{found[0]}"


def _provn_literal(value: Value) -> bytes:
    if isinstance(value, Name):
        return f"'{value}'".encode()
    text, datatype = lexical_form(value)
    quoted = quote_json(text)
    return (quoted if datatype is None else f"{quoted} %% {datatype}").encode()


def _provn_typed_literal(text: Piece, datatype: str) -> list[Piece]:
    return [b'"', text, b'" %% ' + datatype.encode()]

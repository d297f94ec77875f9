"""Writes RDF in the short syntax that Turtle and TriG share."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO, Final

from provml.export._rdf import TYPE, Blank, Description, Property
from provml.export._text import (
    Piece,
    Rows,
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
from provml.journal.values import Moment
from provml.model.statements import Name, NameColumn, TimeColumn, Value

_INDENT: Final = b"    "
_ESCAPED: Final = re.compile(r"[/~!$&'()*+,;=?#@]|^[-.]")
"""The characters in local names that Turtle escapes with a backslash (PN_LOCAL_ESC)."""


def prefix_lines(prefixes: dict[str, str]) -> bytes:
    """Return the ``@prefix`` directives that declare these prefixes."""
    return "".join(f"@prefix {prefix}: <{iri}> .\n" for prefix, iri in prefixes.items()).encode()


def write_descriptions(descriptions: Iterable[Description], sink: BinaryIO) -> None:
    """Write descriptions to a file, each in the form ``subject predicate object ; ... .``."""
    for block in gather_blocks(_turtle_blocks(descriptions)):
        sink.write(block)


def _turtle_blocks(descriptions: Iterable[Description]) -> Iterator[bytes]:
    for description in descriptions:
        for rows in split_rows(description.rows):
            if description.rows > 1 and isinstance(description.subject, Name):
                yield from _object_list_blocks(description, rows)
                continue
            pieces = _turtle_name(description.subject, rows)
            _append_properties(pieces, description.properties, rows, _INDENT)
            pieces.append(b" .\n\n")
            yield join_rows(pieces, len(rows), b"")


def _object_list_blocks(description: Description, rows: Rows) -> Iterator[bytes]:
    """Yield the text of a description that has one subject and a column of objects."""
    assert isinstance(description.subject, Name)
    for predicate, value in description.properties:
        yield b"%b %b\n" % (_escape_turtle_name(description.subject), _turtle_predicate(predicate))
        yield join_rows([_INDENT, *_turtle_object(value, rows, _INDENT)], len(rows), b" ,\n")
        yield b" .\n\n"


def _append_properties(
    pieces: list[Piece], properties: list[Property], rows: Rows, indent: bytes
) -> None:
    start = b" "
    for predicate, values in group_values(properties):
        pieces += [start, _turtle_predicate(predicate)]
        for place, value in enumerate(values):
            pieces += [b", " if place else b" ", *_turtle_object(value, rows, indent)]
        start = b" ;\n" + indent


def _turtle_object(value: Any, rows: Rows, indent: bytes) -> list[Piece]:
    if isinstance(value, Blank):
        pieces: list[Piece] = [b"["]
        _append_properties(pieces, value.properties, rows, indent + _INDENT)
        return [*pieces, b" ]"]
    if isinstance(value, (Name, NameColumn)):
        return _turtle_name(value, rows)
    if isinstance(value, (Moment, TimeColumn)):
        return _turtle_typed_literal(format_time(value, rows), "xsd:dateTime")
    return format_value(value, rows, _turtle_literal, _turtle_typed_literal)


def _turtle_predicate(predicate: str) -> bytes:
    return b"a" if predicate == TYPE else _escape_turtle_name(predicate)


def _turtle_name(name: Name | NameColumn, rows: Rows) -> list[Piece]:
    return format_name(name, rows, _escape_turtle_name)


def _escape_turtle_name(name: str) -> bytes:
    prefix, _, local = name.partition(":")
    return f"{prefix}:{_ESCAPED.sub(_escape_character, local)}".encode()


def _escape_character(found: re.Match[str]) -> str:
    return f"\\{found[0]}"


def _turtle_literal(value: Value) -> bytes:
    if isinstance(value, Name):
        return _escape_turtle_name(value)
    text, datatype = lexical_form(value)
    quoted = quote_json(text)
    return (quoted if datatype is None else f"{quoted}^^{datatype}").encode()


def _turtle_typed_literal(text: Piece, datatype: str) -> list[Piece]:
    return [b'"', text, b'"^^%b' % datatype.encode()]

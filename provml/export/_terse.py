"""RDF for people to read, as Turtle and TriG have it. Imports `_rdf`, `_text`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO, Final

from provml.export._rdf import TYPE, Blank, Description, Property
from provml.export._text import (
    Piece,
    Rows,
    blocks_of_rows,
    gathered,
    grouped,
    joined,
    json_text,
    lexical,
    name_pieces,
    time_piece,
    value_pieces,
)
from provml.journal.values import Moment
from provml.model.statements import Name, NameColumn, TimeColumn, Value

_INDENT: Final = b"    "
_ESCAPED: Final = re.compile(r"[/~]")
"""What of our local names Turtle wants behind a backslash (PN_LOCAL_ESC)."""


def prefix_lines(prefixes: dict[str, str]) -> bytes:
    """The directives that declare the prefixes."""
    return "".join(f"@prefix {prefix}: <{iri}> .\n" for prefix, iri in prefixes.items()).encode()


def write_descriptions(descriptions: Iterable[Description], sink: BinaryIO) -> None:
    """Write them as blocks of ``subject predicate object ; ... .``."""
    for block in gathered(_blocks(descriptions)):
        sink.write(block)


def _blocks(descriptions: Iterable[Description]) -> Iterator[bytes]:
    for description in descriptions:
        for rows in blocks_of_rows(description.rows):
            if description.rows > 1 and isinstance(description.subject, Name):
                yield from _object_lists(description, rows)
                continue
            pieces = _name(description.subject, rows)
            _add(pieces, description.properties, rows, _INDENT)
            pieces.append(b" .\n\n")
            yield joined(pieces, len(rows), b"")


def _object_lists(description: Description, rows: Rows) -> Iterator[bytes]:
    """One subject with a column of objects: a list of them."""
    assert isinstance(description.subject, Name)
    for predicate, value in description.properties:
        yield b"%b %b\n" % (_written(description.subject), _verb(predicate))
        yield joined([_INDENT, *_object(value, rows, _INDENT)], len(rows), b" ,\n")
        yield b" .\n\n"


def _add(pieces: list[Piece], properties: list[Property], rows: Rows, indent: bytes) -> None:
    start = b" "
    for predicate, values in grouped(properties):
        pieces += [start, _verb(predicate)]
        for place, value in enumerate(values):
            pieces += [b", " if place else b" ", *_object(value, rows, indent)]
        start = b" ;\n" + indent


def _object(value: Any, rows: Rows, indent: bytes) -> list[Piece]:
    if isinstance(value, Blank):
        pieces: list[Piece] = [b"["]
        _add(pieces, value.properties, rows, indent + _INDENT)
        return [*pieces, b" ]"]
    if isinstance(value, (Name, NameColumn)):
        return _name(value, rows)
    if isinstance(value, (Moment, TimeColumn)):
        return _typed(time_piece(value, rows), "xsd:dateTime")
    return value_pieces(value, rows, _single, _typed)


def _verb(predicate: str) -> bytes:
    return b"a" if predicate == TYPE else _written(predicate)


def _name(name: Name | NameColumn, rows: Rows) -> list[Piece]:
    return name_pieces(name, rows, _written)


def _written(name: str) -> bytes:
    prefix, _, local = name.partition(":")
    return f"{prefix}:{_ESCAPED.sub(_behind_backslash, local)}".encode()


def _behind_backslash(found: re.Match[str]) -> str:
    return f"\\{found[0]}"


def _single(value: Value) -> bytes:
    if isinstance(value, Name):
        return _written(value)
    text, datatype = lexical(value)
    quoted = json_text(text)
    return (quoted if datatype is None else f"{quoted}^^{datatype}").encode()


def _typed(text: Piece, datatype: str) -> list[Piece]:
    return [b'"', text, b'"^^%b' % datatype.encode()]

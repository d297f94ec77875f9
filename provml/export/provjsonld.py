"""PROV-JSONLD (W3C Member Submission, 2024): a JSON object a statement, read as JSON-LD too.

Its context is the submission's, by reference; the prefixes stand in the document.
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
    grouped,
    joined,
    json_text,
    lexical,
    name_pieces,
    time_piece,
    value_pieces,
)
from provml.model.names import BUNDLE
from provml.model.statements import Name, NameColumn, Statement, Value

if TYPE_CHECKING:
    from provml.model.bundles import RunBundles
    from provml.model.mapping import RunMapping

SUFFIX: Final = ".prov.jsonld"

_CONTEXT: Final = "https://openprovenance.org/prov-jsonld/context.jsonld"
_SEPARATOR: Final = b",\n"

_TYPES: Final = {
    "entity": "Entity",
    "activity": "Activity",
    "agent": "Agent",
    "wasGeneratedBy": "Generation",
    "used": "Usage",
    "wasInformedBy": "Communication",
    "wasStartedBy": "Start",
    "wasDerivedFrom": "Derivation",
    "wasAttributedTo": "Attribution",
    "wasAssociatedWith": "Association",
    "actedOnBehalfOf": "Delegation",
    "alternateOf": "Alternate",
    "hadMember": "Membership",
}
_TERMS: Final = {"prov:type": "type", "prov:label": "label"}


def write(mapping: RunMapping, sink: BinaryIO) -> None:
    """Write a run's statements."""
    sink.write(b"{%b,\n" % _context(mapping.prefixes(), _CONTEXT))
    _write_graph(mapping.statements(), sink)
    sink.write(b"}\n")


def write_bundles(bundles: RunBundles, sink: BinaryIO) -> None:
    """Write several runs, each as a bundle with prefixes of its own."""
    sink.write(b"{%b,\n" % _context(bundles.prefixes(), _CONTEXT))
    sink.write(b'"@graph":[\n')
    declared = '{{"@type":"Entity","@id":"{}","type":["prov:Bundle"]}}'
    sink.write(_SEPARATOR.join(declared.format(name).encode() for name in bundles.names()))
    for mapping in bundles:
        sink.write(b',\n{"@type":"Bundle","@id":"%b",\n' % BUNDLE.encode())
        sink.write(b"%b,\n" % _context(mapping.prefixes()))
        _write_graph(mapping.statements(), sink)
        sink.write(b"}")
    sink.write(b"\n]}\n")


def _context(prefixes: dict[str, str], *others: str) -> bytes:
    return b'"@context":' + json_text([prefixes, *others]).encode()


def _write_graph(statements: Iterable[Statement], sink: BinaryIO) -> None:
    sink.write(b'"@graph":[\n')
    separator = b""
    for block in gathered(_blocks(statements), _SEPARATOR):
        sink.write(separator + block)
        separator = _SEPARATOR
    sink.write(b"\n]")


def _blocks(statements: Iterable[Statement]) -> Iterator[bytes]:
    for statement in statements:
        for rows in blocks_of_rows(statement.rows):
            yield joined(_pieces(statement, rows), len(rows), _SEPARATOR)


def _pieces(statement: Statement, rows: Rows) -> list[Piece]:
    pieces: list[Piece] = [b'{"@type":"%b"' % _TYPES[statement.kind].encode()]
    if statement.id is not None:
        pieces += [b',"@id":"', *name_pieces(statement.id, rows, str.encode), b'"']
    for name, argument in statement.arguments.items():
        pieces.append(b',"%b":"' % name.removeprefix("prov:").encode())
        if isinstance(argument, (Name, NameColumn)):
            pieces += name_pieces(argument, rows, str.encode)
        else:
            pieces.append(time_piece(argument, rows))
        pieces.append(b'"')
    for name, values in grouped(statement.attributes):
        pieces.append(b',"%b":[' % _term(name, statement.kind).encode())
        for place, value in enumerate(values):
            pieces.append(b"," if place else b"")
            pieces += _value(name, value, rows)
        pieces.append(b"]")
    return [*pieces, b"}"]


def _term(name: str, kind: str) -> str:
    """The context's own term; ``value`` is one within an entity only."""
    if name == "prov:value" and kind == "entity":
        return "value"
    return _TERMS.get(name, name)


def _value(name: str, value: Any, rows: Rows) -> list[Piece]:
    if name == "prov:type":
        return [b'"', *name_pieces(value, rows, str.encode), b'"']
    return value_pieces(value, rows, _single, _typed)


def _single(value: Value) -> bytes:
    text, datatype = lexical(value)
    quoted = json_text(text)
    kind = "" if datatype is None else f',"@type":"{datatype}"'
    return f'{{"@value":{quoted}{kind}}}'.encode()


def _typed(text: Piece, datatype: str) -> list[Piece]:
    return [b'{"@value":"', text, b'","@type":"%b"}' % datatype.encode()]

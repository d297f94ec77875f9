"""PROV-JSONLD (W3C Member Submission, 2024): one JSON object per statement, valid as JSON-LD.

The document refers to the submission's JSON-LD context, and declares its own prefixes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from provml.export._text import (
    Piece,
    Rows,
    format_name,
    format_time,
    format_value,
    group_values,
    join_rows,
    lexical_form,
    quote_json,
    split_rows,
    write_joined,
)
from provml.model.names import BUNDLE
from provml.model.statements import Name, NameColumn, Statement, Value

if TYPE_CHECKING:
    from provml.model.bundles import RunBundles
    from provml.model.mapping import RunMapping

SUFFIX: Final = ".prov.jsonld"
OTHER_SUFFIXES: Final = (".provjsonld",)

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
    """Write the statements of one run as PROV-JSONLD."""
    sink.write(b"{%b,\n" % _provjsonld_context(mapping.prefixes(), _CONTEXT))
    _write_provjsonld_graph(mapping.statements(), sink)
    sink.write(b"}\n")


def write_bundles(bundles: RunBundles, sink: BinaryIO) -> None:
    """Write several runs as PROV-JSONLD: one bundle for each run, with the run's prefixes."""
    sink.write(b"{%b,\n" % _provjsonld_context(bundles.prefixes(), _CONTEXT))
    sink.write(b'"@graph":[\n')
    declared = '{{"@type":"Entity","@id":"{}","type":["prov:Bundle"]}}'
    sink.write(_SEPARATOR.join(declared.format(name).encode() for name in bundles.names()))
    for mapping in bundles:
        sink.write(b',\n{"@type":"Bundle","@id":"%b",\n' % BUNDLE.encode())
        sink.write(b"%b,\n" % _provjsonld_context(mapping.prefixes()))
        _write_provjsonld_graph(mapping.statements(), sink)
        sink.write(b"}")
    sink.write(b"\n]}\n")


def _provjsonld_context(prefixes: dict[str, str], *others: str) -> bytes:
    return b'"@context":' + quote_json([prefixes, *others]).encode()


def _write_provjsonld_graph(statements: Iterable[Statement], sink: BinaryIO) -> None:
    sink.write(b'"@graph":[\n')
    write_joined(sink, _provjsonld_blocks(statements), _SEPARATOR)
    sink.write(b"\n]")


def _provjsonld_blocks(statements: Iterable[Statement]) -> Iterator[bytes]:
    for statement in statements:
        for rows in split_rows(statement.rows):
            yield join_rows(_provjsonld_object(statement, rows), len(rows), _SEPARATOR)


def _provjsonld_object(statement: Statement, rows: Rows) -> list[Piece]:
    pieces: list[Piece] = [b'{"@type":"%b"' % _TYPES[statement.kind].encode()]
    if statement.id is not None:
        pieces += [b',"@id":"', *format_name(statement.id, rows, str.encode), b'"']
    for name, argument in statement.arguments.items():
        pieces.append(b',"%b":"' % name.removeprefix("prov:").encode())
        if isinstance(argument, (Name, NameColumn)):
            pieces += format_name(argument, rows, str.encode)
        else:
            pieces.append(format_time(argument, rows))
        pieces.append(b'"')
    for name, values in group_values(statement.attributes):
        pieces.append(b',"%b":[' % _context_term(name, statement.kind).encode())
        for place, value in enumerate(values):
            pieces.append(b"," if place else b"")
            pieces += _provjsonld_value(name, value, rows)
        pieces.append(b"]")
    return [*pieces, b"}"]


def _context_term(name: str, kind: str) -> str:
    """Return the term for an attribute in the JSON-LD context.

    Returns the attribute's own name if the context does not define a term for it. The context
    defines the term ``value`` only for entities.
    """
    if name == "prov:value" and kind == "entity":
        return "value"
    return _TERMS.get(name, name)


def _provjsonld_value(name: str, value: Any, rows: Rows) -> list[Piece]:
    if name == "prov:type":
        return [b'"', *format_name(value, rows, str.encode), b'"']
    return format_value(value, rows, _provjsonld_literal, _provjsonld_typed_literal)


def _provjsonld_literal(value: Value) -> bytes:
    text, datatype = lexical_form(value)
    quoted = quote_json(text)
    kind = "" if datatype is None else f',"@type":"{datatype}"'
    return f'{{"@value":{quoted}{kind}}}'.encode()


def _provjsonld_typed_literal(text: Piece, datatype: str) -> list[Piece]:
    return [b'{"@value":"', text, b'","@type":"%b"}' % datatype.encode()]

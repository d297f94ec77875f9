"""JSON-LD 1.1 (W3C Recommendation, 2020): RDF as JSON.

The triples follow PROV-O. The context contains only prefixes, so readers need no network. A single
run is written to the default graph. If there are several runs, each is written to its own named
graph.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from provml.export._rdf import (
    TYPE,
    Blank,
    Description,
    Property,
    describe_bundles,
    describe_statements,
    rdf_prefixes,
)
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
from provml.journal.values import Moment
from provml.model.names import BUNDLE
from provml.model.statements import Name, NameColumn, TimeColumn, Value

if TYPE_CHECKING:
    from provml.model.bundles import RunBundles
    from provml.model.mapping import RunMapping

SUFFIX: Final = ".jsonld"

_SEPARATOR: Final = b",\n"


def write(mapping: RunMapping, sink: BinaryIO) -> None:
    """Write the triples of one run as JSON-LD."""
    sink.write(b"{%b,\n" % _jsonld_context(rdf_prefixes(mapping.prefixes())))
    _write_jsonld_graph(describe_statements(mapping.statements()), sink)
    sink.write(b"}\n")


def write_bundles(bundles: RunBundles, sink: BinaryIO) -> None:
    """Write several runs as JSON-LD: one named graph for each run, with the run's prefixes."""
    sink.write(b"{%b,\n" % _jsonld_context(rdf_prefixes(bundles.prefixes())))
    sink.write(b'"@graph":[\n')
    _write_nodes(describe_bundles(bundles), sink)
    for mapping in bundles:
        context = _jsonld_context(mapping.prefixes())
        sink.write(b',\n{%b,\n"@id":"%b",\n' % (context, BUNDLE.encode()))
        _write_jsonld_graph(describe_statements(mapping.statements()), sink)
        sink.write(b"}")
    sink.write(b"\n]}\n")


def _jsonld_context(prefixes: dict[str, str]) -> bytes:
    return b'"@context":' + quote_json(prefixes).encode()


def _write_jsonld_graph(described: Iterable[Description], sink: BinaryIO) -> None:
    sink.write(b'"@graph":[\n')
    _write_nodes(described, sink)
    sink.write(b"\n]")


def _write_nodes(described: Iterable[Description], sink: BinaryIO) -> None:
    write_joined(sink, _jsonld_blocks(described), _SEPARATOR)


def _jsonld_blocks(described: Iterable[Description]) -> Iterator[bytes]:
    for description in described:
        for rows in split_rows(description.rows):
            pieces: list[Piece] = [b'{"@id":"', *_jsonld_name(description.subject, rows), b'"']
            _append_members(pieces, description.properties, rows)
            yield join_rows([*pieces, b"}"], len(rows), _SEPARATOR)


def _append_members(pieces: list[Piece], properties: list[Property], rows: Rows) -> None:
    for predicate, values in group_values(properties):
        pieces.append(b',"@type":' if predicate == TYPE else b',"%b":' % predicate.encode())
        if len(values) > 1:
            pieces.append(b"[")
        for place, value in enumerate(values):
            pieces.append(b"," if place else b"")
            if predicate == TYPE:
                pieces += [b'"', *_jsonld_name(value, rows), b'"']
            else:
                pieces += _jsonld_object(value, rows)
        if len(values) > 1:
            pieces.append(b"]")


def _jsonld_object(value: Any, rows: Rows) -> list[Piece]:
    if isinstance(value, Blank):
        inner: list[Piece] = []
        _append_members(inner, value.properties, rows)
        assert isinstance(inner[0], bytes)
        inner[0] = inner[0].removeprefix(b",")  # the first member needs no comma
        return [b"{", *inner, b"}"]
    if isinstance(value, (Name, NameColumn)):
        return [b'{"@id":"', *_jsonld_name(value, rows), b'"}']
    if isinstance(value, (Moment, TimeColumn)):
        return _jsonld_typed_literal(format_time(value, rows), "xsd:dateTime")
    return format_value(value, rows, _jsonld_literal, _jsonld_typed_literal)


def _jsonld_name(name: Name | NameColumn, rows: Rows) -> list[Piece]:
    return format_name(name, rows, str.encode)


def _jsonld_literal(value: Value) -> bytes:
    if isinstance(value, Name):
        return f'{{"@id":"{value}"}}'.encode()
    text, datatype = lexical_form(value)
    quoted = quote_json(text)
    return (quoted if datatype is None else f'{{"@value":{quoted},"@type":"{datatype}"}}').encode()


def _jsonld_typed_literal(text: Piece, datatype: str) -> list[Piece]:
    return [b'{"@value":"', text, b'","@type":"%b"}' % datatype.encode()]

"""JSON-LD 1.1 (W3C Recommendation, 2020): RDF as JSON.

The triples are those of PROV-O. The context holds the prefixes alone, so that nothing has to be
fetched. One run is the default graph; of several, each is a named graph. Imports `_rdf`, `_text`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from provml.export._rdf import (
    TYPE,
    Blank,
    Description,
    Property,
    bundle_descriptions,
    descriptions,
    rdf_prefixes,
)
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
from provml.model.names import BUNDLE
from provml.model.statements import Name, NameColumn, TimeColumn, Value

if TYPE_CHECKING:
    from provml.model.bundles import RunBundles
    from provml.model.mapping import RunMapping

SUFFIX: Final = ".jsonld"

_SEPARATOR: Final = b",\n"


def write(mapping: RunMapping, sink: BinaryIO) -> None:
    """Write a run's triples."""
    sink.write(b"{%b,\n" % _context(rdf_prefixes(mapping.prefixes())))
    _write_graph(descriptions(mapping.statements()), sink)
    sink.write(b"}\n")


def write_bundles(bundles: RunBundles, sink: BinaryIO) -> None:
    """Write several runs, each as a named graph with prefixes of its own."""
    sink.write(b"{%b,\n" % _context(rdf_prefixes(bundles.prefixes())))
    sink.write(b'"@graph":[\n')
    _write_nodes(bundle_descriptions(bundles), sink)
    for mapping in bundles:
        context = _context(mapping.prefixes())
        sink.write(b',\n{%b,\n"@id":"%b",\n' % (context, BUNDLE.encode()))
        _write_graph(descriptions(mapping.statements()), sink)
        sink.write(b"}")
    sink.write(b"\n]}\n")


def _context(prefixes: dict[str, str]) -> bytes:
    return b'"@context":' + json_text(prefixes).encode()


def _write_graph(described: Iterable[Description], sink: BinaryIO) -> None:
    sink.write(b'"@graph":[\n')
    _write_nodes(described, sink)
    sink.write(b"\n]")


def _write_nodes(described: Iterable[Description], sink: BinaryIO) -> None:
    separator = b""
    for block in gathered(_blocks(described), _SEPARATOR):
        sink.write(separator + block)
        separator = _SEPARATOR


def _blocks(described: Iterable[Description]) -> Iterator[bytes]:
    for description in described:
        for rows in blocks_of_rows(description.rows):
            pieces: list[Piece] = [b'{"@id":"', *_name(description.subject, rows), b'"']
            _add(pieces, description.properties, rows)
            yield joined([*pieces, b"}"], len(rows), _SEPARATOR)


def _add(pieces: list[Piece], properties: list[Property], rows: Rows) -> None:
    for predicate, values in grouped(properties):
        pieces.append(b',"@type":' if predicate == TYPE else b',"%b":' % predicate.encode())
        if len(values) > 1:
            pieces.append(b"[")
        for place, value in enumerate(values):
            pieces.append(b"," if place else b"")
            if predicate == TYPE:
                pieces += [b'"', *_name(value, rows), b'"']
            else:
                pieces += _object(value, rows)
        if len(values) > 1:
            pieces.append(b"]")


def _object(value: Any, rows: Rows) -> list[Piece]:
    if isinstance(value, Blank):
        inner: list[Piece] = []
        _add(inner, value.properties, rows)
        assert isinstance(inner[0], bytes)
        inner[0] = inner[0].removeprefix(b",")  # what a subject's name would stand before
        return [b"{", *inner, b"}"]
    if isinstance(value, (Name, NameColumn)):
        return [b'{"@id":"', *_name(value, rows), b'"}']
    if isinstance(value, (Moment, TimeColumn)):
        return _typed(time_piece(value, rows), "xsd:dateTime")
    return value_pieces(value, rows, _single, _typed)


def _name(name: Name | NameColumn, rows: Rows) -> list[Piece]:
    return name_pieces(name, rows, str.encode)


def _single(value: Value) -> bytes:
    if isinstance(value, Name):
        return f'{{"@id":"{value}"}}'.encode()
    text, datatype = lexical(value)
    quoted = json_text(text)
    return (quoted if datatype is None else f'{{"@value":{quoted},"@type":"{datatype}"}}').encode()


def _typed(text: Piece, datatype: str) -> list[Piece]:
    return [b'{"@value":"', text, b'","@type":"%b"}' % datatype.encode()]

"""PROV-XML (W3C Working Group Note, 2013): PROV as XML, an element a statement.

XML 1.0 has no text for most control characters. A value that holds one is written as the JSON
string of it, typed rdf:JSON, so that nothing is lost; in a label, which takes no type, U+FFFD
stands for it, as the name is exact in ``provml:name``. Imports `model`, `_text`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from provml.export._text import (
    Piece,
    Rows,
    blocks_of_rows,
    gathered,
    joined,
    lexical,
    name_pieces,
    time_piece,
    value_pieces,
)
from provml.model import vocabulary
from provml.model.names import BUNDLE
from provml.model.statements import Name, NameColumn, Statement, Value, ValueColumn

if TYPE_CHECKING:
    from provml.model.bundles import RunBundles
    from provml.model.mapping import RunMapping

SUFFIX: Final = ".provx"

_XSI: Final = "http://www.w3.org/2001/XMLSchema-instance"
_XSD: Final = "http://www.w3.org/2001/XMLSchema"
"""The schema's own namespace: an xsi:type is a QName in it, without RDF's ``#``."""

_ORDER: Final = {"prov:label": 0, "prov:type": 1, "prov:value": 2}
"""Where the schema wants PROV's own attributes; others follow (PROV-XML, 3)."""

_NOT_XML: Final = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_ESCAPES: Final = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": "&#13;"})


def write(mapping: RunMapping, sink: BinaryIO) -> None:
    """Write a run's statements."""
    _open_document(mapping.prefixes(), sink)
    _write_statements(mapping.statements(), sink)
    sink.write(b"</prov:document>\n")


def write_bundles(bundles: RunBundles, sink: BinaryIO) -> None:
    """Write several runs, each as a bundle with prefixes of its own."""
    _open_document(bundles.prefixes(), sink)
    bundle = b'<prov:entity prov:id="%b"><prov:type xsi:type="xsd:QName">prov:Bundle</prov:type>'
    for name in bundles.names():
        sink.write(bundle % name.encode() + b"</prov:entity>\n")
    for mapping in bundles:
        declared = _declarations(mapping.prefixes())
        sink.write(b'<prov:bundleContent%b prov:id="%b">\n' % (declared, BUNDLE.encode()))
        _write_statements(mapping.statements(), sink)
        sink.write(b"</prov:bundleContent>\n")
    sink.write(b"</prov:document>\n")


def _open_document(prefixes: dict[str, str], sink: BinaryIO) -> None:
    declared = _declarations({"prov": vocabulary.PROV, **prefixes, "xsi": _XSI})
    sink.write(b'<?xml version="1.0" encoding="UTF-8"?>\n<prov:document%b>\n' % declared)


def _declarations(prefixes: dict[str, str]) -> bytes:
    declared = {**prefixes, "xsd": _XSD}
    return "".join(f' xmlns:{k}="{_escaped(v, quote=True)}"' for k, v in declared.items()).encode()


def _write_statements(statements: Iterable[Statement], sink: BinaryIO) -> None:
    for block in gathered(_blocks(statements)):
        sink.write(block)


def _blocks(statements: Iterable[Statement]) -> Iterator[bytes]:
    for statement in statements:
        for rows in blocks_of_rows(statement.rows):
            yield joined(_pieces(statement, rows), len(rows), b"")


def _pieces(statement: Statement, rows: Rows) -> list[Piece]:
    kind = statement.kind.encode()
    pieces: list[Piece] = [b"<prov:%b" % kind]
    if statement.id is not None:
        pieces += [b' prov:id="', *name_pieces(statement.id, rows, str.encode), b'"']
    pieces.append(b">")
    for name, argument in statement.arguments.items():
        tag = name.encode()
        if isinstance(argument, (Name, NameColumn)):
            reference = name_pieces(argument, rows, str.encode)
            pieces += [b'<%b prov:ref="' % tag, *reference, b'"/>']
        else:
            pieces += [b"<%b>" % tag, time_piece(argument, rows), b"</%b>" % tag]
    for name, value in sorted(statement.attributes, key=_place):
        pieces += _attribute(name, value, rows)
    return [*pieces, b"</prov:%b>\n" % kind]


def _place(attribute: tuple[str, Any]) -> int:
    return _ORDER.get(attribute[0], len(_ORDER))


def _attribute(name: str, value: Value | ValueColumn | NameColumn, rows: Rows) -> list[Piece]:
    tag = name.encode()

    def single(one: Value) -> bytes:
        text, datatype = lexical(one)
        if _NOT_XML.search(text):
            if name == "prov:label":
                text = _NOT_XML.sub("\ufffd", text)
            else:
                text, datatype = json.dumps(text), "rdf:JSON"
        kind = "" if datatype is None else f' xsi:type="{datatype}"'
        return f"<{name}{kind}>{_escaped(text)}</{name}>".encode()

    def typed(text: Piece, datatype: str) -> list[Piece]:
        return [b'<%b xsi:type="%b">' % (tag, datatype.encode()), text, b"</%b>" % tag]

    return value_pieces(value, rows, single, typed)


def _escaped(text: str, *, quote: bool = False) -> str:
    escaped = text.translate(_ESCAPES)
    return escaped.replace('"', "&quot;") if quote else escaped

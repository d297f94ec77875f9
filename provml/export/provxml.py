"""PROV-XML (W3C Working Group Note, 2013): PROV as XML, one element per statement.

XML 1.0 forbids most control characters. A value with such a character is written as a JSON string
of type rdf:JSON, so nothing is lost. A label cannot have a type, so U+FFFD replaces the forbidden
characters in a label. The attribute ``provml:name`` contains the exact name.
"""

from __future__ import annotations

import json
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
    split_rows,
)
from provml.model import vocabulary
from provml.model.names import BUNDLE
from provml.model.statements import Name, NameColumn, Statement, Value, ValueColumn

if TYPE_CHECKING:
    from provml.model.bundles import RunBundles
    from provml.model.mapping import RunMapping

SUFFIX: Final = ".provx"
OTHER_SUFFIXES: Final = (".xml", ".provxml")

_XSI: Final = "http://www.w3.org/2001/XMLSchema-instance"
_XSD: Final = "http://www.w3.org/2001/XMLSchema"
"""The namespace of XML Schema for xsi:type, without the ``#`` that RDF appends."""

_ORDER: Final = {"prov:label": 0, "prov:type": 1, "prov:value": 2}
"""The order that the schema requires. All other attributes come after these (PROV-XML, 3)."""

_NOT_XML: Final = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_ESCAPES: Final = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": "&#13;"})


def write(mapping: RunMapping, sink: BinaryIO) -> None:
    """Write the statements of one run as PROV-XML."""
    _open_document(mapping.prefixes(), sink)
    _write_xml_statements(mapping.statements(), sink)
    sink.write(b"</prov:document>\n")


def write_bundles(bundles: RunBundles, sink: BinaryIO) -> None:
    """Write several runs as PROV-XML: one bundle for each run, with the run's prefixes."""
    _open_document(bundles.prefixes(), sink)
    bundle = b'<prov:entity prov:id="%b"><prov:type xsi:type="xsd:QName">prov:Bundle</prov:type>'
    for name in bundles.names():
        sink.write(bundle % name.encode() + b"</prov:entity>\n")
    for mapping in bundles:
        declared = _namespace_declarations(mapping.prefixes())
        sink.write(b'<prov:bundleContent%b prov:id="%b">\n' % (declared, BUNDLE.encode()))
        _write_xml_statements(mapping.statements(), sink)
        sink.write(b"</prov:bundleContent>\n")
    sink.write(b"</prov:document>\n")


def _open_document(prefixes: dict[str, str], sink: BinaryIO) -> None:
    declared = _namespace_declarations({"prov": vocabulary.PROV, **prefixes, "xsi": _XSI})
    sink.write(b'<?xml version="1.0" encoding="UTF-8"?>\n<prov:document%b>\n' % declared)


def _namespace_declarations(prefixes: dict[str, str]) -> bytes:
    declared = {**prefixes, "xsd": _XSD}
    return "".join(
        f' xmlns:{k}="{_escape_xml(v, quote=True)}"' for k, v in declared.items()
    ).encode()


def _write_xml_statements(statements: Iterable[Statement], sink: BinaryIO) -> None:
    for block in gather_blocks(_xml_blocks(statements)):
        sink.write(block)


def _xml_blocks(statements: Iterable[Statement]) -> Iterator[bytes]:
    for statement in statements:
        for rows in split_rows(statement.rows):
            yield join_rows(_xml_element(statement, rows), len(rows), b"")


def _xml_element(statement: Statement, rows: Rows) -> list[Piece]:
    kind = statement.kind.encode()
    pieces: list[Piece] = [b"<prov:%b" % kind]
    if statement.id is not None:
        pieces += [b' prov:id="', *format_name(statement.id, rows, _escape_xml_name), b'"']
    pieces.append(b">")
    for name, argument in statement.arguments.items():
        tag = name.encode()
        if isinstance(argument, (Name, NameColumn)):
            reference = format_name(argument, rows, _escape_xml_name)
            pieces += [b'<%b prov:ref="' % tag, *reference, b'"/>']
        else:
            pieces += [b"<%b>" % tag, format_time(argument, rows), b"</%b>" % tag]
    for name, value in sorted(statement.attributes, key=_schema_position):
        pieces += _xml_attribute(name, value, rows)
    return [*pieces, b"</prov:%b>\n" % kind]


def _schema_position(attribute: tuple[str, Any]) -> int:
    return _ORDER.get(attribute[0], len(_ORDER))


def _xml_attribute(name: str, value: Value | ValueColumn | NameColumn, rows: Rows) -> list[Piece]:
    tag = name.encode()

    def single(one: Value) -> bytes:
        text, datatype = lexical_form(one)
        if _NOT_XML.search(text):
            if name == "prov:label":
                text = _NOT_XML.sub("\ufffd", text)
            else:
                text, datatype = json.dumps(text), "rdf:JSON"
        kind = "" if datatype is None else f' xsi:type="{datatype}"'
        return f"<{name}{kind}>{_escape_xml(text)}</{name}>".encode()

    def typed(text: Piece, datatype: str) -> list[Piece]:
        return [b'<%b xsi:type="%b">' % (tag, datatype.encode()), text, b"</%b>" % tag]

    return format_value(value, rows, single, typed)


def _escape_xml_name(name: str) -> bytes:
    return _escape_xml(name, quote=True).encode()


def _escape_xml(text: str, *, quote: bool = False) -> str:
    escaped = text.translate(_ESCAPES)
    return escaped.replace('"', "&quot;") if quote else escaped

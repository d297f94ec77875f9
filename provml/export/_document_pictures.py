"""Draws PROV documents of any origin as HTML pages and pictures.

Imports `reading` only for its types.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from provml.errors import InvalidArgumentError
from provml.journal.values import Moment
from provml.model import vocabulary
from provml.model.relations import FORMAL
from provml.model.statements import Iri, Literal, Name, Statement

if TYPE_CHECKING:
    from provml.reading import Document

PICTURE_FORMATS: Final = ("html", "svg", "png", "pdf", "dot")
"""The formats in which `draw_document` can draw a document."""

_NAME_TYPES: Final = frozenset({"prov:QUALIFIED_NAME", "xsd:QName", "prov:QualifiedName"})
_TIMES: Final = frozenset({"prov:startTime", "prov:endTime", "prov:time"})
_TEXTS: Final = frozenset({"prov:type", "prov:label"})
_NUMBERS: Final[dict[str, Callable[[str], int | float]]] = {
    **dict.fromkeys(("xsd:int", "xsd:integer", "xsd:long", "xsd:short", "xsd:byte"), int),
    **dict.fromkeys(("xsd:nonNegativeInteger", "xsd:unsignedInt", "xsd:unsignedLong"), int),
    **dict.fromkeys(("xsd:double", "xsd:float"), float),
}
_LONGEST_NUMBER: Final = 400
_NS_PER_S: Final = 1_000_000_000


def draw_document(document: Document, form: str, sink: BinaryIO, title: str) -> None:
    """Draw a PROV document, and write the page or the picture to a file.

    Nodes in bundles are drawn like all other nodes.

    Args:
        document: a document that `provml.reading.read` returned.
        form: one of `PICTURE_FORMATS`.
        title: the title of the HTML page, which can be any text. Pictures have no title.

    Raises:
        InvalidArgumentError: the format is unknown.
        DocumentError: the document is RDF that does not contain valid PROV.
        ExportError: the page or the picture would have too many nodes.
        MissingExtraError, MissingProgramError: a package or program that draws the format is not
            installed.
    """
    if form not in PICTURE_FORMATS:
        known = ", ".join(PICTURE_FORMATS)
        raise InvalidArgumentError(f"a document can be drawn as {known}, not as {form!r}")
    content = document.provjson()
    prefixes = _collect_prefixes(content)
    statements = list(_build_statements(content))
    if form == "html":
        from provml.export._diagram import Diagram
        from provml.page import write_page

        diagram = Diagram()
        diagram.add_document(statements, prefixes, title)
        write_page(sink, "graph", title, diagram.data())
        return
    from provml.graph.build import document_graph
    from provml.graph.picture import dot_graph, prepare_picture
    from provml.graph.render import render_graph
    from provml.graph.view import View

    picture = prepare_picture(document_graph(statements, prefixes), View(), fold=True)
    if form == "dot":
        sink.write(dot_graph(picture).to_string().encode("utf-8", "replace"))
    else:
        sink.write(render_graph(picture, View(), form))


def _collect_prefixes(content: dict[str, Any]) -> dict[str, str]:
    """Return the IRIs of the prefixes that a document and its bundles declare."""
    found: dict[str, str] = {}
    for part in (content, *content.get("bundle", {}).values()):
        for prefix, iri in part.get("prefix", {}).items():
            found.setdefault("_" if prefix == "default" else prefix, iri)
    found |= {"prov": vocabulary.PROV, "xsd": vocabulary.XSD}
    return _Prefixes(found)


class _Prefixes(dict[str, str]):
    """A dict from prefixes to IRIs. An unknown prefix expands to itself."""

    def __missing__(self, prefix: str) -> str:
        return f"{prefix}:"


def _build_statements(content: dict[str, Any]) -> Iterator[Statement]:
    """Yield the statements of a PROV-JSON object: the elements, then the relations."""
    parts = [content, *content.get("bundle", {}).values()]
    for kind in (*vocabulary.ELEMENTS, *(k for k in FORMAL if k not in vocabulary.ELEMENTS)):
        for part in parts:
            for name, records in part.get(kind, {}).items():
                for record in records if isinstance(records, list) else [records]:
                    yield _build_statement(kind, name, record)


def _build_statement(kind: str, name: str, record: dict[str, Any]) -> Statement:
    formal = FORMAL[kind]
    arguments: dict[str, Any] = {}
    attributes: list[tuple[str, Any]] = []
    for key, values in record.items():
        for value in values if isinstance(values, list) else [values]:
            if key not in formal:
                converted = _convert_value(value)
                is_text = key in _TEXTS and not isinstance(converted, str)
                attributes.append((key, str(converted) if is_text else converted))
            elif key in _TIMES:
                moment = _parse_time(value)
                if moment is not None:
                    arguments[key] = moment
            else:
                arguments[key] = _qualify(str(value))
    is_element = kind in vocabulary.ELEMENTS
    return Statement(kind, _qualify(name) if is_element else None, arguments, attributes)


def _qualify(name: str) -> Name:
    """Add the prefix ``_`` to a name without a prefix, which is in the default namespace."""
    return Name(name if ":" in name else f"_:{name}")


def _convert_value(value: Any) -> Any:
    """Convert a PROV-JSON value to a value of a `Statement`. Unknown types become text."""
    if not isinstance(value, dict):
        return value if isinstance(value, (str, bool, int, float)) else str(value)
    text, datatype = str(value.get("$", "")), str(value.get("type", ""))
    if datatype in _NAME_TYPES:
        return Name(text)
    if datatype == "xsd:anyURI":
        return Iri(text)
    if datatype == "xsd:boolean" and text in ("true", "false"):
        return text == "true"
    if datatype in _NUMBERS and len(text) <= _LONGEST_NUMBER:
        try:
            return _NUMBERS[datatype](text)
        except ValueError:
            return text
    if datatype == "rdf:JSON":
        try:
            json.loads(text)
        except (ValueError, RecursionError):
            return text
        return Literal(text, Name(datatype))
    return text


def _parse_time(value: Any) -> Moment | None:
    text = value.get("$") if isinstance(value, dict) else value
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError:  # an xsd:dateTime that Python can't represent; the picture omits it
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    seconds = int(moment.replace(microsecond=0).timestamp())
    return Moment(seconds * _NS_PER_S + moment.microsecond * 1000)

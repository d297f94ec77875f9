"""Read and write PROV-XML (W3C Note, 2013).

Before prov reads a statement, this module checks it for content that prov would drop or misread.
Error messages can therefore give the line number. Imports prov and lxml only when they are
needed.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, BinaryIO, Final, NoReturn

from provml.errors import DocumentError, MissingExtraError
from provml.model.vocabulary import PROV, RDF
from provml.reading._dictionary import DICTIONARY_KINDS, MEMBERSHIP, DictionaryStatement
from provml.reading._document import Document, Places
from provml.reading._engine import (
    describe_error,
    note_cut_times,
    refuse_losses,
    wrap_library_errors,
)
from provml.reading._names import XSI, iter_bundles
from provml.reading._xml import check_xml

if TYPE_CHECKING:
    from prov.model import ProvBundle, ProvDocument

NAME: Final = "PROV-XML"
SUFFIXES: Final = (".provx", ".xml", ".provxml")

_ID: Final = f"{{{PROV}}}id"
_REF: Final = f"{{{PROV}}}ref"
_TYPE: Final = f"{{{XSI}}}type"
_LANG: Final = "{http://www.w3.org/XML/1998/namespace}lang"
_KNOWN_ATTRIBUTES: Final = frozenset((_REF, _TYPE, _LANG))
_LANGUAGE_TYPES: Final = ("InternationalizedString", "string", "langString")
_NOT_XML: Final = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def looks_like(head: str) -> bool:
    """Return whether a text that starts with ``head`` may be PROV-XML."""
    return head.startswith("<") and "rdf:RDF" not in head and "document" in head


# -- reading ------------------------------------------------------------------------------------


def read(data: bytes, base: str | None = None) -> Document:
    """Read a PROV-XML document. Raises DocumentError if it is invalid."""
    from prov.model import ProvDocument

    check_xml(data)
    root = _parse_xml(data)
    if root.tag != f"{{{PROV}}}document":
        _fail_at_element(
            root, f"the root element is {_describe_element(root)}; expected prov:document"
        )
    document = ProvDocument()
    reader = _Reader(document)
    reader.container(root, document)
    notes: list[str] = []
    if reader.other:
        count, line = len(reader.other), reader.other[0]
        notes.append(f"{count:,} prov:other elements were dropped; the first is on line {line}")
    if reader.mended:
        count, line = len(reader.mended), reader.mended[0]
        notes.append(
            f"{count:,} values with both a language and a type, or with XML content, were read in "
            f"full, although the prov library would shorten them; the first is on line {line}"
        )
    return Document(document, reader.statements, notes, note_cut_times(data), places=reader.places)


def _parse_xml(data: bytes) -> Any:
    try:
        from lxml import etree
    except ImportError:
        raise MissingExtraError(NAME, "lxml", "xml") from None
    parser = etree.XMLParser(
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        remove_comments=True,
        remove_pis=True,
    )
    try:
        return etree.fromstring(data, parser)
    except etree.XMLSyntaxError as error:
        line, column = error.position
        reason = str(error.msg).rpartition(", line ")[0] or str(error.msg)
        raise DocumentError(f"{NAME}: line {line}, column {column}: {reason}") from None
    except (ValueError, LookupError) as error:
        raise DocumentError(f"{NAME}: {error}") from None


class _Reader:
    """A reader that adds XML elements to a document, and collects PROV-Dictionary statements."""

    def __init__(self, document: ProvDocument) -> None:
        from prov.serializers.provxml import FULL_PROV_RECORD_IDS_MAP, ProvXMLSerializer

        self._document = document
        self._prov = ProvXMLSerializer(document)
        self._kinds = frozenset(FULL_PROV_RECORD_IDS_MAP)
        self.statements: list[DictionaryStatement] = []
        self.other: list[int] = []
        self.mended: list[int] = []
        self.places: Places = {}

    def container(self, parent: Any, bundle: ProvBundle) -> None:
        """Read the child elements of ``parent`` into the document or one of its bundles."""
        _check_no_text(parent)
        for element in parent:
            kind = _prov_tag(element)
            if kind is None:
                _refuse_element(element, "is not an element of PROV-XML")
            if kind == "other":
                self.other.append(element.sourceline)
            elif kind == "bundleContent":
                self._bundle(element, bundle)
            elif kind in DICTIONARY_KINDS:
                self.mended += _check_statement(element)
                self._dictionary(element, kind, bundle)
            elif kind in self._kinds:
                self.mended += _check_statement(element)
                self._record(element, bundle)
            else:
                _refuse_element(element, "is not a statement of PROV-XML")

    def _bundle(self, element: Any, bundle: ProvBundle) -> None:
        if bundle is not self._document:
            _fail_at_element(element, "a bundle can't contain a bundle")
        name = element.get(_ID)
        if name is None:
            _fail_at_element(element, "prov:bundleContent has no prov:id")
        with wrap_library_errors(_element_place(element)):
            made = self._document.bundle(self._name(element, name))
        self.container(element, made)

    def _record(self, element: Any, bundle: ProvBundle) -> None:
        with wrap_library_errors(_element_place(element)) as warned:
            # prov reads the children of its argument, so wrap the element in a list
            self._prov.deserialize_subtree([element], bundle)
        refuse_losses(_element_place(element), warned)
        self.places.setdefault(bundle.identifier, []).append((element.sourceline, 0))

    def _dictionary(self, element: Any, kind: str, bundle: ProvBundle) -> None:
        names: dict[str, Any] = {}
        pairs: list[tuple[Any, Any]] = []
        keys: list[Any] = []
        attributes: list[tuple[Any, Any]] = []
        with wrap_library_errors(_element_place(element)):
            for child in list(element):
                local = _prov_tag(child)
                if local in ("newDictionary", "oldDictionary", "dictionary"):
                    if local in names or child.get(_REF) is None:
                        _refuse_element(child, "appears twice, or has no prov:ref")
                    names[local] = self._name(child, child.get(_REF))
                elif local == "keyEntityPair":
                    pairs.append(self._pair(child))
                elif local == "key":
                    keys.append(self._attribute(child)[1])
                else:
                    attributes.append(self._attribute(child))
            identifier = element.get(_ID)
            made = DictionaryStatement(
                kind,
                bundle.identifier,
                None if identifier is None else self._name(element, identifier),
                names.get("dictionary" if kind == MEMBERSHIP else "newDictionary"),
                names.get("oldDictionary"),
                tuple(pairs),
                tuple(keys),
                tuple(attributes),
            )
        if kind == MEMBERSHIP and (attributes or identifier is not None):
            _fail_at_element(element, f"{kind} can't have an identifier or attributes")
        self.statements.append(made)

    def _pair(self, element: Any) -> tuple[Any, Any]:
        key, entity = element.find(f"{{{PROV}}}key"), element.find(f"{{{PROV}}}entity")
        if key is None or entity is None or len(element) != 2 or entity.get(_REF) is None:
            _fail_at_element(
                element, "prov:keyEntityPair needs one prov:key and one prov:entity with prov:ref"
            )
        return self._attribute(key)[1], self._name(entity, entity.get(_REF))

    def _attribute(self, element: Any) -> tuple[Any, Any]:
        """Return an element's name and value, as prov would read them if an entity contained it."""
        from lxml import etree
        from prov.model import ProvDocument

        parent = element.getparent()
        entity = etree.Element(f"{{{PROV}}}entity", {_ID: "prov:entity"})
        # the element stays inside the tree, because its ancestors declare the prefixes in its value
        parent.replace(element, entity)
        entity.append(element)
        scratch = ProvDocument()
        self._prov.deserialize_subtree([entity], scratch)
        parent.replace(entity, element)
        (record,) = scratch.get_records()
        ((name, value),) = record.attributes
        return name, value

    @staticmethod
    def _name(element: Any, text: str) -> Any:
        from prov.serializers.provxml import xml_qname_to_QualifiedName as qualified

        return qualified(element, text.strip())


def _check_statement(element: Any) -> list[int]:
    """Check a statement for content that prov would drop, and repair what prov would misread.

    Returns:
        The line numbers of the repaired elements.

    Raises:
        DocumentError: prov would drop content of the statement.
    """
    mended: list[int] = []
    _check_no_text(element)
    for name in element.attrib:
        if name not in (_ID, _TYPE):
            _refuse_element(
                element, f"has the attribute {_local_tag(name)!r}, which PROV-XML does not define"
            )
    for child in element:
        for name, value in child.attrib.items():
            if name not in _KNOWN_ATTRIBUTES:
                _refuse_element(
                    child, f"has the attribute {_local_tag(name)!r}, which PROV-XML does not define"
                )
            if name != _LANG:
                child.set(name, value.strip())
        if child.get(_LANG) is not None:
            # prov keeps only the last of xsi:type and xml:lang, and so may drop the language
            datatype = child.attrib.pop(_TYPE, None)
            if datatype is not None:
                mended.append(child.sourceline)
            if (datatype or _LANGUAGE_TYPES[0]).rpartition(":")[2] not in _LANGUAGE_TYPES:
                _refuse_element(child, "has a language, which its datatype does not allow")
        if len(child) and _prov_tag(child) not in ("keyEntityPair", "entity"):
            _flatten_markup(child)
            mended.append(child.sourceline)
    return mended


def _flatten_markup(element: Any) -> None:
    """Turn the elements inside an rdf:XMLLiteral into text, because prov would drop them."""
    from lxml import etree

    prefix, _, local = element.get(_TYPE, "").partition(":")
    if local != "XMLLiteral" or element.nsmap.get(prefix) != RDF:
        _refuse_element(element, "contains elements, but is not an rdf:XMLLiteral")
    try:
        markup = [
            etree.tostring(each, method="c14n", exclusive=True).decode() + (each.tail or "")
            for each in element
        ]
    except etree.C14NError as error:  # relative namespace IRIs have no canonical form
        _refuse_element(element, f"has markup that can't be read: {describe_error(error)}")
    text = (element.text or "") + "".join(markup)
    for each in list(element):
        element.remove(each)
    element.text = text.strip()


def _check_no_text(element: Any) -> None:
    texts = [element.text, *(child.tail for child in element)]
    for text in texts:
        if text is not None and text.strip():
            _refuse_element(element, f"has text between its elements: {text.strip()[:60]!r}")


def _prov_tag(element: Any) -> str | None:
    """Return an element's local name, or None if the element is not in the PROV namespace."""
    tag = element.tag
    if not isinstance(tag, str) or not tag.startswith(f"{{{PROV}}}"):
        return None
    return tag[len(PROV) + 2 :]


def _local_tag(name: str) -> str:
    return name.rpartition("}")[2]


def _describe_element(element: Any) -> str:
    if not isinstance(element.tag, str):
        return "an entity"
    local = _local_tag(element.tag)
    return f"<{element.prefix}:{local}>" if element.prefix else f"<{local}>"


def _element_place(element: Any) -> str:
    return f"{NAME}: line {element.sourceline}"


def _refuse_element(element: Any, problem: str) -> NoReturn:
    _fail_at_element(element, f"{_describe_element(element)} {problem}")


def _fail_at_element(element: Any, what: str) -> NoReturn:
    raise DocumentError(f"{_element_place(element)}: {what}")


# -- writing ------------------------------------------------------------------------------------


def write(document: Document, sink: BinaryIO) -> None:
    """Write a PROV-XML document. Raises DocumentError for characters that XML forbids."""
    try:
        from lxml import etree
    except ImportError:
        raise MissingExtraError(NAME, "lxml", "xml") from None
    from prov.serializers.provxml import ProvXMLSerializer

    prov, statements, _ = document.tidy_statements()
    _check_all_characters(prov, statements)
    writer = ProvXMLSerializer(prov)
    root = writer.serialize_bundle(prov)
    within: dict[Any, Any] = {None: root}
    for bundle in prov.bundles:
        within[bundle.identifier] = writer.serialize_bundle(bundle, root)
    for statement in statements:
        _DictionaryWriter(prov, within[statement.bundle], statement).write()
    tree = etree.ElementTree(root)
    tree.write(sink, pretty_print=True, xml_declaration=True, encoding="UTF-8")


class _DictionaryWriter:
    """A writer of one dictionary statement. Writes values as prov writes those of entities."""

    def __init__(self, document: ProvDocument, parent: Any, statement: DictionaryStatement) -> None:
        self._document, self._parent, self._statement = document, parent, statement

    def write(self) -> None:
        statement = self._statement
        element = self._child(self._parent, statement.kind)
        if statement.id is not None:
            element.set(_ID, str(statement.id))
        first = "dictionary" if statement.kind == MEMBERSHIP else "newDictionary"
        for name, value in ((first, statement.dictionary), ("oldDictionary", statement.old)):
            if value is not None:
                self._child(element, name).set(_REF, str(value))
        for key, entity in statement.pairs:
            pair = self._child(element, "keyEntityPair")
            pair.append(self._attribute(None, key))
            self._child(pair, "entity").set(_REF, str(entity))
        for key in statement.keys:
            element.append(self._attribute(None, key))
        for key, value in statement.attributes:
            element.append(self._attribute(key, value))

    def _attribute(self, name: Any, value: Any) -> Any:
        from prov.constants import PROV as PROV_NAMESPACE
        from prov.constants import PROV_VALUE
        from prov.model import ProvDocument
        from prov.serializers.provxml import ProvXMLSerializer

        scratch = ProvDocument(namespaces=list(self._document.get_registered_namespaces()))
        scratch.entity(PROV_NAMESPACE["entity"], [(name or PROV_VALUE, value)])
        element = ProvXMLSerializer(scratch).serialize_bundle(scratch)[0][0]
        if name is None:
            element.tag = f"{{{PROV}}}key"
        return element

    @staticmethod
    def _child(parent: Any, name: str) -> Any:
        from lxml import etree

        return etree.SubElement(parent, f"{{{PROV}}}{name}")


def _check_all_characters(document: ProvDocument, statements: list[DictionaryStatement]) -> None:
    """Raise DocumentError if a value contains a character that XML forbids."""
    for bundle in iter_bundles(document):
        for record in bundle.get_records():
            for name, value in record.attributes:
                _check_characters(record.identifier or record, name, value)
    for statement in statements:
        for key in (*statement.keys, *(key for key, _ in statement.pairs)):
            _check_characters(statement.kind, "a key", key)
        for name, value in statement.attributes:
            _check_characters(statement.kind, name, value)


def _check_characters(subject: Any, name: Any, value: Any) -> None:
    found = _NOT_XML.search(str(getattr(value, "value", value)))
    if found is not None:
        raise DocumentError(
            f"{NAME} can't represent the character U+{ord(found[0]):04X}, which occurs in {name} "
            f"of {subject}"
        )

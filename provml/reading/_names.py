"""Names: IRIs split into prefix and local part, and documents rewritten under chosen prefixes.

Every form that is written goes through `tidy_prefixes`: one table of prefixes for the whole
document, no default namespace, each prefix legal in every form. So a name never means another
IRI because of its place. Imports `_dictionary`; prov when it runs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from provml.model.vocabulary import PROV, XSD
from provml.reading._dictionary import DictionaryStatement

if TYPE_CHECKING:
    from prov.identifier import Namespace, QualifiedName
    from prov.model import ProvBundle, ProvDocument

XSI: Final = "http://www.w3.org/2001/XMLSchema-instance"

_PREFIX: Final = re.compile(r"(?!(?i:xml))[A-Za-z][A-Za-z0-9_-]*")
_RESERVED: Final = frozenset({"prov", "xsd", "xsi", "default", "bundle", "prefix"})
_SCHEMES: Final = frozenset(  # as prefixes, readers would take the IRIs of a scheme for names
    ("http", "https", "ftp", "file", "mailto", "urn", "tag", "data", "did", "doi", "info", "arcp")
)
_NAMESPACE: Final = re.compile(
    r"[A-Za-z][A-Za-z0-9+.-]*:(?:[A-Za-z0-9._~!$&'()*+,;=:@/?-]|%[0-9A-Fa-f]{2})*+"
    r"(?:#(?:[A-Za-z0-9._~!$&'()*+,;=:@/?-]|%[0-9A-Fa-f]{2})*+)?"
)
_NO_START: Final = re.compile("[\u00b7\u0300-\u036f\u203f\u2040]")
"""What PROV-N can't have at a local name's beginning."""

_NOT_DECLARED: Final = frozenset(  # XML has them declared, and lets nobody declare them
    ("http://www.w3.org/XML/1998/namespace", "http://www.w3.org/2000/xmlns/")
)
_DEFAULT: Final = "dn"


def legal_prefix(prefix: str) -> bool:
    """Whether every form can have the prefix."""
    return _PREFIX.fullmatch(prefix) is not None


class Prefixes:
    """Prefixes for namespaces: those that were declared where they are legal, made up elsewhere."""

    def __init__(self, declared: Iterable[tuple[str, str]] = ()) -> None:
        self._by_iri: dict[str, Namespace] = {}
        self._taken: set[str] = set(_RESERVED)
        from prov.constants import PROV as PROV_NAMESPACE
        from prov.constants import XSD as XSD_NAMESPACE
        from prov.constants import XSI as XSI_NAMESPACE

        for built_in in (PROV_NAMESPACE, XSD_NAMESPACE, XSI_NAMESPACE):
            self._by_iri[built_in.uri] = built_in
        for prefix, iri in declared:
            if _legal_namespace(iri):
                self.namespace(iri, prefix)
        self._declared = frozenset(self._by_iri)
        self._lengths = sorted({len(iri) for iri in self._declared}, reverse=True)

    def namespace(self, iri: str, wish: str = "") -> Namespace:
        """The namespace of an IRI, under the prefix wished for if that is legal and free."""
        found = self._by_iri.get(iri)
        if found is not None:
            return found
        from prov.identifier import Namespace

        wish = wish or _DEFAULT
        if not legal_prefix(wish) or (wish.lower() in _SCHEMES and iri != f"{wish}:"):
            wish = "ns"
        prefix, count = wish, 0
        while prefix in self._taken:
            count += 1
            prefix = f"{wish}{count}"
        self._taken.add(prefix)
        made = Namespace(prefix, iri)
        self._by_iri[iri] = made
        return made

    def qualified(self, name: QualifiedName) -> QualifiedName:
        """The name, split where it was if that is legal, under this table's prefix."""
        from prov.identifier import QualifiedName

        if not _legal_namespace(name.namespace.uri) and _split_at(name.uri):
            return self.split(name.uri)
        namespace = self.namespace(name.namespace.uri, name.namespace.prefix)
        return name if name.namespace is namespace else QualifiedName(namespace, name.localpart)

    def split(self, iri: str) -> QualifiedName:
        """An IRI as a name: at the longest namespace known that leaves a local part, else before
        its last step.
        """
        from prov.identifier import QualifiedName

        for end in self._lengths:
            if end < len(iri) and iri[:end] in self._declared:
                return QualifiedName(self._by_iri[iri[:end]], iri[end:])
        end = _split_at(iri)
        return QualifiedName(self.namespace(iri[:end], "ns"), iri[end:])

    def declared(self) -> list[Namespace]:
        """The namespaces but PROV's own, in the order they came."""
        return [each for each in self._by_iri.values() if each.uri not in (PROV, XSD, XSI)]

    def table(self) -> dict[str, str]:
        """Prefixes and their IRIs."""
        return {each.prefix: each.uri for each in self._by_iri.values() if each.uri != XSI}


def _legal_namespace(iri: str) -> bool:
    """Whether every form can declare the namespace; XML's parser here knows no others."""
    return iri not in _NOT_DECLARED and _NAMESPACE.fullmatch(iri) is not None


def _split_at(iri: str) -> int:
    """Where an IRI's last step begins: after ``#``, ``/`` or ``:``, if something follows.

    What is before it is a URI of ASCII, as every form can declare that.
    """
    found = _NAMESPACE.match(iri)
    ascii_end = 0 if found is None else found.end()
    last = min(ascii_end, len(iri) - 1)
    for separator in "#/:":
        end = iri.rfind(separator, 0, last) + 1
        if end and not _NO_START.match(iri[end]):
            return end
    return 0


def bundles_of(document: ProvDocument) -> Iterator[ProvBundle]:
    """The document itself and its bundles."""
    yield document
    yield from document.bundles


def tidy_prefixes(
    document: ProvDocument,
    statements: Iterable[DictionaryStatement] = (),
    declared: Mapping[str, str] | None = None,
) -> tuple[ProvDocument, list[DictionaryStatement], Prefixes]:
    """The same document under one table of prefixes.

    Costs about 30 us a statement.

    Args:
        document: what is copied.
        statements: dictionary statements, copied with it.
        declared: prefixes to prefer over the document's own.
    """
    wanted = list((declared or {}).items())
    if not wanted:
        wanted += [(each.prefix, each.uri) for each in document.get_registered_namespaces()]
        default = document.get_default_namespace()
        if default is not None:
            wanted.append(("", default.uri))
    prefixes = Prefixes(wanted)
    value = _value_mapper(prefixes)
    bundles = [
        (bundle.identifier, [_copied(record, prefixes, value) for record in bundle.get_records()])
        for bundle in bundles_of(document)
    ]
    mapped = [each.mapped(prefixes.qualified, value) for each in statements]
    return assemble_document(bundles, prefixes), mapped, prefixes


Record = tuple[Any, Any, list[tuple[Any, Any]]]
"""Type, id and attributes, as `ProvBundle.new_record` takes them."""


def assemble_document(
    bundles: Iterable[tuple[QualifiedName | None, list[Record]]], prefixes: Prefixes
) -> ProvDocument:
    """A document of records whose names are all of one table."""
    from prov.model import ProvDocument

    made = ProvDocument()
    for namespace in prefixes.declared():
        made.add_namespace(namespace)
    for name, records in bundles:
        target = made if name is None else made.bundle(prefixes.qualified(name))
        for kind, identifier, attributes in records:
            for each in _single_members(kind, attributes):
                target.new_record(kind, identifier, each)
    for namespace in prefixes.declared():  # those that bundles brought
        made.add_namespace(namespace)
    return made


def _single_members(kind: Any, attributes: list[tuple[Any, Any]]) -> Iterator[list[Any]]:
    """A membership of several entities as one for each, which is what PROV-DM has."""
    from prov.constants import PROV_ATTR_ENTITY, PROV_MEMBERSHIP

    members = [pair for pair in attributes if pair[0] == PROV_ATTR_ENTITY]
    if kind != PROV_MEMBERSHIP or len(members) < 2:
        yield attributes
        return
    others = [pair for pair in attributes if pair[0] != PROV_ATTR_ENTITY]
    for member in members:
        yield [*others, member]


def _copied(record: Any, prefixes: Prefixes, value: Callable[[Any], Any]) -> Record:
    identifier = record.identifier
    return (
        record.get_type(),
        None if identifier is None else prefixes.qualified(identifier),
        [(prefixes.qualified(name), value(each)) for name, each in record.attributes],
    )


def _value_mapper(prefixes: Prefixes) -> Callable[[Any], Any]:
    from prov.identifier import QualifiedName
    from prov.model import Literal

    def mapped(value: Any) -> Any:
        if isinstance(value, QualifiedName):
            return prefixes.qualified(value)
        if isinstance(value, Literal) and value.datatype is not None and not value.langtag:
            return Literal(value.value, prefixes.qualified(value.datatype))
        return value

    return mapped

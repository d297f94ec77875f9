"""Split IRIs into namespace and local name, and rewrite documents with one table of prefixes.

Writers call `tidy_prefixes`, which gives the whole document one table of prefixes. Every format
accepts these prefixes. The table has no default namespace, so a name means the same IRI everywhere
in the document. Imports prov only when it is needed.
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
# an IRI with one of these schemes must not be read as a qualified name
_SCHEMES: Final = frozenset(
    ("http", "https", "ftp", "file", "mailto", "urn", "tag", "data", "did", "doi", "info", "arcp")
)
_NAMESPACE: Final = re.compile(
    r"[A-Za-z][A-Za-z0-9+.-]*:(?:[A-Za-z0-9._~!$&'()*+,;=:@/?-]|%[0-9A-Fa-f]{2})*+"
    r"(?:#(?:[A-Za-z0-9._~!$&'()*+,;=:@/?-]|%[0-9A-Fa-f]{2})*+)?"
)
_NO_START: Final = re.compile("[\u00b7\u0300-\u036f\u203f\u2040]")
"""Characters that can't start a local name in PROV-N."""

_NOT_DECLARED: Final = frozenset(  # XML predefines these namespaces and forbids declaring them
    ("http://www.w3.org/XML/1998/namespace", "http://www.w3.org/2000/xmlns/")
)
_DEFAULT: Final = "dn"


def is_legal_prefix(prefix: str) -> bool:
    """Return whether every format accepts the prefix."""
    return _PREFIX.fullmatch(prefix) is not None


class PrefixTable:
    """A table with one prefix for each namespace.

    A namespace keeps its declared prefix if that prefix is legal and not taken. Otherwise the
    namespace gets a new prefix.
    """

    def __init__(self, declared: Iterable[tuple[str, str]] = ()) -> None:
        self._by_iri: dict[str, Namespace] = {}
        self._taken: set[str] = set(_RESERVED)
        from prov.constants import PROV as PROV_NAMESPACE
        from prov.constants import XSD as XSD_NAMESPACE
        from prov.constants import XSI as XSI_NAMESPACE

        for built_in in (PROV_NAMESPACE, XSD_NAMESPACE, XSI_NAMESPACE):
            self._by_iri[built_in.uri] = built_in
        for prefix, iri in declared:
            if _is_legal_namespace(iri):
                self.assign(iri, prefix)
        self._declared = frozenset(self._by_iri)
        self._lengths = sorted({len(iri) for iri in self._declared}, reverse=True)

    def assign(self, iri: str, wish: str = "") -> Namespace:
        """Return the namespace with this IRI, and add it to the table if it is new.

        A new namespace gets the prefix ``wish`` if that prefix is legal and not taken.
        """
        found = self._by_iri.get(iri)
        if found is not None:
            return found
        from prov.identifier import Namespace

        wish = wish or _DEFAULT
        if not is_legal_prefix(wish) or (wish.lower() in _SCHEMES and iri != f"{wish}:"):
            wish = "ns"
        prefix, count = wish, 0
        while prefix in self._taken:
            count += 1
            prefix = f"{wish}{count}"
        self._taken.add(prefix)
        made = Namespace(prefix, iri)
        self._by_iri[iri] = made
        return made

    def rename(self, name: QualifiedName) -> QualifiedName:
        """Return a name with this table's prefix for the name's namespace.

        The namespace stays the same unless some format can't declare it.
        """
        from prov.identifier import QualifiedName

        if not _is_legal_namespace(name.namespace.uri) and _find_split(name.uri):
            return self.split_iri(name.uri)
        namespace = self.assign(name.namespace.uri, name.namespace.prefix)
        return name if name.namespace is namespace else QualifiedName(namespace, name.localpart)

    def split_iri(self, iri: str) -> QualifiedName:
        """Turn an IRI into a qualified name with a prefix from this table.

        Splits the IRI after the longest declared namespace at its start. If the IRI starts with no
        declared namespace, splits it before its last part.
        """
        from prov.identifier import QualifiedName

        for end in self._lengths:
            if end < len(iri) and iri[:end] in self._declared:
                return QualifiedName(self._by_iri[iri[:end]], iri[end:])
        end = _find_split(iri)
        return QualifiedName(self.assign(iri[:end], "ns"), iri[end:])

    def namespaces(self) -> list[Namespace]:
        """Return all namespaces except PROV, XSD and XSI, in the order in which they were added."""
        return [each for each in self._by_iri.values() if each.uri not in (PROV, XSD, XSI)]

    def to_dict(self) -> dict[str, str]:
        """Return a dict from prefixes to namespace IRIs, without the ``xsi`` prefix."""
        return {each.prefix: each.uri for each in self._by_iri.values() if each.uri != XSI}


def _is_legal_namespace(iri: str) -> bool:
    """Return whether every format can declare the namespace.

    Expat and lxml reject all other namespaces.
    """
    return iri not in _NOT_DECLARED and _NAMESPACE.fullmatch(iri) is not None


def _find_split(iri: str) -> int:
    """Return the offset of an IRI's last part, which follows ``#``, ``/`` or ``:``.

    The text before the offset is an ASCII URI, which every format can declare as a namespace.
    Returns 0 if the IRI can't be split.
    """
    found = _NAMESPACE.match(iri)
    ascii_end = 0 if found is None else found.end()
    last = min(ascii_end, len(iri) - 1)
    for separator in "#/:":
        end = iri.rfind(separator, 0, last) + 1
        if end and not _NO_START.match(iri[end]):
            return end
    return 0


def iter_bundles(document: ProvDocument) -> Iterator[ProvBundle]:
    """Yield the document itself, then each of its bundles."""
    yield document
    yield from document.bundles


def tidy_prefixes(
    document: ProvDocument,
    statements: Iterable[DictionaryStatement] = (),
    declared: Mapping[str, str] | None = None,
) -> tuple[ProvDocument, list[DictionaryStatement], PrefixTable]:
    """Copy a document, and rewrite its names with one table of prefixes.

    Costs about 30 us per statement.

    Args:
        document: the document to copy.
        statements: the document's dictionary statements.
        declared: a mapping from prefixes to IRIs, to use instead of the prefixes that the document
            declares.

    Returns:
        The new document, the new dictionary statements and the table of prefixes.
    """
    wanted = list((declared or {}).items())
    if not wanted:
        wanted += [(each.prefix, each.uri) for each in document.get_registered_namespaces()]
        default = document.get_default_namespace()
        if default is not None:
            wanted.append(("", default.uri))
    prefixes = PrefixTable(wanted)
    value = _build_value_mapper(prefixes)
    bundles = [
        (
            bundle.identifier,
            [_rename_record(record, prefixes, value) for record in bundle.get_records()],
        )
        for bundle in iter_bundles(document)
    ]
    mapped = [each.rename_terms(prefixes.rename, value) for each in statements]
    return assemble_document(bundles, prefixes), mapped, prefixes


RecordArguments = tuple[Any, Any, list[tuple[Any, Any]]]
"""The arguments of `ProvBundle.new_record`: the type, identifier and attributes of a record."""


def assemble_document(
    bundles: Iterable[tuple[QualifiedName | None, list[RecordArguments]]], prefixes: PrefixTable
) -> ProvDocument:
    """Build a document from records. The names in the records must have the table's prefixes."""
    from prov.model import ProvDocument

    made = ProvDocument()
    for namespace in prefixes.namespaces():
        made.add_namespace(namespace)
    for name, records in bundles:
        target = made if name is None else made.bundle(prefixes.rename(name))
        for kind, identifier, attributes in records:
            for each in _split_members(kind, attributes):
                target.new_record(kind, identifier, each)
    for namespace in prefixes.namespaces():  # renaming the bundles may have added namespaces
        made.add_namespace(namespace)
    return made


def _split_members(kind: Any, attributes: list[tuple[Any, Any]]) -> Iterator[list[Any]]:
    """Yield one list of attributes for each entity of a membership.

    PROV-DM allows only one entity in a membership. Yields the attributes of all other records
    unchanged.
    """
    from prov.constants import PROV_ATTR_ENTITY, PROV_MEMBERSHIP

    members = [pair for pair in attributes if pair[0] == PROV_ATTR_ENTITY]
    if kind != PROV_MEMBERSHIP or len(members) < 2:
        yield attributes
        return
    others = [pair for pair in attributes if pair[0] != PROV_ATTR_ENTITY]
    for member in members:
        yield [*others, member]


def _rename_record(
    record: Any, prefixes: PrefixTable, value: Callable[[Any], Any]
) -> RecordArguments:
    identifier = record.identifier
    return (
        record.get_type(),
        None if identifier is None else prefixes.rename(identifier),
        [(prefixes.rename(name), value(each)) for name, each in record.attributes],
    )


def _build_value_mapper(prefixes: PrefixTable) -> Callable[[Any], Any]:
    from prov.identifier import QualifiedName
    from prov.model import Literal

    def map_value(value: Any) -> Any:
        if isinstance(value, QualifiedName):
            return prefixes.rename(value)
        if isinstance(value, Literal) and value.datatype is not None and not value.langtag:
            return Literal(value.value, prefixes.rename(value.datatype))
        return value

    return map_value

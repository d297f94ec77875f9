"""Converts PROV-JSON, document objects from the ``prov`` library, and runs to instances.

An instance contains the statements of a document's top level or of one bundle.

Imports `model`, `statements`, `rules` and `positions`; imports prov only when needed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from provml.base.clock import iso_text
from provml.journal.values import Moment
from provml.model import vocabulary
from provml.model.relations import FORMAL
from provml.model.statements import Name
from provml.validation.constraints.rules import ELEMENT_KINDS, TIME_ARGUMENTS
from provml.validation.constraints.statements import ConstraintStatement, Instance, NamespaceScope
from provml.validation.positions import escape_pointer

if TYPE_CHECKING:
    from prov.model import ProvBundle, ProvDocument, ProvRecord

    from provml.model.mapping import RunMapping
    from provml.reading._document import Places

_NAME_DATATYPES: Final = frozenset({"xsd:QName", "prov:QUALIFIED_NAME", "xsd:anyURI"})
_STANDARD_PREFIXES: Final = {"prov": vocabulary.PROV, "xsd": vocabulary.XSD}


def run_instance(mapping: RunMapping) -> Instance:
    """Convert a run to an instance, directly from its journal. Costs about 20 us per statement."""
    prefixes = NamespaceScope(mapping.prefixes())

    def expand(value: Any) -> str | None:
        if isinstance(value, Moment):
            return iso_text(value.time_ns)
        return None if value is None else _expand_name(value, prefixes)

    def statements() -> Iterator[ConstraintStatement]:
        for table in mapping.statements():
            formal = FORMAL[table.kind]
            for one in table.singly():
                yield ConstraintStatement(
                    one.kind,
                    None if one.id is None else expand(one.id),
                    tuple(expand(one.arguments.get(name)) for name in formal),
                    tuple(
                        _expand_name(value, prefixes)
                        for name, value in one.attributes
                        if name == "prov:type" and isinstance(value, Name)
                    ),
                )

    return Instance(None, statements(), prefixes)


def _expand_name(name: str, prefixes: NamespaceScope) -> str:
    """Expand a qualified name to an IRI. Returns the name unchanged if its prefix is unknown."""
    prefix, colon, local = name.partition(":")
    if not colon:
        return (prefixes.get("") or "") + name
    base = prefixes.get(prefix)
    return name if base is None else base + local


# -- PROV-JSON --------------------------------------------------------------------------------


def provjson_instances(content: Mapping[str, Any]) -> Iterator[Instance]:
    """Yield instances of a parsed PROV-JSON document: the top level, then each bundle.

    The document must conform to the JSON Schema of PROV-JSON.
    """
    prefixes = _read_prefixes(content, NamespaceScope(_STANDARD_PREFIXES))
    yield Instance(None, _read_provjson_statements(content, prefixes, ""), prefixes)
    for name, bundle in content.get("bundle", {}).items():
        own = _read_prefixes(bundle, prefixes)
        statements = _read_provjson_statements(bundle, own, f"/bundle/{escape_pointer(name)}")
        yield Instance(_expand_name(name, own), statements, own)


def _read_prefixes(content: Mapping[str, Any], outer: NamespaceScope) -> NamespaceScope:
    declared = dict(content.get("prefix", {}))
    if not declared:
        return outer
    if "default" in declared:
        declared[""] = declared.pop("default")
    return NamespaceScope(declared, outer)


def _read_provjson_statements(
    content: Mapping[str, Any], prefixes: NamespaceScope, place: str
) -> Iterator[ConstraintStatement]:
    referred = {
        record.get(name)
        for _, record, _ in _iter_keyed_records(content.get("wasDerivedFrom", {}))
        for name in ("prov:generation", "prov:usage")
    }
    for kind, formal in FORMAL.items():
        for key, record, suffix in _iter_keyed_records(content.get(kind, {})):
            blank = key.startswith("_:") and kind not in ELEMENT_KINDS and key not in referred
            identifier = None if blank else _expand_name(key, prefixes)
            types = _read_provjson_types(record, prefixes) if "prov:type" in record else ()
            where = f"{place}/{kind}/{escape_pointer(key)}{suffix}"
            for values in _iter_argument_rows(record, formal):
                arguments = tuple(
                    value
                    if value is None or name.removeprefix("prov:") in TIME_ARGUMENTS
                    else _expand_name(value, prefixes)
                    for name, value in zip(formal, values, strict=True)
                )
                yield ConstraintStatement(kind, identifier, arguments, types, where)


def _iter_keyed_records(members: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any], str]]:
    """Yield each record's key, the record, and the rest of its JSON Pointer after the key.

    The rest is ``/<index>`` if the value of the key is a list of records, else empty.
    """
    for key, found in members.items():
        if isinstance(found, list):
            for number, record in enumerate(found):
                yield key, record, f"/{number}"
        else:
            yield key, found, ""


def _iter_argument_rows(
    record: Mapping[str, Any], formal: tuple[str, ...]
) -> Iterator[tuple[str | None, ...]]:
    """Yield the arguments of a record as a tuple. Yields one tuple per member of a membership."""
    values = [_unwrap_value(record.get(name)) for name in formal]
    lists = [place for place, value in enumerate(values) if isinstance(value, list)]
    if not lists:
        yield tuple(values)
        return
    for member in values[lists[0]]:
        yield tuple(
            _unwrap_value(member) if place == lists[0] else v for place, v in enumerate(values)
        )


def _unwrap_value(value: Any) -> Any:
    return value["$"] if isinstance(value, dict) else value


def _read_provjson_types(record: Mapping[str, Any], prefixes: NamespaceScope) -> tuple[str, ...]:
    values = record["prov:type"]
    return tuple(
        _expand_name(str(value["$"]), prefixes)
        for value in (values if isinstance(values, list) else [values])
        if isinstance(value, dict) and value.get("type") in _NAME_DATATYPES
    )


# -- the prov library -------------------------------------------------------------------------


def prov_instances(document: ProvDocument, places: Places | None = None) -> Iterator[Instance]:
    """Yield instances of a document of the ``prov`` library: the top level, then each bundle.

    Args:
        document: a document object from the ``prov`` library.
        places: the positions of the records in their file, as in `provml.reading.Document`.
    """
    known = places or {}
    prefixes = NamespaceScope({**_STANDARD_PREFIXES, **_read_prov_prefixes(document)})
    yield Instance(None, _read_prov_statements(document, known.get(None, [])), prefixes)
    for bundle in document.bundles:
        own = NamespaceScope(_read_prov_prefixes(bundle), prefixes)
        assert bundle.identifier is not None
        statements = _read_prov_statements(bundle, known.get(bundle.identifier, []))
        yield Instance(bundle.identifier.uri, statements, own)


def _read_prov_prefixes(bundle: ProvBundle) -> dict[str, str]:
    prefixes = {namespace.prefix: namespace.uri for namespace in bundle.namespaces}
    default = bundle.get_default_namespace()
    if default is not None:
        prefixes[""] = default.uri
    return prefixes


def _read_prov_statements(
    bundle: ProvBundle, places: list[tuple[int, int]]
) -> Iterator[ConstraintStatement]:
    records = list(bundle.get_records())
    if len(places) != len(records):
        places = [(0, 0)] * len(records)
    for number, (record, (line, column)) in enumerate(zip(records, places, strict=True), 1):
        kind, identifier, arguments = split_record(record)
        types = tuple(t.uri for t in record.get_asserted_types() if hasattr(t, "uri"))
        yield ConstraintStatement(
            kind, identifier, arguments, types, f"statement {number}", line, column
        )


def split_record(record: ProvRecord) -> tuple[str, str | None, tuple[str | None, ...]]:
    """Return a ``prov`` record's kind, identifier and arguments, as in `ConstraintStatement`."""
    from prov import constants
    from prov.identifier import Identifier

    arguments: list[str | None] = []
    for _, value in record.formal_attributes:
        if value is None or isinstance(value, str):
            arguments.append(value)
        elif isinstance(value, Identifier):
            arguments.append(value.uri)
        else:
            arguments.append(value.isoformat())
    identifier = None if record.identifier is None else record.identifier.uri
    return constants.PROV_N_MAP[record.get_type()], identifier, tuple(arguments)

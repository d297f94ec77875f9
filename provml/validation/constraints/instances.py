"""Documents as instances of PROV statements: PROV-JSON, what the ``prov`` library holds, runs.

Imports `model`, `statements`, `rules`; prov when it runs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from provml.base.clock import iso_text
from provml.journal.values import Moment
from provml.model import vocabulary
from provml.model.relations import FORMAL
from provml.model.statements import Name
from provml.validation.constraints.rules import ELEMENTS, TIMES
from provml.validation.constraints.statements import Instance, Prefixes, Stated

if TYPE_CHECKING:
    from prov.model import ProvBundle, ProvDocument, ProvRecord

    from provml.model.mapping import RunMapping
    from provml.reading._document import Places

_NAMES: Final = frozenset({"xsd:QName", "prov:QUALIFIED_NAME", "xsd:anyURI"})
_STANDARD: Final = {"prov": vocabulary.PROV, "xsd": vocabulary.XSD}


def run_instance(mapping: RunMapping) -> Instance:
    """A run, straight from its journal. Costs some ten microseconds a statement."""
    prefixes = Prefixes(mapping.prefixes())

    def expanded(value: Any) -> str | None:
        if isinstance(value, Moment):
            return iso_text(value.time_ns)
        return None if value is None else _expanded(value, prefixes)

    def statements() -> Iterator[Stated]:
        for table in mapping.statements():
            formal = FORMAL[table.kind]
            for one in table.singly():
                yield Stated(
                    one.kind,
                    None if one.id is None else expanded(one.id),
                    tuple(expanded(one.arguments.get(name)) for name in formal),
                    tuple(
                        _expanded(value, prefixes)
                        for name, value in one.attributes
                        if name == "prov:type" and isinstance(value, Name)
                    ),
                )

    return Instance(None, statements(), prefixes)


def _expanded(name: str, prefixes: Prefixes) -> str:
    """The IRI of a qualified name; a name under no known prefix stands for itself."""
    prefix, colon, local = name.partition(":")
    if not colon:
        return (prefixes.get("") or "") + name
    base = prefixes.get(prefix)
    return name if base is None else base + local


# -- PROV-JSON --------------------------------------------------------------------------------


def provjson_instances(content: Mapping[str, Any]) -> Iterator[Instance]:
    """The top level and each bundle of a PROV-JSON document that meets its schema."""
    prefixes = _prefixes(content, Prefixes(_STANDARD))
    yield Instance(None, _provjson_statements(content, prefixes, ""), prefixes)
    for name, bundle in content.get("bundle", {}).items():
        own = _prefixes(bundle, prefixes)
        statements = _provjson_statements(bundle, own, f"/bundle/{_pointer(name)}")
        yield Instance(_expanded(name, own), statements, own)


def _prefixes(content: Mapping[str, Any], outer: Prefixes) -> Prefixes:
    declared = dict(content.get("prefix", {}))
    if not declared:
        return outer
    if "default" in declared:
        declared[""] = declared.pop("default")
    return Prefixes(declared, outer)


def _provjson_statements(
    content: Mapping[str, Any], prefixes: Prefixes, place: str
) -> Iterator[Stated]:
    referred = {
        record.get(name)
        for _, record, _ in _records(content.get("wasDerivedFrom", {}))
        for name in ("prov:generation", "prov:usage")
    }
    for kind, formal in FORMAL.items():
        for key, record, suffix in _records(content.get(kind, {})):
            blank = key.startswith("_:") and kind not in ELEMENTS and key not in referred
            identifier = None if blank else _expanded(key, prefixes)
            types = _provjson_types(record, prefixes) if "prov:type" in record else ()
            where = f"{place}/{kind}/{_pointer(key)}{suffix}"
            for values in _argument_rows(record, formal):
                arguments = tuple(
                    value
                    if value is None or name.removeprefix("prov:") in TIMES
                    else _expanded(value, prefixes)
                    for name, value in zip(formal, values, strict=True)
                )
                yield Stated(kind, identifier, arguments, types, where)


def _records(members: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any], str]]:
    """Each record under its key; several under one key are a list."""
    for key, found in members.items():
        if isinstance(found, list):
            for number, record in enumerate(found):
                yield key, record, f"/{number}"
        else:
            yield key, found, ""


def _argument_rows(
    record: Mapping[str, Any], formal: tuple[str, ...]
) -> Iterator[tuple[str | None, ...]]:
    """The arguments; of a membership with a list of members, those of each."""
    values = [_plain(record.get(name)) for name in formal]
    lists = [place for place, value in enumerate(values) if isinstance(value, list)]
    if not lists:
        yield tuple(values)
        return
    for member in values[lists[0]]:
        yield tuple(_plain(member) if place == lists[0] else v for place, v in enumerate(values))


def _plain(value: Any) -> Any:
    return value["$"] if isinstance(value, dict) else value


def _provjson_types(record: Mapping[str, Any], prefixes: Prefixes) -> tuple[str, ...]:
    values = record["prov:type"]
    return tuple(
        _expanded(str(value["$"]), prefixes)
        for value in (values if isinstance(values, list) else [values])
        if isinstance(value, dict) and value.get("type") in _NAMES
    )


def _pointer(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")


# -- the prov library -------------------------------------------------------------------------


def prov_instances(document: ProvDocument, places: Places | None = None) -> Iterator[Instance]:
    """The top level and each bundle of a document that the ``prov`` library read.

    Args:
        places: where the records stand in their file, as `provml.reading.Document` has them.
    """
    known = places or {}
    prefixes = Prefixes({**_STANDARD, **_prov_prefixes(document)})
    yield Instance(None, _prov_statements(document, known.get(None, [])), prefixes)
    for bundle in document.bundles:
        own = Prefixes(_prov_prefixes(bundle), prefixes)
        assert bundle.identifier is not None
        statements = _prov_statements(bundle, known.get(bundle.identifier, []))
        yield Instance(bundle.identifier.uri, statements, own)


def _prov_prefixes(bundle: ProvBundle) -> dict[str, str]:
    prefixes = {namespace.prefix: namespace.uri for namespace in bundle.namespaces}
    default = bundle.get_default_namespace()
    if default is not None:
        prefixes[""] = default.uri
    return prefixes


def _prov_statements(bundle: ProvBundle, places: list[tuple[int, int]]) -> Iterator[Stated]:
    records = list(bundle.get_records())
    if len(places) != len(records):
        places = [(0, 0)] * len(records)
    for number, (record, (line, column)) in enumerate(zip(records, places, strict=True), 1):
        kind, identifier, arguments = stated(record)
        types = tuple(t.uri for t in record.get_asserted_types() if hasattr(t, "uri"))
        yield Stated(kind, identifier, arguments, types, f"statement {number}", line, column)


def stated(record: ProvRecord) -> tuple[str, str | None, tuple[str | None, ...]]:
    """A record's kind, identifier and arguments, as in `Stated`."""
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

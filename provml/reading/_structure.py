"""Build a PROV-JSON object from a ``prov`` document and its dictionary statements.

Imports prov only when it is needed.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from provml.reading._dictionary import MEMBERSHIP, DictionaryStatement

if TYPE_CHECKING:
    from prov.model import ProvDocument


def build_provjson(prov: ProvDocument, statements: Iterable[DictionaryStatement]) -> dict[str, Any]:
    """Return a document and its dictionary statements as one PROV-JSON object."""
    from prov.serializers.provjson import encode_json_document

    made = encode_json_document(prov)
    for count, statement in enumerate(statements):
        within: dict[str, Any] = made
        if statement.bundle is not None:
            within = made["bundle"][str(statement.bundle)]
        identifier = f"_:d{count}" if statement.id is None else str(statement.id)
        records = within.setdefault(statement.kind, {})
        record = _dictionary_record(statement)
        if identifier not in records:
            records[identifier] = record
        elif isinstance(records[identifier], list):
            records[identifier].append(record)
        else:
            records[identifier] = [records[identifier], record]
    return {key: dict(value) for key, value in made.items()}


def _dictionary_record(statement: DictionaryStatement) -> dict[str, Any]:
    from prov.serializers.provjson import encode_json_representation

    def value(given: Any) -> Any:
        encoded = encode_json_representation(given)
        return {"$": encoded, "type": "xsd:string"} if isinstance(encoded, str) else encoded

    after = "prov:dictionary" if statement.kind == MEMBERSHIP else "prov:after"
    made: dict[str, Any] = {}
    for member, name in ((after, statement.dictionary), ("prov:before", statement.old)):
        if name is not None:
            made[member] = str(name)
    if statement.pairs:
        made["prov:key-entity-set"] = [
            {"key": _boolean_text(value(key)), "$": str(entity)} for key, entity in statement.pairs
        ]
    if statement.keys:
        made["prov:key-set"] = [_boolean_text(value(key)) for key in statement.keys]
    for attribute, given in statement.attributes:
        made.setdefault(str(attribute), []).append(encode_json_representation(given))
    return made


def _boolean_text(value: Any) -> Any:
    if isinstance(value, bool):
        return {"$": "true" if value else "false", "type": "xsd:boolean"}
    return value

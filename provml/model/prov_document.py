"""Converts a run to a document object from the ``prov`` library.

Imports `mapping`, `statements` and prov. Import this module only when it is needed, because
importing prov is slow.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from prov import constants
from prov.identifier import Identifier, QualifiedName
from prov.model import Literal as ProvLiteral
from prov.model import ProvDocument

from provml.base.clock import to_datetime
from provml.journal.values import Moment
from provml.model.mapping import RunMapping
from provml.model.statements import Iri, Literal, Name

_RECORD_TYPES = {keyword: kind for kind, keyword in constants.PROV_N_MAP.items()}


def build_prov_document(mapping: RunMapping) -> ProvDocument:
    """Build a document object of the ``prov`` library from a run.

    Costs about 0.1 ms per statement.
    """
    document = ProvDocument()
    for prefix, iri in mapping.prefixes().items():
        if prefix not in ("prov", "xsd"):
            document.add_namespace(prefix, iri)

    @cache
    def qualified(name: str) -> QualifiedName:
        found = document.valid_qualified_name(name)
        assert found is not None, name
        return found

    def value_of(value: Any) -> Any:
        if isinstance(value, Name):
            return qualified(value)
        if isinstance(value, Iri):
            return Identifier(str(value))
        if isinstance(value, Moment):
            return to_datetime(value.time_ns)
        if isinstance(value, Literal):
            return ProvLiteral(value.lexical, qualified(value.datatype))
        return value

    for tables in mapping.statements():
        for statement in tables.singly():
            document.new_record(
                _RECORD_TYPES[statement.kind],
                None if statement.id is None else qualified(str(statement.id)),
                [(qualified(n), value_of(v)) for n, v in statement.arguments.items()],
                [(qualified(n), value_of(v)) for n, v in statement.attributes],
            )
    return document

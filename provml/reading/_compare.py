"""Compare the statements of two documents.

Imports prov only when it is needed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Any

from provml.errors import DocumentError
from provml.reading._dictionary import typed_value
from provml.reading._names import iter_bundles

if TYPE_CHECKING:
    from prov.model import ProvDocument

    from provml.reading._dictionary import DictionaryStatement

    Content = tuple[ProvDocument, Sequence[DictionaryStatement]]
    """The content of a document: a ``prov`` document, and its PROV-Dictionary statements."""

StatementKey = tuple[Any, Any, Any, frozenset[Any]]
"""The key of a statement: its bundle, type, identifier and attributes."""


def collect_statements(content: Content) -> dict[Hashable, str]:
    """Return a document's distinct statements, including the statements in its bundles.

    Equal statements have equal keys. The values 1, 1.0 and True differ, and NaN equals NaN.

    Returns:
        A dict that maps the key of each statement to a description of the statement for messages.
            The description is a text or a ``prov`` record.
    """
    prov, dictionaries = content
    found: dict[Hashable, Any] = {}
    for bundle in iter_bundles(prov):
        name = bundle.identifier
        if name is not None:
            found[("bundle", name)] = f"bundle {name}"
        for record in bundle.get_records():
            attributes = frozenset((key, typed_value(value)) for key, value in record.attributes)
            found[(name, record.get_type(), record.identifier, attributes)] = record
    for statement in dictionaries:
        found[statement.comparison_key()] = statement.kind
    return found


def check_same(document: Content, back: Content, form: str) -> list[str]:
    """Check that writing a document and reading it back has not changed its statements.

    Args:
        document: the content of the document that was written.
        back: the content that was read back.
        form: the name of the output format, for messages.

    Returns:
        An empty list if nothing has changed. A list with one note if the format, as PROV-O does,
        only merged or repeated statements that share an identifier.

    Raises:
        DocumentError: statements were lost or added.
    """
    here, there = collect_statements(document), collect_statements(back)
    lost = [here[key] for key in here.keys() - there.keys()]
    if not lost and len(here) == len(there):
        return []
    if _merge_by_identifier(here) == _merge_by_identifier(there):
        return [
            f"{form} merges statements that share an identifier: {len(lost):,} statements "
            f"were merged into others, for example {_shorten_statement(min(lost, key=str))}"
            if lost
            else f"{form} adds statements that repeat existing ones"
        ]
    if not lost:
        added = [there[key] for key in there.keys() - here.keys()]
        raise DocumentError(
            f"{form} can't represent the document: reading the output back adds "
            f"{_shorten_statement(added[0])}"
        )
    first = min(lost, key=str)
    twins = sum(
        each is not first and _find_identifier(each) == _find_identifier(first)
        for each in here.values()
    )
    because = (
        f" ({twins + 1} statements share its identifier, and PROV-O can't tell them apart)"
        if twins and _find_identifier(first) is not None
        else ""
    )
    raise DocumentError(
        f"{form} can't represent {len(lost):,} of the document's {len(here):,} statements; "
        f"the first is {_shorten_statement(first)}{because}"
    )


def _find_identifier(statement: Any) -> Any:
    return getattr(statement, "identifier", None)


def _shorten_statement(statement: Any) -> str:
    text = " ".join(str(statement).split())
    return text if len(text) <= 200 else text[:199] + "…"


def _merge_by_identifier(statements: dict[Hashable, Any]) -> dict[Hashable, set[Any]]:
    """Merge statements that have the same identifier and the same arguments.

    As in PROV-O, the kind of an element counts as one of its types.
    """
    from prov.constants import PROV_ATTRIBUTES, PROV_TYPE

    found: dict[Hashable, set[Any]] = defaultdict(set)
    for key in statements:
        assert isinstance(key, tuple)
        if len(key) != 4 or key[2] is None:
            found[key] = set()
            continue
        bundle, kind, identifier, attributes = key
        if kind.localpart in ("Entity", "Activity", "Agent"):
            found[(bundle, identifier)] |= {(PROV_TYPE, typed_value(kind)), *attributes}
        else:
            formal = frozenset(each for each in attributes if each[0] in PROV_ATTRIBUTES)
            found[(bundle, kind, identifier, formal)] |= attributes
    return found

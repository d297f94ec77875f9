"""Whether two documents state the same.

Imports `_dictionary`, `_names`; prov when it runs.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Any

from provml.errors import DocumentError
from provml.reading._dictionary import typed_value
from provml.reading._names import bundles_of

if TYPE_CHECKING:
    from prov.model import ProvDocument

    from provml.reading._dictionary import DictionaryStatement

    Content = tuple[ProvDocument, Sequence[DictionaryStatement]]
    """What a document states: its statements, and those of PROV-Dictionary."""

Statement = tuple[Any, Any, Any, frozenset[Any]]
"""Bundle, type, id and attributes."""


def statements_of(content: Content) -> dict[Hashable, str]:
    """What a document states, each once, with the text that names it; its bundles are stated too.

    Equal statements are equal keys: 1, 1.0 and True differ, NaN equals NaN.
    """
    prov, dictionaries = content
    found: dict[Hashable, Any] = {}
    for bundle in bundles_of(prov):
        name = bundle.identifier
        if name is not None:
            found[("bundle", name)] = f"bundle {name}"
        for record in bundle.get_records():
            attributes = frozenset((key, typed_value(value)) for key, value in record.attributes)
            found[(name, record.get_type(), record.identifier, attributes)] = record
    for statement in dictionaries:
        found[statement.compared()] = statement.kind
    return found


def check_same(document: Content, back: Content, form: str) -> list[str]:
    """Compare a document with what was read back.

    Returns:
        A note where the form has merged statements of one identifier, as PROV-O does, and that is
        the only difference.

    Raises:
        DocumentError: they state different things.
    """
    here, there = statements_of(document), statements_of(back)
    lost = [here[key] for key in here.keys() - there.keys()]
    if not lost and len(here) == len(there):
        return []
    if _merged(here) == _merged(there):
        return [
            f"{form} states once what stands under one identifier: {len(lost):,} statements are "
            f"merged with others, such as {_text(min(lost, key=str))}"
            if lost
            else f"{form} adds statements that repeat others"
        ]
    if not lost:
        added = [there[key] for key in there.keys() - here.keys()]
        raise DocumentError(f"{form} can't carry the document: it would add {_text(added[0])}")
    first = min(lost, key=str)
    twins = sum(each is not first and _name(each) == _name(first) for each in here.values())
    because = (
        f" ({twins + 1} statements have its identifier, which PROV-O can't tell apart)"
        if twins and _name(first) is not None
        else ""
    )
    raise DocumentError(
        f"{form} can't carry {len(lost):,} of the document's {len(here):,} statements as they are: "
        f"{_text(first)}{because}"
    )


def _name(statement: Any) -> Any:
    return getattr(statement, "identifier", None)


def _text(statement: Any) -> str:
    text = " ".join(str(statement).split())
    return text if len(text) <= 200 else text[:199] + "…"


def _merged(statements: dict[Hashable, Any]) -> dict[Hashable, set[Any]]:
    """Statements such that those of one identifier and the same arguments are one.

    An element's kinds are among its types, as in PROV-O.
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

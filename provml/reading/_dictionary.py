"""The statements of PROV-Dictionary, for which the ``prov`` library has no classes.

Readers take them out of a document before ``prov`` reads the rest, and writers put them back.
Imports nothing from provml; prov when it runs.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from prov.identifier import QualifiedName
    from prov.model import ProvBundle

INSERTION: Final = "derivedByInsertionFrom"
REMOVAL: Final = "derivedByRemovalFrom"
MEMBERSHIP: Final = "hadDictionaryMember"
DICTIONARY_KINDS: Final = (INSERTION, REMOVAL, MEMBERSHIP)


@dataclass(frozen=True, slots=True)
class DictionaryStatement:
    """An insertion, a removal or a membership.

    Attributes:
        kind: one of `DICTIONARY_KINDS`.
        bundle: the bundle that contains the statement, or None for the document.
        id: the statement's identifier.
        dictionary: the dictionary that was derived, or that has the member.
        old: the dictionary that it was derived from.
        pairs: keys and their entities; a membership has one pair.
        keys: the removed keys.
        attributes: all other attributes.
    """

    kind: str
    bundle: QualifiedName | None
    id: QualifiedName | None
    dictionary: QualifiedName | None
    old: QualifiedName | None = None
    pairs: tuple[tuple[Any, QualifiedName | None], ...] = ()
    keys: tuple[Any, ...] = ()
    attributes: tuple[tuple[QualifiedName, Any], ...] = ()

    def rename_terms(
        self, name: Callable[[QualifiedName], QualifiedName], value: Callable[[Any], Any]
    ) -> DictionaryStatement:
        """Return the statement with every name and value converted."""

        def optional(given: QualifiedName | None) -> QualifiedName | None:
            return None if given is None else name(given)

        return DictionaryStatement(
            self.kind,
            optional(self.bundle),
            optional(self.id),
            optional(self.dictionary),
            optional(self.old),
            tuple((value(key), optional(entity)) for key, entity in self.pairs),
            tuple(map(value, self.keys)),
            tuple((name(attribute), value(each)) for attribute, each in self.attributes),
        )

    def comparison_key(self) -> Hashable:
        """Return a key that is equal for equal statements."""
        return (
            self.kind,
            self.bundle,
            self.id,
            self.dictionary,
            self.old,
            frozenset((typed_value(key), entity) for key, entity in self.pairs),
            frozenset(map(typed_value, self.keys)),
            frozenset((name, typed_value(value)) for name, value in self.attributes),
        )

    def split_pairs(self) -> list[DictionaryStatement]:
        """Split a membership with several pairs into memberships with one pair each."""
        if self.kind != MEMBERSHIP or len(self.pairs) < 2:
            return [self]
        return [
            DictionaryStatement(self.kind, self.bundle, None, self.dictionary, pairs=(pair,))
            for pair in self.pairs
        ]


def typed_value(value: Any) -> Hashable:
    """Return a key for a value: 1, 1.0 and True have different keys, and NaN equals NaN."""
    if isinstance(value, float) and value != value:
        return (float, "NaN")
    return (type(value), value)


def normalize_value(bundle: ProvBundle, value: Any) -> Any:
    """Convert a value to the type that ``prov`` stores: an ``xsd:int`` literal becomes an int."""
    from prov.constants import PROV, PROV_VALUE
    from prov.model import ProvEntity

    ((_, kept),) = ProvEntity(bundle, PROV["entity"], [(PROV_VALUE, value)]).attributes
    return kept

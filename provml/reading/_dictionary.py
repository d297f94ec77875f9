"""The statements of PROV-Dictionary, for which the ``prov`` library has no classes.

Readers take these statements out of a document before ``prov`` reads the rest, and writers put
them back. Imports nothing else from provml; imports prov only when it is needed.
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
    """One statement of PROV-Dictionary: an insertion, a removal or a membership.

    Attributes:
        kind: one of `DICTIONARY_KINDS`.
        bundle: the bundle that contains the statement, or None if the statement is in no bundle.
        id: the statement's identifier, or None if it has none.
        dictionary: the new dictionary of an insertion or a removal, or the dictionary of a
            membership.
        old: the dictionary before the insertion or the removal.
        pairs: the key-entity pairs of an insertion or a membership. In a `Document`, each
            membership has exactly one pair.
        keys: the keys that a removal removes.
        attributes: the statement's other attributes, each as a pair of name and value.
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
        """Return a copy in which ``name`` has converted all names, and ``value`` all values."""

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
        """Return a key for comparisons: equal statements have equal keys."""
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
        """Split a membership with several pairs into memberships with one pair each.

        Returns:
            The new memberships, or a list of only this statement if it needs no splitting.
        """
        if self.kind != MEMBERSHIP or len(self.pairs) < 2:
            return [self]
        return [
            DictionaryStatement(self.kind, self.bundle, None, self.dictionary, pairs=(pair,))
            for pair in self.pairs
        ]


def typed_value(value: Any) -> Hashable:
    """Return a comparison key for a value.

    The values 1, 1.0 and True get different keys, and NaN equals NaN.
    """
    if isinstance(value, float) and value != value:
        return (float, "NaN")
    return (type(value), value)


def normalize_value(bundle: ProvBundle, value: Any) -> Any:
    """Convert a value to the type that ``prov`` stores: an ``xsd:int`` literal becomes an int."""
    from prov.constants import PROV, PROV_VALUE
    from prov.model import ProvEntity

    ((_, kept),) = ProvEntity(bundle, PROV["entity"], [(PROV_VALUE, value)]).attributes
    return kept

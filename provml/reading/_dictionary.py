"""PROV-Dictionary's statements, for which the ``prov`` library has no classes.

They are taken out of a document before ``prov`` reads the rest, and written beside it again.
Imports nothing of provml; prov when it runs.
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
KINDS: Final = (INSERTION, REMOVAL, MEMBERSHIP)


@dataclass(frozen=True, slots=True)
class DictionaryStatement:
    """An insertion, a removal or a membership.

    Attributes:
        kind: one of `KINDS`.
        bundle: the bundle it stands in; None for the document.
        id: its own name.
        dictionary: the dictionary that came of it, or that has the member.
        old: the dictionary it was derived from.
        pairs: keys and the entities under them; a membership has one.
        keys: what was removed.
        attributes: its other attributes.
    """

    kind: str
    bundle: QualifiedName | None
    id: QualifiedName | None
    dictionary: QualifiedName | None
    old: QualifiedName | None = None
    pairs: tuple[tuple[Any, QualifiedName | None], ...] = ()
    keys: tuple[Any, ...] = ()
    attributes: tuple[tuple[QualifiedName, Any], ...] = ()

    def mapped(
        self, name: Callable[[QualifiedName], QualifiedName], value: Callable[[Any], Any]
    ) -> DictionaryStatement:
        """The statement with other names for the same things."""

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

    def compared(self) -> Hashable:
        """What is equal for equal statements."""
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

    def singly(self) -> list[DictionaryStatement]:
        """A membership of several pairs as one for each."""
        if self.kind != MEMBERSHIP or len(self.pairs) < 2:
            return [self]
        return [
            DictionaryStatement(self.kind, self.bundle, None, self.dictionary, pairs=(pair,))
            for pair in self.pairs
        ]


def typed_value(value: Any) -> Hashable:
    """A value such that 1, 1.0 and True differ, and NaN equals NaN."""
    if isinstance(value, float) and value != value:
        return (float, "NaN")
    return (type(value), value)


def normal_value(bundle: ProvBundle, value: Any) -> Any:
    """A value as ``prov`` keeps it: an ``xsd:int`` literal as an int, and so on."""
    from prov.constants import PROV, PROV_VALUE
    from prov.model import ProvEntity

    ((_, kept),) = ProvEntity(bundle, PROV["entity"], [(PROV_VALUE, value)]).attributes
    return kept

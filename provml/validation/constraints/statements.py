"""Defines the form in which the constraint checks represent PROV statements.

In this form, names are IRIs, and missing arguments are None.

Imports `rules` and `model.relations`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from provml.model.relations import ARGUMENTS
from provml.validation.constraints.rules import TIME_ARGUMENTS


class ConstraintStatement(NamedTuple):
    """One statement of a document.

    Attributes:
        kind: the statement's name in PROV-N: ``entity``, ``wasGeneratedBy``, ...
        id: the IRI that identifies the statement; None if it has no identifier.
        arguments: the IRIs and times, in the order of `model.relations.ARGUMENTS`. Times are
            xsd:dateTime texts.
        types: the values of the statement's ``prov:type`` attributes that are IRIs.
        place: the statement's place in the document.
        line, column: the statement's position in the text, counted from 1; 0 if unknown.
    """

    kind: str
    id: str | None
    arguments: tuple[str | None, ...]
    types: tuple[str, ...] = ()
    place: str = ""
    line: int = 0
    column: int = 0


class ShowableStatement(Protocol):
    """An object that can be written as a PROV-N statement."""

    @property
    def kind(self) -> str: ...  # noqa: D102
    @property
    def id(self) -> str | None: ...  # noqa: D102
    @property
    def arguments(self) -> tuple[str | None, ...]: ...  # noqa: D102


class NamespaceScope:
    """The prefixes of a document or a bundle. A bundle inherits its document's prefixes."""

    def __init__(self, own: Mapping[str, str], outer: NamespaceScope | None = None) -> None:
        self._own = own
        self._outer = outer
        self._bases: dict[str, str] | None = None
        self._sorted: list[str] = []

    def get(self, prefix: str) -> str | None:
        """Return the namespace of a prefix, or None if the prefix is unknown."""
        found = self._own.get(prefix)
        return self._outer.get(prefix) if found is None and self._outer is not None else found

    def abbreviate(self, iri: str) -> str | None:
        """Shorten an IRI with the prefix of its longest known namespace; None if none is known."""
        base = self._find_longest(iri)
        if base is None:
            return None
        prefix, local = base[1], iri[len(base[0]) :]
        return f"{prefix}:{local}" if prefix else local

    def _find_longest(self, iri: str) -> tuple[str, str] | None:
        """Return the longest namespace at the start of an IRI, and the namespace's prefix."""
        outer = None if self._outer is None else self._outer._find_longest(iri)
        if outer is not None and outer[1] in self._own:
            outer = None  # this scope redefines the prefix
        if self._bases is None:
            self._bases = {base: prefix for prefix, base in self._own.items() if base}
            self._sorted = sorted(self._bases)
        before = iri
        while before:
            place = bisect_right(self._sorted, before)
            if place == 0:
                break
            base = self._sorted[place - 1]
            if iri.startswith(base):
                own = (base, self._bases[base])
                return own if outer is None or len(base) >= len(outer[0]) else outer
            before = base[: _common_prefix_length(base, before)]
        return outer


def _common_prefix_length(one: str, other: str) -> int:
    """Return the number of leading characters that two texts share."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((n for n, (a, b) in pairs if a != b), min(len(one), len(other)))


@dataclass(slots=True)
class Instance:
    """The statements of a document's top level or of one bundle.

    Each instance is checked separately.

    Attributes:
        name: the bundle's IRI; None for the top level.
        statements: the statements to check.
        prefixes: the prefixes with which messages shorten IRIs.
    """

    name: str | None
    statements: Iterable[ConstraintStatement]
    prefixes: NamespaceScope = field(default_factory=lambda: NamespaceScope({}))

    def text(self, statement: ShowableStatement, types: tuple[str, ...] = ()) -> str:
        """Format a statement as PROV-N, with the document's prefixes and the given types."""
        names = ARGUMENTS[statement.kind]
        parts = [
            "-" if value is None else value if name in TIME_ARGUMENTS else self.name_text(value)
            for name, value in zip(names, statement.arguments, strict=True)
        ]
        if types:
            parts.append(f"[{', '.join(f'prov:type={self.name_text(t)!r}' for t in types)}]")
        relation = statement.kind not in ("entity", "activity", "agent")
        identifier = "" if statement.id is None else self.name_text(statement.id)
        if relation:
            head = f"{identifier}; " if identifier else ""
            return f"{statement.kind}({head}{', '.join(parts)})"
        return f"{statement.kind}({', '.join([identifier, *parts])})"

    def name_text(self, iri: str) -> str:
        """Format an IRI, shortened with one of the document's prefixes if possible."""
        return self.prefixes.abbreviate(iri) or f"<{iri}>"

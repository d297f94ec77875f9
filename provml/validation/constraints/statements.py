"""PROV statements as the constraints see them: names are IRIs, absent arguments are None.

Imports `rules`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from provml.model.relations import ARGUMENTS
from provml.validation.constraints.rules import TIMES


class Stated(NamedTuple):
    """One statement of a document.

    Attributes:
        kind: its PROV-N name: ``entity``, ``wasGeneratedBy``, ...
        id: its identifier, an IRI; None where it has none.
        arguments: IRIs, and times as they are written, in the order of `rules.ARGUMENTS`.
        types: the IRIs among its ``prov:type`` attributes.
        place: where it stands in the document.
        line, column: the same in a text, from 1; 0 where that is not known.
    """

    kind: str
    id: str | None
    arguments: tuple[str | None, ...]
    types: tuple[str, ...] = ()
    place: str = ""
    line: int = 0
    column: int = 0


class Statement(Protocol):
    """What can be shown as a statement."""

    @property
    def kind(self) -> str: ...  # noqa: D102
    @property
    def id(self) -> str | None: ...  # noqa: D102
    @property
    def arguments(self) -> tuple[str | None, ...]: ...  # noqa: D102


class Prefixes:
    """How a document or a bundle abbreviates IRIs; a bundle's table stands upon the document's."""

    def __init__(self, own: Mapping[str, str], outer: Prefixes | None = None) -> None:
        self._own = own
        self._outer = outer
        self._bases: dict[str, str] | None = None
        self._sorted: list[str] = []

    def get(self, prefix: str) -> str | None:
        """The namespace of a prefix."""
        found = self._own.get(prefix)
        return self._outer.get(prefix) if found is None and self._outer is not None else found

    def abbreviated(self, iri: str) -> str | None:
        """An IRI under the longest namespace that it begins with; None where there is none."""
        base = self._longest(iri)
        if base is None:
            return None
        prefix, local = base[1], iri[len(base[0]) :]
        return f"{prefix}:{local}" if prefix else local

    def _longest(self, iri: str) -> tuple[str, str] | None:
        """The namespace and its prefix."""
        outer = None if self._outer is None else self._outer._longest(iri)
        if outer is not None and outer[1] in self._own:
            outer = None  # that prefix means something else here
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
            before = base[: _shared(base, before)]
        return outer


def _shared(one: str, other: str) -> int:
    """How many characters two texts begin with alike."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((n for n, (a, b) in pairs if a != b), min(len(one), len(other)))


@dataclass(slots=True)
class Instance:
    """The statements of a document's top level, or of one bundle, which stand on their own.

    Attributes:
        name: the bundle's IRI; None for the top level.
        prefixes: how the document abbreviates IRIs, for what is shown to people.
    """

    name: str | None
    statements: Iterable[Stated]
    prefixes: Prefixes = field(default_factory=lambda: Prefixes({}))

    def text(self, statement: Statement, types: tuple[str, ...] = ()) -> str:
        """The statement in PROV-N, in the document's own terms, with those types."""
        names = ARGUMENTS[statement.kind]
        parts = [
            "-" if value is None else value if name in TIMES else self.name_text(value)
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
        """An IRI as the document abbreviates it."""
        return self.prefixes.abbreviated(iri) or f"<{iri}>"

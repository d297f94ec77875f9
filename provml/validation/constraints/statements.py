"""PROV statements as the constraints see them: names are IRIs, absent arguments are None.

Imports `rules`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from provml.validation.constraints.rules import ARGUMENTS, TIMES


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


@dataclass(slots=True)
class Instance:
    """The statements of a document's top level, or of one bundle, which stand on their own.

    Attributes:
        name: the bundle's IRI; None for the top level.
        prefixes: how the document abbreviates IRIs, for what is shown to people.
    """

    name: str | None
    statements: Iterable[Stated]
    prefixes: dict[str, str] = field(default_factory=dict)

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
        return next(self._abbreviations(iri), f"<{iri}>")

    def _abbreviations(self, iri: str) -> Iterator[str]:
        """The abbreviations of an IRI, the shortest local name first."""
        fitting = [(p, base) for p, base in self.prefixes.items() if base and iri.startswith(base)]
        for prefix, base in sorted(fitting, key=lambda pair: -len(pair[1])):
            yield f"{prefix}:{iri[len(base) :]}" if prefix else iri[len(base) :]

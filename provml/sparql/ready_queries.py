"""The queries that ship: files ``queries/<name>.rq``, each telling itself what it is.

A file begins with comments: a line that says what it asks, then a line for each parameter,
``# name: what it is`` or ``# name (iri): what it is``; in the query the parameter is
``VALUES ?name { UNDEF }``. Imports `errors`, `query`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Final

from provml.errors import QueryError
from provml.model.statements import Iri
from provml.sparql.query import Parameter

_SUFFIX: Final = ".rq"
_PARAMETER: Final = re.compile(r"# (\w+)(?: \((string|integer|number|boolean|iri)\))?: (.+)")


@dataclass(frozen=True, slots=True)
class ReadyQuery:
    """A query with its own description.

    Attributes:
        name: its file's name without the ending.
        title: what it asks.
        parameters: what each parameter is, by name.
        kinds: the parameters' types, by name: ``string`` where the query does not say.
        text: the query.
    """

    name: str
    title: str
    parameters: dict[str, str]
    kinds: dict[str, str]
    text: str

    def values(self, given: Mapping[str, str]) -> dict[str, Parameter]:
        """Parameters given as text, as values of their types. Raises QueryError."""
        return {name: _value(name, text, self.kinds.get(name)) for name, text in given.items()}


def describe_query(name: str, text: str) -> ReadyQuery:
    """A query's text with what its leading comments say."""
    title, parameters, kinds = "", {}, {}
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        found = _PARAMETER.fullmatch(line)
        if found is not None:
            parameters[found[1]] = found[3]
            kinds[found[1]] = found[2] or "string"
        elif not title:
            title = line.removeprefix("#").strip()
    return ReadyQuery(name, title, parameters, kinds, text)


def ready_queries() -> list[ReadyQuery]:
    """All queries that ship, by name."""
    files = resources.files("provml.sparql").joinpath("queries").iterdir()
    names = sorted(file.name for file in files if file.name.endswith(_SUFFIX))
    return [ready_query(name.removesuffix(_SUFFIX)) for name in names]


def ready_query(name: str) -> ReadyQuery:
    """The query of a name. Raises QueryError, naming those there are."""
    folder = resources.files("provml.sparql").joinpath("queries")
    known = [file.name.removesuffix(_SUFFIX) for file in folder.iterdir()]
    if name not in known:
        raise QueryError(f"unknown query {name!r}; there are: {', '.join(sorted(known))}")
    return describe_query(name, folder.joinpath(name + _SUFFIX).read_text(encoding="utf-8"))


def _value(name: str, text: str, kind: str | None) -> Parameter:
    try:
        if kind == "iri":
            return Iri(text)
        if kind == "integer":
            return int(text)
        if kind == "number":
            return float(text)
        if kind == "boolean":
            return {"true": True, "false": False}[text.lower()]
    except (ValueError, KeyError):
        raise QueryError(f"parameter {name!r} must be of the type {kind}: {text!r}") from None
    return text

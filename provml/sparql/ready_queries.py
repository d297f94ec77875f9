"""The queries that ship with provml, in the files ``queries/<name>.rq``.

Each file starts with comments. The first comment says what the query returns. Each further comment
describes a parameter, as ``# name: description`` or ``# name (type): description``. The query
declares the parameter as ``VALUES ?name { UNDEF }``. Imports `errors`, `query` and
`model.statements`.
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
    """A query that ships with provml, and its description.

    Attributes:
        name: the name of the query's file, without the suffix.
        title: a description of the query's result.
        parameters: the description of each parameter, by the parameter's name.
        kinds: the type of each parameter, by the parameter's name; ``string`` by default.
        text: the query itself.
    """

    name: str
    title: str
    parameters: dict[str, str]
    kinds: dict[str, str]
    text: str

    def values(self, given: Mapping[str, str]) -> dict[str, Parameter]:
        """Convert the values of parameters from text to their types.

        Raises QueryError if a value can't be converted.
        """
        return {
            name: _parse_parameter(name, text, self.kinds.get(name)) for name, text in given.items()
        }


def describe_query(name: str, text: str) -> ReadyQuery:
    """Parse the comments at the start of a query; return the query with its description."""
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


def list_ready_queries() -> list[ReadyQuery]:
    """Return all queries that ship with provml, sorted by name."""
    files = resources.files("provml.sparql").joinpath("queries").iterdir()
    names = sorted(file.name for file in files if file.name.endswith(_SUFFIX))
    return [find_ready_query(name.removesuffix(_SUFFIX)) for name in names]


def find_ready_query(name: str) -> ReadyQuery:
    """Return one of the queries that ship with provml, by name.

    Raises:
        QueryError: there is no query with this name. The message lists all names.
    """
    folder = resources.files("provml.sparql").joinpath("queries")
    known = [file.name.removesuffix(_SUFFIX) for file in folder.iterdir()]
    if name not in known:
        raise QueryError(f"unknown query {name!r}; use one of {', '.join(sorted(known))}")
    return describe_query(name, folder.joinpath(name + _SUFFIX).read_text(encoding="utf-8"))


def _parse_parameter(name: str, text: str, kind: str | None) -> Parameter:
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
        raise QueryError(f"parameter {name!r} must be of type {kind}, not {text!r}") from None
    return text

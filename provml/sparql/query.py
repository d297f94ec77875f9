"""Asking a SPARQL query of a pyoxigraph store: prefixes, parameters, errors with their place.

Queries read: updates are no queries, and SERVICE, which fetches from elsewhere, is refused.
Imports `answers`, `model.vocabulary`, `errors`; pyoxigraph when it runs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from provml.errors import QueryError
from provml.model import vocabulary
from provml.model.statements import Iri
from provml.sparql.answers import SparqlAnswer

if TYPE_CHECKING:
    from pyoxigraph import Store

Parameter = str | int | float | bool | Iri

PREFIXES: Final = {
    "prov": vocabulary.PROV,
    "provml": vocabulary.PROVML,
    "rdf": vocabulary.RDF,
    "rdfs": "http://www.w3.org/2000/01/rdf-schema#",
    "xsd": vocabulary.XSD,
    "dcterms": "http://purl.org/dc/terms/",
}
"""The prefixes that every query has."""

_LITERALS: Final = r"""
      \#[^\r\n]*                                 # a comment
    | <[^<>"{}|^`\\\x00-\x20]*>                  # an IRI
    | \'\'\'(?:[^'\\]|\\.|'(?!''))*\'\'\'        # strings
    | \"\"\"(?:[^"\\]|\\.|"(?!""))*\"\"\"
    | '(?:[^'\\\r\n]|\\.)*'
    | "(?:[^"\\\r\n]|\\.)*"
    | [?$@]\w[\w-]*                              # a variable, a language
"""
_NAME_REST: Final = r":(?:[\w.%-]|\\.|:)*"
_DEEPEST: Final = 500
_NOT_CODE: Final = re.compile(rf"{_LITERALS} | {_NAME_REST} | \\.", re.VERBOSE | re.DOTALL)
_TOKEN: Final = re.compile(
    rf"{_LITERALS} | [\w.-]*{_NAME_REST} | \w+ | && | \|\| | [!<>]= | \^\^ | \s+ | .",
    re.VERBOSE | re.DOTALL,
)
_PLACE: Final = re.compile(r"error at (\d+):(\d+): (.*)", re.DOTALL)
_MARGIN: Final = "\n" + " " * 40
"""Longer than any keyword: the parser gives the end of one that it tried as an error's place."""
_LONGEST_SHOWN: Final = 40
_FORMS: Final = "a query begins with SELECT, ASK, CONSTRUCT or DESCRIBE"
_IRI: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[^\s<>\"{}|\\^`\x00-\x20]+")


def ask(
    store: Store,
    text: str,
    parameters: Mapping[str, Parameter],
    prefixes: Mapping[str, str],
    graphs: Sequence[str] | None,
) -> SparqlAnswer:
    """Ask a query of some of a store's graphs.

    Args:
        text: a SPARQL 1.1 query.
        parameters: values for its ``VALUES ?name { UNDEF }``.
        prefixes: those that are known beside `PREFIXES`.
        graphs: the graphs that are seen, together as the default graph; None for all.

    Raises:
        QueryError: it is none that can be asked.
    """
    from pyoxigraph import NamedNode

    refuse_depth(text)
    refuse_service(text)
    refuse_from(text)
    whole = bind_parameters(text, parameters)
    if graphs is None:
        seen: dict[str, Any] = {"use_default_graph_as_union": True}
    else:
        names = [NamedNode(name) for name in graphs]
        seen = {"default_graph": names, "named_graphs": names}
    known = {**PREFIXES, **prefixes}
    try:
        return SparqlAnswer(store.query(whole, prefixes=known, **seen), known)
    except SyntaxError as error:
        raise QueryError(_syntax_error(whole, error, known)) from None


def check_syntax(text: str, prefixes: Mapping[str, str]) -> None:
    """Raise QueryError, with its place, for a text that is no SPARQL query."""
    from pyoxigraph import Store

    try:
        Store().query(text, prefixes=dict(prefixes))
    except SyntaxError as error:
        raise QueryError(_syntax_error(text, error, prefixes)) from None


def refuse_depth(text: str) -> None:
    """Raise QueryError for a query nested so deeply that the engine's stack would not hold it."""
    depth = 0
    for place, character in enumerate(text):
        depth += character in "({["
        depth -= character in ")}]"
        if depth > _DEEPEST:
            raise QueryError(
                f"{_at(text, place)}: the query is nested deeper than {_DEEPEST} levels"
            )


def refuse_service(text: str) -> None:
    """Raise QueryError for a query with a SERVICE: it would send data to, and read from, others.

    Where it is not clear, in odd names, the query is refused, too.
    """
    code = _NOT_CODE.sub(lambda found: " " * len(found[0]), text)
    found = re.search("service", code, re.IGNORECASE)
    if found is not None:
        raise QueryError(
            f"{_at(text, found.start())}: SERVICE is not answered: a query here reads the chosen "
            "runs and nothing else"
        )


def refuse_from(text: str) -> None:
    """Raise QueryError for a query with FROM, which the choice of runs would override unheard."""
    code = _NOT_CODE.sub(lambda found: " " * len(found[0]), text)
    found = re.search(r"(?<![\w:?$-])FROM(?![\w:-])", code, re.IGNORECASE)
    if found is not None:
        raise QueryError(
            f"{_at(text, found.start())}: FROM is not heeded here: name the runs to be asked "
            "before the query, or ask for GRAPH"
        )


def bind_parameters(text: str, parameters: Mapping[str, Parameter]) -> str:
    """The query with values for its parameters.

    A parameter is a variable with a line of its own, ``VALUES ?name { UNDEF }``; where no value is
    given, the line goes. What is given is written as a SPARQL term, whatever it holds.

    Raises:
        QueryError: the query has no such parameter, or the value is no IRI.
    """
    names = set(re.findall(_values(r"(\w+)"), text))
    for name in parameters:
        if name not in names:
            known = f"it has: {', '.join(sorted(names))}" if names else "it has none"
            raise QueryError(f"the query has no parameter {name!r}; {known}")
    for name in names:
        value = parameters.get(name)
        given = "" if value is None else f"VALUES ?{name} {{ {_term(name, value)} }}"
        text = re.sub(_values(name), lambda _, given=given: given, text)  # type: ignore[misc]
    return text


def _values(name: str) -> str:
    return rf"VALUES[ \t]*\?{name}[ \t]*\{{[ \t]*UNDEF[ \t]*\}}"


def _term(name: str, value: Parameter) -> str:
    from pyoxigraph import Literal, NamedNode

    if isinstance(value, Iri):
        if not is_absolute_iri(value):
            raise QueryError(f"parameter {name!r} must be an absolute IRI: {value!r}")
        return str(NamedNode(value))
    return str(Literal(value))


def is_absolute_iri(text: str) -> bool:
    """Whether a text can be written between ``<`` and ``>``."""
    return _IRI.fullmatch(text) is not None


def _at(text: str, offset: int) -> str:
    line = text.count("\n", 0, offset) + 1
    column = offset - (text.rfind("\n", 0, offset) + 1) + 1
    return f"line {line}, column {column}"


def _syntax_error(text: str, error: SyntaxError, prefixes: Mapping[str, str]) -> str:
    """The parser's error as one line, with the place in the user's text."""
    found = _PLACE.match(str(error))
    parts = found[3].removeprefix("expected one of ").split(", ") if found is not None else []
    senses = [part for part in parts if re.search("[a-z] [a-z]", part)]
    tokens = [token for token in _TOKEN.finditer(text) if not token[0].isspace()]
    token = _first_misplaced(text, tokens, prefixes)
    if token is None:  # what can be said only at the end: an unbound variable, a grouping
        line_and_column = _at(text, len(text.rstrip()))
        return f"{line_and_column}: {senses[0] if senses else 'the query breaks off'}"
    where, own = _at(text, token.start()), token[0].split("\n")[0]
    if "Prefix not found" in senses and ":" in own:
        return f"{where}: unknown prefix in {own!r}; there are: {', '.join(sorted(prefixes))}"
    hint = f"; {_FORMS}" if token is tokens[0] else ""
    return f"{where}: unexpected {own[:_LONGEST_SHOWN]!r}{hint}"


def _first_misplaced(
    text: str, tokens: Sequence[re.Match[str]], prefixes: Mapping[str, str]
) -> re.Match[str] | None:
    """The first token with which the text can't be the beginning of a query."""
    from pyoxigraph import Store

    store = Store()

    def could_go_on(end: int) -> bool:
        beginning = text[:end] + _MARGIN
        try:
            store.query(beginning, prefixes=dict(prefixes))
        except SyntaxError as error:
            found = _PLACE.match(str(error))
            last = (beginning.count("\n") + 1, len(_MARGIN))
            return found is None or (int(found[1]), int(found[2])) == last
        return True

    low, high = 0, len(tokens)
    while low < high:
        middle = (low + high) // 2
        if could_go_on(tokens[middle].end()):
            low = middle + 1
        else:
            high = middle
    return tokens[low] if low < len(tokens) else None

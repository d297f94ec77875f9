"""Runs SPARQL queries on a pyoxigraph store.

Defines prefixes, fills in parameters, and reports the positions of errors. Queries are read-only:
updates are rejected, and so is SERVICE, which reads from other servers.
Imports `answers`, `errors` and `model`; imports pyoxigraph only when needed.
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
    "tags": vocabulary.TAGS,
}
"""The prefixes that are defined for every query."""

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
_MAX_NESTING: Final = 500
_NOT_CODE: Final = re.compile(rf"{_LITERALS} | {_NAME_REST} | \\.", re.VERBOSE | re.DOTALL)
_TOKEN: Final = re.compile(
    rf"{_LITERALS} | [\w.-]*{_NAME_REST} | \w+ | && | \|\| | [!<>]= | \^\^ | \s+ | .",
    re.VERBOSE | re.DOTALL,
)
_ERROR_PLACE: Final = re.compile(r"error at (\d+):(\d+): (.*)", re.DOTALL)
_MARGIN: Final = "\n" + " " * 40
"""Padding that is appended to the first part of a query to test whether that part is valid. If the
part is valid, the parser reports its error at the end of the padding. The padding is longer than
any keyword, because the parser reports an error at the end of the keyword that it expected.
"""
_MAX_TOKEN_CHARS: Final = 40
_FORMS: Final = "a query starts with SELECT, ASK, CONSTRUCT or DESCRIBE"
_IRI: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[^\s<>\"{}|\\^`\x00-\x20]+")


def ask(
    store: Store,
    text: str,
    parameters: Mapping[str, Parameter],
    prefixes: Mapping[str, str],
    graphs: Sequence[str] | None,
) -> SparqlAnswer:
    """Run a query on all graphs of a store, or only on the given graphs.

    Args:
        store: a pyoxigraph store.
        text: a SPARQL 1.1 query.
        parameters: values for variables declared as ``VALUES ?name { UNDEF }``.
        prefixes: prefixes to define in addition to `PREFIXES`.
        graphs: the names of the graphs that form the default graph; None for all graphs.

    Raises:
        QueryError: the query is invalid, or uses a feature that provml does not support.
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
        raise QueryError(_describe_syntax_error(whole, error, known)) from None


def check_syntax(text: str, prefixes: Mapping[str, str]) -> None:
    """Raise QueryError, with line and column, if a text is not a valid SPARQL query."""
    from pyoxigraph import Store

    try:
        Store().query(text, prefixes=dict(prefixes))
    except SyntaxError as error:
        raise QueryError(_describe_syntax_error(text, error, prefixes)) from None


def refuse_depth(text: str) -> None:
    """Raise QueryError if a query is nested so deeply that pyoxigraph's stack might overflow."""
    depth = 0
    for place, character in enumerate(text):
        depth += character in "({["
        depth -= character in ")}]"
        if depth > _MAX_NESTING:
            raise QueryError(
                f"{_describe_position(text, place)}: the query is nested deeper than "
                f"{_MAX_NESTING} levels: simplify it"
            )


def refuse_service(text: str) -> None:
    """Raise QueryError if a query uses SERVICE, which would exchange data with other servers.

    Some harmless queries are also rejected, for example a query with an unusual name that contains
    "service".
    """
    code = _NOT_CODE.sub(lambda found: " " * len(found[0]), text)
    found = re.search("service", code, re.IGNORECASE)
    if found is not None:
        raise QueryError(
            f"{_describe_position(text, found.start())}: SERVICE is not supported: a query "
            "can read only the loaded runs"
        )


def refuse_from(text: str) -> None:
    """Raise QueryError if a query uses FROM, because the runs are chosen outside the query."""
    code = _NOT_CODE.sub(lambda found: " " * len(found[0]), text)
    found = re.search(r"(?<![\w:?$-])FROM(?![\w:-])", code, re.IGNORECASE)
    if found is not None:
        raise QueryError(
            f"{_describe_position(text, found.start())}: FROM is not supported: choose the runs "
            "before you query them, or use GRAPH"
        )


def bind_parameters(text: str, parameters: Mapping[str, Parameter]) -> str:
    """Fill in the parameters of a query, and return the query.

    A parameter is a variable that the query declares as ``VALUES ?name { UNDEF }``. If no value is
    given for a parameter, its declaration is removed. Values are escaped as SPARQL terms.

    Raises:
        QueryError: the query does not declare a parameter that has a value, or an `Iri` is not an
            absolute IRI.
    """
    names = set(re.findall(_parameter_pattern(r"(\w+)"), text))
    for name in parameters:
        if name not in names:
            known = f"use one of {', '.join(sorted(names))}" if names else "it has no parameters"
            raise QueryError(f"the query has no parameter {name!r}; {known}")
    for name in names:
        value = parameters.get(name)
        given = "" if value is None else f"VALUES ?{name} {{ {_format_parameter(name, value)} }}"
        text = re.sub(_parameter_pattern(name), lambda _, given=given: given, text)  # type: ignore[misc]
    return text


def _parameter_pattern(name: str) -> str:
    return rf"VALUES[ \t]*\?{name}[ \t]*\{{[ \t]*UNDEF[ \t]*\}}"


def _format_parameter(name: str, value: Parameter) -> str:
    from pyoxigraph import Literal, NamedNode

    if isinstance(value, Iri):
        if not is_absolute_iri(value):
            raise QueryError(f"parameter {name!r} must be an absolute IRI, not {value!r}")
        return str(NamedNode(value))
    return str(Literal(value))


def is_absolute_iri(text: str) -> bool:
    """Return whether a text is an absolute IRI, without characters that SPARQL forbids in IRIs."""
    return _IRI.fullmatch(text) is not None


def _describe_position(text: str, offset: int) -> str:
    line = text.count("\n", 0, offset) + 1
    column = offset - (text.rfind("\n", 0, offset) + 1) + 1
    return f"line {line}, column {column}"


def _describe_syntax_error(text: str, error: SyntaxError, prefixes: Mapping[str, str]) -> str:
    """Describe a syntax error on one line, with its position in the user's query."""
    found = _ERROR_PLACE.match(str(error))
    parts = found[3].removeprefix("expected one of ").split(", ") if found is not None else []
    senses = [part for part in parts if re.search("[a-z] [a-z]", part)]
    tokens = [token for token in _TOKEN.finditer(text) if not token[0].isspace()]
    token = _find_misplaced_token(text, tokens, prefixes)
    if token is None:  # the error concerns the whole query, for example an unbound variable
        line_and_column = _describe_position(text, len(text.rstrip()))
        return f"{line_and_column}: {senses[0] if senses else 'the query is incomplete'}"
    where, own = _describe_position(text, token.start()), token[0].split("\n")[0]
    if "Prefix not found" in senses and ":" in own:
        return f"{where}: unknown prefix in {own!r}; known prefixes: {', '.join(sorted(prefixes))}"
    hint = f"; {_FORMS}" if token is tokens[0] else ""
    return f"{where}: unexpected {own[:_MAX_TOKEN_CHARS]!r}{hint}"


def _find_misplaced_token(
    text: str, tokens: Sequence[re.Match[str]], prefixes: Mapping[str, str]
) -> re.Match[str] | None:
    """Return the first token that can't follow the text before it in any valid query, or None."""
    from pyoxigraph import Store

    store = Store()

    def is_beginning(end: int) -> bool:
        beginning = text[:end] + _MARGIN
        try:
            store.query(beginning, prefixes=dict(prefixes))
        except SyntaxError as error:
            found = _ERROR_PLACE.match(str(error))
            last = (beginning.count("\n") + 1, len(_MARGIN))
            return found is None or (int(found[1]), int(found[2])) == last
        return True

    low, high = 0, len(tokens)
    while low < high:
        middle = (low + high) // 2
        if is_beginning(tokens[middle].end()):
            low = middle + 1
        else:
            high = middle
    return tokens[low] if low < len(tokens) else None

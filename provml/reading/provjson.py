"""Read and write PROV-JSON (W3C Member Submission, 2013).

This module checks the structure, so that an error message can say where the problem is. The
``prov`` library then reads the records. Imports prov only when it is needed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any, BinaryIO, Final, NoReturn

from provml.errors import DocumentError
from provml.reading._dictionary import (
    DICTIONARY_KINDS,
    MEMBERSHIP,
    DictionaryStatement,
    normalize_value,
)
from provml.reading._document import Document
from provml.reading._engine import note_cut_times, refuse_losses, wrap_library_errors
from provml.reading._source import decode_document

if TYPE_CHECKING:
    from prov.identifier import QualifiedName
    from prov.model import ProvBundle

NAME: Final = "PROV-JSON"
SUFFIXES: Final = (".json", ".provjson")

JsonPath = tuple[str | int, ...]
"""The keys and list indices that lead to a value in a JSON document."""

_MAX_VALUE_CHARS: Final = 60
_DICTIONARY_MEMBERS: Final = frozenset(
    (
        "prov:after",
        "prov:before",
        "prov:dictionary",
        "prov:key-entity-set",
        "prov:key-set",
    )
)

MAX_JSON_DEPTH: Final = 100
"""The maximum nesting depth of a JSON document. PROV-JSON itself needs seven levels."""

_SURROGATE: Final = re.compile("[\ud800-\udfff]")


def looks_like(head: str) -> bool:
    """Return whether a text that starts with ``head`` may be PROV-JSON."""
    return head.startswith("{") and '"@context"' not in head and '"@graph"' not in head


def load_json(data: bytes) -> object:
    """Parse JSON text into Python objects. The text is UTF-8 or has a byte order mark.

    Limits the nesting depth; the caller must limit the size.

    Raises:
        DocumentError: the text has one of these problems:

            - It is not valid JSON. The message gives the line and column.
            - It is nested more than `MAX_JSON_DEPTH` levels deep.
            - It contains NaN, an infinity, a number that is too large, a duplicate key, or half a
              surrogate pair.
    """
    try:
        content = json.loads(
            decode_document(data),
            object_pairs_hook=_without_repeats,
            parse_constant=_refuse_constant,
            parse_float=_parse_finite,
        )
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise DocumentError(f"{place}: not valid JSON: {error.msg}") from None
    except RecursionError:
        raise DocumentError(f"the JSON is nested more than {MAX_JSON_DEPTH} levels deep") from None
    except DocumentError:
        raise
    except ValueError as error:  # an integer has too many digits
        raise DocumentError(f"a number in the JSON can't be read: {error}") from None
    _check_tree(content)
    return content


def path_text(path: JsonPath) -> str:
    """Format a JSON path for messages, for example ``$.entity['ex:e1'][0]``."""
    parts = ["$"]
    for step in path:
        if isinstance(step, int):
            parts.append(f"[{step}]")
        elif step.isidentifier():
            parts.append(f".{step}")
        else:
            parts.append(f"[{step!r}]")
    return "".join(parts)


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise DocumentError(
                    f"the key {key!r} appears twice in one JSON object; put records with the same "
                    "identifier in a list"
                )
            seen.add(key)
    return found


def _refuse_constant(name: str) -> Any:
    raise DocumentError(
        f'{name} is not valid JSON; write {{"$": "{name.replace("Infinity", "INF")}", '
        '"type": "xsd:double"}'
    )


def _parse_finite(text: str) -> float:
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise DocumentError(f"the JSON number {text} is too large for a double")
    return number


def _check_tree(content: object) -> None:
    """Raise DocumentError if JSON is nested too deeply or contains half a surrogate pair.

    Keeps only one path through the tree in memory.
    """
    path: list[str | int] = []
    levels: list[Iterator[tuple[str | int, object]]] = [iter([("", content)])]
    while levels:
        step, value = next(levels[-1], (None, None))
        if step is None:
            levels.pop()
            if path:
                path.pop()
            continue
        if isinstance(step, str) and not step.isascii():
            _check_surrogates(step, (*path[1:], step))
        if isinstance(value, str):
            if not value.isascii():
                _check_surrogates(value, (*path[1:], step))
        elif isinstance(value, (dict, list)):
            if len(levels) > MAX_JSON_DEPTH:
                raise DocumentError(f"the JSON is nested more than {MAX_JSON_DEPTH} levels deep")
            path.append(step)
            levels.append(iter(value.items() if isinstance(value, dict) else enumerate(value)))


def _check_surrogates(text: str, path: JsonPath) -> None:
    if _SURROGATE.search(text):
        raise DocumentError(f"{path_text(path)}: the text contains half a surrogate pair: {text!a}")


# -- reading ------------------------------------------------------------------------------------


def read(data: bytes, base: str | None = None) -> Document:
    """Read a PROV-JSON document. Raises DocumentError if it is invalid."""
    from prov.model import ProvBundle, ProvDocument

    content = load_json(data)
    check_document(content)
    assert isinstance(content, dict)
    bundles = content.pop("bundle", {})
    document = ProvDocument()
    unnamed: list[str] = []
    statements = _read_container(content, document, (), unnamed)
    for name, members in bundles.items():
        bundle = ProvBundle(document=document)
        found = _read_container(members, bundle, ("bundle", name), unnamed)
        with wrap_library_errors(f"PROV-JSON: {path_text(('bundle', name))}"):
            document.add_bundle(bundle, bundle.valid_qualified_name(name))
        statements += [replace(each, bundle=bundle.identifier) for each in found]
    notes: list[str] = []
    if unnamed:
        notes.append(
            f"the identifiers of {len(unnamed):,} relations were dropped, because they have no "
            f"prefix and the document has no default namespace; the first is {unnamed[0]}"
        )
    return Document(document, statements, notes, note_cut_times(data))


def _read_container(
    content: dict[str, Any], bundle: ProvBundle, path: JsonPath, notes: list[str]
) -> list[DictionaryStatement]:
    """Read the document or one bundle into ``bundle``, and return its dictionary statements.

    If prov drops the identifier of a relation, this function adds the relation's path to ``notes``.
    Raises DocumentError if prov can't read a record.
    """
    from prov.serializers.provjson import decode_json_container

    prefix = content.pop("prefix", {})
    stated = {kind: content.pop(kind) for kind in DICTIONARY_KINDS if kind in content}
    # decode all records at once; if this fails, decode each record alone to locate the error
    try:
        with wrap_library_errors("PROV-JSON") as warned:
            decode_json_container({"prefix": prefix, **content}, bundle)
        refuse_losses("PROV-JSON", warned)
        for kind, records in content.items():
            for identifier in records:  # prov drops relation identifiers that it can't resolve
                if identifier.startswith("_:"):
                    continue
                if ":" in identifier:
                    _resolve_name(bundle, identifier, path_text((*path, kind, identifier)))
                elif bundle.valid_qualified_name(identifier) is None:
                    notes.append(path_text((*path, kind, identifier)))
    except DocumentError as error:
        raise _locate_record_error(error, prefix, content, bundle, path) from error.__cause__
    found = []
    for kind, records in stated.items():
        for identifier, record in _iter_records(records):
            place = path_text((*path, kind, identifier))
            with wrap_library_errors(f"PROV-JSON: {place}") as warned:
                found.append(_read_dictionary(kind, identifier, record, bundle, place))
            refuse_losses(f"PROV-JSON: {place}", warned)
    return found


def _locate_record_error(
    error: DocumentError,
    prefix: dict[str, str],
    content: dict[str, Any],
    bundle: ProvBundle,
    path: JsonPath,
) -> DocumentError:
    """Return an error for the first record that prov can't read, with the record's path.

    Returns ``error`` if prov can read each record on its own.
    """
    from prov.model import ProvDocument
    from prov.serializers.provjson import decode_json_container

    outer = {} if bundle.document in (None, bundle) else _collect_prefixes(bundle.document)
    for kind, records in content.items():
        for identifier, record in _iter_records(records):
            alone: dict[str, Any] = {"prefix": {**outer, **prefix}, kind: {identifier: record}}
            place = path_text((*path, kind, identifier))
            try:
                with wrap_library_errors(f"PROV-JSON: {place}") as warned:
                    decode_json_container(alone, ProvDocument())
                refuse_losses(f"PROV-JSON: {place}", warned)
            except DocumentError as found:
                if "identifier is missing" in str(found):
                    return _build_undeclared_error(identifier, place)
                return found
    return error


def _build_undeclared_error(name: Any, place: str) -> DocumentError:
    return DocumentError(
        f"PROV-JSON: {place}: {_describe_json(name)} is not a name with a declared prefix"
    )


def _collect_prefixes(document: Any) -> dict[str, str]:
    found = {each.prefix: each.uri for each in document.get_registered_namespaces()}
    default = document.get_default_namespace()
    return found if default is None else {**found, "default": default.uri}


def _iter_records(records: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for identifier, given in records.items():
        for record in given if isinstance(given, list) else [given]:
            yield identifier, record


def _read_dictionary(
    kind: str, identifier: str, record: dict[str, Any], bundle: ProvBundle, place: str
) -> DictionaryStatement:
    """Read one dictionary statement. Its members have the names that ProvToolbox uses."""
    from prov.serializers.provjson import decode_json_representation

    def name(member: str) -> QualifiedName | None:
        text = record.get(member)
        return None if text is None else _resolve_name(bundle, text, f"{place}[{member!r}]")

    def value(given: Any) -> Any:
        return normalize_value(bundle, decode_json_representation(given, bundle))

    attributes = []
    for member, given in record.items():
        if member not in _DICTIONARY_MEMBERS:
            key = _resolve_name(bundle, member, place)
            for each in given if isinstance(given, list) else [given]:
                attributes.append((key, value(each)))
    keys = record.get("prov:key-set", [])
    if isinstance(keys, dict) and "$" in keys:
        keys = [keys]
    elif isinstance(keys, dict):
        keys = [{"$": key, "type": keys["$key-datatype"]} for key in _keys_without_datatype(keys)]
    pairs = []
    for key, entity in _read_pairs(record.get("prov:key-entity-set", []), place):
        entity_name = _resolve_name(bundle, entity, f"{place}['prov:key-entity-set']")
        pairs.append((value(key), entity_name))
    anonymous = identifier.startswith("_:")
    if kind == MEMBERSHIP and (attributes or not anonymous):
        raise DocumentError(
            f"PROV-JSON: {place}: {MEMBERSHIP} can't have an identifier or attributes"
        )
    return DictionaryStatement(
        kind,
        None,
        None if anonymous else _resolve_name(bundle, identifier, place),
        name("prov:dictionary") if kind == MEMBERSHIP else name("prov:after"),
        name("prov:before"),
        tuple(pairs),
        tuple(map(value, keys)),
        tuple(attributes),
    )


def _read_pairs(given: Any, place: str) -> list[tuple[Any, Any]]:
    """Return the key-entity pairs of a dictionary statement as tuples.

    The input is a list of pairs, or a JSON object whose keys all have the same datatype.
    """
    found = []
    if isinstance(given, dict):
        datatype = given.get("$key-datatype", "xsd:string")
        return [({"$": key, "type": datatype}, given[key]) for key in _keys_without_datatype(given)]
    for each in given:
        if not isinstance(each, dict) or set(each) != {"key", "$"}:
            raise DocumentError(
                f"PROV-JSON: {place}['prov:key-entity-set']: "
                f'expected a pair with "key" and "$", not {_describe_json(each)}'
            )
        found.append((each["key"], each["$"]))
    return found


def _keys_without_datatype(given: dict[str, Any]) -> list[str]:
    return [key for key in given if key != "$key-datatype"]


def _resolve_name(bundle: ProvBundle, text: Any, place: str) -> QualifiedName:
    name = bundle.valid_qualified_name(text) if isinstance(text, str) else None
    if name is None:
        raise _build_undeclared_error(text, place)
    return name


# -- checking the structure, before prov reads it -----------------------------------------------


def check_document(content: object) -> None:
    """Check that a JSON document has the structure of PROV-JSON.

    Simplifies the names, times and values of the document in place.

    Raises:
        DocumentError: the structure is not PROV-JSON. The message gives the path of the problem.
    """
    document = _expect_object(content, ())
    _check_container(document, ())
    bundles = _expect_object(document.get("bundle", {}), ("bundle",))
    for name, members in bundles.items():
        container = _expect_object(members, ("bundle", name))
        if "bundle" in container:
            _fail_at_path(("bundle", name, "bundle"), "a bundle can't contain a bundle")
        _check_container(container, ("bundle", name))


def _check_container(content: dict[str, Any], path: JsonPath) -> None:
    from prov.constants import PROV_RECORD_IDS_MAP

    for kind, records in content.items():
        here = (*path, kind)
        if kind == "bundle":
            continue
        if kind == "prefix":
            for prefix, iri in _expect_object(records, here).items():
                if not isinstance(iri, str) or not iri:
                    _fail_at_path(
                        (*here, prefix),
                        f"expected the IRI of a namespace, not {_describe_json(iri)}",
                    )
            continue
        if kind not in PROV_RECORD_IDS_MAP and kind not in DICTIONARY_KINDS:
            _fail_at_path(here, f"{kind!r} is not a kind of statement in PROV-JSON")
        for identifier, given in _expect_object(records, here).items():
            if not identifier:
                _fail_at_path((*here, identifier), "the identifier is empty")
            if isinstance(given, list):
                for place, record in enumerate(given):
                    _check_record(record, kind, (*here, identifier, place))
            else:
                _check_record(given, kind, (*here, identifier))


def _check_record(given: object, kind: str, path: JsonPath) -> None:
    record = _expect_object(given, path)
    names, times = _formal_attributes()
    for attribute, value in record.items():
        here = (*path, attribute)
        if kind in DICTIONARY_KINDS and attribute in _DICTIONARY_MEMBERS:
            _check_dictionary_member(attribute, value, here)
        elif attribute in names:
            if isinstance(value, list):
                if not value:
                    _fail_at_path(here, "expected at least one name in the list")
                record[attribute] = [
                    _expect_name(each, (*here, place)) for place, each in enumerate(value)
                ]
            else:
                record[attribute] = _expect_name(value, here)
        elif attribute in times:
            time = value[0] if isinstance(value, list) and len(value) == 1 else value
            _check_time(time, here)
            record[attribute] = time
        elif isinstance(value, list):
            record[attribute] = [
                _expect_value(each, (*here, place)) for place, each in enumerate(value)
            ]
        else:
            record[attribute] = _expect_value(value, here)


def _check_dictionary_member(member: str, value: Any, path: JsonPath) -> None:
    if member in ("prov:after", "prov:before", "prov:dictionary"):
        _expect_name(value, path)
        return
    if not isinstance(value, (dict, list)):
        _fail_at_path(path, f"expected an object or a list, not {_describe_json(value)}")
    if isinstance(value, list):
        for place, each in enumerate(value):
            key = each.get("key") if isinstance(each, dict) and "key" in each else each
            if not isinstance(each, (dict, str)):
                _fail_at_path((*path, place), f"expected a key, not {_describe_json(each)}")
            _expect_value(key, (*path, place))


def _expect_name(value: object, path: JsonPath) -> str:
    """Return the text of a name, given as plain text or as a typed value.

    Raises DocumentError if the value is not a name.
    """
    if isinstance(value, dict) and value.get("type") in ("xsd:QName", "prov:QUALIFIED_NAME"):
        value = value.get("$")
    if not isinstance(value, str) or not value:
        _fail_at_path(path, f"expected a name, not {_describe_json(value)}")
    return value


def _check_time(value: object, path: JsonPath) -> None:
    from prov.model import parse_xsd_datetime

    text = value.get("$") if isinstance(value, dict) else value
    if not isinstance(text, str) or parse_xsd_datetime(text) is None:
        _fail_at_path(path, f"expected an xsd:dateTime, not {_describe_json(text)}")


def _expect_value(value: object, path: JsonPath) -> Any:
    """Check an attribute value and return it. A boolean in a typed value becomes text.

    Raises DocumentError if the value's structure is not valid.
    """
    if isinstance(value, (str, int, float)):
        return value
    if not isinstance(value, dict):
        _fail_at_path(path, f"expected a value, not {_describe_json(value)}")
    text = value.get("$")
    if not isinstance(text, (str, int, float)):
        _fail_at_path((*path, "$"), f"expected the text of a value, not {_describe_json(text)}")
    for member in value:
        if member not in ("$", "type", "lang"):
            _fail_at_path(path, f'a value can have only "$", "type" and "lang", not {member!r}')
    for member in ("type", "lang"):
        if not isinstance(value.get(member, ""), str):
            _fail_at_path((*path, member), f"expected text, not {_describe_json(value[member])}")
    if isinstance(text, bool):
        return {**value, "$": "true" if text else "false"}
    return value


def _expect_object(value: object, path: JsonPath) -> dict[str, Any]:
    if not isinstance(value, dict):
        _fail_at_path(path, f"expected an object, not {_describe_json(value)}")
    return value


def _fail_at_path(path: JsonPath, what: str) -> NoReturn:
    raise DocumentError(f"PROV-JSON: {path_text(path)}: {what}")


def _describe_json(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "a list"
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _MAX_VALUE_CHARS else f"{text[: _MAX_VALUE_CHARS - 1]}…"


@cache
def _formal_attributes() -> tuple[frozenset[str], frozenset[str]]:
    """Return the PROV attributes whose values are names, and those whose values are times."""
    from prov.constants import PROV_ATTRIBUTE_LITERALS, PROV_ATTRIBUTE_QNAMES

    return frozenset(map(str, PROV_ATTRIBUTE_QNAMES)), frozenset(map(str, PROV_ATTRIBUTE_LITERALS))


# -- writing ------------------------------------------------------------------------------------


def write(document: Document, sink: BinaryIO) -> None:
    """Write a PROV-JSON document. Raises DocumentError if PROV-JSON can't express it."""
    sink.write(json.dumps(document.provjson(), indent=1, ensure_ascii=False).encode())
    sink.write(b"\n")

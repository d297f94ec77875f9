"""PROV-JSON (W3C Member Submission, 2013).

Its structure is checked here, so that what is wrong is told with its place; the records are read
by prov. Imports `_dictionary`, `_document`, `_engine`, `_source`; prov when it runs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any, BinaryIO, Final, NoReturn

from provml.errors import DocumentError
from provml.reading._dictionary import KINDS, MEMBERSHIP, DictionaryStatement, normal_value
from provml.reading._document import Document
from provml.reading._engine import guarded, refuse_losses, time_notes
from provml.reading._source import text_of

if TYPE_CHECKING:
    from prov.identifier import QualifiedName
    from prov.model import ProvBundle

NAME: Final = "PROV-JSON"
SUFFIXES: Final = (".json", ".provjson")

Path = tuple[str | int, ...]
"""A place in JSON."""

_LONGEST_SHOWN: Final = 60
_DICTIONARY_MEMBERS: Final = frozenset(
    (
        "prov:after",
        "prov:before",
        "prov:dictionary",
        "prov:key-entity-set",
        "prov:key-set",
    )
)

MAX_DEPTH: Final = 100
"""How deeply JSON may be nested; PROV-JSON needs seven levels."""

_SURROGATE: Final = re.compile("[\ud800-\udfff]")


def looks_like(head: str) -> bool:
    """Whether a text that begins so may be in this form."""
    return head.startswith("{") and '"@context"' not in head and '"@graph"' not in head


def load_json(data: bytes) -> object:
    """JSON text, in UTF-8 or with a byte order mark, as Python's own types.

    The size is whoever read the bytes to bound; the depth is bounded here.

    Raises:
        DocumentError: no JSON, with line and column; NaN or an infinity, a key that stands twice
            in one object, half of a surrogate pair, more than `MAX_DEPTH` levels.
    """
    try:
        content = json.loads(
            text_of(data),
            object_pairs_hook=_without_repeats,
            parse_constant=_refuse_constant,
            parse_float=_finite,
        )
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise DocumentError(f"{place}: this is no JSON: {error.msg}") from None
    except RecursionError:
        raise DocumentError(f"the JSON is nested deeper than {MAX_DEPTH} levels") from None
    except DocumentError:
        raise
    except ValueError as error:  # an integer of too many digits
        raise DocumentError(f"the JSON has a number that can't be read: {error}") from None
    _check_tree(content)
    return content


def path_text(path: Path) -> str:
    """A place in JSON as people write it: ``$.entity['ex:e1'][0]``."""
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
                    f"the key {key!r} stands twice in one JSON object, of which readers drop one; "
                    "PROV-JSON states two records of one id as a list"
                )
            seen.add(key)
    return found


def _refuse_constant(name: str) -> Any:
    raise DocumentError(f'{name} is no JSON; PROV-JSON has {{"$": "NaN", "type": "xsd:double"}}')


def _finite(text: str) -> float:
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise DocumentError(f"the JSON number {text} is beyond what a double holds")
    return number


def _check_tree(content: object) -> None:
    """Refuse what is too deep, and text that is no Unicode. Memory is that of the depth."""
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
            _check_text(step, (*path[1:], step))
        if isinstance(value, str):
            if not value.isascii():
                _check_text(value, (*path[1:], step))
        elif isinstance(value, (dict, list)):
            if len(levels) > MAX_DEPTH:
                raise DocumentError(f"the JSON is nested deeper than {MAX_DEPTH} levels")
            path.append(step)
            levels.append(iter(value.items() if isinstance(value, dict) else enumerate(value)))


def _check_text(text: str, path: Path) -> None:
    if _SURROGATE.search(text):
        raise DocumentError(
            f"{path_text(path)}: half of a surrogate pair is no character: {text!a}"
        )


# -- reading ------------------------------------------------------------------------------------


def read(data: bytes, base: str | None = None) -> Document:
    """The document. Raises DocumentError."""
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
        with guarded(f"PROV-JSON: {path_text(('bundle', name))}"):
            document.add_bundle(bundle, bundle.valid_qualified_name(name))
        statements += [replace(each, bundle=bundle.identifier) for each in found]
    notes: list[str] = []
    if unnamed:
        notes.append(
            f"{len(unnamed):,} relations have an identifier without a prefix, and no default is "
            f"declared: they are read as without one, such as {unnamed[0]}"
        )
    return Document(document, statements, notes, time_notes(data))


def _read_container(
    content: dict[str, Any], bundle: ProvBundle, path: Path, notes: list[str]
) -> list[DictionaryStatement]:
    """Read one container, its dictionary statements apart; to notes go names that are none.

    Raises DocumentError.
    """
    from prov.serializers.provjson import decode_json_container

    prefix = content.pop("prefix", {})
    stated = {kind: content.pop(kind) for kind in KINDS if kind in content}
    # prov takes from what it decodes, and a record that fails is looked for afterwards
    try:
        with guarded("PROV-JSON") as told:
            decode_json_container({"prefix": prefix, **content}, bundle)
        refuse_losses("PROV-JSON", told)
        for kind, records in content.items():
            for identifier in records:  # prov leaves away a relation's that it can't resolve
                if identifier.startswith("_:"):
                    continue
                if ":" in identifier:
                    _resolved(bundle, identifier, path_text((*path, kind, identifier)))
                elif bundle.valid_qualified_name(identifier) is None:
                    notes.append(path_text((*path, kind, identifier)))
    except DocumentError as error:
        raise _placed(error, prefix, content, bundle, path) from error.__cause__
    found = []
    for kind, records in stated.items():
        for identifier, record in _records(records):
            place = path_text((*path, kind, identifier))
            with guarded(f"PROV-JSON: {place}") as told:
                found.append(_dictionary(kind, identifier, record, bundle, place))
            refuse_losses(f"PROV-JSON: {place}", told)
    return found


def _placed(
    error: DocumentError,
    prefix: dict[str, str],
    content: dict[str, Any],
    bundle: ProvBundle,
    path: Path,
) -> DocumentError:
    """The error of the first record that can't be read by itself, with its place."""
    from prov.model import ProvDocument
    from prov.serializers.provjson import decode_json_container

    outer = {} if bundle.document in (None, bundle) else _prefixes_of(bundle.document)
    for kind, records in content.items():
        for identifier, record in _records(records):
            alone: dict[str, Any] = {"prefix": {**outer, **prefix}, kind: {identifier: record}}
            place = path_text((*path, kind, identifier))
            try:
                with guarded(f"PROV-JSON: {place}") as told:
                    decode_json_container(alone, ProvDocument())
                refuse_losses(f"PROV-JSON: {place}", told)
            except DocumentError as found:
                if "identifier is missing" in str(found):
                    return _undeclared(identifier, place)
                return found
    return error


def _undeclared(name: Any, place: str) -> DocumentError:
    return DocumentError(
        f"PROV-JSON: {place}: {_shown(name)} is no name with a prefix that is declared"
    )


def _prefixes_of(document: Any) -> dict[str, str]:
    found = {each.prefix: each.uri for each in document.get_registered_namespaces()}
    default = document.get_default_namespace()
    return found if default is None else {**found, "default": default.uri}


def _records(records: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for identifier, given in records.items():
        for record in given if isinstance(given, list) else [given]:
            yield identifier, record


def _dictionary(
    kind: str, identifier: str, record: dict[str, Any], bundle: ProvBundle, place: str
) -> DictionaryStatement:
    """A dictionary statement, by the names that ProvToolbox gives its members."""
    from prov.serializers.provjson import decode_json_representation

    def name(member: str) -> QualifiedName | None:
        text = record.get(member)
        return None if text is None else _resolved(bundle, text, f"{place}[{member!r}]")

    def value(given: Any) -> Any:
        return normal_value(bundle, decode_json_representation(given, bundle))

    attributes = []
    for member, given in record.items():
        if member not in _DICTIONARY_MEMBERS:
            key = _resolved(bundle, member, place)
            for each in given if isinstance(given, list) else [given]:
                attributes.append((key, value(each)))
    keys = record.get("prov:key-set", [])
    if isinstance(keys, dict) and "$" in keys:
        keys = [keys]
    elif isinstance(keys, dict):
        keys = [{"$": key, "type": keys["$key-datatype"]} for key in _without_type(keys)]
    pairs = []
    for key, entity in _pairs(record.get("prov:key-entity-set", []), place):
        entity_name = _resolved(bundle, entity, f"{place}['prov:key-entity-set']")
        pairs.append((value(key), entity_name))
    anonymous = identifier.startswith("_:")
    if kind == MEMBERSHIP and (attributes or not anonymous):
        raise DocumentError(
            f"PROV-JSON: {place}: PROV-Dictionary gives {MEMBERSHIP} no identifier and no attribute"
        )
    return DictionaryStatement(
        kind,
        None,
        None if anonymous else _resolved(bundle, identifier, place),
        name("prov:dictionary") if kind == MEMBERSHIP else name("prov:after"),
        name("prov:before"),
        tuple(pairs),
        tuple(map(value, keys)),
        tuple(attributes),
    )


def _pairs(given: Any, place: str) -> list[tuple[Any, Any]]:
    """Keys and entities: a list of both, or an object of keys that share a datatype."""
    found = []
    if isinstance(given, dict):
        datatype = given.get("$key-datatype", "xsd:string")
        return [({"$": key, "type": datatype}, given[key]) for key in _without_type(given)]
    for each in given:
        if not isinstance(each, dict) or set(each) != {"key", "$"}:
            raise DocumentError(
                f'PROV-JSON: {place}[\'prov:key-entity-set\']: a pair has "key" and "$", not '
                f"{_shown(each)}"
            )
        found.append((each["key"], each["$"]))
    return found


def _without_type(given: dict[str, Any]) -> list[str]:
    return [key for key in given if key != "$key-datatype"]


def _resolved(bundle: ProvBundle, text: Any, place: str) -> QualifiedName:
    name = bundle.valid_qualified_name(text) if isinstance(text, str) else None
    if name is None:
        raise _undeclared(text, place)
    return name


# -- the structure, checked before prov sees it -------------------------------------------------


def check_document(content: object) -> None:
    """Refuse what is no PROV-JSON by its structure, with the place. Values are made plain."""
    document = _object(content, ())
    _check_container(document, ())
    bundles = _object(document.get("bundle", {}), ("bundle",))
    for name, members in bundles.items():
        container = _object(members, ("bundle", name))
        if "bundle" in container:
            _fail(("bundle", name, "bundle"), "a bundle within a bundle is no PROV")
        _check_container(container, ("bundle", name))


def _check_container(content: dict[str, Any], path: Path) -> None:
    from prov.constants import PROV_RECORD_IDS_MAP

    for kind, records in content.items():
        here = (*path, kind)
        if kind == "bundle":
            continue
        if kind == "prefix":
            for prefix, iri in _object(records, here).items():
                if not isinstance(iri, str) or not iri:
                    _fail((*here, prefix), f"a namespace is an IRI, not {_shown(iri)}")
            continue
        if kind not in PROV_RECORD_IDS_MAP and kind not in KINDS:
            _fail(here, f"{kind!r} is no kind of statement in PROV-JSON")
        for identifier, given in _object(records, here).items():
            if not identifier:
                _fail((*here, identifier), "an identifier is empty")
            if isinstance(given, list):
                for place, record in enumerate(given):
                    _check_record(record, kind, (*here, identifier, place))
            else:
                _check_record(given, kind, (*here, identifier))


def _check_record(given: object, kind: str, path: Path) -> None:
    record = _object(given, path)
    names, times = _formal_names()
    for attribute, value in record.items():
        here = (*path, attribute)
        if kind in KINDS and attribute in _DICTIONARY_MEMBERS:
            _check_dictionary_member(attribute, value, here)
        elif attribute in names:
            if isinstance(value, list):
                if not value:
                    _fail(here, "a list of no names")
                record[attribute] = [
                    _plain_name(each, (*here, place)) for place, each in enumerate(value)
                ]
            else:
                record[attribute] = _plain_name(value, here)
        elif attribute in times:
            time = value[0] if isinstance(value, list) and len(value) == 1 else value
            _check_time(time, here)
            record[attribute] = time
        elif isinstance(value, list):
            record[attribute] = [
                _plain_value(each, (*here, place)) for place, each in enumerate(value)
            ]
        else:
            record[attribute] = _plain_value(value, here)


def _check_dictionary_member(member: str, value: Any, path: Path) -> None:
    if member in ("prov:after", "prov:before", "prov:dictionary"):
        _plain_name(value, path)
        return
    if not isinstance(value, (dict, list)):
        _fail(path, f"expected an object or a list, not {_shown(value)}")
    if isinstance(value, list):
        for place, each in enumerate(value):
            key = each.get("key") if isinstance(each, dict) and "key" in each else each
            if not isinstance(each, (dict, str)):
                _fail((*path, place), f"expected a key, not {_shown(each)}")
            _plain_value(key, (*path, place))


def _plain_name(value: object, path: Path) -> str:
    """A name; some write it as a typed value."""
    if isinstance(value, dict) and value.get("type") in ("xsd:QName", "prov:QUALIFIED_NAME"):
        value = value.get("$")
    if not isinstance(value, str) or not value:
        _fail(path, f"expected the name of a thing, not {_shown(value)}")
    return value


def _check_time(value: object, path: Path) -> None:
    from prov.model import parse_xsd_datetime

    text = value.get("$") if isinstance(value, dict) else value
    if not isinstance(text, str) or parse_xsd_datetime(text) is None:
        _fail(path, f"expected a time, as xsd:dateTime writes it, not {_shown(text)}")


def _plain_value(value: object, path: Path) -> Any:
    """A value with the text that its type writes; refused where it is none."""
    if isinstance(value, (str, int, float)):
        return value
    if not isinstance(value, dict):
        _fail(path, f"expected a value, not {_shown(value)}")
    text = value.get("$")
    if not isinstance(text, (str, int, float)):
        _fail((*path, "$"), f"expected the text of a value, not {_shown(text)}")
    for member in value:
        if member not in ("$", "type", "lang"):
            _fail(path, f'a value has "$", "type" and "lang", no {member!r}')
    for member in ("type", "lang"):
        if not isinstance(value.get(member, ""), str):
            _fail((*path, member), f"expected text, not {_shown(value[member])}")
    if isinstance(text, bool):
        return {**value, "$": "true" if text else "false"}
    return value


def _object(value: object, path: Path) -> dict[str, Any]:
    if not isinstance(value, dict):
        _fail(path, f"expected an object, not {_shown(value)}")
    return value


def _fail(path: Path, what: str) -> NoReturn:
    raise DocumentError(f"PROV-JSON: {path_text(path)}: {what}")


def _shown(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "a list"
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[: _LONGEST_SHOWN - 1]}…"


@cache
def _formal_names() -> tuple[frozenset[str], frozenset[str]]:
    """The attributes that are names, and those that are times."""
    from prov.constants import PROV_ATTRIBUTE_LITERALS, PROV_ATTRIBUTE_QNAMES

    return frozenset(map(str, PROV_ATTRIBUTE_QNAMES)), frozenset(map(str, PROV_ATTRIBUTE_LITERALS))


# -- writing ------------------------------------------------------------------------------------


def write(document: Document, sink: BinaryIO) -> None:
    """Write the document. Raises DocumentError."""
    sink.write(json.dumps(document.provjson(), indent=1, ensure_ascii=False).encode())
    sink.write(b"\n")

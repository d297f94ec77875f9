"""PROV-JSON (W3C Member Submission, 2013).

Imports `_document`, `_engine`, `_source`; prov when it runs.
"""

from __future__ import annotations

import json
import re
from typing import Any, BinaryIO, Final

from provml.errors import DocumentError
from provml.reading._document import Document
from provml.reading._engine import guarded
from provml.reading._source import text_of

SUFFIXES: Final = (".json", ".provjson")

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


def path_text(path: tuple[str | int, ...]) -> str:
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
    """Refuse what is too deep, and text that is no Unicode."""
    waiting: list[tuple[object, tuple[Any, ...]]] = [(content, ())]
    while waiting:
        value, path = waiting.pop()
        if isinstance(value, str):
            if _SURROGATE.search(value):
                place = path_text(_unlinked(path))
                raise DocumentError(f"{place}: half of a surrogate pair is no character: {value!a}")
            continue
        if not isinstance(value, (dict, list)):
            continue
        depth = path[0] + 1 if path else 1
        if depth > MAX_DEPTH:
            raise DocumentError(f"the JSON is nested deeper than {MAX_DEPTH} levels")
        if isinstance(value, dict):
            for key, member in value.items():
                link = (depth, key, path)
                waiting.append((member, link))
                if not key.isascii():
                    waiting.append((key, link))
        else:
            waiting.extend((member, (depth, place, path)) for place, member in enumerate(value))


def _unlinked(path: tuple[Any, ...]) -> tuple[str | int, ...]:
    steps: list[str | int] = []
    while path:
        steps.append(path[1])
        path = path[2]
    return tuple(reversed(steps))


def read(data: bytes) -> Document:
    """The document. Raises DocumentError."""
    from prov.model import ProvDocument
    from prov.serializers.provjson import decode_json_document

    content = load_json(data)
    document = ProvDocument()
    with guarded("PROV-JSON"):
        decode_json_document(content, document)  # type: ignore[arg-type]
    return Document(document)


def write(document: Document, sink: BinaryIO) -> None:
    """Write the document."""
    sink.write(json.dumps(document.provjson(), indent=1, ensure_ascii=False).encode())
    sink.write(b"\n")

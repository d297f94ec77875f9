"""PROV-O in JSON-LD. No context is fetched: only PROV-JSONLD's own is at hand.

Imports `_rdf`, `provjson`; prov when it runs.
"""

from __future__ import annotations

import json
from typing import Any, BinaryIO, Final

from provml.errors import DocumentError
from provml.reading._document import Document
from provml.reading._engine import guarded
from provml.reading._rdf import read_rdf, write_rdf
from provml.reading.provjson import load_json, path_text
from provml.reading.provjsonld import CONTEXTS

NAME: Final = "JSON-LD"
SUFFIXES: Final = (".jsonld",)


def looks_like(head: str) -> bool:
    """Whether a text that begins so may be in this form."""
    if "openprovenance.org/prov-jsonld" in head:
        return False  # PROV-JSONLD, whose context means more than JSON-LD can say of it
    return head.startswith("[") or (head.startswith("{") and '"@' in head)


def read(data: bytes, base: str | None = None) -> Document:
    """The document. Raises DocumentError."""
    content = load_json(data)
    if _contexts_put_in(content):
        data = json.dumps(content).encode()
    with guarded(NAME):
        return read_rdf(data, "JSON_LD", base)


def write(document: Document, sink: BinaryIO) -> None:
    """Write the document. Raises DocumentError."""
    write_rdf(document, sink, "JSON_LD", named=True)


def _contexts_put_in(content: object) -> bool:
    """Put the context that is at hand in where it is named; whether there was any.

    Raises:
        DocumentError: another one is named, which would have to be fetched.
    """
    found = False
    waiting: list[tuple[Any, tuple[str | int, ...]]] = [(content, ())]
    while waiting:
        value, path = waiting.pop()
        if isinstance(value, list):
            waiting += [(each, (*path, place)) for place, each in enumerate(value)]
            continue
        if not isinstance(value, dict):
            continue
        for key, member in value.items():
            here = (*path, key)
            if key == "@context":
                value[key], changed = _put_in(member, here)
                found = found or changed
            elif key == "@import":
                raise DocumentError(f"{path_text(here)}: @import is not followed")
            else:
                waiting.append((member, here))
    return found


def _put_in(context: Any, path: tuple[str | int, ...]) -> tuple[Any, bool]:
    if isinstance(context, list):
        parts = [_put_in(each, (*path, place)) for place, each in enumerate(context)]
        return [part for part, _ in parts], any(changed for _, changed in parts)
    if isinstance(context, str):
        if context not in CONTEXTS:
            raise DocumentError(
                f"{path_text(path)}: the context {context} is elsewhere, and nothing is fetched: "
                "put it in the document"
            )
        from prov.serializers.provjsonld import load_vendored_context

        return load_vendored_context(), True
    if isinstance(context, dict):
        if "@import" in context:
            raise DocumentError(f"{path_text(path)}: @import is not followed")
        for term, definition in context.items():  # a term may have a context of its own
            if isinstance(definition, dict) and "@context" in definition:
                definition["@context"], _ = _put_in(
                    definition["@context"], (*path, term, "@context")
                )
    return context, False

"""Read and write PROV-O in JSON-LD.

This module never downloads a context. A document may refer to the context of PROV-JSONLD, which is
built in, or contain its own contexts. Imports prov only when it is needed.
"""

from __future__ import annotations

import json
from typing import Any, BinaryIO, Final

from provml.errors import DocumentError
from provml.reading._document import Document
from provml.reading._engine import wrap_library_errors
from provml.reading._rdf import read_rdf, write_rdf
from provml.reading.provjson import load_json, path_text
from provml.reading.provjsonld import CONTEXTS

NAME: Final = "JSON-LD"
SUFFIXES: Final = (".jsonld",)


def looks_like(head: str) -> bool:
    """Return whether a text that starts with ``head`` may be JSON-LD."""
    if "openprovenance.org/prov-jsonld" in head:
        return False  # PROV-JSONLD has its own reader
    return head.startswith("[") or (head.startswith("{") and '"@' in head)


def read(data: bytes, base: str | None = None) -> Document:
    """Read a JSON-LD document.

    Raises:
        DocumentError: the document is invalid, or refers to a context that is not built in.
    """
    content = load_json(data)
    if _inline_contexts(content):
        data = json.dumps(content).encode()
    with wrap_library_errors(NAME):
        return read_rdf(data, "JSON_LD", base)


def write(document: Document, sink: BinaryIO) -> None:
    """Write the document as JSON-LD. Raises DocumentError if PROV-O can't express it."""
    write_rdf(document, sink, "JSON_LD", named=True)


def _inline_contexts(content: object) -> bool:
    """Replace each reference to a built-in context with the context itself, in place.

    Returns:
        True if the document contained a reference to a built-in context.

    Raises:
        DocumentError: the document uses ``@import``, or refers to a context that is not built in.
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
                value[key], changed = _inline_context(member, here)
                found = found or changed
            elif key == "@import":
                raise DocumentError(f"{path_text(here)}: @import is not supported")
            else:
                waiting.append((member, here))
    return found


def _inline_context(context: Any, path: tuple[str | int, ...]) -> tuple[Any, bool]:
    if isinstance(context, list):
        parts = [_inline_context(each, (*path, place)) for place, each in enumerate(context)]
        return [part for part, _ in parts], any(changed for _, changed in parts)
    if isinstance(context, str):
        if context not in CONTEXTS:
            raise DocumentError(
                f"{path_text(path)}: the context {context} is not built in, and provml does not "
                "download contexts: copy it into the document"
            )
        from prov.serializers.provjsonld import load_vendored_context

        return load_vendored_context(), True
    if isinstance(context, dict):
        if "@import" in context:
            raise DocumentError(f"{path_text(path)}: @import is not supported")
        for term, definition in context.items():  # a term may have a scoped context
            if isinstance(definition, dict) and "@context" in definition:
                definition["@context"], _ = _inline_context(
                    definition["@context"], (*path, term, "@context")
                )
    return context, False

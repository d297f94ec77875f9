"""PROV-JSONLD (W3C Member Submission, 2024), in its canonical shape.

Imports `_document`, `_engine`, `provjson`; prov when it runs.
"""

from __future__ import annotations

import json
from typing import Any, BinaryIO, Final

from provml.errors import DocumentError
from provml.reading._document import Document
from provml.reading._engine import guarded, refuse_losses, time_notes
from provml.reading.provjson import load_json, path_text

NAME: Final = "PROV-JSONLD"
SUFFIXES: Final = (".prov.jsonld", ".provjsonld")

CONTEXTS: Final = (
    "https://openprovenance.org/prov-jsonld/context.jsonld",
    "http://openprovenance.org/prov-jsonld/context.jsonld",
    "https://openprovenance.org/prov-jsonld/context.json",
)
"""The addresses of the context that is at hand."""


def looks_like(head: str) -> bool:
    """Whether a text that begins so may be in this form."""
    return head.startswith("{") and "openprovenance.org/prov-jsonld" in head


def read(data: bytes, base: str | None = None) -> Document:
    """The document. Raises DocumentError."""
    from prov.model import ProvDocument
    from prov.serializers.provjsonld import decode_jsonld_document

    content = load_json(data)
    if not isinstance(content, dict):
        raise DocumentError(f"{NAME}: $: expected an object")
    _check_context(content.get("@context"), ("@context",))
    document = ProvDocument()
    try:
        with guarded(NAME) as told:
            decode_jsonld_document(content, document)
        refuse_losses(NAME, told)
    except DocumentError as error:
        raise _placed(error, content) from error.__cause__
    return Document(document, losses=time_notes(data))


def write(document: Document, sink: BinaryIO) -> None:
    """Write the document. Raises DocumentError for what the submission has no terms for."""
    from prov.serializers.provjsonld import encode_jsonld_document

    prov, statements, _ = document.tidied()
    if statements:
        raise DocumentError(
            f"{NAME} has no terms for PROV-Dictionary, and the document has {len(statements):,} of "
            f"its statements: {statements[0].kind}"
        )
    made = encode_jsonld_document(prov, "url")
    sink.write(json.dumps(made, indent=1, ensure_ascii=False).encode() + b"\n")


def _check_context(context: Any, path: tuple[str | int, ...]) -> None:
    if isinstance(context, list):
        for place, each in enumerate(context):
            _check_context(each, (*path, place))
    elif isinstance(context, str) and context not in CONTEXTS:
        raise DocumentError(
            f"{NAME}: {path_text(path)}: the context {context} is elsewhere, and nothing is fetched"
        )


def _placed(error: DocumentError, content: dict[str, Any]) -> DocumentError:
    """The error of the first statement that can't be read by itself, with its place."""
    from prov.model import ProvDocument
    from prov.serializers.provjsonld import decode_jsonld_document

    graph = content.get("@graph")
    for place, item in enumerate(graph if isinstance(graph, list) else ()):
        where = f"{NAME}: {path_text(('@graph', place))}"
        try:
            with guarded(where) as told:
                decode_jsonld_document({**content, "@graph": [item]}, ProvDocument())
            refuse_losses(where, told)
        except DocumentError as found:
            return found
    return error

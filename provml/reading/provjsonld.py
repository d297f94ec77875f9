"""Read and write PROV-JSONLD (W3C Member Submission, 2024), in its canonical form.

Imports prov only when it is needed.
"""

from __future__ import annotations

import json
from typing import Any, BinaryIO, Final

from provml.errors import DocumentError
from provml.reading._document import Document
from provml.reading._engine import note_cut_times, refuse_losses, wrap_library_errors
from provml.reading.provjson import load_json, path_text

NAME: Final = "PROV-JSONLD"
SUFFIXES: Final = (".prov.jsonld", ".provjsonld")

CONTEXTS: Final = (
    "https://openprovenance.org/prov-jsonld/context.jsonld",
    "http://openprovenance.org/prov-jsonld/context.jsonld",
    "https://openprovenance.org/prov-jsonld/context.json",
)
"""The URLs of the PROV-JSONLD context. The context is built in, so it is never downloaded."""


def looks_like(head: str) -> bool:
    """Return whether a text that starts with ``head`` may be PROV-JSONLD."""
    return head.startswith("{") and "openprovenance.org/prov-jsonld" in head


def read(data: bytes, base: str | None = None) -> Document:
    """Read a PROV-JSONLD document. Raises DocumentError if it is invalid."""
    from prov.model import ProvDocument
    from prov.serializers.provjsonld import decode_jsonld_document

    content = load_json(data)
    if not isinstance(content, dict):
        raise DocumentError(f"{NAME}: $: expected a JSON object")
    _check_context(content.get("@context"), ("@context",))
    document = ProvDocument()
    try:
        with wrap_library_errors(NAME) as warned:
            decode_jsonld_document(content, document)
        refuse_losses(NAME, warned)
    except DocumentError as error:
        raise _locate_statement_error(error, content) from error.__cause__
    return Document(document, losses=note_cut_times(data))


def write(document: Document, sink: BinaryIO) -> None:
    """Write a PROV-JSONLD document. Raises DocumentError for PROV-Dictionary statements."""
    from prov.serializers.provjsonld import encode_jsonld_document

    prov, statements, _ = document.tidy_statements()
    if statements:
        raise DocumentError(
            f"{NAME} can't represent PROV-Dictionary statements, and the document has "
            f"{len(statements):,} of them, for example {statements[0].kind}"
        )
    made = encode_jsonld_document(prov, "url")
    sink.write(json.dumps(made, indent=1, ensure_ascii=False).encode() + b"\n")


def _check_context(context: Any, path: tuple[str | int, ...]) -> None:
    if isinstance(context, list):
        for place, each in enumerate(context):
            _check_context(each, (*path, place))
    elif isinstance(context, str) and context not in CONTEXTS:
        raise DocumentError(
            f"{NAME}: {path_text(path)}: the context {context} is not built in, and provml does "
            "not download contexts"
        )


def _locate_statement_error(error: DocumentError, content: dict[str, Any]) -> DocumentError:
    """Return an error for the first statement that prov can't read, with the statement's path.

    Returns ``error`` if prov can read each statement on its own.
    """
    from prov.model import ProvDocument
    from prov.serializers.provjsonld import decode_jsonld_document

    graph = content.get("@graph")
    for place, item in enumerate(graph if isinstance(graph, list) else ()):
        where = f"{NAME}: {path_text(('@graph', place))}"
        try:
            with wrap_library_errors(where) as warned:
                decode_jsonld_document({**content, "@graph": [item]}, ProvDocument())
            refuse_losses(where, warned)
        except DocumentError as found:
            return found
    return error

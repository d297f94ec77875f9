"""PROV-N (W3C Recommendation, 2013).

Imports `_document`, `_engine`, `_source`; prov when it runs.
"""

from __future__ import annotations

from typing import BinaryIO, Final

from provml.reading._document import Document
from provml.reading._engine import guarded
from provml.reading._source import text_of

SUFFIXES: Final = (".provn",)


def looks_like(head: str) -> bool:
    """Whether a text that begins so may be in this form."""
    return head.startswith(("document", "//", "/*"))


def read(data: bytes) -> Document:
    """The document. Raises DocumentError."""
    from prov.model import ProvDocument

    text = text_of(data)
    with guarded("PROV-N"):
        return Document(ProvDocument.deserialize(content=text, format="provn"))


def write(document: Document, sink: BinaryIO) -> None:
    """Write the document."""
    with guarded("PROV-N"):
        text = document.prov.get_provn()
    sink.write(text.encode() + b"\n")

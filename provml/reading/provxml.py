"""PROV-XML (W3C Note, 2013).

Imports `_document`, `_engine`; prov and lxml when it runs.
"""

from __future__ import annotations

import io
from typing import BinaryIO, Final

from provml.reading._document import Document
from provml.reading._engine import guarded

SUFFIXES: Final = (".provx", ".xml")


def looks_like(head: str) -> bool:
    """Whether a text that begins so may be in this form."""
    return head.startswith("<") and "<rdf:RDF" not in head and "document" in head


def read(data: bytes) -> Document:
    """The document. Raises DocumentError."""
    from prov.model import ProvDocument

    with guarded("PROV-XML"):
        return Document(ProvDocument.deserialize(io.BytesIO(data), format="xml"))


def write(document: Document, sink: BinaryIO) -> None:
    """Write the document."""
    with guarded("PROV-XML"):
        document.prov.serialize(sink, format="xml")

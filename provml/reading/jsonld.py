"""JSON-LD of PROV-O. Imports `_rdf`."""

from __future__ import annotations

from typing import BinaryIO, Final

from provml.reading._document import Document
from provml.reading._rdf import read_rdf, write_rdf

SUFFIXES: Final = (".jsonld",)


def looks_like(head: str) -> bool:
    """Whether a text that begins so may be in this form."""
    return head.startswith(("{", "["))


def read(data: bytes) -> Document:
    """The document. Raises DocumentError."""
    return read_rdf(data, "json-ld")


def write(document: Document, sink: BinaryIO) -> None:
    """Write the document."""
    write_rdf(document, sink, "json-ld")

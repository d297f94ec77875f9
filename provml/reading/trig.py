"""TriG of PROV-O. Imports `_rdf`."""

from __future__ import annotations

from typing import BinaryIO, Final

from provml.reading._document import Document
from provml.reading._rdf import read_rdf, write_rdf

SUFFIXES: Final = (".trig",)


def looks_like(head: str) -> bool:
    """Whether a text that begins so may be in this form."""
    return head.startswith(("@", "<", "#", "[", "_:", "{"))


def read(data: bytes) -> Document:
    """The document. Raises DocumentError."""
    return read_rdf(data, "trig")


def write(document: Document, sink: BinaryIO) -> None:
    """Write the document."""
    write_rdf(document, sink, "trig")

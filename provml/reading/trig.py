"""PROV-O in TriG.

Imports `_rdf`.
"""

from __future__ import annotations

from typing import BinaryIO, Final

from provml.reading._document import Document
from provml.reading._rdf import looks_like_turtle, read_rdf, write_rdf

NAME: Final = "TriG"
SUFFIXES: Final = (".trig",)


def looks_like(head: str) -> bool:
    """Whether a text that starts with ``head`` may be TriG."""
    return looks_like_turtle(head)


def read(data: bytes, base: str | None = None) -> Document:
    """Read a document. Raises DocumentError."""
    return read_rdf(data, "TRIG", base)


def write(document: Document, sink: BinaryIO) -> None:
    """Write the document. Raises DocumentError."""
    write_rdf(document, sink, "TRIG", named=True)

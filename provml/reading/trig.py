"""Read and write PROV-O in TriG."""

from __future__ import annotations

from typing import BinaryIO, Final

from provml.reading._document import Document
from provml.reading._rdf import looks_like_turtle, read_rdf, write_rdf

NAME: Final = "TriG"
SUFFIXES: Final = (".trig",)


def looks_like(head: str) -> bool:
    """Return whether a text that starts with ``head`` may be TriG."""
    return looks_like_turtle(head)


def read(data: bytes, base: str | None = None) -> Document:
    """Read a TriG document. Raises DocumentError if it is invalid."""
    return read_rdf(data, "TRIG", base)


def write(document: Document, sink: BinaryIO) -> None:
    """Write the document as TriG. Raises DocumentError if PROV-O can't express it."""
    write_rdf(document, sink, "TRIG", named=True)

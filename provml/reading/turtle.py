"""Read and write PROV-O in Turtle."""

from __future__ import annotations

from typing import BinaryIO, Final

from provml.reading._document import Document
from provml.reading._rdf import looks_like_turtle, read_rdf, write_rdf

NAME: Final = "Turtle"
SUFFIXES: Final = (".ttl", ".turtle")


def looks_like(head: str) -> bool:
    """Return whether a text that starts with ``head`` may be Turtle."""
    return looks_like_turtle(head) and "{" not in head


def read(data: bytes, base: str | None = None) -> Document:
    """Read a Turtle document. Raises DocumentError if it is invalid."""
    return read_rdf(data, "TURTLE", base)


def write(document: Document, sink: BinaryIO) -> None:
    """Write the document as Turtle. Raises DocumentError if Turtle can't express it."""
    write_rdf(document, sink, "TURTLE")

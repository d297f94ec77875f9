"""PROV-O in Turtle.

Imports `_rdf`.
"""

from __future__ import annotations

from typing import BinaryIO, Final

from provml.reading._document import Document
from provml.reading._rdf import read_rdf, turtle_like, write_rdf

NAME: Final = "Turtle"
SUFFIXES: Final = (".ttl", ".turtle")


def looks_like(head: str) -> bool:
    """Whether a text that begins so may be in this form."""
    return turtle_like(head) and "{" not in head


def read(data: bytes, base: str | None = None) -> Document:
    """The document. Raises DocumentError."""
    return read_rdf(data, "TURTLE", base)


def write(document: Document, sink: BinaryIO) -> None:
    """Write the document. Raises DocumentError if it has bundles."""
    write_rdf(document, sink, "TURTLE")

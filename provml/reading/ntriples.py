"""PROV-O in N-Triples.

Imports `_rdf`.
"""

from __future__ import annotations

from typing import BinaryIO, Final

from provml.reading._document import Document
from provml.reading._rdf import read_rdf, triples_like, write_rdf

NAME: Final = "N-Triples"
SUFFIXES: Final = (".nt",)


def looks_like(head: str) -> bool:
    """Whether a text that begins so may be in this form."""
    return triples_like(head)


def read(data: bytes, base: str | None = None) -> Document:
    """The document. Raises DocumentError."""
    return read_rdf(data, "N_TRIPLES", base)


def write(document: Document, sink: BinaryIO) -> None:
    """Write the document. Raises DocumentError if it has bundles."""
    write_rdf(document, sink, "N_TRIPLES")

"""PROV-O in N-Quads.

Imports `_rdf`.
"""

from __future__ import annotations

from typing import BinaryIO, Final

from provml.reading._document import Document
from provml.reading._rdf import quads_like, read_rdf, write_rdf

NAME: Final = "N-Quads"
SUFFIXES: Final = (".nq",)


def looks_like(head: str) -> bool:
    """Whether a text that begins so may be in this form."""
    return quads_like(head)


def read(data: bytes, base: str | None = None) -> Document:
    """The document. Raises DocumentError."""
    return read_rdf(data, "N_QUADS", base)


def write(document: Document, sink: BinaryIO) -> None:
    """Write the document. Raises DocumentError."""
    write_rdf(document, sink, "N_QUADS", named=True)

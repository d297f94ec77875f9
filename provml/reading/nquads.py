"""PROV-O in N-Quads.

Imports `_rdf`.
"""

from __future__ import annotations

from typing import BinaryIO, Final

from provml.reading._document import Document
from provml.reading._rdf import looks_like_nquads, read_rdf, write_rdf

NAME: Final = "N-Quads"
SUFFIXES: Final = (".nq",)


def looks_like(head: str) -> bool:
    """Whether a text that starts with ``head`` may be N-Quads."""
    return looks_like_nquads(head)


def read(data: bytes, base: str | None = None) -> Document:
    """Read a document. Raises DocumentError."""
    return read_rdf(data, "N_QUADS", base)


def write(document: Document, sink: BinaryIO) -> None:
    """Write the document. Raises DocumentError."""
    write_rdf(document, sink, "N_QUADS", named=True)

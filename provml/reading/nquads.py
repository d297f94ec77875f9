"""Read and write PROV-O in N-Quads."""

from __future__ import annotations

from typing import BinaryIO, Final

from provml.reading._document import Document
from provml.reading._rdf import looks_like_nquads, read_rdf, write_rdf

NAME: Final = "N-Quads"
SUFFIXES: Final = (".nq",)


def looks_like(head: str) -> bool:
    """Return whether a text that starts with ``head`` may be N-Quads."""
    return looks_like_nquads(head)


def read(data: bytes, base: str | None = None) -> Document:
    """Read an N-Quads document. Raises DocumentError if it is invalid."""
    return read_rdf(data, "N_QUADS", base)


def write(document: Document, sink: BinaryIO) -> None:
    """Write the document as N-Quads. Raises DocumentError if PROV-O can't express it."""
    write_rdf(document, sink, "N_QUADS", named=True)

"""Read and write PROV-O in N-Triples."""

from __future__ import annotations

from typing import BinaryIO, Final

from provml.reading._document import Document
from provml.reading._rdf import looks_like_ntriples, read_rdf, write_rdf

NAME: Final = "N-Triples"
SUFFIXES: Final = (".nt",)


def looks_like(head: str) -> bool:
    """Return whether a text that starts with ``head`` may be N-Triples."""
    return looks_like_ntriples(head)


def read(data: bytes, base: str | None = None) -> Document:
    """Read an N-Triples document. Raises DocumentError if it is invalid."""
    return read_rdf(data, "N_TRIPLES", base)


def write(document: Document, sink: BinaryIO) -> None:
    """Write the document as N-Triples. Raises DocumentError if N-Triples can't express it."""
    write_rdf(document, sink, "N_TRIPLES")

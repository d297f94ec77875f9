"""PROV-O in RDF/XML: read, not written.

Imports `_rdf`, `_xml`.
"""

from __future__ import annotations

from typing import BinaryIO, Final

from provml.errors import DocumentError
from provml.reading._document import Document
from provml.reading._engine import guarded
from provml.reading._rdf import read_rdf
from provml.reading._xml import check_xml

NAME: Final = "RDF/XML"
SUFFIXES: Final = (".rdf", ".owl")

MAX_DEPTH: Final = 1000
"""How deeply elements may be nested."""


def looks_like(head: str) -> bool:
    """Whether a text that begins so may be in this form."""
    return head.startswith("<") and "rdf:RDF" in head


def read(data: bytes, base: str | None = None) -> Document:
    """The document. Raises DocumentError."""
    check_xml(data, MAX_DEPTH)
    with guarded(NAME):
        return read_rdf(data, "RDF_XML", base)


def write(document: Document, sink: BinaryIO) -> None:
    """Raise DocumentError: not every property is a name that XML allows."""
    raise DocumentError(f"{NAME} is read, not written: Turtle and N-Triples say the same")

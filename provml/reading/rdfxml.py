"""Read PROV-O in RDF/XML. provml does not write this format."""

from __future__ import annotations

from typing import BinaryIO, Final

from provml.errors import DocumentError
from provml.reading._document import Document
from provml.reading._engine import wrap_library_errors
from provml.reading._rdf import read_rdf
from provml.reading._xml import check_xml

NAME: Final = "RDF/XML"
SUFFIXES: Final = (".rdf", ".owl")

MAX_ELEMENT_DEPTH: Final = 1000
"""The maximum nesting depth of elements."""


def looks_like(head: str) -> bool:
    """Return whether a text that starts with ``head`` may be RDF/XML."""
    return head.startswith("<") and "rdf:RDF" in head


def read(data: bytes, base: str | None = None) -> Document:
    """Read an RDF/XML document. Raises DocumentError if it is invalid."""
    check_xml(data, MAX_ELEMENT_DEPTH)
    with wrap_library_errors(NAME):
        return read_rdf(data, "RDF_XML", base)


def write(document: Document, sink: BinaryIO) -> None:
    """Raise DocumentError: provml can't write RDF/XML, which can't express every property."""
    raise DocumentError(f"{NAME} can be read but not written; use Turtle or N-Triples")

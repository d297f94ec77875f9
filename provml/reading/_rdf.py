"""PROV-O in any RDF syntax. Imports `_document`, `_engine`; prov, rdflib when it runs."""

from __future__ import annotations

import io
from typing import BinaryIO

from provml.reading._document import Document
from provml.reading._engine import guarded


def read_rdf(data: bytes, syntax: str) -> Document:
    """The document. Raises DocumentError."""
    from prov.model import ProvDocument

    with guarded("PROV-O"):
        return Document(ProvDocument.deserialize(io.BytesIO(data), format="rdf", rdf_format=syntax))


def write_rdf(document: Document, sink: BinaryIO, syntax: str) -> None:
    """Write the document."""
    with guarded("PROV-O"):
        document.prov.serialize(sink, format="rdf", rdf_format=syntax)

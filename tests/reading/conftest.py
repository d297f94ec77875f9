"""Fixtures for the tests of reading."""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
from prov.model import ProvDocument

from provml.reading import Document, read

CORPUS = Path(os.environ.get("PROVML_CORPUS", Path(__file__).parents[3] / "shared" / "corpus"))
DOCUMENTS = CORPUS / "documents"

PROV_FORMS = {
    "provjson": {"format": "json"},
    "provn": {"format": "provn"},
    "provxml": {"format": "xml"},
    "provjsonld": {"format": "jsonld"},
    "turtle": {"format": "rdf", "rdf_format": "turtle"},
    "trig": {"format": "rdf", "rdf_format": "trig"},
    "ntriples": {"format": "rdf", "rdf_format": "nt11"},
    "nquads": {"format": "rdf", "rdf_format": "nquads"},
    "jsonld": {"format": "rdf", "rdf_format": "json-ld"},
}
"""How the prov library is asked to read each form."""


def by_prov(data: bytes, form: str) -> ProvDocument:
    """What the prov library reads by itself."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ProvDocument.deserialize(io.BytesIO(data), **PROV_FORMS[form])


def written(document: Document, form: str) -> bytes:
    """Write a document in a format, with the check switched on."""
    sink = io.BytesIO()
    document.write(form, sink)
    return sink.getvalue()


@pytest.fixture
def turtle() -> Callable[[str], Document]:
    """Read Turtle with a few prefixes declared."""

    def reading(text: str) -> Document:
        head = (
            "@prefix prov: <http://www.w3.org/ns/prov#> .\n"
            "@prefix ex: <http://example.org/> .\n"
            "@prefix foaf: <http://xmlns.com/foaf/0.1/> .\n"
            "@prefix dcterms: <http://purl.org/dc/terms/> .\n"
            "@prefix xsd: <http://www.w3.org/2001/XMLSchema#> .\n"
        )
        return read((head + text).encode(), "turtle")

    return reading

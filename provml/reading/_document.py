"""A PROV document of any origin: the statements, and the forms they can take.

Imports `_engine`; prov and rdflib when it runs.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol, cast

from provml.reading._engine import guarded

if TYPE_CHECKING:
    from prov.model import ProvDocument
    from rdflib import Dataset


class Document:
    """A PROV document that was read."""

    def __init__(self, prov: ProvDocument) -> None:
        self._prov = prov

    @property
    def prov(self) -> ProvDocument:
        """The document of the ``prov`` library."""
        return self._prov

    def provjson(self) -> dict[str, Any]:
        """The document in PROV-JSON's structure, as new objects."""
        from prov.serializers.provjson import encode_json_document

        with guarded("PROV-JSON"):
            return encode_json_document(self._prov)

    def rdf(self) -> Dataset:
        """The document in PROV-O, its bundles as named graphs."""
        from prov.serializers.provrdf import ProvRDFSerializer

        with guarded("PROV-O"):
            return ProvRDFSerializer(self._prov).encode_document(self._prov)

    def write(self, format: str, sink: BinaryIO) -> None:
        """Write the document in a format of `format_names`."""
        find_format(format).write(self, sink)


class Format(Protocol):
    """What a module of this package whose name has no underscore has."""

    SUFFIXES: tuple[str, ...]

    def looks_like(self, head: str) -> bool:
        """Whether a text that begins so may be in this form."""

    def read(self, data: bytes) -> Document:
        """The document in some bytes."""

    def write(self, document: Document, sink: BinaryIO) -> None:
        """Write a document."""


def find_format(name: str) -> Format:
    """The format of a name, which is there."""
    return cast(Format, importlib.import_module(f"provml.reading.{name}"))

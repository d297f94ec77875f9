"""A PROV document: its statements, and the formats it can be written in.

Imports `_compare`, `_dictionary`, `_engine`, `_graphs`, `_names`, `_structure`; prov when it runs.
"""

from __future__ import annotations

import importlib
import io
import os
import pkgutil
from collections.abc import Iterable, Iterator
from functools import cache
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol, cast

from provml.errors import DocumentError, InvalidArgumentError
from provml.reading._compare import check_same
from provml.reading._dictionary import DictionaryStatement
from provml.reading._engine import wrap_library_errors
from provml.reading._names import PrefixTable, iter_bundles, tidy_prefixes

if TYPE_CHECKING:
    from prov.model import ProvDocument
    from pyoxigraph import Quad
    from rdflib import Dataset

    from provml.reading._graphs import Graphs

RDF_FORMATS = ("turtle", "ntriples", "nquads", "trig", "jsonld", "rdfxml")


Places = dict[Any, list[tuple[int, int]]]
"""Line and column of each bundle's records, from 1. The column is 0 if it is unknown."""


class Document:
    """A PROV document that was read.

    A document that was read from RDF stays RDF until its statements are needed. Conversion from one
    RDF syntax to another therefore loses nothing, not even triples that are unknown to PROV.

    Attributes:
        notes: one line for each thing that reading dropped or changed. For RDF they are filled in
            when the statements are first needed.
        places: line and column of the records of the document (None) and of each bundle, in order,
            if the format has lines and its reader reports them.
    """

    def __init__(
        self,
        prov: ProvDocument | None = None,
        dictionaries: Iterable[DictionaryStatement] = (),
        notes: Iterable[str] = (),
        losses: Iterable[str] = (),
        rdf: Graphs | None = None,
        places: Places | None = None,
    ) -> None:
        self._prov = prov
        self._dictionaries = [single for each in dictionaries for single in each.split_pairs()]
        self._rdf = rdf
        self._tidied: tuple[ProvDocument, list[DictionaryStatement], PrefixTable] | None = None
        self._losses = list(losses)
        self.notes = list(notes)
        self.places: Places = {} if places is None else places

    @property
    def prov(self) -> ProvDocument:
        """The document as an object of the ``prov`` library, without PROV-Dictionary statements.

        Raises:
            DocumentError: the document is RDF that does not state PROV.
        """
        if self._prov is None:
            from provml.reading._provo_reader import decode_provo

            assert self._rdf is not None
            with wrap_library_errors("PROV-O"):
                made, statements, notes = decode_provo(self._rdf.quads(), self._rdf.prefixes)
            self._prov = made
            self._dictionaries = [single for each in statements for single in each.split_pairs()]
            self._losses += self._rdf.losses()
            self.notes += notes
        return self._prov

    @property
    def dictionaries(self) -> list[DictionaryStatement]:
        """The statements of PROV-Dictionary. Raises the same errors as `prov`."""
        _ = self.prov
        return self._dictionaries

    def content(self) -> tuple[ProvDocument, list[DictionaryStatement]]:
        """Return the statements and those of PROV-Dictionary. Raises the same errors as `prov`."""
        return self.prov, self.dictionaries

    def __len__(self) -> int:
        """Return the number of statements, bundles included. Raises the same errors as `prov`."""
        records = sum(len(bundle.records) for bundle in iter_bundles(self.prov))
        return records + len(self._dictionaries)

    def tidy_statements(self) -> tuple[ProvDocument, list[DictionaryStatement], PrefixTable]:
        """Return the statements under one table of prefixes that every format accepts."""
        if self._tidied is None:
            prov = self.prov
            with wrap_library_errors("the document's names"):
                self._tidied = tidy_prefixes(prov, self._dictionaries)
        return self._tidied

    def provjson(self) -> dict[str, Any]:
        """Return the document as new PROV-JSON objects. Raises the same errors as `prov`."""
        from provml.reading._structure import build_provjson

        prov, statements, _ = self.tidy_statements()
        with wrap_library_errors("PROV-JSON"):
            return build_provjson(prov, statements)

    def quads(self) -> tuple[Iterator[Quad], dict[str, str]]:
        """Return the document as PROV-O quads of pyoxigraph, and its prefixes.

        A document that was read from RDF is returned unchanged.

        Raises:
            DocumentError: while the quads are read, or for a statement that PROV-O can't express.
        """
        if self._rdf is not None:
            return self._rdf.quads(), self._rdf.prefixes
        from provml.reading._provo_writer import encode_provo

        prov, statements, prefixes = self.tidy_statements()
        return encode_provo(prov, statements), prefixes.to_dict()

    def rdf(self) -> Dataset:
        """Return the document as an rdflib dataset of PROV-O, with bundles as named graphs.

        Costs about 30 us a quad. Raises the same errors as `quads`.
        """
        from provml.reading._graphs import to_rdflib

        quads, prefixes = self.quads()
        with wrap_library_errors("PROV-O"):
            return cast("Dataset", to_rdflib(quads, prefixes))

    def write(self, format: str, sink: BinaryIO, check: bool = True) -> list[str]:
        """Write the document in a format.

        Args:
            format: one of `reading_formats`.
            sink: a binary file, which is left open.
            check: read the output back and compare it before it is written to the sink, which takes
                memory for the whole output. Conversion from RDF to RDF is never checked.

        Returns:
            Notes on precision that was lost, and on statements that read back differently but mean
            the same.

        Raises:
            DocumentError: the format can't hold the document.
        """
        form = find_reader(format)
        as_it_came = self._rdf is not None and format in RDF_FORMATS
        if as_it_came or not check:
            with wrap_library_errors(form.NAME):
                form.write(self, sink)
            return [] if as_it_came else list(self._losses)
        held = io.BytesIO()
        with wrap_library_errors(form.NAME):
            form.write(self, held)
        data = held.getvalue()
        try:
            back = form.read(data)
            _ = back.prov
        except DocumentError as error:
            raise DocumentError(f"{form.NAME} can't hold the document: {error}") from error
        with wrap_library_errors(form.NAME):
            notes = check_same(self.content(), back.content(), form.NAME)
        sink.write(data)
        return [*self._losses, *notes]


class DocumentForm(Protocol):
    """What each format module of this package provides.

    Attributes:
        NAME: the format's name in messages.
        SUFFIXES: the suffixes of its files.
    """

    NAME: str
    SUFFIXES: tuple[str, ...]

    def looks_like(self, head: str) -> bool:
        """Whether a text that starts with ``head`` may be in this format."""

    def read(self, data: bytes, base: str | None = None) -> Document:
        """Read a document; ``base`` is the IRI that relative IRIs refer to."""

    def write(self, document: Document, sink: BinaryIO) -> None:
        """Write a document."""


@cache
def reading_formats() -> tuple[str, ...]:
    """Return the names of all formats, sorted."""
    names = (module.name for module in pkgutil.iter_modules([os.path.dirname(__file__)]))
    return tuple(sorted(name for name in names if not name.startswith("_")))


def find_reader(name: str) -> DocumentForm:
    """Return the module of a format.

    Raises:
        InvalidArgumentError: the format is unknown; the message lists the known ones.
    """
    if name not in reading_formats():
        known = ", ".join(reading_formats())
        raise InvalidArgumentError(f"unknown format {name!r}; use one of {known}")
    return cast(DocumentForm, importlib.import_module(f"provml.reading.{name}"))

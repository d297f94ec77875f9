"""A PROV document from any source: its statements, and the formats it converts to.

Imports prov only when it is needed.
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
"""The line and column of each bundle's records, counted from 1. An unknown column is 0."""


class Document:
    """A PROV document, as `provml.reading.read` returns it.

    A document that was read from RDF stays RDF until its statements are needed. Conversion from one
    RDF syntax to another therefore loses nothing, not even triples that are unknown to PROV.

    Attributes:
        notes: messages about content that the reader dropped or changed. If the source was RDF, the
            list is empty until the statements are first needed.
        places: for each bundle, a list with the line and column of each record. The key None is for
            records outside bundles. The dict is empty if the format's reader does not report
            positions.
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
        """A document object from the ``prov`` library, without PROV-Dictionary statements.

        The library does not support PROV-Dictionary; `dictionaries` contains those statements.

        Raises:
            DocumentError: the source is RDF that does not contain valid PROV.
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
        """The document's PROV-Dictionary statements. Raises the same errors as `prov`."""
        _ = self.prov
        return self._dictionaries

    def content(self) -> tuple[ProvDocument, list[DictionaryStatement]]:
        """Return `prov` and `dictionaries`, which together contain all statements.

        Raises the same errors as `prov`.
        """
        return self.prov, self.dictionaries

    def __len__(self) -> int:
        """Return the number of statements, including those in bundles.

        Raises the same errors as `prov`.
        """
        records = sum(len(bundle.records) for bundle in iter_bundles(self.prov))
        return records + len(self._dictionaries)

    def tidy_statements(self) -> tuple[ProvDocument, list[DictionaryStatement], PrefixTable]:
        """Return the statements, rewritten with prefixes that every format accepts.

        The first call builds the result, and later calls return the same objects.

        Returns:
            The ``prov`` document, the PROV-Dictionary statements and the table of prefixes.
        """
        if self._tidied is None:
            prov = self.prov
            with wrap_library_errors("the document's names"):
                self._tidied = tidy_prefixes(prov, self._dictionaries)
        return self._tidied

    def provjson(self) -> dict[str, Any]:
        """Return the document as a new PROV-JSON object. Raises the same errors as `prov`."""
        from provml.reading._structure import build_provjson

        prov, statements, _ = self.tidy_statements()
        with wrap_library_errors("PROV-JSON"):
            return build_provjson(prov, statements)

    def quads(self) -> tuple[Iterator[Quad], dict[str, str]]:
        """Return the document's PROV-O quads, as pyoxigraph objects, and its prefixes.

        If the source was RDF, returns the quads of the source, with new names for blank nodes.

        Raises:
            DocumentError: PROV-O can't express a statement. The error is raised by the call itself,
                or later, while the caller iterates over the quads.
        """
        if self._rdf is not None:
            return self._rdf.quads(), self._rdf.prefixes
        from provml.reading._provo_writer import encode_provo

        prov, statements, prefixes = self.tidy_statements()
        return encode_provo(prov, statements), prefixes.to_dict()

    def rdf(self) -> Dataset:
        """Return the document as an rdflib dataset of PROV-O. Each bundle is a named graph.

        Costs about 30 us per quad. Raises the same errors as `quads`.
        """
        from provml.reading._graphs import to_rdflib

        quads, prefixes = self.quads()
        with wrap_library_errors("PROV-O"):
            return cast("Dataset", to_rdflib(quads, prefixes))

    def write(self, format: str, sink: BinaryIO, check: bool = True) -> list[str]:
        """Write the document to a file in the given format.

        Args:
            format: a name that `reading_formats` returns.
            sink: an open binary file. `write` does not close it.
            check: whether to read the output back and compare it with the document before anything
                is written to ``sink``. The check takes memory for the whole output. Conversion from
                RDF to RDF is never checked.

        Returns:
            A list of notes about lost precision, and about statements that read back differently
                but have the same meaning.

        Raises:
            InvalidArgumentError: the format is unknown.
            DocumentError: the format can't represent the document.
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
            raise DocumentError(f"{form.NAME} can't represent the document: {error}") from error
        with wrap_library_errors(form.NAME):
            notes = check_same(self.content(), back.content(), form.NAME)
        sink.write(data)
        return [*self._losses, *notes]


class DocumentForm(Protocol):
    """The names that each format module of this package defines.

    Attributes:
        NAME: the format's name, for messages.
        SUFFIXES: the suffixes that files in this format may have.
    """

    NAME: str
    SUFFIXES: tuple[str, ...]

    def looks_like(self, head: str) -> bool:
        """Return whether a text that starts with ``head`` may be in this format."""

    def read(self, data: bytes, base: str | None = None) -> Document:
        """Read a document; ``base`` is the IRI against which relative IRIs are resolved."""

    def write(self, document: Document, sink: BinaryIO) -> None:
        """Write a document to an open binary file."""


@cache
def reading_formats() -> tuple[str, ...]:
    """Return the sorted names of all formats that this package reads."""
    names = (module.name for module in pkgutil.iter_modules([os.path.dirname(__file__)]))
    return tuple(sorted(name for name in names if not name.startswith("_")))


def find_reader(name: str) -> DocumentForm:
    """Return the module that reads and writes a format.

    Raises:
        InvalidArgumentError: the format is unknown. The message lists all known formats.
    """
    if name not in reading_formats():
        known = ", ".join(reading_formats())
        raise InvalidArgumentError(f"unknown format {name!r}; use one of {known}")
    return cast(DocumentForm, importlib.import_module(f"provml.reading.{name}"))

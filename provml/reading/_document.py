"""A PROV document of any origin: its statements, and the forms they can take.

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
from provml.reading._engine import guarded
from provml.reading._names import Prefixes, bundles_of, tidy_prefixes

if TYPE_CHECKING:
    from prov.model import ProvDocument
    from pyoxigraph import Quad
    from rdflib import Dataset

    from provml.reading._graphs import Graphs

RDF_FORMATS = ("turtle", "ntriples", "nquads", "trig", "jsonld", "rdfxml")


Places = dict[Any, list[tuple[int, int]]]
"""Line and column, from 1, of the records of each bundle; the column is 0 where it is not known."""


class Document:
    """A PROV document that was read.

    What came as RDF stays RDF until its statements are asked for: so from one RDF syntax to
    another nothing at all is lost, whether PROV knows it or not.

    Attributes:
        notes: what reading it left behind or changed, a line each. What came as RDF has its own
            once its statements were asked for.
        places: line and column of the records of the top level (None) and of each bundle, in their
            order, where the form has lines and its reader tells them.
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
        self._dictionaries = [single for each in dictionaries for single in each.singly()]
        self._rdf = rdf
        self._tidied: tuple[ProvDocument, list[DictionaryStatement], Prefixes] | None = None
        self._losses = list(losses)
        self.notes = list(notes)
        self.places: Places = {} if places is None else places

    @property
    def prov(self) -> ProvDocument:
        """The document of the ``prov`` library; without dictionary statements, which it lacks.

        Raises:
            DocumentError: it came as RDF that does not state PROV.
        """
        if self._prov is None:
            from provml.reading._provo_reader import decode_provo

            assert self._rdf is not None
            with guarded("PROV-O"):
                made, statements, notes = decode_provo(self._rdf.quads(), self._rdf.prefixes)
            self._prov = made
            self._dictionaries = [single for each in statements for single in each.singly()]
            self._losses += self._rdf.losses()
            self.notes += notes
        return self._prov

    @property
    def dictionaries(self) -> list[DictionaryStatement]:
        """The statements of PROV-Dictionary. Raises as `prov`."""
        _ = self.prov
        return self._dictionaries

    def content(self) -> tuple[ProvDocument, list[DictionaryStatement]]:
        """The statements, and those of PROV-Dictionary. Raises as `prov`."""
        return self.prov, self.dictionaries

    def __len__(self) -> int:
        """How many statements there are, in the document and its bundles. Raises as `prov`."""
        records = sum(len(bundle.records) for bundle in bundles_of(self.prov))
        return records + len(self._dictionaries)

    def tidied(self) -> tuple[ProvDocument, list[DictionaryStatement], Prefixes]:
        """The statements under one table of prefixes, which are legal in every form."""
        if self._tidied is None:
            prov = self.prov
            with guarded("the document's names"):
                self._tidied = tidy_prefixes(prov, self._dictionaries)
        return self._tidied

    def provjson(self) -> dict[str, Any]:
        """The document in PROV-JSON's structure, as new objects. Raises as `prov`."""
        from provml.reading._structure import structure

        prov, statements, _ = self.tidied()
        with guarded("PROV-JSON"):
            return structure(prov, statements)

    def quads(self) -> tuple[Iterator[Quad], dict[str, str]]:
        """The document in PROV-O, as quads of pyoxigraph, and its prefixes.

        What came as RDF is as it came.

        Raises:
            DocumentError: as it goes; a statement that PROV-O can't carry.
        """
        if self._rdf is not None:
            return self._rdf.quads(), self._rdf.prefixes
        from provml.reading._provo_writer import encode_provo

        prov, statements, prefixes = self.tidied()
        return encode_provo(prov, statements), prefixes.table()

    def rdf(self) -> Dataset:
        """The document in PROV-O as a dataset of rdflib, its bundles as named graphs.

        Costs about 30 us a quad. Raises as `quads`.
        """
        from provml.reading._graphs import to_rdflib

        quads, prefixes = self.quads()
        with guarded("PROV-O"):
            return cast("Dataset", to_rdflib(quads, prefixes))

    def write(self, format: str, sink: BinaryIO, check: bool = True) -> list[str]:
        """Write the document in a format.

        Args:
            format: one of `reading_formats`.
            sink: a binary file, left open.
            check: have what is written be read again, and compared, before it goes out. It is
                held in memory for that. From RDF to RDF there is nothing to check: it goes out
                as it is read.

        Returns:
            Notes on what is less exact than it was in the document, and on what reads back
            otherwise though it says the same.

        Raises:
            DocumentError: the form can't carry something in the document, or `check` has found
                that it doesn't.
        """
        form = find_reader(format)
        as_it_came = self._rdf is not None and format in RDF_FORMATS
        if as_it_came or not check:
            with guarded(form.NAME):
                form.write(self, sink)
            return [] if as_it_came else list(self._losses)
        held = io.BytesIO()
        with guarded(form.NAME):
            form.write(self, held)
        data = held.getvalue()
        try:
            back = form.read(data)
            _ = back.prov
        except DocumentError as error:
            raise DocumentError(f"{form.NAME} can't carry the document: {error}") from error
        with guarded(form.NAME):
            notes = check_same(self.content(), back.content(), form.NAME)
        sink.write(data)
        return [*self._losses, *notes]


class Format(Protocol):
    """What a module of this package whose name has no underscore has.

    Attributes:
        NAME: the form's name, for people.
        SUFFIXES: the endings of its files.
    """

    NAME: str
    SUFFIXES: tuple[str, ...]

    def looks_like(self, head: str) -> bool:
        """Whether a text that begins so may be in this form."""

    def read(self, data: bytes, base: str | None = None) -> Document:
        """The document in some bytes; its relative IRIs, where it may have any, from a base."""

    def write(self, document: Document, sink: BinaryIO) -> None:
        """Write a document."""


@cache
def reading_formats() -> tuple[str, ...]:
    """The names of all formats, sorted."""
    names = (module.name for module in pkgutil.iter_modules([os.path.dirname(__file__)]))
    return tuple(sorted(name for name in names if not name.startswith("_")))


def find_reader(name: str) -> Format:
    """The format of a name. Raises InvalidArgumentError, naming those there are."""
    if name not in reading_formats():
        known = ", ".join(reading_formats())
        raise InvalidArgumentError(f"unknown format {name!r}; there are: {known}")
    return cast(Format, importlib.import_module(f"provml.reading.{name}"))

"""Writes RDF with one triple or quad on each line: N-Triples and N-Quads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any, BinaryIO

from provml.export._rdf import Blank, Description, Property
from provml.export._text import (
    Piece,
    Rows,
    format_integers,
    format_name,
    format_time,
    format_value,
    gather_blocks,
    join_rows,
    lexical_form,
    quote_json,
    split_rows,
)
from provml.journal.values import Moment
from provml.model.statements import Name, NameColumn, TimeColumn, Value


class Lines:
    """A writer that formats descriptions as lines of RDF, and numbers a document's blank nodes."""

    def __init__(self, sink: BinaryIO) -> None:
        self._sink = sink
        self._blanks = 0

    def write(
        self,
        descriptions: Iterable[Description],
        prefixes: dict[str, str],
        graph: str | None = None,
    ) -> None:
        """Write descriptions as triples, or as quads if ``graph`` is the IRI of a graph."""
        graph_term = b"" if graph is None else b" <%b>" % graph.encode()
        for block in gather_blocks(self._blocks(descriptions, _TermWriter(prefixes), graph_term)):
            self._sink.write(block)

    def _blocks(
        self, descriptions: Iterable[Description], terms: _TermWriter, graph: bytes
    ) -> Iterator[bytes]:
        end = graph + b" .\n"
        for description in descriptions:
            for rows in split_rows(description.rows):
                pieces: list[Piece] = []
                subject = terms.name(description.subject, rows)
                self._add(pieces, subject, description.properties, rows, terms, end)
                yield join_rows(pieces, len(rows), b"")

    def _add(
        self,
        pieces: list[Piece],
        subject: list[Piece],
        properties: list[Property],
        rows: Rows,
        terms: _TermWriter,
        end: bytes,
    ) -> None:
        for predicate, value in properties:
            pieces += [*subject, b" %b " % terms.iri(predicate)]
            if not isinstance(value, Blank):
                pieces += [*terms.term(value, rows), end]
                continue
            blank: list[Piece] = [b"_:b", self._numbers(len(rows))]
            pieces += [*blank, end]
            self._add(pieces, blank, value.properties, rows, terms, end)

    def _numbers(self, length: int) -> list[bytes]:
        import numpy as np

        first = self._blanks
        self._blanks += length
        return format_integers(np.arange(first, first + length, dtype=np.int64))


class _TermWriter:
    """A formatter that turns names and values into N-Triples terms, which have no prefixes."""

    def __init__(self, prefixes: dict[str, str]) -> None:
        self._prefixes = prefixes
        self._single = partial(_ntriples_literal, self)

    def _expanded(self, name: str) -> bytes:
        prefix, _, local = name.partition(":")
        return (self._prefixes[prefix] + local).encode()

    def iri(self, name: str) -> bytes:
        return b"<%b>" % self._expanded(name)

    def name(self, name: Name | NameColumn, rows: Rows) -> list[Piece]:
        return [b"<", *format_name(name, rows, self._expanded), b">"]

    def term(self, value: Any, rows: Rows) -> list[Piece]:
        if isinstance(value, (Name, NameColumn)):
            return self.name(value, rows)
        if isinstance(value, (Moment, TimeColumn)):
            return self._typed(format_time(value, rows), "xsd:dateTime")
        return format_value(value, rows, self._single, self._typed)

    def _typed(self, text: Piece, datatype: str) -> list[Piece]:
        return [b'"', text, b'"^^%b' % self.iri(datatype)]


def _ntriples_literal(terms: _TermWriter, value: Value) -> bytes:
    if isinstance(value, Name):
        return terms.iri(value)
    text, datatype = lexical_form(value)
    quoted = quote_json(text).encode()
    return quoted if datatype is None else b"%b^^%b" % (quoted, terms.iri(datatype))

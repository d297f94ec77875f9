"""RDF as lines, a triple or a quad each. Imports `_rdf`, `_text`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any, BinaryIO

from provml.export._rdf import Blank, Description, Property
from provml.export._text import (
    Piece,
    Rows,
    blocks_of_rows,
    gathered,
    integers,
    joined,
    json_text,
    lexical,
    name_pieces,
    time_piece,
    value_pieces,
)
from provml.journal.values import Moment
from provml.model.statements import Name, NameColumn, TimeColumn, Value


class Lines:
    """Writes descriptions as lines; blank nodes are numbered throughout."""

    def __init__(self, sink: BinaryIO) -> None:
        self._sink = sink
        self._blanks = 0

    def write(
        self,
        descriptions: Iterable[Description],
        prefixes: dict[str, str],
        graph: str | None = None,
    ) -> None:
        """Write them; into a named graph where there is one."""
        graph_term = b"" if graph is None else b" <%b>" % graph.encode()
        for block in gathered(self._blocks(descriptions, _Terms(prefixes), graph_term)):
            self._sink.write(block)

    def _blocks(
        self, descriptions: Iterable[Description], terms: _Terms, graph: bytes
    ) -> Iterator[bytes]:
        end = graph + b" .\n"
        for description in descriptions:
            for rows in blocks_of_rows(description.rows):
                pieces: list[Piece] = []
                subject = terms.name(description.subject, rows)
                self._add(pieces, subject, description.properties, rows, terms, end)
                yield joined(pieces, len(rows), b"")

    def _add(
        self,
        pieces: list[Piece],
        subject: list[Piece],
        properties: list[Property],
        rows: Rows,
        terms: _Terms,
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
        return integers(np.arange(first, first + length, dtype=np.int64))


class _Terms:
    """Names and values as N-Triples has them, under some prefixes."""

    def __init__(self, prefixes: dict[str, str]) -> None:
        self._prefixes = prefixes
        self._single = partial(_literal, self)

    def _expanded(self, name: str) -> bytes:
        prefix, _, local = name.partition(":")
        return (self._prefixes[prefix] + local).encode()

    def iri(self, name: str) -> bytes:
        return b"<%b>" % self._expanded(name)

    def name(self, name: Name | NameColumn, rows: Rows) -> list[Piece]:
        return [b"<", *name_pieces(name, rows, self._expanded), b">"]

    def term(self, value: Any, rows: Rows) -> list[Piece]:
        if isinstance(value, (Name, NameColumn)):
            return self.name(value, rows)
        if isinstance(value, (Moment, TimeColumn)):
            return self._typed(time_piece(value, rows), "xsd:dateTime")
        return value_pieces(value, rows, self._single, self._typed)

    def _typed(self, text: Piece, datatype: str) -> list[Piece]:
        return [b'"', text, b'"^^%b' % self.iri(datatype)]


def _literal(terms: _Terms, value: Value) -> bytes:
    if isinstance(value, Name):
        return terms.iri(value)
    text, datatype = lexical(value)
    quoted = json_text(text).encode()
    return quoted if datatype is None else b"%b^^%b" % (quoted, terms.iri(datatype))

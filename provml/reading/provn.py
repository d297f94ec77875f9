"""Read and write PROV-N (W3C Recommendation, 2013), including PROV-Dictionary statements.

The ``prov`` library reads PROV-N, but not PROV-Dictionary. `read` scans the text, removes the
dictionary statements, and passes the rest to ``prov``. It then rewrites the names and values of the
removed statements as statements that ``prov`` supports, so that ``prov`` resolves the names.
Imports prov only when it is needed.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from provml.errors import DocumentError
from provml.reading._dictionary import (
    INSERTION,
    MEMBERSHIP,
    REMOVAL,
    DictionaryStatement,
)
from provml.reading._document import Document, Places
from provml.reading._engine import note_cut_times, refuse_losses, wrap_library_errors
from provml.reading._names import iter_bundles
from provml.reading._provn_scanner import DictionaryText, ScannedText, scan_provn
from provml.reading._source import decode_document

if TYPE_CHECKING:
    from prov.model import ProvDocument

NAME: Final = "PROV-N"
SUFFIXES: Final = (".provn",)

_START: Final = re.compile(r"(?:\s|//[^\n]*\n|/\*.*?\*/)*document\b", re.S)


def looks_like(head: str) -> bool:
    """Return whether a text that starts with ``head`` may be PROV-N."""
    return _START.match(head) is not None or head.startswith("/*")


def read(data: bytes, base: str | None = None) -> Document:
    """Read a PROV-N document.

    Raises:
        DocumentError: the text is not valid PROV-N, or has more tokens or a longer token than
            `_provn_scanner` allows.
    """
    scanned = scan_provn(decode_document(data).removeprefix("\ufeff"))
    document = _parse(scanned.without_dictionaries())
    statements: list[DictionaryStatement] = []
    if scanned.dictionaries:
        try:
            terms = _parse(scanned.dictionary_terms())
        except DocumentError as error:  # its columns are those of the rewritten text
            raise DocumentError(re.sub(r", column \d+", "", str(error))) from error.__cause__
        statements = list(_read_dictionaries(scanned, terms))
    identifiers = [bundle.identifier for bundle in iter_bundles(document)]
    places: Places = dict(zip(identifiers, scanned.places, strict=True))
    return Document(document, statements, losses=note_cut_times(data), places=places)


def _parse(text: str) -> ProvDocument:
    from prov.model import ProvDocument

    with wrap_library_errors(NAME) as warned:
        document = ProvDocument.deserialize(content=text, format="provn")
    refuse_losses(NAME, warned)
    return document


def _read_dictionaries(scanned: ScannedText, terms: ProvDocument) -> Iterator[DictionaryStatement]:
    """Yield the dictionary statements, with names and values from ``terms``.

    Args:
        scanned: the scanned text.
        terms: the document that ``prov`` read from `ScannedText.dictionary_terms`.
    """
    texts: defaultdict[int, list[DictionaryText]] = defaultdict(list)
    for text in scanned.dictionaries:
        texts[text.container].append(text)
    for number, bundle in enumerate(iter_bundles(terms)):
        records = iter(bundle.get_records())

        def next_value(records: Iterator[Any] = records) -> tuple[Any, Any]:
            """Return the name and value of the only attribute of the next record."""
            ((name, value),) = next(records).attributes
            return name, value

        for text in texts[number]:
            head = next(records)
            (_, dictionary), (_, old) = head.formal_attributes
            pairs = []
            for _ in text.pairs:
                _, key = next_value()
                (_, entity), _ = next(records).formal_attributes
                pairs.append((key, entity))
            keys = tuple(next_value()[1] for _ in text.keys)
            attributes = tuple(next_value() for _ in text.attributes)
            yield DictionaryStatement(
                text.kind,
                bundle.identifier,
                head.identifier,
                dictionary,
                old,
                tuple(pairs),
                keys,
                attributes,
            )


def write(document: Document, sink: BinaryIO) -> None:
    """Write a PROV-N document.

    Raises:
        DocumentError: PROV-N can't express a name in the document.
    """
    from prov.model import ProvDocument

    prov, statements, _ = document.tidy_statements()
    alone = ProvDocument(prov.get_records(), prov.get_registered_namespaces())
    text = alone.get_provn().removesuffix("endDocument").rstrip()
    pieces = [text, *_build_dictionary_lines(statements, None, "  ")]
    for bundle in prov.bundles:
        text = bundle.get_provn(1).removesuffix("endBundle").rstrip()
        lines = _build_dictionary_lines(statements, bundle.identifier, "    ")
        pieces += [f"  {text}", *lines, "  endBundle"]
    sink.write("\n".join([*pieces, "endDocument", ""]).encode())


def _build_dictionary_lines(
    statements: list[DictionaryStatement], bundle: Any, indent: str
) -> list[str]:
    return [indent + _format_dictionary(each) for each in statements if each.bundle == bundle]


def _format_dictionary(statement: DictionaryStatement) -> str:
    def thing(name: Any) -> str:
        return "-" if name is None else str(name.provn_bare_representation())

    if statement.kind == MEMBERSHIP:
        ((key, entity),) = statement.pairs
        arguments = f"{thing(statement.dictionary)}, {thing(entity)}, {_format_literal(key)}"
        return f"prov:{MEMBERSHIP}({arguments})"
    if statement.kind == REMOVAL:
        content = ", ".join(map(_format_literal, statement.keys))
    else:
        assert statement.kind == INSERTION
        content = ", ".join(f"({_format_literal(k)}, {thing(e)})" for k, e in statement.pairs)
    parts = [thing(statement.dictionary), thing(statement.old), f"{{{content}}}"]
    if statement.attributes:
        attributes = ", ".join(f"{thing(k)}={_format_literal(v)}" for k, v in statement.attributes)
        parts.append(f"[{attributes}]")
    identifier = "" if statement.id is None else f"{thing(statement.id)}; "
    return f"prov:{statement.kind}({identifier}{', '.join(parts)})"


def _format_literal(value: Any) -> str:
    from prov.model import encoding_provn_value

    represent = getattr(value, "provn_representation", None)
    return str(encoding_provn_value(value) if represent is None else represent())

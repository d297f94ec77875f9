"""Read PROV documents from any source, and write them.

Each module of this package without a leading underscore handles one format. The `DocumentForm`
protocol lists the names that such a module defines. Every reader limits the size and the nesting
depth of its input, and no reader downloads anything.

From provml, this package imports only `errors` and `model`. It imports each parsing library only
when it is needed.
"""

from __future__ import annotations

import os
from functools import cache
from typing import BinaryIO

from provml.errors import DocumentError, InvalidArgumentError
from provml.reading._document import Document, DocumentForm, find_reader, reading_formats
from provml.reading._source import MAX_BYTES, convert_to_utf8, load_bytes, uncompressed_name

__all__ = [
    "MAX_BYTES",
    "Document",
    "DocumentForm",
    "find_reader",
    "format_for",
    "load_bytes",
    "read",
    "reading_formats",
    "uncompressed_name",
]

_HEAD_BYTES = 4096


@cache
def _formats_by_suffix() -> dict[str, str]:
    return {suffix: name for name in reading_formats() for suffix in find_reader(name).SUFFIXES}


def read(
    source: str | os.PathLike[str] | bytes | BinaryIO,
    format: str | None = None,
    max_bytes: int = MAX_BYTES,
    base: str | None = None,
) -> Document:
    """Read a PROV document.

    Reading takes up to 75 times the document's size in memory, so the size is limited.

    Args:
        source: the document's path, its bytes, or an open binary file. The content may be
            compressed with gzip or Zstandard.
        format: a name that `reading_formats` returns, or None to guess the format from the file's
            suffix and the document's first bytes.
        max_bytes: the maximum size of the document in bytes, after decompression.
        base: the IRI against which `read` resolves relative IRIs in RDF, unless the document
            declares its own base.

    Raises:
        InvalidArgumentError: the format is unknown.
        DocumentError: the document is empty, too large, or not valid PROV in this format. Also
            raised if the document uses an unsupported feature, or if its format can't be guessed.
        MissingExtraError: the format needs a package that is not installed.
        OSError: the file can't be read.
    """
    data = load_bytes(source, max_bytes)
    if format is not None:
        return find_reader(format).read(data, base)
    name = os.fspath(source) if isinstance(source, (str, os.PathLike)) else ""
    return find_reader(_guess_format(name, data)).read(data, base)


def format_for(name: str) -> str:
    """Return the name of the format that a file's suffix indicates.

    Raises:
        InvalidArgumentError: the suffix is unknown. The message lists all known suffixes.
    """
    by_suffix = _find_suffix_format(name)
    if by_suffix is None:
        known = " ".join(sorted(_formats_by_suffix()))
        raise InvalidArgumentError(f"{name}: unknown file suffix; use one of {known}")
    return by_suffix


def _find_suffix_format(name: str) -> str | None:
    """Return the name of the format that a file's suffix indicates, or None for unknown suffixes.

    The longest suffix wins: ``.prov.jsonld`` is PROV-JSONLD, although ``.jsonld`` is JSON-LD.
    """
    fitting = [each for each in _formats_by_suffix() if uncompressed_name(name).endswith(each)]
    return _formats_by_suffix()[max(fitting, key=len)] if fitting else None


def _guess_format(name: str, data: bytes) -> str:
    """Guess a document's format from its first bytes and its file's suffix.

    If the first bytes match several formats, or no format at all, the suffix decides.
    """
    head = convert_to_utf8(data[:_HEAD_BYTES]).decode("utf-8", "replace").lstrip()
    if not head.strip("\0"):
        raise DocumentError("the document is empty")
    fitting = [each for each in reading_formats() if find_reader(each).looks_like(head)]
    by_suffix = _find_suffix_format(name)
    if by_suffix is not None and (by_suffix in fitting or not fitting or by_suffix == "nquads"):
        return by_suffix  # a file that starts with triples may still contain quads
    if fitting:
        return min(
            fitting, key=lambda each: each == "ntriples"
        )  # Turtle may start with a triple too
    raise DocumentError(
        "the document's format can't be guessed from its first bytes: specify the format"
    )

"""Reading PROV documents of any origin, and writing them again: one file a form.

A module here whose name begins with no underscore is a format of the module's name, as in
`Format`. Everything that is read is bounded in size and depth, and nothing is fetched.
Imports `errors`.
"""

from __future__ import annotations

import os
from functools import cache
from typing import BinaryIO

from provml.errors import DocumentError, InvalidArgumentError
from provml.reading._document import Document, Format, find_reader, reading_formats
from provml.reading._source import MAX_BYTES, load, plain_name, utf8_of

__all__ = [
    "MAX_BYTES",
    "Document",
    "Format",
    "find_reader",
    "format_for",
    "load",
    "plain_name",
    "read",
    "reading_formats",
]

_HEAD_BYTES = 4096


@cache
def _suffixes() -> dict[str, str]:
    return {suffix: name for name in reading_formats() for suffix in find_reader(name).SUFFIXES}


def read(
    source: str | os.PathLike[str] | bytes | BinaryIO,
    format: str | None = None,
    max_bytes: int = MAX_BYTES,
    base: str | None = None,
) -> Document:
    """Read a PROV document.

    Memory is some tens of times the document's size, so its size is bounded.

    Args:
        source: a path, the document itself, or an open binary file; as it is, or compressed with
            gzip or Zstandard.
        format: one of `reading_formats`; None has it guessed, from the file's ending and from what
            the document begins with.
        max_bytes: how large it may be, decompressed.
        base: what relative IRIs of RDF are relative to, where the document itself says nothing.

    Raises:
        InvalidArgumentError: an unknown format.
        DocumentError: it is no PROV of the format, too large, or has what is not supported.
        MissingExtraError: a package that the format needs is absent.
        OSError: the file can't be read.
    """
    data = load(source, max_bytes)
    if format is not None:
        return find_reader(format).read(data, base)
    name = os.fspath(source) if isinstance(source, (str, os.PathLike)) else ""
    return find_reader(_guessed(name, data)).read(data, base)


def format_for(name: str) -> str:
    """The format that a file's ending stands for.

    Raises:
        InvalidArgumentError: it stands for none; the message names those there are.
    """
    told = _told(name)
    if told is None:
        known = " ".join(sorted(_suffixes()))
        raise InvalidArgumentError(f"{name}: the ending says no format; there are {known}")
    return told


def _told(name: str) -> str | None:
    """The format that a file's ending stands for, if any; .prov.jsonld is longer than .jsonld."""
    fitting = [each for each in _suffixes() if plain_name(name).endswith(each)]
    return _suffixes()[max(fitting, key=len)] if fitting else None


def _guessed(name: str, data: bytes) -> str:
    """The format that fits the beginning; among several the one that the ending says."""
    head = utf8_of(data[:_HEAD_BYTES]).decode("utf-8", "replace").lstrip()
    if not head.strip("\0"):
        raise DocumentError("the document is empty")
    fitting = [each for each in reading_formats() if find_reader(each).looks_like(head)]
    told = _told(name)
    if told is not None and (told in fitting or not fitting or told == "nquads"):
        return told  # what begins with a triple may have quads later
    if fitting:
        return min(fitting, key=lambda each: each == "ntriples")  # which Turtle may begin with
    raise DocumentError("what this is can't be told from how it begins: give its format")

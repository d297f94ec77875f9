"""What XML may begin with: no document type, whose entities grow and are fetched.

Imports `errors`.
"""

from __future__ import annotations

from xml.parsers import expat

from provml.errors import DocumentError

_BLOCK_BYTES = 4096


def check_prolog(data: bytes) -> None:
    """Look at XML up to its first element. Raises DocumentError for a document type declaration."""
    parser = expat.ParserCreate()
    begun = False

    def refuse(*_: object) -> None:
        raise DocumentError(
            f"line {parser.CurrentLineNumber}: a document type declaration (DOCTYPE) is refused, "
            "as its entities may grow without bound or name other files"
        )

    def begin(*_: object) -> None:
        nonlocal begun
        begun = True

    parser.StartDoctypeDeclHandler = refuse
    parser.StartElementHandler = begin
    try:
        for start in range(0, len(data), _BLOCK_BYTES):
            parser.Parse(data[start : start + _BLOCK_BYTES])
            if begun:
                return
        parser.Parse(b"", True)
    except expat.ExpatError as error:
        if not begun:
            reason = expat.ErrorString(error.code)
            raise DocumentError(
                f"line {error.lineno}, column {error.offset + 1}: this is no XML: {reason}"
            ) from None

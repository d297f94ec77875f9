"""Refuse XML with a document type declaration (DOCTYPE).

The entities that a DOCTYPE declares can expand without limit or read other files.
"""

from __future__ import annotations

from xml.parsers import expat

from provml.errors import DocumentError

_BLOCK_BYTES = 4096


def check_xml(data: bytes, max_depth: int | None = None) -> None:
    """Raise DocumentError if XML has a DOCTYPE or nests its elements too deeply.

    If ``max_depth`` is None, any depth is allowed, and the check stops at the first element.

    Raises:
        DocumentError: the XML has a document type declaration, nests elements more than
            ``max_depth`` levels deep, or is invalid before its first element.
    """
    parser = expat.ParserCreate()
    begun = False
    depth = 0

    def refuse(*_: object) -> None:
        raise DocumentError(
            f"line {parser.CurrentLineNumber}: document type declarations (DOCTYPE) are not "
            "allowed, because their entities can expand without limit or read other files"
        )

    def begin(*_: object) -> None:
        nonlocal begun, depth
        begun = True
        depth += 1
        if max_depth is not None and depth > max_depth:
            line = parser.CurrentLineNumber
            raise DocumentError(
                f"line {line}: elements are nested more than {max_depth:,} levels deep"
            )

    def end(*_: object) -> None:
        nonlocal depth
        depth -= 1

    parser.StartDoctypeDeclHandler = refuse
    parser.StartElementHandler = begin
    parser.EndElementHandler = end
    try:
        for start in range(0, len(data), _BLOCK_BYTES):
            parser.Parse(data[start : start + _BLOCK_BYTES])
            if begun and max_depth is None:
                return
        parser.Parse(b"", True)
    except DocumentError:
        raise
    except expat.ExpatError as error:
        if not begun:
            reason = expat.ErrorString(error.code)
            raise DocumentError(
                f"line {error.lineno}, column {error.offset + 1}: not valid XML: {reason}"
            ) from None
    except (LookupError, ValueError) as error:
        raise DocumentError(f"the XML can't be read: {error}") from None

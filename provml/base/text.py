"""Makes untrusted text safe to print, and formats sizes and durations for display.

Imports nothing else from provml.
"""

from __future__ import annotations

import os
from typing import Final

HIDDEN_CATEGORIES: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""The Unicode categories of control, direction and line-ending characters."""
_JOINERS: Final = "\u200c\u200d\ufe0e\ufe0f"
"""Characters that change the form of the characters beside them, in many scripts and in emoji.

`printable` keeps such a character if it follows a character that is not ASCII, and escapes it
otherwise.
"""
_BLANKS: Final = frozenset(
    "\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0"
    + "".join(map(chr, (*range(0x180B, 0x1810), *range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0))))
)
"""The invisible characters that Unicode counts as letters, marks or symbols."""
_LARGEST_SIZE: Final = 10**18


def printable(text: object, hidden: frozenset[str] = HIDDEN_CATEGORIES) -> str:
    r"""Replace hidden characters in a text with escapes: an ESC character becomes ``\x1b``.

    Names that differ only in hidden characters then look different.
    """
    own = str(text)
    if own.isascii() and own.isprintable():
        return own
    import unicodedata

    def is_hidden(place: int, character: str) -> bool:
        if character in _JOINERS:
            return place == 0 or own[place - 1].isascii()
        return character in _BLANKS or unicodedata.category(character) in hidden

    return "".join(
        c.encode("unicode_escape").decode("ascii") if is_hidden(place, c) else c
        for place, c in enumerate(own)
    )


def printable_path(text: str) -> str:
    r"""Convert text from the operating system to valid Unicode; invalid bytes become ``\xNN``."""
    return os.fsencode(text).decode("utf-8", "backslashreplace")


def is_unicode(text: str) -> bool:
    """Return whether a text is valid Unicode, which means that it has no lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def size_text(size: int) -> str:
    """Format a number of bytes with a decimal unit, such as ``512 B`` or ``1.5 MB``."""
    amount, unit = float(min(size, _LARGEST_SIZE)), "B"
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if amount < 1000 or unit == "TB":
            break
        amount /= 1000
    return f"{size} B" if unit == "B" else f"{amount:.1f} {unit}"


def format_duration(seconds: float | None) -> str:
    """Format a duration with one or two units, for example ``2 m 05 s``."""
    if seconds is None:
        return "-"
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} m {rest:02} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} m" if hours < 48 else f"{hours // 24} d {hours % 24:02} h"

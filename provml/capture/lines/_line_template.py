"""Reads the numbers of further lines of one shape, with a regular expression made from the first.

Splitting a line into tokens takes ten times as long as this.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from provml.capture.lines._numbers import NUMBER
from provml.capture.lines._tokens import FRACTION, NUMERAL, OPAQUE, Token

_SPACES: Final = re.compile(r"\s+")
_PATTERNS: Final = {
    NUMERAL: f"({NUMBER})",
    FRACTION: r"([0-9]++) *+/ *+[0-9]++",
    OPAQUE: r"([-+]?+\.?+[0-9][0-9:.,/TZ\-]*+)",
}


def compile_line(line: str, tokens: Sequence[Token]) -> re.Pattern[str] | None:
    """Return an expression that matches lines which differ from a line only in their numbers.

    Its groups are the numbers, in their order. A line that it does not match may still have the
    same shape. Returns None if the line can't be described.

    Args:
        line: the line.
        tokens: its tokens.
    """
    source, end = [], 0
    for token in tokens:
        pattern = _PATTERNS.get(token.kind)
        if pattern is None:
            continue
        source += [_quote(line[end : token.start]), pattern]
        end = token.start + len(token.text)
    source.append(_quote(line[end:]))
    expression = re.compile("".join(source))
    return expression if expression.fullmatch(line) else None


def _quote(text: str) -> str:
    """Return an expression for the text between two numbers. White space may vary in length."""
    pieces = [re.escape(piece) for piece in _SPACES.split(text)]
    return r"\s++".join(pieces) if len(pieces) > 1 else pieces[0]

"""Builds a regular expression from a line, to read the numbers of lines of the same shape.

Lines of one shape differ only in their numbers. Splitting each line into tokens would take ten
times as long as matching the expression.
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
    """Return a regular expression for lines that differ from this line only in their numbers.

    The groups of the expression are the numbers, in order. A line that the expression does not
    match may still have the same shape. Returns None if the expression would not match the line
    itself.

    Args:
        line: the line.
        tokens: the tokens of the line.
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
    """Return a regular expression for text, in which white space may have any length."""
    pieces = [re.escape(piece) for piece in _SPACES.split(text)]
    return r"\s++".join(pieces) if len(pieces) > 1 else pieces[0]

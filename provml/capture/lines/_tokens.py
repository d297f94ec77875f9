"""Splits a printed line into words, numbers and marks.

    Train Epoch: 3 [640/60000 (1%)]	Loss: 0.412
    word  word : number [ fraction ( number ) ] word : number

A number must be a whole word: ``0,5``, ``1.2.3``, ``12:30`` and ``3abc`` are not numbers. A unit
may follow a number directly (``93.1ms``, ``98%``) or after a space (``21.3 dB``). Splitting a line
takes time proportional to its length.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from provml.capture.lines._numbers import NUMBER
from provml.capture.lines._vocabulary import word_set

WORD: Final = "word"
NUMERAL: Final = "number"
FRACTION: Final = "fraction"
OPAQUE: Final = "opaque"
BREAK: Final = "break"

UNITS: Final = word_set(
    "% ms s us µs μs ns sec secs second seconds min mins minutes h hours dB bits nats "
    "K M G B KB MB GB TB kB KiB MiB GiB k x W J Hz kHz MHz GHz °C"
)
"""The units that may follow a number."""
_LETTERS: Final = frozenset("KMGBkxWJh")
"""The units that must follow a number directly: after a space, they are more often names."""
RATE_UNIT: Final = re.compile(
    r"[A-Za-z]*/(?:s|sec|second|min|h|it|iter|step|batch|epoch|sample|op)"
)
"""Matches the unit of a rate, such as ``it/s``."""

_TOKEN: Final = re.compile(
    r"(?P<space>[ \t\xa0]+)"
    r"|(?P<wrap>(?:(?:np|numpy|torch|jnp)\.)?(?:tensor|array|Array|u?int\d+|b?float\d+)\((?=[-+.\dni]))"
    r"|(?P<fraction>(?<![\w.])\d++[ ]*/[ ]*\d++)(?![\w/]|\.\d|,\d|:\d)"
    r"|(?P<rule>[=\-_*#+~<>.·—\u2013─━═]{2,}+>?|->|=>)(?![\w.]|$)"
    r"|(?P<long>[=\-_*#~<>·—\u2013─━═]{3,}+>?)"
    r"|(?P<mark>[:=,;|()\[\]{}'\"`│┃])"
    r"|(?P<digits>[-+]?\.?\d(?:[^\s,;|()\[\]{}=:'\"`│┃]|[:,](?=\d))*+)"
    r"|(?P<word>[^\s,;|()\[\]{}=:'\"`│┃](?:[^\s,;|()\[\]{}=:'\"`│┃]|'(?=\w))*+"
    r"(?:\((?:[A-Za-z_]\w*|\w+\(\w+\))\)(?![\w.]))?)"
)
_NUMBER_AND_UNIT: Final = re.compile(rf"(?P<number>{NUMBER})(?P<unit>[%A-Za-zµμ°/]*)")
_ARROWS: Final = ("->", "=>", "==>", "-->")
_NUMBER_WORD: Final = re.compile(r"[-+]?(?:nan|NaN|NAN|[iI]nf(?:inity)?)")


class Token(NamedTuple):
    """A part of a line.

    Attributes:
        kind: ``word``, ``number``, ``fraction`` (``640/60000``), ``opaque`` (a word that begins
            with a digit but is not a number, such as a date), ``break`` (a rule such as ``====>``,
            a symbol such as ``-``, or a gap between two words), or the mark itself.
        text: the text; the text of a number does not include its unit.
        unit: the unit of a number; None if there is none.
        glued: whether the token directly follows the previous token, without white space.
        start: the offset of the token in the line.
    """

    kind: str
    text: str
    unit: str | None = None
    glued: bool = False
    start: int = -1


def split_line(line: str) -> list[Token]:
    """Split a line into its tokens. Quotes are left out, and an arrow becomes a colon."""
    tokens: list[Token] = []
    glued = is_gap = False
    merged: Token | None = None  # the last token, if it became the unit of the number before it
    merged_next: Token | None = None
    for match in _TOKEN.finditer(line):
        kind, text = match.lastgroup, match[0]
        if kind == "space":
            glued = False
            is_gap = len(text) > 1 or text == "\t"
            continue
        count, merged, merged_next = len(tokens), merged_next, None
        if kind == "mark":
            if text in ":=" and glued and merged is not None:  # ``loss=0.5 tok/s=100``
                tokens[-1:] = [tokens[-1]._replace(unit=None), merged]
            if text not in "'\"`":
                tokens.append(Token("|" if text in "│┃" else text, text, None, glued))
                glued = True
            continue
        if kind == "rule" or kind == "long":
            tokens.append(Token(":" if text in _ARROWS else BREAK, text))
        elif kind == "fraction":
            tokens.append(Token(FRACTION, text, None, glued))
        elif kind == "digits":
            tokens.append(_classify_digits(text, glued))
        elif kind == "word":
            if is_gap and tokens and tokens[-1].kind == WORD:
                tokens.append(Token(BREAK, " "))
            own = _classify_word(text, glued, tokens)
            if own.kind == NUMERAL and own.unit is not None:
                merged_next = Token(WORD, text, None, glued, match.start())
            tokens.append(own)
        if len(tokens) > count:
            tokens[-1] = tokens[-1]._replace(start=match.start())
        glued = kind != "rule" and kind != "long"
        is_gap = False
    return tokens


def _classify_digits(text: str, glued: bool) -> Token:
    own = text.rstrip("!?")
    match = _NUMBER_AND_UNIT.fullmatch(own) or _NUMBER_AND_UNIT.fullmatch(own.rstrip("."))
    if match is None:
        return Token(OPAQUE, text, None, glued)
    unit = match["unit"]
    if unit and unit not in UNITS and RATE_UNIT.fullmatch(unit) is None:
        return Token(OPAQUE, text, None, glued)
    return Token(NUMERAL, match["number"], unit or None, glued)


def _classify_word(text: str, glued: bool, before: list[Token]) -> Token:
    if _NUMBER_WORD.fullmatch(text) is not None:
        return Token(NUMERAL, text, None, glued)
    if not any(map(str.isalnum, text)):
        return Token(BREAK, text, None, glued)
    if before and before[-1].kind == NUMERAL and before[-1].unit is None:
        own = text.rstrip(".")
        if (own in UNITS and own not in _LETTERS) or RATE_UNIT.fullmatch(own) is not None:
            last = before.pop()
            return last._replace(unit=own)
    return Token(WORD, text, None, glued)


def shape_key(tokens: list[Token]) -> str:
    """Return a line's shape: its words and marks, with a placeholder for each number."""
    parts = []
    for token in tokens:
        if token.kind == NUMERAL:
            parts.append("\0" + (token.unit or ""))
        elif token.kind == FRACTION:
            parts.append("\0/")
        elif token.kind == OPAQUE:
            parts.append("\1")
        else:
            parts.append(token.text)
    return " ".join(parts)

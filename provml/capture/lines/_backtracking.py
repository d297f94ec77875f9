"""Finds regular expressions that may take exponential time on a line that they do not match.

The `re` module backtracks: it tries all ways in which an expression could match. Some expressions,
such as ``(a+)+``, repeat a part that can match the same text in several ways. Then the number of
ways can double with each character of the line. `may_backtrack_forever` checks only the text of an
expression, so it also refuses a few harmless expressions.

Imports nothing else from provml.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

_NOT_A_CHARACTER: Final = (".", "^", "$", r"\A", r"\b", r"\B", r"\Z")
_MAX_HARMLESS_REPEATS: Final = 16
"""The largest repeat count that is never risky: the number of ways to match stays small."""

_QUANTIFIER: Final = re.compile(r"(?:[*+?]|\{(?:\d+(?:,\d*)?|,\d*)\})")
_GROUP_START: Final = re.compile(
    r"\((?:\?(?:P<\w+>|P=(?P<same>\w+)|(?P<look><?[=!])|(?P<atomic>>)|(?P<comment>\#)"
    r"|(?P<condition>\([^)]*\))|(?P<flags>[aiLmsux]*(?:-[imsx]+)?)(?P<ends>[:)])))?"
)
_VERBOSE_GAP: Final = re.compile(r"(?:\s|#[^\n]*(?:\n|\Z))+")
_REST_OF_ESCAPE: Final = re.compile(
    r"(?<=\\N)\{[^}]*\}|(?<=\\[0-9])[0-9]{1,2}|(?<=\\[xuU])[0-9a-fA-F]+"
)
_UNBOUNDED: Final = 2**32


class _Item(NamedTuple):
    """One element of an alternative: a character, class or group, with its quantifier.

    Attributes:
        text: the text of the item in the expression.
        is_character: whether the item always matches exactly one character from a fixed set.
    """

    text: str
    is_character: bool


def may_backtrack_forever(expression: re.Pattern[str]) -> bool:
    """Return whether the expression repeats a part that can match the same text in several ways.

    A part is risky if it varies in length (``a+``, ``a?``) or has alternatives (``a|aa``), and is
    repeated more than 16 times. Possessive repeats (``a++``), atomic groups (``(?>a+)``) and
    alternatives of single characters (``a|b``) are fine. Costs one pass over the pattern.

    Args:
        expression: the expression to check, compiled to ensure that its text is valid.
    """
    scanner = _Scanner(expression.pattern)
    scanner.read_alternatives(False, bool(expression.flags & re.VERBOSE))
    return scanner.is_risky


class _Scanner:
    """A scanner that searches a valid pattern for risky repeats, from left to right.

    Attributes:
        is_risky: whether the scanner has found a risky repeat so far.
    """

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._at = 0
        self._group_ends: dict[int, int] = {}
        """The offset where each group ends, keyed by the offset where its contents begin."""
        self.is_risky = False

    def read_alternatives(
        self, repeated: bool, verbose: bool, *, is_condition: bool = False
    ) -> None:
        """Read all alternatives up to the end of the current group or of the pattern.

        Args:
            repeated: whether the group is inside a repeat that can match in many ways.
            verbose: whether white space and comments in the pattern are ignored.
            is_condition: whether the alternatives belong to a conditional group (``(?(1)a|b)``),
                which tries only one of them.
        """
        alternatives: list[list[_Item]] = [[]]
        while self._at < len(self._pattern) and self._pattern[self._at] != ")":
            if self._pattern[self._at] == "|":
                self._at += 1
                alternatives.append([])
                continue
            item = self._read_item(repeated, verbose)
            if item is not None:
                alternatives[-1].append(item)
        if len(alternatives) > 1 and repeated and not is_condition:
            self.is_risky = self.is_risky or not _differ_in_one_character(alternatives)

    def _read_item(self, repeated: bool, verbose: bool) -> _Item | None:
        """Read the next item; return None for a flag, a comment or ignored white space."""
        if verbose:
            gap = _VERBOSE_GAP.match(self._pattern, self._at)
            if gap is not None:
                self._at = gap.end()
                return None
        start = self._at
        if self._pattern[start] == "(":
            return self._read_group(repeated, verbose)
        self._skip_character()
        text = self._pattern[start : self._at]
        is_character = text not in _NOT_A_CHARACTER and not text.startswith("[^")
        has_quantifier = self._read_quantifier(repeated, verbose) is not None
        return _Item(self._pattern[start : self._at], is_character and not has_quantifier)

    def _read_group(self, repeated: bool, verbose: bool) -> _Item | None:
        start = self._at
        head = _GROUP_START.match(self._pattern, start)
        assert head is not None
        self._at = head.end()
        if head["comment"] is not None or head["same"] is not None or head["ends"] == ")":
            if head["ends"] is None:  # the head begins a comment or a reference to a group
                self._at = self._pattern.index(")", self._at) + 1
            if head["same"] is None:
                return None
            self._read_quantifier(repeated, verbose)
            return _Item(self._pattern[start : self._at], False)
        if head["flags"]:
            on, _, off = head["flags"].partition("-")
            inner_verbose = (verbose or "x" in on) and "x" not in off
        else:
            inner_verbose = verbose
        times = self._peek_quantifier(inner_verbose, verbose)
        within = repeated
        if times is not None:
            most, is_possessive = times
            within = not is_possessive and (repeated or most > _MAX_HARMLESS_REPEATS)
        within = within and head["atomic"] is None
        is_condition = head["condition"] is not None
        self.read_alternatives(within, inner_verbose, is_condition=is_condition)
        self._at += 1
        self._read_quantifier(repeated, verbose)
        return _Item(self._pattern[start : self._at], False)

    def _peek_quantifier(self, inner_verbose: bool, verbose: bool) -> tuple[int, bool] | None:
        """Return the quantifier that follows the current group, but do not move forward.

        The scanner is at the beginning of the group's contents.

        Returns:
            The same values as `_read_quantifier`.
        """
        start, was_risky = self._at, self.is_risky
        if start not in self._group_ends:
            self.read_alternatives(False, inner_verbose)
            self._group_ends[start] = self._at + 1
        self._at = self._group_ends[start]
        times = self._read_quantifier(False, verbose)
        self._at, self.is_risky = start, was_risky
        return times

    def _skip_character(self) -> None:
        """Skip a literal character, an escape sequence or a class."""
        first = self._pattern[self._at]
        self._at += 1
        if first == "\\":
            self._at += 1
            rest = _REST_OF_ESCAPE.match(self._pattern, self._at)
            if rest is not None:
                self._at = rest.end()
        elif first == "[":
            if self._pattern.startswith("^", self._at):
                self._at += 1
            self._at += 1  # a "]" at the beginning of a class is a member
            if self._pattern[self._at - 1] == "\\":
                self._at += 1
            while self._pattern[self._at] != "]":
                self._at += 2 if self._pattern[self._at] == "\\" else 1
            self._at += 1

    def _read_quantifier(self, repeated: bool, verbose: bool) -> tuple[int, bool] | None:
        """Read a quantifier. If it is inside a repeat and varies in length, set `is_risky`.

        Returns:
            The maximum number of repeats, and whether the quantifier is possessive; None if no
            quantifier follows.
        """
        gap = _VERBOSE_GAP.match(self._pattern, self._at) if verbose else None
        at = self._at if gap is None else gap.end()
        found = _QUANTIFIER.match(self._pattern, at)
        if found is None:
            return None
        self._at = found.end()
        least, most = _read_bounds(found[0])
        mark = self._pattern[self._at : self._at + 1]
        if mark == "+" or mark == "?":
            self._at += 1
        if repeated and least != most and mark != "+":
            self.is_risky = True
        return most, mark == "+"


def _read_bounds(quantifier: str) -> tuple[int, int]:
    if quantifier in "*+?":
        return {"*": (0, _UNBOUNDED), "+": (1, _UNBOUNDED), "?": (0, 1)}[quantifier]
    least, comma, most = quantifier[1:-1].partition(",")
    low = int(least or 0)
    return low, (int(most) if most else _UNBOUNDED) if comma else low


def _differ_in_one_character(alternatives: Sequence[Sequence[_Item]]) -> bool:
    """Return whether the alternatives are the same except for the last character of each."""
    shortest = min(map(len, alternatives))
    common = 0
    while common < shortest and len({items[common] for items in alternatives}) == 1:
        common += 1
    return all(len(items) == common + 1 and items[common].is_character for items in alternatives)

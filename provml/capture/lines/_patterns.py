r"""Lines by patterns that the user gives: templates and regular expressions.

A template is the text of a line with names in braces: ``epoch {epoch} loss {loss} acc {acc}``.
``{epoch}`` and ``{step}`` stand for an integer, ``{name}`` for a metric's name, ``{value}`` for its
value, ``{}`` for any word, any other for the value of a metric of that name; a run of spaces for
any other, the rest for itself. What has ``(?P<`` in it is a regular expression of Python's, its
named groups meaning the same.

A pattern is looked for anywhere in a line, and as often as it is there; an epoch and a step count
for all metrics of their line. On a line without metrics they count for the lines after it.
Imports `_numbers`, `_sink`, `naming`.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from re import _parser  # type: ignore[attr-defined]  # what a pattern is made of; nothing else says
from typing import Any, Final

from provml.capture.lines._numbers import NUMBER, to_number
from provml.capture.lines._sink import RefusedError, Sink
from provml.capture.metric_contexts import context_from_name
from provml.errors import InvalidArgumentError

MAX_LENGTH: Final = 2**13
"""Longer lines are not tried on templates; a quarter of it on regular expressions, which may take
time that is the cube of a line's length."""
_LONGEST_S: Final = 0.5
"""A pattern that takes longer on a line is not tried again."""

_FEW: Final = 16
_PLACES: Final = ("epoch", "step")
_LIMITS: Final = {"epoch": (0, 2**31 - 1), "step": (-(2**63) + 1, 2**63 - 1)}
_BRACES: Final = re.compile(r"\{([^{}]*)\}")
_PLACEHOLDERS: Final = {
    "epoch": r"([-+]?\d+)(?!\w)",
    "step": r"([-+]?\d+)(?!\w)",
    "name": r"([^\s=:,;|]+)",
    "": r"(\S+)",
}


@dataclass(frozen=True, slots=True)
class Pattern:
    """A compiled pattern, what its groups are, by number, and text without which it finds none."""

    expression: re.Pattern[str]
    groups: tuple[tuple[int, str], ...]
    needle: str
    longest: int = MAX_LENGTH


def compile_patterns(patterns: Sequence[str]) -> tuple[Pattern, ...]:
    """Compile templates and regular expressions.

    Raises:
        InvalidArgumentError: one that is no text, can't be compiled, or says no metric.
    """
    if isinstance(patterns, str) or not isinstance(patterns, (tuple, list)):
        raise InvalidArgumentError(f"patterns must be a list of texts, not {patterns!r:.80}")
    return tuple(_compiled(pattern) for pattern in patterns)


def _compiled(pattern: object) -> Pattern:
    if not isinstance(pattern, str):
        raise InvalidArgumentError(f"a pattern must be a str, not {pattern!r:.80}")
    try:
        if "(?P<" in pattern:
            expression = re.compile(pattern)
            if _may_take_for_ever(_parser.parse(pattern)):
                raise InvalidArgumentError(
                    f"the pattern {pattern!r:.200} repeats what may be cut in many ways: a line it "
                    "does not match could take for ever; make the inner or the outer repeat "
                    "possessive, as in '(?:a+)++', or write a template"
                )
            groups = tuple((number, name) for name, number in expression.groupindex.items())
            needle = ""
        else:
            source, names, needle = _from_template(pattern)
            expression = re.compile(source)
            groups = tuple((number, name) for number, name in enumerate(names, 1) if name)
    except (re.error, RecursionError, OverflowError) as error:
        raise InvalidArgumentError(
            f"the pattern {pattern!r:.200} is no regular expression: {error}"
        ) from None
    known = [name for _, name in groups]
    if not known:
        raise InvalidArgumentError(
            f"the pattern {pattern!r:.200} says no metric: write 'epoch {{epoch}} loss {{loss}}', "
            "or a regular expression with named groups: 'loss=(?P<loss>[0-9.]+)'"
        )
    if ("name" in known) != ("value" in known):
        raise InvalidArgumentError(
            f"the pattern {pattern!r:.200} has one of 'name' and 'value': they go together"
        )
    twice = {name for name in known if known.count(name) > 1}
    if twice:
        raise InvalidArgumentError(f"the pattern {pattern!r:.200} has {min(twice)!r} twice")
    return Pattern(expression, groups, needle, MAX_LENGTH if needle else MAX_LENGTH // 4)


def _may_take_for_ever(parsed: Iterable[Any], repeated: bool = False) -> bool:
    """Whether something that varies in length, or is one of several, is repeated without bound."""
    for operation, argument in parsed:
        kind = str(operation)
        inner: Iterable[Any] = ()
        within = repeated
        if kind in ("MAX_REPEAT", "MIN_REPEAT"):
            least, most, inner = argument
            if repeated and least != most:
                return True
            within = repeated or int(most) > _FEW
        elif kind == "BRANCH":
            if repeated or any(_may_take_for_ever(branch) for branch in argument[1]):
                return True
        elif kind in ("SUBPATTERN", "ASSERT", "ASSERT_NOT"):
            inner = argument[-1]
        elif kind == "ATOMIC_GROUP":
            inner, within = argument, False
        elif kind == "POSSESSIVE_REPEAT":
            inner, within = argument[2], False
        if _may_take_for_ever(inner, within):
            return True
    return False


def _from_template(template: str) -> tuple[str, list[str], str]:
    """The expression for a template, its groups' names in their order, its longest word."""
    parts = _BRACES.split(template.strip())
    source = [r"(?<!\w)"]
    names = []
    words = [""]
    for number, part in enumerate(parts):
        if number % 2:
            name = part.strip()
            names.append(name)
            # 1,234 is neither 1 nor 1234, but where the template itself has the comma
            thousands = "" if parts[number + 1].lstrip().startswith(",") else r"|,[0-9]{3}(?![0-9])"
            source.append(_PLACEHOLDERS.get(name, rf"({NUMBER})(?!\w|\.[0-9]{thousands})"))
        else:
            own = re.split(r"\s+", part)
            words += own
            source.append(r"\s+".join(map(re.escape, own)))
    return "".join(source), names, max(words, key=len)


class PatternForm:
    """The lines of one text that the user's patterns find."""

    def __init__(self, sink: Sink, patterns: tuple[Pattern, ...]) -> None:
        self._sink = sink
        self._patterns = patterns
        self._place: dict[str, int] = {}
        self._needles = [pattern.needle.encode("utf-8", "replace") for pattern in patterns]

    def shows(self, data: bytes, start: int, end: int) -> bool:
        """Whether a pattern may find something between two places of some bytes."""
        return any(data.find(needle, start, end) >= 0 for needle in self._needles)

    def read(self, text: str) -> bool:
        """Record what the patterns find in a line; whether that is a metric."""
        patterns = [pattern for pattern in self._patterns if pattern.needle in text]
        if not patterns:
            return False
        longest = min(pattern.longest for pattern in patterns)
        if len(text) > longest:
            self._sink.reject(f"the line is longer than patterns are tried on: {longest}", text)
            return False
        place: dict[str, int] = {}
        metrics: list[tuple[str, str]] = []
        for pattern in patterns:
            began = time.perf_counter()
            for match in pattern.expression.finditer(text):
                found = {name: match[number] for number, name in pattern.groups}
                for key in _PLACES:
                    own = found.pop(key, None)
                    if own is not None:
                        self._put(place, key, own, text)
                name, value = found.pop("name", None), found.pop("value", None)
                if name and value is not None:
                    metrics.append((name.strip(), value))
                metrics += [(key, own) for key, own in found.items() if own is not None]
            if time.perf_counter() - began > _LONGEST_S:
                self._leave_out(pattern, text)
        if not metrics:
            self._place = self._within(place)
            return False
        where = self._within(place)
        for name, value in metrics:
            try:
                number = to_number(value.strip())
            except RefusedError as error:
                self._sink.reject(str(error), text)
                continue
            self._sink.metric(
                name,
                number,
                context_from_name(name),
                step=where.get("step"),
                epoch=where.get("epoch"),
                line=text,
            )
        return True

    def _leave_out(self, pattern: Pattern, text: str) -> None:
        own = pattern.expression.pattern
        self._sink.reject(f"the pattern {own!r:.200} took too long: not tried again", text)
        self._patterns = tuple(one for one in self._patterns if one is not pattern)
        self._needles = [one.needle.encode("utf-8", "replace") for one in self._patterns]

    def _within(self, place: dict[str, int]) -> dict[str, int]:
        """A line's epoch and step, with what stands above it: a new epoch has no step yet."""
        return place if "epoch" in place else {**self._place, **place}

    def _put(self, place: dict[str, int], key: str, text: str, line: str) -> None:
        least, most = _LIMITS[key]
        try:
            number = int(text)
        except ValueError:
            self._sink.reject(f"the {key} is not an integer", line)
            return
        if least <= number <= most:
            place[key] = number
        else:
            self._sink.reject(f"the {key} is out of range", line)

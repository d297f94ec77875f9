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
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from provml.capture.lines._numbers import NUMBER, to_number
from provml.capture.lines._sink import RefusedError, Sink
from provml.capture.naming import context_of
from provml.errors import InvalidArgumentError

MAX_LENGTH: Final = 2**13
"""Longer lines are not tried: an expression may take time that is the square of a line's length."""

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
    return Pattern(expression, groups, needle)


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
            source.append(_PLACEHOLDERS.get(name, rf"({NUMBER})(?!\w|\.[0-9])"))
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
        if len(text) > MAX_LENGTH:
            self._sink.reject(f"the line is longer than patterns are tried on: {MAX_LENGTH}", text)
            return False
        place: dict[str, int] = {}
        metrics: list[tuple[str, str]] = []
        for pattern in patterns:
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
                context_of(name),
                step=where.get("step"),
                epoch=where.get("epoch"),
                line=text,
            )
        return True

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

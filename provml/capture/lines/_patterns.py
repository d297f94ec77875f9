r"""Finds metrics in lines with the user's patterns: templates and regular expressions.

A template is the text of a line with names in braces: ``epoch {epoch} loss {loss} acc {acc}``.

- ``{epoch}`` and ``{step}`` match a number; a step is a whole number.
- ``{name}`` matches the name of a metric, and ``{value}`` its value.
- ``{}`` matches any word.
- Any other name in braces matches the value of the metric with that name.
- White space matches any white space, and all other text matches itself.

A value must be a whole word, so ``loss 0,5`` and ``loss 1/2`` are rejected. A percent sign after a
value becomes the unit of the sample, unless the template contains the sign.

A pattern that contains ``(?P<`` is a Python regular expression. Its named groups mean the same as
the names in braces.

A pattern may match anywhere in a line, and more than once. The epoch and step of a line apply to
all metrics in that line. If a line has an epoch or step but no metrics, its epoch and step apply to
the metrics in the following lines.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from provml.capture.lines._backtracking import may_backtrack_forever
from provml.capture.lines._numbers import NUMBER, to_number
from provml.capture.lines._sink import LineSink, RefusedError
from provml.capture.metric_contexts import context_from_name
from provml.errors import InvalidArgumentError

MAX_LINE_LENGTH: Final = 2**13
"""The maximum length of a line for templates, in characters. The limit for regular expressions is a
quarter of this length, because their running time may grow with the cube of the length."""
_MAX_SECONDS: Final = 0.5
"""The maximum time that a pattern may take for one line. A slower pattern is not used any more."""

_PLACE_NAMES: Final = ("epoch", "step")
_PLACE_LIMITS: Final = {"epoch": (0, 2**31 - 1), "step": (-(2**63) + 1, 2**63 - 1)}
_BRACES: Final = re.compile(r"\{([^{}]*)\}")
_WHOLE_WORD: Final = (
    rf"({NUMBER}%?(?=\s|$|[,;|)\]}}>\"'`<\x1b](?![0-9])|[:.!?](?=\s|$))|[-+]?\.?[0-9]\S*+)"
)
"""Matches and captures a number that ends where its word ends. Also matches any other word that
begins like a number, such as ``0,5`` or ``1/2``, so that the parser can reject the word."""
_VALUE_PLACEHOLDERS: Final = (rf"({NUMBER})(?!\w|\.[0-9])", _WHOLE_WORD)
_PLACEHOLDERS: Final = {
    "epoch": (r"([-+]?\d+(?:\.\d+)?)(?!\w)", r"([-+]?\d+(?:\.\d+)?)(?!\w|[.,]\d)"),
    "step": (r"([-+]?\d+)(?!\w)", r"([-+]?\d+)(?!\w|[.,]\d)"),
    "name": (r"([^\s=:,;|]+)",) * 2,
    "": (r"(\S+)",) * 2,
}
"""Two expressions for each placeholder: the first is used if text follows the placeholder directly,
and the second otherwise."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """A template or regular expression in compiled form.

    Attributes:
        expression: the regular expression.
        groups: the number and name of each named group in the expression.
        needle: a piece of text that every matching line contains; may be empty.
        longest: the maximum length of a line to search, in characters.
    """

    expression: re.Pattern[str]
    groups: tuple[tuple[int, str], ...]
    needle: str
    longest: int = MAX_LINE_LENGTH


def compile_patterns(patterns: Sequence[str]) -> tuple[Pattern, ...]:
    """Compile templates and regular expressions.

    Raises:
        InvalidArgumentError: a pattern is not a ``str``, can't be compiled, names no metric, or
            could take exponential time on a line.
    """
    if isinstance(patterns, str) or not isinstance(patterns, (tuple, list)):
        raise InvalidArgumentError(f"patterns must be a list of str, not {patterns!r:.80}")
    return tuple(_compile_pattern(pattern) for pattern in patterns)


def _compile_pattern(pattern: object) -> Pattern:
    if not isinstance(pattern, str):
        raise InvalidArgumentError(f"a pattern must be a str, not {pattern!r:.80}")
    try:
        if "(?P<" in pattern:
            expression = re.compile(pattern)
            if may_backtrack_forever(expression):
                raise InvalidArgumentError(
                    f"the pattern {pattern!r:.200} repeats a part that can match the same text in "
                    "several ways, so a line that does not match could take forever: make the "
                    "inner or the outer repeat possessive, as in '(?:a+)++', or write a template"
                )
            groups = tuple((number, name) for name, number in expression.groupindex.items())
            needle = ""
        else:
            source, names, needle = _translate_template(pattern)
            expression = re.compile(source)
            groups = tuple((number, name) for number, name in enumerate(names, 1) if name)
    except (re.error, RecursionError, OverflowError) as error:
        raise InvalidArgumentError(
            f"the pattern {pattern!r:.200} is not a valid regular expression: {error}"
        ) from None
    known = [name for _, name in groups]
    if not known:
        raise InvalidArgumentError(
            f"the pattern {pattern!r:.200} names no metric: write 'epoch {{epoch}} loss {{loss}}', "
            "or a regular expression with named groups: 'loss=(?P<loss>[0-9.]+)'"
        )
    if ("name" in known) != ("value" in known):
        raise InvalidArgumentError(
            f"the pattern {pattern!r:.200} uses only one of the names 'name' and 'value': use both"
        )
    twice = {name for name in known if known.count(name) > 1}
    if twice:
        raise InvalidArgumentError(
            f"the pattern {pattern!r:.200} uses the name {min(twice)!r} twice: use each name once"
        )
    return Pattern(expression, groups, needle, MAX_LINE_LENGTH if needle else MAX_LINE_LENGTH // 4)


def _translate_template(template: str) -> tuple[str, list[str], str]:
    """Translate a template into a regular expression.

    Returns:
        The regular expression, the names of its groups, and the longest word of the template.
    """
    parts = _BRACES.split(template.strip())
    source = [r"(?<!\w)"]
    names = []
    words = [""]
    for number, part in enumerate(parts):
        if number % 2:
            name = part.strip()
            names.append(name)
            following = parts[number + 1]
            # if the template has text right after a value, that text shows where the value ends
            is_bounded = bool(following) and not following[0].isspace()
            bounded, free = _PLACEHOLDERS.get(name, _VALUE_PLACEHOLDERS)
            if following[:1].isalpha() and name not in _PLACEHOLDERS:
                bounded = f"({NUMBER})"  # the text is the unit, as in ``{time}ms``
            source.append(bounded if is_bounded else free)
        else:
            own = re.split(r"\s+", part)
            words += own
            source.append(r"\s+".join(map(re.escape, own)))
    return "".join(source), names, max(words, key=len)


class PatternParser:
    """A parser that finds metrics in one text, such as a stream, with the user's patterns."""

    def __init__(self, sink: LineSink, patterns: tuple[Pattern, ...]) -> None:
        self._sink = sink
        self._patterns = patterns
        self._last_place: dict[str, int | float] = {}
        self._needles = [pattern.needle.encode("utf-8", "replace") for pattern in patterns]

    def may_match(self, data: bytes, start: int, end: int) -> bool:
        """Return whether a pattern may match the text between two offsets in a block."""
        return any(data.find(needle, start, end) >= 0 for needle in self._needles)

    def read(self, text: str) -> bool:
        """Record the metrics that the patterns find in a line; return whether they find any."""
        patterns = [pattern for pattern in self._patterns if pattern.needle in text]
        if not patterns:
            return False
        longest = min(pattern.longest for pattern in patterns)
        if len(text) > longest:
            self._sink.reject(
                f"the line is longer than {longest:,} characters, the limit for patterns", text
            )
            return False
        place: dict[str, int | float] = {}
        metrics: list[tuple[str, str]] = []
        for pattern in patterns:
            began = time.perf_counter()
            for match in pattern.expression.finditer(text):
                found = {name: match[number] for number, name in pattern.groups}
                for key in _PLACE_NAMES:
                    own = found.pop(key, None)
                    if own is not None:
                        self._store_place(place, key, own, text)
                name, value = found.pop("name", None), found.pop("value", None)
                if name and value is not None:
                    metrics.append((name.strip(), value))
                metrics += [(key, own) for key, own in found.items() if own is not None]
            if time.perf_counter() - began > _MAX_SECONDS:
                self._drop_pattern(pattern, text)
        if not metrics:
            self._last_place = self._complete_place(place)
            return False
        where = self._complete_place(place)
        for name, value in metrics:
            word = value.strip()
            try:
                number = to_number(word.removesuffix("%"))
            except RefusedError as error:
                self._sink.reject(str(error), text)
                continue
            self._sink.record_metric(
                name,
                number,
                context_from_name(name),
                step=where.get("step"),
                epoch=where.get("epoch"),
                unit="%" if word.endswith("%") else None,
                line=text,
            )
        return True

    def _drop_pattern(self, pattern: Pattern, text: str) -> None:
        own = pattern.expression.pattern
        self._sink.reject(f"the pattern {own!r:.200} took too long and is not used any more", text)
        self._patterns = tuple(one for one in self._patterns if one is not pattern)
        self._needles = [one.needle.encode("utf-8", "replace") for one in self._patterns]

    def _complete_place(self, place: dict[str, int | float]) -> dict[str, int | float]:
        """Return a line's epoch and step, completed from earlier lines if the line has no epoch.

        A line with an epoch does not inherit a step from earlier lines.
        """
        return place if "epoch" in place else {**self._last_place, **place}

    def _store_place(self, place: dict[str, int | float], key: str, text: str, line: str) -> None:
        least, most = _PLACE_LIMITS[key]
        try:
            number = to_number(text)
        except RefusedError:
            self._sink.reject(f"the {key} is not a number", line)
            return
        if key == "step" and isinstance(number, float):
            self._sink.reject("the step is not a whole number", line)
            return
        if least <= number <= most:
            place[key] = number
        else:
            self._sink.reject(f"the {key} is out of range", line)

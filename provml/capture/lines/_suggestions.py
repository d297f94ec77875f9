"""Suggests patterns for the lines of a text.

``provml ingest --suggest`` prints the patterns. ``provml run`` prints a pattern for lines that
look like metrics but were not recorded.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from provml.base.context import Context
from provml.capture.lines._fields import LineFields, read_fields
from provml.capture.lines._patterns import compile_patterns
from provml.capture.lines._reader import LineReader
from provml.capture.lines._sink import LineSink
from provml.capture.lines._tokens import FRACTION, NUMERAL, OPAQUE, shape_key, split_line
from provml.errors import InvalidArgumentError
from provml.recording.disabled_run import DisabledRun

_RESERVED: Final = ("name", "value", "epoch", "step", "")
_MAX_SHAPES: Final = 256


class Suggestion(NamedTuple):
    """A pattern for lines of one shape.

    Attributes:
        pattern: a template for ``--pattern``; None if the lines (JSON lines, for example) need no
            template, or if no template matches them.
        line: the first line of this shape.
        lines: the number of lines of this shape that were read.
        samples: the metrics in the first line, as text: ``loss = 0.5 in training``.
    """

    pattern: str | None
    line: str
    lines: int
    samples: tuple[str, ...] = ()


def build_pattern(line: str) -> str | None:
    """Return a template for a line and other lines of its shape; None if no template fits.

    ``epoch 3 | loss 0.12`` gives ``epoch {epoch} | loss {loss}``.
    """
    tokens = split_line(line)
    fields = read_fields(tokens)
    names = _name_numbers(fields)
    parts, end = [], 0
    for token in tokens:
        if token.kind not in (NUMERAL, FRACTION, OPAQUE):
            continue
        text = token.text
        if token.kind == FRACTION and token.start in names:
            text = text.partition("/")[0].rstrip()
        if "{" in line[end : token.start] or "}" in line[end : token.start]:
            return None
        parts += [line[end : token.start], "{" + names.get(token.start, "") + "}"]
        end = token.start + len(text)
    parts.append(line[end:])
    while len(parts) > 2 and parts[1] == "{}":  # drop numbers before the first name, such as a date
        del parts[:2]
    pattern = "".join(parts).strip(" \t-|,:")
    try:
        (compiled,) = compile_patterns([pattern])
    except InvalidArgumentError:
        return None
    return pattern if compiled.expression.search(line) else None


def _name_numbers(fields: LineFields) -> dict[int, str]:
    """Return the name of the placeholder for each number of a line, by the number's offset."""
    names: dict[int, str] = {}
    for field in fields.fields:
        name = field.short if field.context is None else field.name.partition(" (")[0]
        own = f"{name} 1" if name in _RESERVED else name
        if own not in names.values():
            names[field.start] = own
    if fields.epoch_start >= 0:
        names[fields.epoch_start] = "epoch"
    if fields.step_start >= 0:
        names[fields.step_start] = "step"
    return names


class PatternSuggester:
    """Suggests patterns for a text. Reads the text as `LineReader` does, but records nothing.

    Args:
        patterns: templates and regular expressions (see `compile_patterns`).
    """

    def __init__(self, patterns: Sequence[str] = ()) -> None:
        self._sink = _TrialSink()
        self._reader = LineReader(DisabledRun("suggestions"), patterns, sink=self._sink)

    def feed(self, data: bytes) -> None:
        """Read the next block of bytes, of any size."""
        self._reader.feed(data)

    def finish(self) -> None:
        """Read the last line, even if it has no newline."""
        self._reader.finish()

    def list_found(self) -> list[Suggestion]:
        """Return a suggestion for each kind of line that gave metrics, in order of occurrence."""
        return self._sink.list_suggestions()

    def list_missed(self) -> list[Suggestion]:
        """Return a suggestion for each kind of unrecorded line that looks like metrics."""
        return suggest_missed(self._reader)


def suggest_missed(reader: LineReader) -> list[Suggestion]:
    """Return suggestions for the lines that look like metrics but that a reader did not record.

    Call this function after the reader's `finish`.
    """
    found = [Suggestion(build_pattern(line), line, lines) for line, lines in reader.list_missed()]
    return [one for one in found if one.pattern is not None]


class _TrialSink(LineSink):
    """A sink that records nothing, but keeps the metrics in the first line of each shape."""

    def __init__(self) -> None:
        super().__init__(DisabledRun("suggestions"), "suggestions")
        self._first_lines: dict[str, str] = {}
        self._line_counts: dict[str, int] = {}
        self._samples: dict[str, list[str]] = {}
        self._last_line = ""

    def record_metric(
        self,
        name: str,
        value: int | float,
        context: Context | None,
        *,
        step: int | float | None = None,
        epoch: int | float | None = None,
        unit: str | None = None,
        time_ns: int | None = None,
        line: str = "",
    ) -> None:
        """Keep a sample if it is in the first line of its shape. Count the lines of each shape."""
        self.recorded += 1
        key = shape_key(split_line(line))
        if key not in self._first_lines:
            if len(self._first_lines) >= _MAX_SHAPES:
                return
            self._first_lines[key] = line
        if line != self._last_line:
            self._line_counts[key] = self._line_counts.get(key, 0) + 1
            self._last_line = line
        if self._line_counts[key] == 1:
            text = f"{name} = {value!r}" + (f" {unit}" if unit else "")
            text += f" in {context}" if context is not None else ""
            place = [f"epoch {epoch}"] * (epoch is not None) + [f"step {step}"] * (step is not None)
            self._samples.setdefault(key, []).append(" ".join([f"{text},", *place]).rstrip(","))

    def is_logged(self, name: str, context: Context | None) -> bool:
        """Return False, because there is no run into which the program could log the metric."""
        return False

    def list_suggestions(self) -> list[Suggestion]:
        """Return a suggestion for each kind of line that gave metrics, in order of occurrence."""
        return [
            Suggestion(
                build_pattern(line), line, self._line_counts.get(key, 1), tuple(self._samples[key])
            )
            for key, line in self._first_lines.items()
        ]

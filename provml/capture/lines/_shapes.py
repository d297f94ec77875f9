"""Decides which lines contain metrics, by comparing lines of the same shape.

Two lines have the same shape if they differ only in their numbers. The values in the lines of one
shape count as metrics if one of these conditions is true:

- There are two lines, and a value has a name that only metrics have, such as ``val_loss``.
- There are two lines, the lines count steps or epochs, and a value has a name that metrics often
  have, such as ``score``.
- There are three lines, the lines count steps or epochs, nearly all their words are names, and at
  least one value varies and is not a whole number.

Until one of these conditions is true, the lines wait. All waiting lines are recorded if the shape
then counts as metrics. If a single line is waiting when the text ends, the line is recorded only if
it contains a name that only metrics have, and is clearly a line of metrics. Missing a metric is
better than recording a wrong one, so nothing else counts as a metric.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Final, NamedTuple

from provml.capture.lines import _vocabulary as vocabulary
from provml.capture.lines._fields import Field, LineFields
from provml.capture.lines._tokens import FRACTION, NUMERAL, OPAQUE, Token

MAX_WAITING: Final = 8
"""The number of lines after which a shape is given up, if it does not count as metrics by then."""
_MIN_MISSED: Final = 3
_MAX_PROSE: Final = 0.5
_MAX_PROSE_OF_ONE: Final = 0.34
_MAX_PROSE_OF_UNKNOWN: Final = 0.2
_SHORT_TIMES: Final = frozenset(("ms", "us", "µs", "μs", "ns"))
_MEASURE_UNITS: Final = frozenset(("%", "dB", "bits", "nats", None))


class LineNumbers(NamedTuple):
    """The values, the epoch and the step of a line, as text."""

    values: tuple[str, ...]
    epoch: str | None
    step: str | None


class Observation(NamedTuple):
    """The values of one line, with its time, epoch, step and rank.

    Attributes:
        time_ns: when the line arrived, in nanoseconds since the epoch.
        epoch, step: the epoch and step, as text; None if unknown.
        texts: the text of each value, in the order of the shape's fields.
        line: the text of the line.
        rank: the rank that the line names; None if the line names no rank.
        bare_step: the number without a name that may be the step; None if there is none.
    """

    time_ns: int
    epoch: str | None
    step: str | None
    texts: tuple[str, ...]
    line: str
    rank: int | None
    bare_step: str | None = None


class Shape:
    """The lines of one shape: their named values, and whether they count as metrics.

    Attributes:
        fields: the named values of the line in which the shape was first seen.
        columns: the indexes in `fields` of the values to record; None until the shape counts as
            metrics.
        waiting: the lines that wait until the shape counts as metrics.
        counts_steps: whether the number without a name in each line is the step.
        seen: the number of lines so far.
    """

    def __init__(self, line: LineFields, tokens: Sequence[Token]) -> None:
        """Create a shape from its first line.

        Args:
            line: the named values, epoch and step of the line.
            tokens: the tokens of the line.
        """
        self.fields: list[Field] = line.fields
        self.columns: tuple[int, ...] | None = None
        self.waiting: list[Observation] = []
        self.counts_steps = False
        self.seen = 0
        self._line = line
        numbers = [one for one in tokens if one.kind in (NUMERAL, FRACTION, OPAQUE)]
        index_of = {one.start: index for index, one in enumerate(numbers)}
        self._values_at = [index_of[field.start] for field in line.fields]
        self._epoch_at = index_of.get(line.epoch_start)
        self._step_at = index_of.get(line.step_start)

    @property
    def has_bare_step(self) -> bool:
        """Whether the step is a number without a name."""
        return self._line.is_bare_step

    @property
    def names_place(self) -> bool:
        """Whether a word such as ``epoch`` or ``step`` names the epoch or step."""
        return self._line.names_place

    def read_numbers(self, tokens: Sequence[Token]) -> LineNumbers:
        """Return the values, the epoch and the step of a line of this shape, given its tokens."""
        return self.read_groups(
            [one.text for one in tokens if one.kind in (NUMERAL, FRACTION, OPAQUE)]
        )

    def read_groups(self, texts: Sequence[str]) -> LineNumbers:
        """Return the values, the epoch and the step of a line, given the text of each number."""
        return LineNumbers(
            tuple([texts[index] for index in self._values_at]),
            None if self._epoch_at is None else _numerator(texts[self._epoch_at]),
            None if self._step_at is None else _numerator(texts[self._step_at]),
        )

    @property
    def may_be_metrics(self) -> bool:
        """Whether lines of this shape can ever count as metrics."""
        return any(map(is_recordable, self.fields))

    @property
    def looks_like_metrics(self) -> bool:
        """Whether a value varies and is not always a whole number, as the values of metrics do."""
        if len(self.waiting) < _MIN_MISSED:
            return False
        return any(self._varies(one) and self._is_measure(one) for one in range(len(self.fields)))

    def judge(self, *, is_last: bool = False) -> bool:
        """Decide whether the waiting lines are metrics. If so, set `columns` and return True.

        Args:
            is_last: whether the text has ended, so that no more lines can come.
        """
        count = len(self.waiting)
        line = self._line
        prose = line.prose / line.words if line.words else 0.0
        self.counts_steps = self._bare_numbers_advance()
        advances = self._advances()
        counts = line.names_place or self.counts_steps or advances
        certain = [one for one in range(len(self.fields)) if self._is_certain(one, counts)]
        accepted = False
        is_joined = counts or any(self.fields[one].has_separator for one in certain)
        if certain and prose <= _MAX_PROSE and (is_joined or line.loose <= len(self.fields)):
            accepted = count >= 2
            if is_last and not accepted:
                field = self.fields[certain[0]]
                is_plain = field.has_separator or line.names_place or field.context is not None
                accepted = is_plain and prose <= _MAX_PROSE_OF_ONE
        if not accepted and counts and advances and prose <= _MAX_PROSE:
            varying = [one for one in range(len(self.fields)) if self._varies(one)]
            hints = [one for one in varying if vocabulary.hints_at_metric(self.fields[one].name)]
            accepted = count >= 2 and bool(hints) and (line.names_place or count >= 3)
            if not accepted and count >= 3 and prose <= _MAX_PROSE_OF_UNKNOWN:
                named = line.names_place or any(self.fields[one].context for one in varying)
                accepted = named and any(self._is_measure(one) for one in varying)
        if accepted:
            self.columns = tuple(
                one for one in range(len(self.fields)) if self._is_recorded(one, counts)
            )
        return accepted and bool(self.columns)

    def _is_certain(self, index: int, counts: bool) -> bool:
        field = self.fields[index]
        if not is_recordable(field) or not _names_metric(field):
            return False
        if vocabulary.is_also_setting(field.name) and not (counts and self._varies(index)):
            return False
        return counts or self._is_measure(index)

    def _is_measure(self, index: int) -> bool:
        """Return whether a field has a metric's unit, or no unit and a value that is not whole."""
        if self.fields[index].unit is not None:
            return self.fields[index].unit in _MEASURE_UNITS
        return any(not one.texts[index].lstrip("+-").isdigit() for one in self.waiting)

    def _varies(self, index: int) -> bool:
        return (
            is_recordable(self.fields[index])
            and len({one.texts[index] for one in self.waiting}) > 1
        )

    def _is_recorded(self, index: int, counts: bool) -> bool:
        field = self.fields[index]
        if not is_recordable(field):
            return False
        is_named = _names_metric(field) or (counts and vocabulary.hints_at_metric(field.name))
        return is_named or self._is_measure(index) or field.unit in _SHORT_TIMES

    def _advances(self) -> bool:
        """Return whether the epochs and steps of the waiting lines increase."""
        places = [
            (_to_float(one.epoch), _to_float(one.step or one.bare_step)) for one in self.waiting
        ]
        return len(places) > 1 and places == sorted(places) and places[0] != places[-1]

    def _bare_numbers_advance(self) -> bool:
        """Return whether the number without a name increases from each line to the next."""
        steps = [_to_float(one.bare_step) for one in self.waiting]
        if not self._line.is_bare_step or len(steps) < 2:
            return self._line.is_bare_step and self._line.epoch is not None
        return all(first < second for first, second in pairwise(steps))


def _names_metric(field: Field) -> bool:
    """Return whether a value has the name of a metric.

    A word such as ``score`` is enough if the name has a context, as in ``Test set score: 0.97``.
    """
    if vocabulary.is_metric_name(field.name):
        return True
    return (
        field.context is not None and field.has_separator and vocabulary.ends_in_score(field.name)
    )


def _numerator(text: str) -> str:
    """Return an epoch or step as plain digits: ``3`` for ``3/10``, ``1200`` for ``1,200``."""
    return text.partition("/")[0].strip().replace(",", "")


def _to_float(text: str | None) -> float:
    return -1.0 if text is None else float(text)


def is_recordable(field: Field) -> bool:
    """Return whether a value can be a metric. Counters, sizes, rates, epochs and steps can't."""
    if vocabulary.is_skipped_name(field.name):
        return False
    if field.unit in _SHORT_TIMES:
        return vocabulary.is_time_name(field.name)
    if field.unit not in _MEASURE_UNITS:
        return False
    if vocabulary.is_time_name(field.name):
        return vocabulary.name_parts(field.name)[0] in ("ms", "us")
    return vocabulary.place_of(field.name) is None
